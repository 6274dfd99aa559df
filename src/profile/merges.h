// Which customer keys are one person, because somebody (or a rule that somebody wrote) said so: decision events in the
// journal. A merge moves nothing: each key keeps its own timeline, and readers join the timelines of a group. So undoing a
// merge leaves exactly what would be there had it never been, events that came later included.
// Threads: plain values; const members from any thread.
#pragma once

#include <map>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "event/event.h"
#include "profile/identity.h"

namespace perennial::profile {

enum class Verdict : std::uint8_t { kMerged, kUndone, kRejected };
std::string_view name(Verdict verdict) noexcept;  // "merged"

struct MergeDecision {
    CustomerKey a, b;       // a < b
    Verdict verdict = Verdict::kMerged;
    UtcTime time;
    std::string details;    // JSON object: who, why, on which grounds
    bool operator==(const MergeDecision&) const = default;
};

// The decision as the journal holds it: kind decision, name "identity_merged" ..., the keys in user_id and anonymous_id.
// Clients cannot send that kind. The order of a and b does not matter.
event::Event merge_event(const MergeDecision& decision);
// Nothing for any other event.
std::optional<MergeDecision> merge_decision_of(const event::Event& event);

// Connected keys of all pairs whose last decision is a merge.
class MergeGroups {
public:
    MergeGroups() = default;
    explicit MergeGroups(std::span<const MergeDecision> last_decisions);

    // The key that speaks for the person: a user id before an anonymous id before an order, then the smallest. `key` itself
    // when it was never merged. O(log keys).
    CustomerKey canonical(const CustomerKey& key) const;
    // All keys of the person in key order, `key` among them; empty when it was never merged.
    std::span<const CustomerKey> members(const CustomerKey& key) const;
    bool empty() const noexcept { return group_of_.empty(); }

private:
    struct Group {
        CustomerKey canonical;
        std::vector<CustomerKey> members;
    };
    std::vector<Group> groups_;
    std::map<CustomerKey, std::size_t, std::less<>> group_of_;
};

}  // namespace perennial::profile
