// keys: who may use the API. audit: what was done in this shop, and whether its record is whole. privacy scan: personal data where none should be.
#include <fmt/format.h>
#include <pwd.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>
#include <map>
#include <vector>

#include "base/progress.h"
#include "commands.h"
#include "govern/audit.h"
#include "govern/keys.h"
#include "govern/personal.h"
#include "profile/store.h"
#include "shop.h"

namespace perennial::app {
namespace {

fs::path audit_path(const Shop& shop) { return shop.directory / "audit.jsonl"; }

std::string this_user() {
    passwd entry{};
    passwd* found = nullptr;
    std::array<char, 4096> buffer{};
    if (::getpwuid_r(::geteuid(), &entry, buffer.data(), buffer.size(), &found) == 0 && found) return found->pw_name;
    return std::to_string(::geteuid());
}

}  // namespace

Status record_audit(const Shop& shop, std::string_view what, std::string_view subject, const boost::json::object& details) {
    const auto head = govern::record(audit_path(shop), {.time = wall_clock_now(), .who = "cli:" + this_user(), .what = std::string(what), .subject = std::string(subject),
                                                        .details = boost::json::serialize(details)});
    return head ? Status(Done{}) : Status(head.error());
}

Status audit(const AuditCommand& options) {
    auto shop = open_shop(options.common.shop);
    if (!shop) return shop.error();
    boost::json::array entries;
    const auto summary = govern::verify(audit_path(*shop), [&](const govern::AuditEntry& entry) {
        if (options.verify) return;
        if (options.common.json) entries.push_back({{"number", entry.number}, {"time", iso8601(entry.time)}, {"who", entry.who}, {"what", entry.what}, {"subject", entry.subject}, {"details", boost::json::parse(entry.details)}});
        else fmt::print("{:>5}  {}  {:<16} {:<16} {}  {}\n", entry.number, iso8601(entry.time), entry.who, entry.what, entry.subject, entry.details);
    }, options.head);
    if (!summary) return summary.error();
    if (options.common.json) {
        boost::json::object result{{"entries", summary->entries}, {"head", summary->head}, {"torn_bytes", summary->torn_bytes}};
        if (!options.verify) result["log"] = std::move(entries);
        fmt::print("{}\n", boost::json::serialize(result));
    } else {
        fmt::print("The chain of {} entries is whole. Head: {}\n", summary->entries, summary->head);
        if (summary->torn_bytes > 0) fmt::print("{} bytes behind the last entry were cut short by a crash; the next entry replaces them.\n", summary->torn_bytes);
    }
    return Done{};
}

Status keys_create(const KeysCommand& options) {
    auto shop = open_shop(options.common.shop);
    if (!shop) return shop.error();
    auto key = govern::create_key(shop->keys(), options.name, *govern::role_from_name(options.role), wall_clock_now());
    if (!key) return key.error();
    PERENNIAL_TRY(record_audit(*shop, "keys.create", key->substr(3, 12), {{"name", options.name}, {"role", options.role}}));
    if (options.common.json) fmt::print("{}\n", boost::json::serialize(boost::json::object{{"key", *key}, {"role", options.role}}));
    else fmt::print("{}\nKeep it: it is not shown again. Role: {}.\n", *key, options.role);
    return Done{};
}

Status keys_list(const KeysCommand& options) {
    auto shop = open_shop(options.common.shop);
    if (!shop) return shop.error();
    const auto keys = govern::read_keys(shop->keys());
    if (!keys) return keys.error();
    boost::json::array rows;
    for (const auto& key : *keys) {
        const auto revoked = key.revoked ? iso8601(*key.revoked) : std::string();
        if (options.common.json) rows.push_back({{"id", key.id}, {"name", key.name}, {"role", govern::name(key.role)}, {"created", iso8601(key.created)}, {"revoked", key.revoked ? boost::json::value(revoked) : boost::json::value(nullptr)}});
        else fmt::print("{}  {:<9} {}  {:<24} {}\n", key.id, govern::name(key.role), iso8601(key.created), key.name, revoked.empty() ? "" : "revoked " + revoked);
    }
    if (options.common.json) fmt::print("{}\n", boost::json::serialize(rows));
    else if (keys->empty()) fmt::print("No keys: without any the server answers this machine alone.\n");
    return Done{};
}

Status keys_revoke(const KeysCommand& options) {
    auto shop = open_shop(options.common.shop);
    if (!shop) return shop.error();
    PERENNIAL_TRY(govern::revoke_key(shop->keys(), options.id, wall_clock_now()));
    PERENNIAL_TRY(record_audit(*shop, "keys.revoke", options.id));
    fmt::print("Key {} is revoked.\n", options.id);
    return Done{};
}

Status privacy_scan(const Common& options) {
    auto shop = open_shop(options.shop);
    if (!shop) return shop.error();
    auto store = open_for_reading(*shop);
    if (!store) return store.error();
    struct Count {
        std::uint64_t events = 0, findings = 0;
        std::string example;  // masked
    };
    std::map<std::pair<std::string_view, govern::PersonalKind>, Count> counts;
    std::uint64_t events = 0;
    Progress progress("Scanning", store->folded().value, "events");
    PERENNIAL_TRY(store->for_each_timeline(true, [&](const profile::CustomerKey&, const std::vector<event::Event>& timeline) {
        for (const auto& e : timeline) {
            ++events;
            const std::array<std::pair<std::string_view, std::string_view>, 11> fields{{{"text", e.text}, {"properties", e.properties}, {"query", e.query}, {"name", e.name}, {"title", e.title},
                                                                                       {"user_id", e.user_id}, {"anonymous_id", e.anonymous_id}, {"order_id", e.order_id}, {"campaign", e.campaign},
                                                                                       {"coupon", e.coupon}, {"product", e.product}}};
            for (const auto& [field, text] : fields) {
                std::array<bool, govern::kPersonalKinds> seen{};
                for (const auto& finding : govern::find_personal(text)) {
                    auto& count = counts[{field, finding.kind}];
                    ++count.findings;
                    if (!std::exchange(seen[static_cast<std::size_t>(finding.kind)], true)) ++count.events;
                    if (count.example.empty()) count.example = govern::masked(text).substr(0, 80);
                }
            }
        }
        progress.advance(timeline.size());
        return true;
    }));
    if (options.json) {
        boost::json::array rows;
        for (const auto& [where, count] : counts)
            rows.push_back({{"field", where.first}, {"kind", govern::name(where.second)}, {"events", count.events}, {"findings", count.findings}});
        fmt::print("{}\n", boost::json::serialize(boost::json::object{{"events", events}, {"found", std::move(rows)}}));
        return Done{};
    }
    fmt::print("{} events looked through.\n", events);
    if (counts.empty()) fmt::print("No personal data found in their texts.\n");
    else fmt::print("{:<14} {:<14} {:>10} {:>10}  masked example\n", "field", "kind", "events", "findings");
    for (const auto& [where, count] : counts) fmt::print("{:<14} {:<14} {:>10} {:>10}  {}\n", where.first, govern::name(where.second), count.events, count.findings, count.example);
    return Done{};
}

}  // namespace perennial::app
