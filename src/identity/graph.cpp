#include "identity/graph.h"

#include <algorithm>
#include <array>
#include <tuple>
#include <unordered_map>
#include <unordered_set>

#include "base/hash.h"

namespace perennial::identity {
namespace {

// What stands where an address or number should; hashed as the events' are (trimmed, lower case, XXH3-128 in hex).
const std::unordered_set<std::string>& empty_words() {
    static const std::unordered_set<std::string> hashes = [] {
        std::unordered_set<std::string> all;
        for (const char* word : {"", "-", "0", "-1", "null", "none", "nan", "n/a", "na", "unknown", "undefined", "anonymous", "guest", "test", "test@test.com", "test@example.com",
                                 "noreply@example.com", "no@email.com", "none@none.com", "0000000000", "000000000", "00000000", "1111111111", "1234567890", "9999999999"})
            all.insert(hex(hash128(word)));
        return all;
    }();
    return hashes;
}

struct Sharers {
    std::vector<std::uint32_t> customers;  // at most kCustomersKept
    std::size_t count = 0;
    std::uint32_t last = 0;                // the customer counted last, plus one: the walk goes customer by customer
};

}  // namespace

bool says_nothing(Identifier kind, std::string_view value) {
    static constexpr std::string_view kBlank = "0-_ .";
    return value.find_first_not_of(kBlank) == std::string_view::npos || ((kind == Identifier::kEmail || kind == Identifier::kPhone) && empty_words().contains(std::string(value)));
}

Result<IdentifierGraph> identifier_graph(const profile::Store& store, const Settings& settings) {
    std::array<std::unordered_map<std::string, Sharers>, kIdentifierCount> sharers;
    std::vector<profile::CustomerKey> keys;
    PERENNIAL_TRY(store.for_each_timeline(true, [&](const profile::CustomerKey& key, const std::vector<event::Event>& timeline) {
        const auto customer = static_cast<std::uint32_t>(keys.size());
        keys.push_back(key);
        const auto use = [&](Identifier kind, const std::string& value) {
            if (value.empty()) return;
            auto& at = sharers[static_cast<std::size_t>(kind)][value];
            if (at.last == customer + 1) return;
            at.last = customer + 1;
            ++at.count;
            if (at.customers.size() < kCustomersKept) at.customers.push_back(customer);
        };
        for (const auto& event : timeline) {
            use(Identifier::kEmail, event.email_hash);
            use(Identifier::kPhone, event.phone_hash);
            use(Identifier::kOrder, event.order_id);
            if (!event.user_id.empty() && event.kind != event::Kind::kAlias) use(Identifier::kDevice, event.anonymous_id);
        }
        return true;
    }));
    IdentifierGraph graph;
    for (std::size_t k = 0; k < kIdentifierCount; ++k)
        for (const auto& [value, who] : sharers[k]) {
            if (who.count < 2) continue;
            const auto kind = static_cast<Identifier>(k);
            SharedIdentifier shared{kind, value, {}, who.count};
            for (const auto customer : who.customers) shared.customers.push_back(keys[customer]);
            std::ranges::sort(shared.customers);
            const bool links = who.count <= settings.customers_limit[k] && !says_nothing(kind, value);
            (links ? graph.links : graph.super_nodes).push_back(std::move(shared));
        }
    std::ranges::sort(graph.links, [](const auto& x, const auto& y) { return std::tie(x.kind, x.value) < std::tie(y.kind, y.value); });
    std::ranges::sort(graph.super_nodes, [](const auto& x, const auto& y) { return std::tie(y.customers_count, x.kind, x.value) < std::tie(x.customers_count, y.kind, y.value); });
    return graph;
}

}  // namespace perennial::identity
