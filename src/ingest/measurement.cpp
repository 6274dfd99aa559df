#include "ingest/measurement.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <optional>
#include <utility>

#include "base/hash.h"
#include "ingest/json_fields.h"

namespace perennial::ingest {
namespace {

using boost::json::array;
using boost::json::object;

// Names of the recommended events that have a word of ours. The rest keep their own names as custom events.
constexpr std::array<std::pair<std::string_view, std::string_view>, 14> kNames{{
    {"view_item", "Product Viewed"}, {"view_item_list", "Product List Viewed"}, {"select_item", "Product Clicked"},
    {"add_to_cart", "Product Added"}, {"remove_from_cart", "Product Removed"}, {"view_cart", "Cart Viewed"},
    {"begin_checkout", "Checkout Started"}, {"purchase", "Order Completed"}, {"refund", "Order Refunded"},
    {"view_promotion", "Promotion Viewed"}, {"select_promotion", "Promotion Clicked"}, {"search", "Products Searched"},
    {"view_search_results", "Products Searched"}, {"add_to_wishlist", "Product Added to Wishlist"},
}};

// Events that are about each of their items on its own; the others carry their items as a list.
bool is_about_each_item(std::string_view name) noexcept {
    return name == "view_item" || name == "add_to_cart" || name == "remove_from_cart" || name == "select_item" || name == "add_to_wishlist";
}
bool is_order(std::string_view name) noexcept { return name == "purchase" || name == "refund"; }

struct Problem { std::string field, description, code; };

std::optional<Problem> problem_of(const object& event, std::size_t number) {
    const auto path = fmt::format("events[{}].name", number);
    const auto name = text_field(event, "name");
    if (name.empty()) return Problem{path, "name: want the event's name, got nothing", "VALUE_REQUIRED"};
    if (name.size() > kMeasurementNameLimit)
        return Problem{path, fmt::format("name: want at most {} characters, got {}", kMeasurementNameLimit, name.size()), "NAME_INVALID"};
    const auto letter = [](char c) { return std::isalpha(static_cast<unsigned char>(c)) != 0; };
    if (!letter(name[0]) || !std::ranges::all_of(name, [&](char c) { return letter(c) || c == '_' || (c >= '0' && c <= '9'); }))
        return Problem{path, fmt::format("name: want letters, digits and underscores, a letter first, got '{}'", clip(to_utf8(name), 40)), "NAME_INVALID"};
    const auto& params = object_field(event, "params");
    const auto* items = params.if_contains("items");
    if (items && !items->is_array()) return Problem{fmt::format("events[{}].params.items", number), "items: want a list, got something else", "VALUE_INVALID"};
    if (items && items->get_array().size() > kMeasurementItemsLimit)
        return Problem{fmt::format("events[{}].params.items", number), fmt::format("items: want at most {}, got {}", kMeasurementItemsLimit, items->get_array().size()), "EXCEEDED_MAX_ENTITIES"};
    if (is_order(name) && text_field(params, "transaction_id").empty())
        return Problem{fmt::format("events[{}].params.transaction_id", number), fmt::format("transaction_id: want the order of a {}, got nothing", name), "VALUE_REQUIRED"};
    return std::nullopt;
}

object product_of(const object& item) {
    static constexpr std::array<std::pair<std::string_view, std::string_view>, 11> kFields{{
        {"item_id", "product_id"}, {"item_name", "name"}, {"item_brand", "brand"}, {"item_category", "category"}, {"item_variant", "variant"},
        {"price", "price"}, {"quantity", "quantity"}, {"coupon", "coupon"}, {"index", "position"}, {"item_list_name", "list"}, {"location_id", "location_id"},
    }};
    object product;
    for (const auto& [from, to] : kFields) put_text(product, to, text_field(item, from));
    if (!product.contains("product_id")) put_text(product, "product_id", text_field(item, "item_name"));  // one of the two is there
    return product;
}

// Milliseconds of "timestamp_micros", a number or a text of one.
std::optional<UtcTime> time_of(const object& from) {
    const auto micros = to_integer(text_field(from, "timestamp_micros"));
    if (!micros || *micros <= 0) return std::nullopt;
    return UtcTime{*micros / 1000};
}

class Reader {
public:
    Reader(const object& body, const SegmentContext& context) : body_(body), received_(iso8601(context.received)) {}

    void add(const object& event, array& messages) const {
        const auto name = text_field(event, "name");
        const auto& params = object_field(event, "params");
        auto properties = properties_of(params);
        const auto* items = params.if_contains("items");
        const bool each = is_about_each_item(name) && items;
        if (!each && items) {
            array products;
            for_each_object(params, "items", [&](const object& item) { products.push_back(product_of(item)); });
            properties["products"] = std::move(products);
        }
        const auto time = time_of(event) ? time_of(event) : time_of(body_);
        auto base = message_of(name, params, time);
        base["messageId"] = message_id(name, params, event, time);
        if (!each) {
            base["properties"] = std::move(properties);
            messages.push_back(std::move(base));
            return;
        }
        properties.erase("value");  // of all items together
        std::size_t count = 0;
        const auto id = std::string(base["messageId"].as_string());
        for_each_object(params, "items", [&](const object& item) {
            auto message = base;
            auto own = properties;
            for (auto& [key, value] : product_of(item)) own[key] = value;
            if (count++ > 0) message["messageId"] = fmt::format("{}#{}", id, count - 1);
            message["properties"] = std::move(own);
            messages.push_back(std::move(message));
        });
    }

private:
    static object properties_of(const object& params) {
        object properties;
        for (const auto& [key, value] : params) {
            if (key == "items" || key == "engagement_time_msec" || value.is_null()) continue;
            if (key == "transaction_id") properties["order_id"] = value;
            else if (key == "search_term") properties["query"] = value;
            else if (key == "promotion_name") properties["campaign"] = value;
            else properties[key] = value;
        }
        return properties;
    }

    object message_of(std::string_view name, const object& params, std::optional<UtcTime> time) const {
        object message;
        if (name == "page_view" || name == "screen_view") {
            message["type"] = name == "page_view" ? "page" : "screen";
            put_text(message, "name", text_field(params, name == "page_view" ? "page_title" : "screen_name"));
        } else {
            const auto found = std::ranges::find(kNames, name, &std::pair<std::string_view, std::string_view>::first);
            message["type"] = "track";
            message["event"] = found == kNames.end() ? name : found->second;
        }
        put_text(message, "anonymousId", text_field(body_, "client_id"));
        if (!message.contains("anonymousId")) put_text(message, "anonymousId", text_field(body_, "app_instance_id"));
        put_text(message, "userId", text_field(body_, "user_id"));
        message["timestamp"] = time ? iso8601(*time) : received_;
        return message;
    }

    std::string message_id(std::string_view name, const object& params, const object& event, std::optional<UtcTime> time) const {
        if (name == "purchase") return "ga4:purchase:" + text_field(params, "transaction_id");
        std::string content = boost::json::serialize(event) + text_field(body_, "client_id") + text_field(body_, "app_instance_id") + text_field(body_, "user_id");
        content += time ? iso8601(*time) : received_;
        return "ga4:" + hex(hash128(content));
    }

    const object& body_;
    const std::string received_;
};

Result<object> read_body(std::string_view body) {
    if (body.size() > kMeasurementBytesLimit) return Error{Code::kFull, fmt::format("body: want at most {} bytes, got {}", kMeasurementBytesLimit, body.size())};
    auto root = parse_object(body);
    if (!root) return root;
    const auto* events = root->if_contains("events");
    if (!events || !events->is_array()) return Error{Code::kInvalid, "events: want a list, got none"};
    return root;
}

object debug_message(std::string_view field, std::string_view description, std::string_view code) {
    return {{"fieldPath", field}, {"description", description}, {"validationCode", code}};
}

}  // namespace

Result<Parsed> read_measurement(std::string_view body, const SegmentContext& context) {
    const auto root = read_body(body);
    if (!root) return root.error();
    const Reader reader(*root, context);
    Parsed parsed;
    array messages;
    std::size_t number = 0;
    const auto refuse = [&](std::string reason, const boost::json::value& raw) {
        ++parsed.messages;
        parsed.rejects.push_back({"measurement " + std::move(reason), boost::json::serialize(raw)});
    };
    for (const auto& event : root->at("events").as_array()) {
        const auto at = number++;
        if (at >= kMeasurementEventsLimit) refuse(fmt::format("events: want at most {}, this one comes after them", kMeasurementEventsLimit), event);
        else if (!event.is_object()) refuse(fmt::format("events[{}]: want an object, got something else", at), event);
        else if (const auto problem = problem_of(event.get_object(), at)) refuse(problem->description, event);
        else reader.add(event.get_object(), messages);
    }
    auto own = context;
    own.message_bytes_limit = kBatchBytesLimit;
    SegmentParser parser;
    // One by one: put into our words, 25 events with 200 items each may be more than a batch.
    for (const auto& message : messages) {
        auto one = parser.parse_message(boost::json::serialize(message), {}, own);
        ++parsed.messages;
        if (!one) {
            parsed.rejects.push_back({"measurement " + one.error().message, boost::json::serialize(message)});
            continue;
        }
        std::ranges::move(one->events, std::back_inserter(parsed.events));
        std::ranges::move(one->rejects, std::back_inserter(parsed.rejects));
    }
    return parsed;
}

array measurement_messages(std::string_view body, const SegmentContext& context) {
    const auto root = read_body(body);
    if (!root) return {debug_message(root.error().message.starts_with("events") ? "events" : "", root.error().message, root.error().code == Code::kFull ? "VALUE_OUT_OF_BOUNDS" : "VALUE_INVALID")};
    array found;
    if (text_field(*root, "client_id").empty() && text_field(*root, "app_instance_id").empty())
        found.push_back(debug_message("client_id", "client_id: want the client's id, got nothing", "VALUE_REQUIRED"));
    std::size_t number = 0;
    for (const auto& event : root->at("events").as_array()) {
        const auto at = number++;
        if (at == kMeasurementEventsLimit) found.push_back(debug_message("events", fmt::format("events: want at most {}, got more", kMeasurementEventsLimit), "EXCEEDED_MAX_ENTITIES"));
        if (at >= kMeasurementEventsLimit) break;
        if (!event.is_object()) {
            found.push_back(debug_message(fmt::format("events[{}]", at), "want an object, got something else", "VALUE_INVALID"));
            continue;
        }
        if (const auto problem = problem_of(event.get_object(), at)) {
            found.push_back(debug_message(problem->field, problem->description, problem->code));
            continue;
        }
        // What our own rules would refuse of it, alone.
        object alone = *root;
        alone["events"] = array{event};
        if (const auto parsed = read_measurement(boost::json::serialize(alone), context); parsed)
            for (const auto& reject : parsed->rejects) found.push_back(debug_message(fmt::format("events[{}]", at), reject.reason, "VALUE_INVALID"));
    }
    return found;
}

}  // namespace perennial::ingest
