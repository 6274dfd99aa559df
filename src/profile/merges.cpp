#include "profile/merges.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <tuple>

#include "base/hash.h"

namespace perennial::profile {
namespace {

constexpr std::array<std::string_view, 3> kNames{"merged", "undone", "rejected"};
constexpr std::string_view kPrefix = "identity_";

int rank(std::string_view key) noexcept { return key.starts_with("u:") ? 0 : key.starts_with("a:") ? 1 : 2; }

}  // namespace

std::string_view name(Verdict verdict) noexcept { return kNames[static_cast<std::size_t>(verdict)]; }

event::Event merge_event(const MergeDecision& decision) {
    event::Event event;
    event.kind = event::Kind::kDecision;
    event.channel = event::Channel::kServer;
    event.name = std::string(kPrefix) + std::string(name(decision.verdict));
    event.user_id = std::min(decision.a, decision.b);
    event.anonymous_id = std::max(decision.a, decision.b);
    event.time = event.received = decision.time;
    event.properties = decision.details;
    event.message_id = "identity-" + hex(hash128(fmt::format("{}\x1f{}\x1f{}\x1f{}\x1f{}", event.name, event.user_id, event.anonymous_id, decision.time.ms, decision.details)));
    return event;
}

std::optional<MergeDecision> merge_decision_of(const event::Event& event) {
    if (event.kind != event::Kind::kDecision || !event.name.starts_with(kPrefix)) return std::nullopt;
    const auto found = std::ranges::find(kNames, std::string_view(event.name).substr(kPrefix.size()));
    if (found == kNames.end() || event.user_id.empty() || event.anonymous_id.empty() || event.user_id >= event.anonymous_id) return std::nullopt;
    return MergeDecision{event.user_id, event.anonymous_id, static_cast<Verdict>(found - kNames.begin()), event.time, event.properties};
}

MergeGroups::MergeGroups(std::span<const MergeDecision> last_decisions) {
    std::map<CustomerKey, CustomerKey, std::less<>> parent;
    const auto root = [&](CustomerKey key) {
        for (auto at = parent.find(key); at != parent.end() && at->second != key; at = parent.find(key)) key = at->second;
        return key;
    };
    for (const auto& decision : last_decisions) {
        if (decision.verdict != Verdict::kMerged) continue;
        parent.try_emplace(decision.a, decision.a);
        parent.try_emplace(decision.b, decision.b);
        const auto a = root(decision.a), b = root(decision.b);
        const auto [first, second] = std::minmax(a, b);
        parent[second] = first;
    }
    std::map<CustomerKey, std::size_t> group_of_root;
    for (const auto& [key, above] : parent) {
        const auto [at, is_new] = group_of_root.try_emplace(root(key), groups_.size());
        if (is_new) groups_.push_back({key, {}});
        auto& group = groups_[at->second];
        group.members.push_back(key);
        if (std::tuple(rank(key), std::string_view(key)) < std::tuple(rank(group.canonical), std::string_view(group.canonical))) group.canonical = key;
        group_of_.emplace(key, at->second);
    }
}

CustomerKey MergeGroups::canonical(const CustomerKey& key) const {
    const auto found = group_of_.find(key);
    return found == group_of_.end() ? key : groups_[found->second].canonical;
}

std::span<const CustomerKey> MergeGroups::members(const CustomerKey& key) const {
    const auto found = group_of_.find(key);
    return found == group_of_.end() ? std::span<const CustomerKey>() : std::span<const CustomerKey>(groups_[found->second].members);
}

}  // namespace perennial::profile
