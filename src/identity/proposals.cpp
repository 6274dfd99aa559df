#include "identity/proposals.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <set>
#include <tuple>

#include "base/hash.h"
#include "identity/traits.h"
#include "resolve/resolution.h"

namespace perennial::identity {
namespace {

namespace json = boost::json;
using profile::CustomerKey;
using KeyPair = std::pair<CustomerKey, CustomerKey>;  // the smaller first

constexpr std::int64_t kVersion = 1;
constexpr std::size_t kTraitsWanted = 2;          // fewer say too little of a person to be compared
constexpr std::size_t kDescribedWanted = 20;      // customers; with fewer there is nothing to learn weights from
constexpr double kMatchesPerCustomerLimit = 5;    // more than so many and the two kinds of pairs found are no persons

KeyPair ordered(CustomerKey a, CustomerKey b) { return a < b ? KeyPair(std::move(a), std::move(b)) : KeyPair(std::move(b), std::move(a)); }

// Pairs that somebody rejected or took apart, as the keys that speak for them now.
std::set<KeyPair> settled_pairs(const profile::Store& store, const std::vector<profile::MergeDecision>& decisions) {
    std::set<KeyPair> settled;
    for (const auto& decision : decisions)
        if (decision.verdict != profile::Verdict::kMerged) settled.insert(ordered(store.resolve(decision.a), store.resolve(decision.b)));
    return settled;
}

void add_shared_identifiers(const IdentifierGraph& graph, std::map<KeyPair, Proposal>& proposals) {
    for (const auto& shared : graph.links)
        for (std::size_t i = 0; i < shared.customers.size(); ++i)
            for (std::size_t j = i + 1; j < shared.customers.size(); ++j) {
                auto& proposal = proposals[ordered(shared.customers[i], shared.customers[j])];
                if (std::ranges::find(proposal.identifiers, shared.kind) == proposal.identifiers.end()) proposal.identifiers.push_back(shared.kind);
                proposal.grounds.push_back({std::string(name(shared.kind)), fmt::format("shared by {} customers ({})", shared.customers_count, shared.value.substr(0, 12)), 0});
            }
}

struct Described {
    std::vector<CustomerKey> keys;
    std::vector<Traits> traits;
};

Result<Described> describe(const profile::Store& store, std::size_t& customers) {
    Described described;
    PERENNIAL_TRY(store.for_each_timeline(false, [&](const CustomerKey& key, const std::vector<event::Event>& timeline) {
        ++customers;
        auto traits = traits_of(timeline);
        if (std::ranges::count_if(traits, [](const std::string& trait) { return !trait.empty(); }) < static_cast<std::ptrdiff_t>(kTraitsWanted)) return true;
        described.keys.push_back(key);
        described.traits.push_back(std::move(traits));
        return true;
    }));
    return described;
}

// Fields that tell at least two customers apart.
Result<resolve::Records> records_of(const Described& described) {
    std::vector<std::size_t> kept;
    std::vector<resolve::Field> fields;
    for (std::size_t t = 0; t < kTraitCount; ++t) {
        std::set<std::string_view> values;
        for (const auto& traits : described.traits) {
            if (!traits[t].empty()) values.insert(traits[t]);
            if (values.size() > 1) break;
        }
        if (values.size() < 2) continue;
        kept.push_back(t);
        fields.push_back(trait_fields()[t]);
    }
    auto records = resolve::Records::over(std::move(fields));
    if (!records) return records;
    std::vector<std::string_view> row;
    for (const auto& traits : described.traits) {
        row.clear();
        for (const auto t : kept) row.push_back(traits[t]);
        PERENNIAL_TRY(records->add(row));
    }
    return records;
}

// Returns why nothing could be compared; empty when it was.
std::string add_alike(const Described& described, const Settings& settings, unsigned threads, std::map<KeyPair, Proposal>& proposals) {
    if (described.keys.size() < kDescribedWanted)
        return fmt::format("likeness: want at least {} customers with {} traits or more in their identify calls, got {}", kDescribedWanted, kTraitsWanted, described.keys.size());
    auto records = records_of(described);
    if (!records) return "likeness: " + records.error().message;
    const double customers = static_cast<double>(records->size());
    resolve::ResolveOptions options;
    options.probability = settings.propose_probability;
    options.threads = threads;
    auto found = resolve::resolve(std::move(*records), options);
    if (!found) return "likeness: " + found.error().message;
    const double matches = found->model->match_share * found->records->possible_pairs();
    if (matches > kMatchesPerCustomerLimit * customers)
        return fmt::format("likeness: the traits do not tell persons apart ({:.0f} pairs of {:.0f} customers would match)", matches, customers);
    for (const auto& link : found->links) {
        if (found->clusters.of[link.a] != found->clusters.of[link.b]) continue;
        auto& proposal = proposals[ordered(described.keys[link.a], described.keys[link.b])];
        proposal.probability = resolve::probability_of(link.weight);
        const resolve::Pair pair{link.a, link.b, found->comparator->compare(link.a, link.b)};
        proposal.grounds.push_back({"prior", fmt::format("{:.2g} of all pairs match", found->model->match_share), found->scorer->prior()});
        for (const auto& reason : found->scorer->explain(pair)) proposal.grounds.push_back({reason.feature, reason.level, reason.weight});
    }
    return {};
}

json::array to_json(const std::vector<Ground>& grounds) {
    json::array list;
    for (const auto& ground : grounds) list.push_back(json::object{{"field", ground.field}, {"how", ground.how}, {"weight", ground.weight}});
    return list;
}

std::string text_at(const json::object& object, std::string_view key) {
    const auto* value = object.if_contains(key);
    return value && value->is_string() ? std::string(value->get_string()) : std::string();
}

double number_at(const json::object& object, std::string_view key) {
    const auto* value = object.if_contains(key);
    return value && value->is_number() ? value->to_number<double>() : 0;
}

std::vector<Ground> grounds_at(const json::object& object) {
    std::vector<Ground> grounds;
    const auto* list = object.if_contains("grounds");
    if (!list || !list->is_array()) return grounds;
    for (const auto& value : list->get_array())
        if (const auto* each = value.if_object()) grounds.push_back({text_at(*each, "field"), text_at(*each, "how"), number_at(*each, "weight")});
    return grounds;
}

}  // namespace

std::string proposal_id(const CustomerKey& a, const CustomerKey& b) {
    const auto [first, second] = ordered(a, b);
    return hex(hash128(first + '\0' + second)).substr(0, 12);
}

Result<Proposals> propose(const profile::Store& store, const Settings& settings, unsigned threads) {
    Proposals result;
    auto graph = identifier_graph(store, settings);
    if (!graph) return graph.error();
    auto decisions = store.merge_decisions();
    if (!decisions) return decisions.error();
    auto described = describe(store, result.customers);
    if (!described) return described.error();
    result.described = described->keys.size();
    std::map<KeyPair, Proposal> proposals;
    add_shared_identifiers(*graph, proposals);
    result.note = add_alike(*described, settings, threads, proposals);
    result.super_nodes = std::move(graph->super_nodes);
    const auto settled = settled_pairs(store, *decisions);
    for (auto& [pair, proposal] : proposals) {
        if (settled.contains(pair)) {
            ++result.decided_before;
            continue;
        }
        std::tie(proposal.a, proposal.b) = pair;
        proposal.id = proposal_id(pair.first, pair.second);
        result.pending.push_back(std::move(proposal));
    }
    std::ranges::stable_sort(result.pending, [](const Proposal& x, const Proposal& y) {
        if (x.identifiers.empty() != y.identifiers.empty()) return y.identifiers.empty();
        return x.probability > y.probability;
    });
    return result;
}

std::string to_json(const Proposals& proposals) {
    json::array list;
    for (const auto& p : proposals.pending) {
        json::array identifiers;
        for (const auto identifier : p.identifiers) identifiers.push_back(json::value(name(identifier)));
        list.push_back(json::object{{"id", p.id}, {"a", p.a}, {"b", p.b}, {"probability", p.probability}, {"identifiers", std::move(identifiers)}, {"grounds", to_json(p.grounds)}});
    }
    json::array super_nodes;
    for (const auto& s : proposals.super_nodes) super_nodes.push_back(json::object{{"kind", name(s.kind)}, {"value", s.value}, {"customers", s.customers_count}});
    json::object out{{"version", kVersion}, {"customers", proposals.customers}, {"described", proposals.described}, {"decided_before", proposals.decided_before},
                     {"note", proposals.note}, {"super_nodes", std::move(super_nodes)}, {"proposals", std::move(list)}};
    return json::serialize(out) + "\n";
}

Result<std::vector<Proposal>> parse_proposals(std::string_view text) {
    boost::system::error_code error;
    const auto value = json::parse(text, error);
    const auto corrupt = [](std::string_view what) { return Error{Code::kCorrupt, fmt::format("proposals: {}; `perennial identity propose` writes them anew", what)}; };
    if (error || !value.is_object()) return corrupt("want a JSON object");
    const auto& root = value.get_object();
    if (number_at(root, "version") != kVersion) return Error{Code::kUnsupported, fmt::format("proposals: want version {}; `perennial identity propose` writes them anew", kVersion)};
    const auto* list = root.if_contains("proposals");
    if (!list || !list->is_array()) return corrupt("want a list 'proposals'");
    std::vector<Proposal> proposals;
    for (const auto& each : list->get_array()) {
        const auto* object = each.if_object();
        if (!object) return corrupt("want objects in the list");
        Proposal p;
        p.a = text_at(*object, "a");
        p.b = text_at(*object, "b");
        if (p.a.empty() || p.b.empty() || p.a >= p.b) return corrupt("want two customer keys in order in each");
        p.id = proposal_id(p.a, p.b);
        p.probability = number_at(*object, "probability");
        p.grounds = grounds_at(*object);
        if (const auto* names = object->if_contains("identifiers"); names && names->is_array())
            for (const auto& named : names->get_array())
                if (const auto identifier = named.is_string() ? identifier_from_name(std::string(named.get_string())) : std::nullopt) p.identifiers.push_back(*identifier);
        proposals.push_back(std::move(p));
    }
    return proposals;
}

std::string to_json(const Details& details) {
    return json::serialize(json::object{{"who", details.who}, {"why", details.why}, {"probability", details.probability}, {"grounds", to_json(details.grounds)}});
}

Details parse_details(std::string_view text) {
    boost::system::error_code error;
    const auto value = json::parse(text, error);
    if (error || !value.is_object()) return {};
    const auto& root = value.get_object();
    return {text_at(root, "who"), text_at(root, "why"), number_at(root, "probability"), grounds_at(root)};
}

std::string rule_for(const Proposal& proposal, const Settings& settings) {
    for (const auto identifier : settings.apply_identifiers)
        if (std::ranges::find(proposal.identifiers, identifier) != proposal.identifiers.end()) return fmt::format("identity.toml: apply.identifiers: {}", name(identifier));
    if (settings.apply_probability && proposal.probability >= *settings.apply_probability)
        return fmt::format("identity.toml: apply.probability: {:.6g} >= {}", proposal.probability, *settings.apply_probability);
    return {};
}

Status may_merge(const profile::Store& store, const Settings& settings, const CustomerKey& a, const CustomerKey& b) {
    if (store.resolve(a) == store.resolve(b)) return Error{Code::kInvalid, fmt::format("merge {} and {}: they are one person already", a, b)};
    std::size_t members = 0;
    for (const auto& key : {a, b}) {
        auto timeline = store.timeline(key);
        if (!timeline) return timeline.error();
        if (timeline->empty()) return Error{Code::kNotFound, fmt::format("merge {} and {}: no events of {} (want u:USER, a:ANONYMOUS or o:ORDER)", a, b, key)};
        members += std::max<std::size_t>(store.merged_with(key).size(), 1);
    }
    if (members > settings.group_limit)
        return Error{Code::kFull, fmt::format("merge {} and {}: want at most {} keys of one person (limits.group), got {}", a, b, settings.group_limit, members)};
    return Done{};
}

Result<std::optional<profile::MergeDecision>> would_rejoin(const profile::Store& store, const CustomerKey& a, const CustomerKey& b) {
    auto decisions = store.merge_decisions();
    if (!decisions) return decisions.error();
    const auto pair = ordered(store.resolve(a), store.resolve(b));
    for (auto& decision : *decisions)
        if (decision.verdict != profile::Verdict::kMerged && ordered(store.resolve(decision.a), store.resolve(decision.b)) == pair) return std::optional(std::move(decision));
    return std::optional<profile::MergeDecision>{};
}

}  // namespace perennial::identity
