// The graph of identifiers: customers on one side, what they used on the other (hashed e-mail addresses and telephone
// numbers, orders, devices). Two customers at one identifier are linked, unless it is a super-node: shared by more customers
// than its kind allows, or a value that says nothing. Those are reported, never linked.
// Threads: pure function of the store.
#pragma once

#include <string>
#include <vector>

#include "base/result.h"
#include "identity/settings.h"
#include "profile/store.h"

namespace perennial::identity {

struct SharedIdentifier {
    Identifier kind = Identifier::kEmail;
    std::string value;                           // as in the events: hashed, or an id
    std::vector<profile::CustomerKey> customers;  // sorted; of a super-node the first kCustomersKept
    std::size_t customers_count = 0;
};
inline constexpr std::size_t kCustomersKept = 1000;

struct IdentifierGraph {
    std::vector<SharedIdentifier> links;        // of two customers or more, within the limit; by kind, then value
    std::vector<SharedIdentifier> super_nodes;  // above it, or saying nothing; most customers first
};

// Walks all timelines once: O(events), and memory for each distinct identifier. Customers who were merged count as one.
Result<IdentifierGraph> identifier_graph(const profile::Store& store, const Settings& settings);

// Hashes of "null", "test@test.com", "0000000000" and their like: shops' forms are full of them.
bool says_nothing(Identifier kind, std::string_view value);

}  // namespace perennial::identity
