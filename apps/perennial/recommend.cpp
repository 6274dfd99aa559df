// recommend: products for one customer, with reasons.
#include <fmt/format.h>

#include <boost/json.hpp>

#include "answers.h"
#include "commands.h"
#include "shop.h"

namespace perennial::app {

namespace {

// Events by their effect on the product's log-odds, then what adds up to them.
void print(const boost::json::object& explanation) {
    const auto text = [](const boost::json::value& field) { return std::string(field.as_string()); };
    for (const auto& value : explanation.at("events").as_array()) {
        const auto& e = value.as_object();
        fmt::print("    {:+.3f} {:>4.0f} %  {}  {:<16} {}\n", e.at("effect").to_number<double>(), 100 * e.at("share").to_number<double>(), text(e.at("time")).substr(0, 10),
                   text(e.at("kind")), e.contains("title") ? text(e.at("title")) : "");
    }
    fmt::print("    {:+.3f}         all other events; {:+.3f} without the products, {:+.3f} with them\n", explanation.at("others").to_number<double>(),
               explanation.at("baseline").to_number<double>(), explanation.at("value").to_number<double>());
}

void print_groups(const boost::json::array& groups) {
    fmt::print("    in its place by");
    for (const auto& group : groups) fmt::print("  {} {:+.2f}", std::string_view(group.at("group").as_string()), group.at("effect").to_number<double>());
    fmt::print("\n");
}

}  // namespace

Status recommend(const RecommendCommand& options) {
    auto shop = open_shop(options.common.shop);
    if (!shop) return shop.error();
    auto store = open_for_reading(*shop);
    if (!store) return store.error();
    auto answers = Answers::open(*store, shop->directory, options.common.threads);
    if (!answers) return answers.error();
    auto found = (*answers)->recommendations(options.anonymous ? profile::anonymous_key(options.customer) : profile::user_key(options.customer), options.count, options.reasons);
    if (!found) return found.error();
    if (options.common.json) {
        fmt::print("{}\n", boost::json::serialize(*found));
        return Done{};
    }
    if (!found->at("known_customer").as_bool()) fmt::print("Nobody knows customer '{}' yet: what is popular.\n", options.customer);
    for (const auto& value : found->at("recommendations").as_array()) {
        const auto& r = value.as_object();
        const auto text = [](const boost::json::value& field) { return std::string(field.as_string()); };
        const auto reason = r.contains("reason") ? text(r.at("reason").at("en")) : std::string();
        fmt::print("{:<10} {:<38} {:>8.2f} {}  {:.4f}  {}\n", text(r.at("product_id")), text(r.at("title")), r.at("price").at("amount").to_number<double>(),
                   text(r.at("price").at("currency")), r.at("score").to_number<double>(), reason);
        if (r.contains("moved_by")) print_groups(r.at("moved_by").as_array());
        if (r.contains("explanation")) print(r.at("explanation").as_object());
    }
    return Done{};
}

}  // namespace perennial::app
