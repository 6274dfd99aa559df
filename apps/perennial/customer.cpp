// customer: everything known of one customer.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <map>

#include "answers.h"
#include "base/text.h"
#include "commands.h"
#include "event/codec.h"
#include "shop.h"

namespace perennial::app {
namespace {

namespace json = boost::json;

std::string text(const json::value& value) { return value.is_string() ? std::string(value.as_string()) : json::serialize(value); }
double number(const json::value& value) { return value.to_number<double>(); }

void print(const json::object& c) {
    fmt::print("Customer {} as of {}: {}\n", text(c.at("customer")), text(c.at("as_of")).substr(0, 10), text(c.at("stage")));
    fmt::print("  seen {} to {}; {} orders on {} days; spend {:.2f} {}, refunds {:.2f}\n", text(c.at("first_seen")).substr(0, 10), text(c.at("last_seen")).substr(0, 10),
               text(c.at("orders")), text(c.at("purchase_days")), number(c.at("spend").at("amount")), text(c.at("spend").at("currency")), number(c.at("refunds").at("amount")));
    fmt::print("  recency {} frequency {} monetary {} (fifths, 5 is best)\n", text(c.at("rfm").at("recency")), text(c.at("rfm").at("frequency")), text(c.at("rfm").at("monetary")));
    if (!c.at("rhythm").at("silence_days").is_null())
        fmt::print("  silent for {:.0f} days, usually buys every {:.0f}; {:.0f} % of the usual gaps are longer than this\n", number(c.at("rhythm").at("silence_days")),
                   number(c.at("rhythm").at("typical_gap_days")), 100 * number(c.at("rhythm").at("usual_share_of_such_silence")));
    const auto& churn = c.at("churn").as_object();
    if (churn.at("probability").is_null()) {
        fmt::print("  churn: {}\n", text(churn.at("note")));
    } else {
        fmt::print("  churn within {:.0f} days: {:.0f} % ({:.0f} to {:.0f} %)\n", number(churn.at("horizon_days")), 100 * number(churn.at("probability")),
                   100 * number(churn.at("low")), 100 * number(churn.at("high")));
        for (const auto& reason : churn.at("reasons").as_array())
            fmt::print("    {} {}: {:.4g}\n", text(reason.at("effect")) == "leaving" ? "speaks for leaving:" : "speaks for staying:", text(reason.at("en")), number(reason.at("value")));
        for (const auto& value : churn.at("return_events").at("events").as_array()) {
            const auto& e = value.as_object();
            fmt::print("    {} a return: {} {} {} ({:+.3f})\n", number(e.at("effect")) > 0 ? "speaks for" : "speaks against", text(e.at("time")).substr(0, 10), text(e.at("kind")),
                       e.contains("title") ? text(e.at("title")) : "", number(e.at("effect")));
        }
    }
    if (const auto* silence = c.if_contains("silence")) {
        if (silence->at("probability").is_null()) fmt::print("  no purchase within {:.0f} days: {}\n", number(silence->at("horizon_days")), text(silence->at("note")));
        else fmt::print("  no purchase within {:.0f} days: {:.0f} %{}\n", number(silence->at("horizon_days")), 100 * number(silence->at("probability")),
                        silence->at("calibrated").as_bool() ? fmt::format(" (when judged, off by {:.0f} points on average)", 100 * number(silence->at("calibration_error")))
                                                              : fmt::format(" (not calibrated: {})", text(silence->at("note"))));
    }
    for (const auto& value : c.at("tasks").as_array()) {
        const auto& t = value.as_object();
        fmt::print("  task {}:", text(t.at("task")));
        if (const auto* one = t.if_contains("probability")) fmt::print(" {} {:.1f} %", text(t.at("class")), 100 * number(*one));
        else if (const auto* amount = t.if_contains("value")) fmt::print(" {:.4g}", number(*amount));
        else if (const auto* best = t.if_contains("categories")) for (const auto& category : best->as_array()) fmt::print(" {} {:.1f} %", text(category.at("name")), 100 * number(category.at("probability")));
        else for (const auto& share : t.at("probabilities").as_object()) fmt::print(" {} {:.1f} %", std::string(share.key()), 100 * number(share.value()));
        fmt::print("\n");
    }
    fmt::print("  favourites:");
    for (const auto& favourite : c.at("favourite_categories").as_array()) fmt::print(" {} ({})", text(favourite.at("name")), text(favourite.at("lines")));
    fmt::print("\n  last events ({} in all):\n", text(c.at("events_total")));
    std::size_t shown = 0;
    for (const auto& value : c.at("timeline").as_array()) {
        if (shown++ == 12) break;
        const auto& e = value.as_object();
        const auto field = [&e](const char* name) { const auto* found = e.if_contains(name); return found ? text(*found) : std::string(); };
        fmt::print("    {}  {:<8} {:<16} {:<12} {:>5}  {}\n", field("time").substr(0, 16), field("channel"), field("kind"), field("product"), field("quantity"), field("title"));
    }
}

// Every event of the person, whichever channel and whichever of the merged keys it came by.
Status timeline(const profile::Store& store, const profile::CustomerKey& key, bool as_json) {
    const auto timeline = store.timeline(key);
    if (!timeline) return timeline.error();
    if (timeline->empty()) return Error{Code::kNotFound, fmt::format("customer: no events of '{}'", key.substr(key.find(':') + 1))};
    const auto keys = store.merged_with(key);
    if (as_json) {
        json::array events, members;
        for (const auto& event : *timeline) events.push_back(json::parse(event::to_json(event)));
        for (const auto& member : keys) members.push_back(json::value(member));
        std::map<std::string, std::int64_t> by_channel;
        for (const auto& event : *timeline) ++by_channel[std::string(event::name(event.channel))];
        fmt::print("{}\n", json::serialize(json::object{{"customer", store.resolve(key)}, {"keys", std::move(members)}, {"channels", json::value_from(by_channel)}, {"timeline", std::move(events)}}));
        return Done{};
    }
    fmt::print("{}", store.resolve(key));
    for (const auto& member : keys)
        if (member != store.resolve(key)) fmt::print(" = {}", member);
    fmt::print("\n");
    for (const auto& e : *timeline) {
        const auto said = !e.title.empty() ? e.title : !e.text.empty() ? e.text : !e.query.empty() ? e.query : e.name;
        fmt::print("{}  {:<8} {:<16} {:<16} {:<12} {}\n", iso8601(e.time).substr(0, 16), event::name(e.channel), event::name(e.kind),
                   !e.user_id.empty() ? e.user_id : !e.anonymous_id.empty() ? e.anonymous_id : e.order_id, e.product, clip(said, 60));
    }
    return Done{};
}

}  // namespace

Status customer(const CustomerCommand& options) {
    auto shop = open_shop(options.common.shop);
    if (!shop) return shop.error();
    auto store = open_for_reading(*shop);
    if (!store) return store.error();
    const auto key = options.anonymous ? profile::anonymous_key(options.id) : profile::user_key(options.id);
    if (options.timeline) return timeline(*store, key, options.common.json);
    auto answers = Answers::open(*store, shop->directory, options.common.threads);
    if (!answers) return answers.error();
    auto known = (*answers)->customer(key, options.horizon_days > 0 ? std::optional(options.horizon_days) : std::nullopt);
    if (!known) return known.error();
    if (options.common.json) fmt::print("{}\n", json::serialize(*known));
    else print(*known);
    return Done{};
}

}  // namespace perennial::app
