// identity: which customers are one person. propose writes DIR/identity/proposals.json and applies what identity.toml lets a
// rule apply; list, accept, reject, merge, undo and explain are for people. Every decision is an event in the journal.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <cstdlib>
#include <optional>
#include <set>
#include <tuple>

#include "base/file.h"
#include "commands.h"
#include "identity/proposals.h"
#include "shop.h"

namespace perennial::app {
namespace {

namespace json = boost::json;
using identity::Proposal;
using profile::CustomerKey;
using profile::MergeDecision;
using profile::Verdict;

constexpr std::size_t kShown = 50;  // proposals on the screen; --json has all
constexpr std::uint64_t kProposalsBytesLimit = std::uint64_t{1} << 30;

fs::path proposals_path(const Shop& shop) { return shop.directory / "identity" / "proposals.json"; }

Result<std::vector<Proposal>> read_proposals(const Shop& shop) {
    auto text = read_file(proposals_path(shop), kProposalsBytesLimit);
    if (!text) return text.error().code == Code::kNotFound ? Result<std::vector<Proposal>>(std::vector<Proposal>{}) : text.error();
    return identity::parse_proposals(*text);
}

std::string who_of(const IdentityCommand& options) {
    if (!options.by.empty()) return options.by;
    const char* user = std::getenv("USER");
    return user && *user ? user : "unknown";
}

MergeDecision decided(const CustomerKey& a, const CustomerKey& b, Verdict verdict, const identity::Details& details) {
    return {std::min(a, b), std::max(a, b), verdict, wall_clock_now(), identity::to_json(details)};
}

Status record(profile::Store& store, const MergeDecision& decision) {
    std::vector<event::Event> events{profile::merge_event(decision)};
    if (auto valid = event::validate(events.front()); !valid) return Error{valid.error().code, "identity: " + valid.error().message};
    auto receipt = store.append(std::move(events));
    return receipt ? Status(Done{}) : receipt.error();
}

json::array grounds_json(const std::vector<identity::Ground>& grounds) {
    json::array list;
    for (const auto& g : grounds) list.push_back(json::object{{"field", g.field}, {"how", g.how}, {"weight", g.weight}});
    return list;
}

json::object to_json(const Proposal& p) {
    json::array identifiers;
    for (const auto i : p.identifiers) identifiers.push_back(json::value(identity::name(i)));
    return {{"id", p.id}, {"a", p.a}, {"b", p.b}, {"state", "proposed"}, {"probability", p.probability}, {"identifiers", std::move(identifiers)}, {"grounds", grounds_json(p.grounds)}};
}

json::object to_json(const MergeDecision& d) {
    const auto details = identity::parse_details(d.details);
    return {{"id", identity::proposal_id(d.a, d.b)}, {"a", d.a}, {"b", d.b}, {"state", profile::name(d.verdict)}, {"time", iso8601(d.time)}, {"who", details.who}, {"why", details.why},
            {"probability", details.probability}, {"grounds", grounds_json(details.grounds)}};
}

void print(const json::object& o, bool with_grounds) {
    const auto text = [&](const char* name) { const auto* v = o.if_contains(name); return v && v->is_string() ? std::string(v->get_string()) : std::string(); };
    const double probability = o.at("probability").to_number<double>();
    fmt::print("{}  {:<9} {} = {}", text("id"), text("state"), text("a"), text("b"));
    if (probability > 0) fmt::print("  likely {:.4f}", probability);
    if (const auto* identifiers = o.if_contains("identifiers"))
        for (const auto& i : identifiers->get_array()) fmt::print("  same {}", std::string(i.get_string()));
    if (!text("who").empty()) fmt::print("  by {} at {}{}{}", text("who"), text("time"), text("why").empty() ? "" : ": ", text("why"));
    fmt::print("\n");
    if (!with_grounds) return;
    for (const auto& g : o.at("grounds").as_array()) {
        const double weight = g.at("weight").to_number<double>();
        fmt::print("    {:<16} {:<44}", std::string(g.at("field").as_string()), std::string(g.at("how").as_string()));
        if (weight == 0) fmt::print("\n");
        else fmt::print(" {:+.2f}\n", weight);
    }
}

Status propose(const Shop& shop, const IdentityCommand& options) {
    auto settings = identity::read_settings(shop.directory);
    if (!settings) return settings.error();
    const bool rules = !settings->apply_identifiers.empty() || settings->apply_probability;
    auto store = rules ? profile::Store::open(shop.directory) : open_for_reading(shop);
    if (!store) return store.error();
    auto found = identity::propose(*store, *settings, options.common.threads);
    if (!found) return found.error();
    json::array applied, refused;
    std::vector<Proposal> pending;
    for (auto& proposal : found->pending) {
        const auto rule = identity::rule_for(proposal, *settings);
        if (rule.empty()) {
            pending.push_back(std::move(proposal));
            continue;
        }
        // An earlier merge of this run may have joined them, or filled the group.
        if (store->resolve(proposal.a) == store->resolve(proposal.b)) continue;
        auto allowed = identity::may_merge(*store, *settings, proposal.a, proposal.b);
        auto rejoined = identity::would_rejoin(*store, proposal.a, proposal.b);
        if (!rejoined) return rejoined.error();
        if (allowed && *rejoined)
            allowed = Error{Code::kDenied, fmt::format("merge {} and {}: would join {} and {} again, which were {}", proposal.a, proposal.b, (*rejoined)->a, (*rejoined)->b, profile::name((*rejoined)->verdict))};
        if (!allowed) {
            refused.push_back(json::object{{"id", proposal.id}, {"a", proposal.a}, {"b", proposal.b}, {"why", allowed.error().message}});
            pending.push_back(std::move(proposal));
            continue;
        }
        const auto decision = decided(proposal.a, proposal.b, Verdict::kMerged, {"rule", rule, proposal.probability, proposal.grounds});
        PERENNIAL_TRY(record(*store, decision));
        applied.push_back(to_json(decision));
    }
    found->pending = std::move(pending);
    std::error_code error;
    fs::create_directories(proposals_path(shop).parent_path(), error);
    const std::string written = identity::to_json(*found);
    PERENNIAL_TRY(write_file(proposals_path(shop), written));
    if (options.common.json) {
        auto out = json::parse(written).as_object();
        out["applied"] = std::move(applied);
        out["refused"] = std::move(refused);
        fmt::print("{}\n", json::serialize(out));
        return Done{};
    }
    fmt::print("{} customers, {} of them described; {} pairs proposed, {} merged by rule, {} left out as decided before\n", found->customers, found->described, found->pending.size(),
               applied.size(), found->decided_before);
    if (!found->note.empty()) fmt::print("{}\n", found->note);
    for (std::size_t i = 0; i < std::min<std::size_t>(found->super_nodes.size(), 10); ++i) {
        const auto& s = found->super_nodes[i];
        fmt::print("links nobody: {} {} shared by {} customers\n", identity::name(s.kind), s.value.substr(0, 16), s.customers_count);
    }
    if (found->super_nodes.size() > 10) fmt::print("... and {} more that link nobody\n", found->super_nodes.size() - 10);
    for (const auto& each : refused) fmt::print("not merged: {}\n", std::string(each.at("why").as_string()));
    for (std::size_t i = 0; i < std::min(found->pending.size(), kShown); ++i) print(to_json(found->pending[i]), false);
    return Done{};
}

Status list(const Shop& shop, const IdentityCommand& options) {
    auto store = open_for_reading(shop);
    if (!store) return store.error();
    auto decisions = store->merge_decisions();
    if (!decisions) return decisions.error();
    auto proposals = read_proposals(shop);
    if (!proposals) return proposals.error();
    json::array all;
    std::set<std::string> known;
    for (const auto& d : *decisions) {
        all.push_back(to_json(d));
        known.insert(identity::proposal_id(d.a, d.b));
    }
    for (const auto& p : *proposals)
        if (!known.contains(p.id) && store->resolve(p.a) != store->resolve(p.b)) all.push_back(to_json(p));
    if (options.common.json) {
        fmt::print("{}\n", json::serialize(all));
        return Done{};
    }
    for (std::size_t i = 0; i < std::min(all.size(), kShown); ++i) print(all[i].as_object(), false);
    if (all.size() > kShown) fmt::print("... and {} more (--json has all)\n", all.size() - kShown);
    if (all.empty()) fmt::print("nothing decided, nothing proposed; `perennial identity propose --shop {}` looks for pairs\n", shop.directory.string());
    return Done{};
}

struct Target {
    CustomerKey a, b;
    std::optional<Proposal> proposal;
    std::optional<MergeDecision> decision;  // the last of these keys
};

// An id (of a proposal or a decision), or two customer keys.
Result<Target> find_target(const Shop& shop, const profile::Store& store, const std::vector<std::string>& words) {
    Target target;
    auto proposals = read_proposals(shop);
    if (!proposals) return proposals.error();
    auto decisions = store.merge_decisions();
    if (!decisions) return decisions.error();
    std::string id = words.front();
    if (words.size() == 2) {
        std::tie(target.a, target.b) = std::pair(std::min(words[0], words[1]), std::max(words[0], words[1]));
        id = identity::proposal_id(target.a, target.b);
    }
    for (auto& p : *proposals)
        if (p.id == id) target.a = p.a, target.b = p.b, target.proposal = p;
    for (auto& d : *decisions)
        if (identity::proposal_id(d.a, d.b) == id) target.a = d.a, target.b = d.b, target.decision = d;
    if (target.a.empty()) return Error{Code::kNotFound, fmt::format("identity: want the id of a proposal or merge, or two customer keys (u:1 u:2); got '{}', which `perennial identity list` does not show", id)};
    return target;
}

Status decide_on(const Shop& shop, const IdentityCommand& options) {
    auto settings = identity::read_settings(shop.directory);
    if (!settings) return settings.error();
    auto store = profile::Store::open(shop.directory);
    if (!store) return store.error();
    auto target = find_target(shop, *store, options.targets);
    if (!target) return target.error();
    const bool merged = target->decision && target->decision->verdict == Verdict::kMerged;
    identity::Details details{who_of(options), options.why, 0, {}};
    if (target->proposal) details.probability = target->proposal->probability, details.grounds = target->proposal->grounds;
    Verdict verdict = Verdict::kMerged;
    if (options.verb == "accept") {
        PERENNIAL_TRY(identity::may_merge(*store, *settings, target->a, target->b));
    } else if (options.verb == "reject") {
        if (merged) return Error{Code::kInvalid, fmt::format("identity: {} and {} are merged; `perennial identity undo` takes that back", target->a, target->b)};
        verdict = Verdict::kRejected;
    } else {
        if (!merged) return Error{Code::kInvalid, fmt::format("identity: {} and {} were not merged with each other", target->a, target->b)};
        verdict = Verdict::kUndone;
    }
    const auto decision = decided(target->a, target->b, verdict, details);
    PERENNIAL_TRY(record(*store, decision));
    const bool one = store->resolve(target->a) == store->resolve(target->b);
    auto out = to_json(decision);
    out["one_person"] = one;
    if (options.common.json) {
        fmt::print("{}\n", json::serialize(out));
        return Done{};
    }
    print(out, false);
    if (verdict != Verdict::kMerged && one) fmt::print("other merges still make them one person: perennial identity explain {}\n", target->a);
    return Done{};
}

Status explain(const Shop& shop, const IdentityCommand& options) {
    auto store = open_for_reading(shop);
    if (!store) return store.error();
    json::object out;
    json::array links;
    if (options.targets.size() == 1 && options.targets.front().find(':') == 1) {  // a customer's key
        const auto& key = options.targets.front();
        const auto speaks = store->resolve(key);
        auto decisions = store->merge_decisions();
        if (!decisions) return decisions.error();
        out["customer"] = speaks;
        json::array members;
        for (const auto& member : store->merged_with(key)) members.push_back(json::value(member));
        out["keys"] = std::move(members);
        for (const auto& d : *decisions)
            if (store->resolve(d.a) == speaks || store->resolve(d.b) == speaks) links.push_back(to_json(d));
    } else {
        auto target = find_target(shop, *store, options.targets);
        if (!target) return target.error();
        if (target->decision) links.push_back(to_json(*target->decision));
        if (target->proposal && !target->decision) links.push_back(to_json(*target->proposal));
        out["one_person"] = store->resolve(target->a) == store->resolve(target->b);
    }
    out["links"] = std::move(links);
    if (options.common.json) {
        fmt::print("{}\n", json::serialize(out));
        return Done{};
    }
    if (const auto* keys = out.if_contains("keys")) {
        fmt::print("{}", std::string(out.at("customer").as_string()));
        for (const auto& key : keys->get_array())
            if (key != out.at("customer")) fmt::print(" = {}", std::string(key.get_string()));
        fmt::print("{}\n", keys->get_array().empty() ? ": never merged" : "");
    }
    for (const auto& link : out.at("links").as_array()) print(link.as_object(), true);
    return Done{};
}

}  // namespace

Status identity_command(const IdentityCommand& options) {
    auto shop = open_shop(options.common.shop);
    if (!shop) return shop.error();
    if (options.verb == "propose") return propose(*shop, options);
    if (options.verb == "list") return list(*shop, options);
    if (options.verb == "explain") return explain(*shop, options);
    return decide_on(*shop, options);
}

}  // namespace perennial::app
