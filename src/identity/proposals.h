// Which customers may be one person, why, and what was decided: proposals from shared identifiers (certain as far as the
// identifier is one person's) and from the likeness of what customers said of themselves (a probability). Nothing here
// merges by itself: a person accepts, or a rule that the shop wrote down does (settings.h).
// Threads: pure functions of the store.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "identity/graph.h"
#include "identity/settings.h"
#include "profile/store.h"

namespace perennial::identity {

// One piece of evidence. Values are not kept: they are personal, and the events have them.
struct Ground {
    std::string field;     // "email", "surname"
    std::string how;       // "shared by 2 customers", "alike (0.92)"
    double weight = 0;     // log2 of how much likelier among matches; 0 for a shared identifier
    bool operator==(const Ground&) const = default;
};

struct Proposal {
    std::string id;        // of the pair: the same whenever it is proposed
    profile::CustomerKey a, b;  // a < b
    double probability = 0;     // by likeness; 0 where only an identifier is shared
    std::vector<Identifier> identifiers;  // shared ones
    std::vector<Ground> grounds;          // identifiers first, then fields, most telling first
    bool operator==(const Proposal&) const = default;
};

std::string proposal_id(const profile::CustomerKey& a, const profile::CustomerKey& b);

struct Proposals {
    std::vector<Proposal> pending;             // shared identifiers first, then by falling probability; ties by keys
    std::vector<SharedIdentifier> super_nodes;
    std::size_t customers = 0, described = 0;  // of them, with two traits or more
    std::size_t decided_before = 0;            // pairs left out because somebody rejected or undid them
    std::string note;                          // why nothing was compared by likeness, where that is so
};

// Errors: those of the store. O(events) and the cost of resolve::resolve over described customers.
Result<Proposals> propose(const profile::Store& store, const Settings& settings, unsigned threads);

// The file that `perennial identity propose` leaves for `list` and `accept` (docs/formats/identity.md).
std::string to_json(const Proposals& proposals);
// Errors: kCorrupt (no such file's text), kUnsupported (another version).
Result<std::vector<Proposal>> parse_proposals(std::string_view text);

// Who decided, and why: what the journal keeps of a decision beside its keys.
struct Details {
    std::string who, why;
    double probability = 0;
    std::vector<Ground> grounds;
};
std::string to_json(const Details& details);
Details parse_details(std::string_view text);  // what cannot be read stays empty

// The rule of `settings` that lets `proposal` be merged unseen; empty when none does.
std::string rule_for(const Proposal& proposal, const Settings& settings);

// May `a` and `b` be merged? Errors: kInvalid (one key, or one person already), kNotFound (no events), kFull (group_limit).
Status may_merge(const profile::Store& store, const Settings& settings, const profile::CustomerKey& a, const profile::CustomerKey& b);

// The pair that somebody rejected or took apart and that merging `a` and `b` would join again by way of others: a rule must
// not. Nothing where there is none.
Result<std::optional<profile::MergeDecision>> would_rejoin(const profile::Store& store, const profile::CustomerKey& a, const profile::CustomerKey& b);

}  // namespace perennial::identity
