#include "ingest/shop_webhook.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <string>
#include <utility>

#include "ingest/json_fields.h"

namespace perennial::ingest {
namespace {

using boost::json::array;
using boost::json::object;

// The whole list of messages may be as large as a request's body, and so may one of them: an order of many lines.
constexpr std::size_t kBodyBytesLimit = kBatchBytesLimit;

object track(std::string_view name, std::string message_id, object properties) {
    object message{{"type", "track"}, {"event", name}, {"properties", std::move(properties)}};
    put_text(message, "messageId", std::move(message_id));
    return message;
}

Result<Parsed> read_messages(const WebhookDelivery& delivery, array messages, const SegmentContext& context) {
    auto own = context;
    own.message_bytes_limit = kBodyBytesLimit;
    own.channel = context.channel == event::Channel::kUnknown ? event::Channel::kServer : context.channel;
    const auto batch = boost::json::serialize(object{{"batch", std::move(messages)}});
    auto parsed = SegmentParser().parse_batch(batch, own);
    if (!parsed) {  // too large in our words: kept, because a platform would send it again and again
        Parsed kept;
        kept.messages = 1;
        kept.rejects.push_back({fmt::format("webhook {}: {}", clip(to_utf8(delivery.topic), 60), parsed.error().message), std::string(delivery.body)});
        return kept;
    }
    for (auto& reject : parsed->rejects) reject = {fmt::format("webhook {}: {}", clip(to_utf8(delivery.topic), 60), reject.reason), std::string(delivery.body)};
    return parsed;
}

Parsed unused(const WebhookDelivery& delivery) {
    Parsed parsed;
    parsed.messages = 1;
    parsed.rejects.push_back({fmt::format("webhook {}: want a topic that tells what a customer did or what a product costs (docs/formats/shop-webhooks.md)",
                                          clip(to_utf8(delivery.topic), 60)), std::string(delivery.body)});
    return parsed;
}

std::string prefixed(std::string_view prefix, const std::string& id) { return id.empty() ? std::string() : fmt::format("{}:{}", prefix, id); }

// ---- Shopify ----

std::string_view shopify_channel(const object& order) {
    const auto source = text_field(order, "source_name");
    if (source == "web") return "web";
    if (source == "pos") return "store";
    if (source == "iphone" || source == "android") return "app";
    return {};
}

object shopify_product(const object& line) {
    object product;
    put_text(product, "product_id", text_field(line, "product_id"));
    put_text(product, "sku", text_field(line, "sku"));
    put_text(product, "name", text_field(line, "title"));
    put_text(product, "price", text_field(line, "price"));
    put_text(product, "quantity", text_field(line, "quantity"));
    put_text(product, "brand", text_field(line, "vendor"));
    put_text(product, "variant_id", text_field(line, "variant_id"));
    put_text(product, "variant", text_field(line, "variant_title"));
    return product;
}

array shopify_products(const object& from) {
    array products;
    for_each_object(from, "line_items", [&](const object& line) { products.push_back(shopify_product(line)); });
    return products;
}

// Who: the customer's id, and an anonymous id that belongs to the order or checkout. Bodies that name no customer
// (refunds) are joined to theirs by it.
void put_shopify_people(object& message, const object& body, std::string anonymous_id) {
    const auto& customer = object_field(body, "customer");
    put_text(message, "userId", text_field(customer, "id"));
    put_text(message, "anonymousId", std::move(anonymous_id));
    object traits;
    for (const auto* from : {&customer, &body}) {
        put_text(traits, "email", text_field(*from, "email"));
        put_text(traits, "phone", text_field(*from, "phone"));
    }
    if (!traits.empty()) message["context"] = object{{"traits", std::move(traits)}};
}

std::string first_text(const object& from, std::initializer_list<std::string_view> keys) {
    for (const auto key : keys)
        if (auto text = text_field(from, key); !text.empty()) return text;
    return {};
}

// Shipping as charged before discounts; discounts of shipping are in total_discounts.
std::string shopify_shipping(const object& order) {
    double sum = 0;
    for_each_object(order, "shipping_lines", [&](const object& line) { sum += number_field(line, "price"); });
    return sum > 0 ? fmt::format("{:.4f}", sum) : std::string();
}

object shopify_order_properties(const object& order) {
    object properties;
    put_text(properties, "order_id", text_field(order, "id"));
    put_text(properties, "currency", text_field(order, "currency"));
    put_text(properties, "channel", std::string(shopify_channel(order)));
    put_text(properties, "order_name", text_field(order, "name"));
    return properties;
}

void put_shopify_charges(object& properties, const object& order) {
    put_text(properties, "shipping", shopify_shipping(order));
    const auto* included = order.if_contains("taxes_included");
    if (!included || !included->is_bool() || !included->get_bool()) put_text(properties, "tax", text_field(order, "total_tax"));
    put_text(properties, "discount", text_field(order, "total_discounts"));
}

std::string shopify_order_key(const std::string& order_id) { return prefixed("shopify:order", order_id); }

void add_shopify_order(array& messages, const object& order) {
    const auto id = text_field(order, "id");
    auto properties = shopify_order_properties(order);
    put_shopify_charges(properties, order);
    put_text(properties, "total", text_field(order, "total_price"));
    bool coupon_known = false;
    for_each_object(order, "discount_codes", [&](const object& code) {
        if (!std::exchange(coupon_known, true)) put_text(properties, "coupon", text_field(code, "code"));
    });
    properties["products"] = shopify_products(order);
    auto message = track("Order Completed", shopify_order_key(id), std::move(properties));
    put_text(message, "timestamp", first_text(order, {"processed_at", "created_at"}));
    put_shopify_people(message, order, shopify_order_key(id));
    // What was looked at in the checkout belongs to the customer who ordered.
    const auto checkout = text_field(order, "checkout_token"), customer = text_field(object_field(order, "customer"), "id");
    messages.push_back(std::move(message));
    if (!checkout.empty() && !customer.empty())
        messages.push_back(object{{"type", "alias"}, {"messageId", "shopify:alias:" + checkout}, {"previousId", checkout}, {"userId", customer}, {"timestamp", first_text(order, {"created_at", "processed_at"})}});
}

// The order, in case its own webhook never came, and what of it had not been refunded before: it cancels out.
void add_shopify_cancellation(array& messages, const object& order) {
    add_shopify_order(messages, order);
    std::map<std::string, double> refunded;  // units by line
    bool any_refund = false;
    for_each_object(order, "refunds", [&](const object& refund) {
        any_refund = true;
        for_each_object(refund, "refund_line_items", [&](const object& line) { refunded[text_field(line, "line_item_id")] += number_field(line, "quantity"); });
    });
    auto properties = shopify_order_properties(order);
    put_text(properties, "reason", text_field(order, "cancel_reason"));
    if (!any_refund) put_shopify_charges(properties, order);
    array products;
    for_each_object(order, "line_items", [&](const object& line) {
        const double left = number_field(line, "quantity") - refunded[text_field(line, "id")];
        if (left < 1) return;
        auto product = shopify_product(line);
        product["quantity"] = static_cast<std::int64_t>(left);
        products.push_back(std::move(product));
    });
    if (products.empty()) return;  // all of it went back before
    properties["products"] = std::move(products);
    const auto id = text_field(order, "id");
    auto message = track("Order Cancelled", prefixed("shopify:cancel", id), std::move(properties));
    put_text(message, "timestamp", first_text(order, {"cancelled_at", "updated_at"}));
    put_shopify_people(message, order, shopify_order_key(id));
    messages.push_back(std::move(message));
}

void add_shopify_refund(array& messages, const object& refund) {
    const auto id = text_field(refund, "id"), order = text_field(refund, "order_id");
    object properties;
    put_text(properties, "order_id", order);
    double paid_back = 0, goods = 0, shipping = 0;
    for_each_object(refund, "transactions", [&](const object& transaction) {
        if (text_field(transaction, "kind") != "refund" || text_field(transaction, "status") == "failure") return;
        paid_back += number_field(transaction, "amount");
        put_text(properties, "currency", text_field(transaction, "currency"));
    });
    for_each_object(refund, "order_adjustments", [&](const object& adjustment) {
        if (text_field(adjustment, "kind") == "shipping_refund") shipping += std::abs(number_field(adjustment, "amount"));
    });
    array products;
    for_each_object(refund, "refund_line_items", [&](const object& line) {
        auto product = shopify_product(object_field(line, "line_item"));
        put_text(product, "quantity", text_field(line, "quantity"));
        put_text(product, "line_total", text_field(line, "subtotal"));
        goods += number_field(line, "subtotal");
        products.push_back(std::move(product));
    });
    if (products.empty()) {
        properties["total"] = fmt::format("{:.4f}", paid_back);
    } else {
        properties["products"] = std::move(products);
        if (shipping > 0) properties["shipping"] = fmt::format("{:.4f}", shipping);
        // What was paid back beyond goods and shipping is their tax.
        if (const double tax = paid_back - goods - shipping; tax > 0.001) properties["tax"] = fmt::format("{:.4f}", tax);
    }
    auto message = track("Order Refunded", prefixed("shopify:refund", id), std::move(properties));
    put_text(message, "timestamp", first_text(refund, {"processed_at", "created_at"}));
    put_text(message, "anonymousId", shopify_order_key(order));  // the body names no customer
    messages.push_back(std::move(message));
}

void add_shopify_customer(array& messages, const object& customer, const WebhookDelivery& delivery) {
    object traits;
    for (const std::string_view key : {"email", "phone", "tags", "state", "currency", "created_at"}) put_text(traits, key, text_field(customer, key));
    put_text(traits, "country", text_field(object_field(customer, "default_address"), "country_code"));
    put_text(traits, "email_consent", text_field(object_field(customer, "email_marketing_consent"), "state"));
    put_text(traits, "sms_consent", text_field(object_field(customer, "sms_marketing_consent"), "state"));
    object message{{"type", "identify"}, {"traits", std::move(traits)}};
    put_text(message, "messageId", prefixed("shopify", std::string(delivery.id)));
    put_text(message, "userId", text_field(customer, "id"));
    put_text(message, "timestamp", first_text(customer, {"updated_at", "created_at"}));
    messages.push_back(std::move(message));
}

void add_shopify_product(array& messages, const object& product, const WebhookDelivery& delivery) {
    object properties;
    put_text(properties, "product_id", text_field(product, "id"));
    put_text(properties, "name", text_field(product, "title"));
    put_text(properties, "category", text_field(product, "product_type"));
    put_text(properties, "brand", text_field(product, "vendor"));
    put_text(properties, "status", text_field(product, "status"));
    array variants;
    for_each_object(product, "variants", [&](const object& variant) {
        if (variants.empty()) put_text(properties, "price", text_field(variant, "price"));
        if (variants.size() == kVariantsKept) return;
        object kept;
        for (const std::string_view key : {"id", "sku", "title", "price", "inventory_quantity"}) put_text(kept, key, text_field(variant, key));
        variants.push_back(std::move(kept));
    });
    properties["variants"] = std::move(variants);
    auto message = track("price_changed", prefixed("shopify", std::string(delivery.id)), std::move(properties));
    put_text(message, "timestamp", first_text(product, {"updated_at", "created_at"}));
    messages.push_back(std::move(message));
}

// A checkout is told of again and again while it is filled in: it counts once, when it is first heard of.
void add_shopify_checkout(array& messages, const object& checkout) {
    const auto token = text_field(checkout, "token");
    object properties;
    put_text(properties, "value", text_field(checkout, "total_price"));
    put_text(properties, "currency", text_field(checkout, "currency"));
    properties["products"] = shopify_products(checkout);
    auto message = track("Checkout Started", prefixed("shopify:checkout", token), std::move(properties));
    put_text(message, "timestamp", first_text(checkout, {"created_at", "updated_at"}));
    put_shopify_people(message, checkout, token);
    messages.push_back(std::move(message));
}

void add_shopify_cart(array& messages, const object& cart, const WebhookDelivery& delivery) {
    auto message = track("Cart Viewed", prefixed("shopify", std::string(delivery.id)), {{"products", shopify_products(cart)}});
    put_text(message, "timestamp", first_text(cart, {"updated_at", "created_at"}));
    put_text(message, "anonymousId", first_text(cart, {"token", "id"}));
    messages.push_back(std::move(message));
}

// Kept as events of their own, so that what a person asked for stands in the journal.
void add_shopify_privacy(array& messages, const object& request, const WebhookDelivery& delivery, std::string_view name) {
    auto message = track(name, prefixed("shopify", std::string(delivery.id)), {});
    put_text(message, "userId", text_field(object_field(request, "customer"), "id"));
    messages.push_back(std::move(message));
}

// ---- WooCommerce ----

std::string woo_order_key(const std::string& id) { return prefixed("woo:order", id); }

void put_woo_people(object& message, const object& order) {
    const auto customer = text_field(order, "customer_id");
    if (customer != "0") put_text(message, "userId", customer);
    put_text(message, "anonymousId", woo_order_key(text_field(order, "id")));
    object traits;
    const auto& billing = object_field(order, "billing");
    put_text(traits, "email", text_field(billing, "email"));
    put_text(traits, "phone", text_field(billing, "phone"));
    if (!traits.empty()) message["context"] = object{{"traits", std::move(traits)}};
}

// A line's total is after discounts and before tax, so lines, shipping, fees and tax add up to the order's total.
array woo_products(const object& order) {
    array products;
    for_each_object(order, "line_items", [&](const object& line) {
        object product;
        put_text(product, "product_id", text_field(line, "product_id"));
        put_text(product, "sku", text_field(line, "sku"));
        put_text(product, "name", text_field(line, "name"));
        put_text(product, "price", text_field(line, "price"));
        put_text(product, "quantity", text_field(line, "quantity"));
        put_text(product, "line_total", text_field(line, "total"));
        if (const auto variation = text_field(line, "variation_id"); variation != "0") put_text(product, "variant_id", variation);
        products.push_back(std::move(product));
    });
    return products;
}

object woo_order_properties(const object& order) {
    object properties;
    put_text(properties, "order_id", text_field(order, "id"));
    put_text(properties, "currency", text_field(order, "currency"));
    return properties;
}

void put_woo_charges(object& properties, const object& order) {
    put_text(properties, "shipping", text_field(order, "shipping_total"));
    put_text(properties, "tax", text_field(order, "total_tax"));
}

bool woo_is_paid(const object& order) {
    const auto status = text_field(order, "status");
    return !text_field(order, "date_paid_gmt").empty() || !text_field(order, "date_paid").empty() || status == "processing" || status == "completed";
}

// Every state of an order tells all that happened to it so far; what was told before is known by its id.
void add_woo_order(array& messages, const object& order) {
    if (!woo_is_paid(order)) return;
    const auto id = text_field(order, "id");
    auto properties = woo_order_properties(order);
    put_woo_charges(properties, order);
    bool coupon_known = false;
    for_each_object(order, "coupon_lines", [&](const object& coupon) {
        if (!std::exchange(coupon_known, true)) put_text(properties, "coupon", text_field(coupon, "code"));
    });
    properties["products"] = woo_products(order);
    auto message = track("Order Completed", woo_order_key(id), std::move(properties));
    put_text(message, "timestamp", first_text(order, {"date_created_gmt", "date_created"}));
    put_woo_people(message, order);
    messages.push_back(std::move(message));
    for_each_object(order, "fee_lines", [&](const object& fee) {
        auto charge = woo_order_properties(order);
        put_text(charge, "name", text_field(fee, "name"));
        put_text(charge, "value", text_field(fee, "total"));
        auto fee_message = track("order_charge", fmt::format("{}:fee:{}", woo_order_key(id), text_field(fee, "id")), std::move(charge));
        put_text(fee_message, "timestamp", first_text(order, {"date_created_gmt", "date_created"}));
        put_woo_people(fee_message, order);
        messages.push_back(std::move(fee_message));
    });
    bool any_refund = false;
    for_each_object(order, "refunds", [&](const object& refund) {
        any_refund = true;
        auto back = woo_order_properties(order);
        put_text(back, "total", text_field(refund, "total"));
        put_text(back, "reason", text_field(refund, "reason"));
        auto refund_message = track("Order Refunded", prefixed("woo:refund", text_field(refund, "id")), std::move(back));
        put_text(refund_message, "timestamp", first_text(order, {"date_modified_gmt", "date_modified"}));
        put_woo_people(refund_message, order);
        messages.push_back(std::move(refund_message));
    });
    if (text_field(order, "status") != "cancelled" || any_refund) return;
    auto back = woo_order_properties(order);
    put_woo_charges(back, order);
    back["products"] = woo_products(order);
    auto cancelled = track("Order Cancelled", prefixed("woo:cancel", id), std::move(back));
    put_text(cancelled, "timestamp", first_text(order, {"date_modified_gmt", "date_modified"}));
    put_woo_people(cancelled, order);
    messages.push_back(std::move(cancelled));
}

void add_woo_customer(array& messages, const object& customer, const WebhookDelivery& delivery) {
    object traits;
    put_text(traits, "email", text_field(customer, "email"));
    put_text(traits, "phone", text_field(object_field(customer, "billing"), "phone"));
    put_text(traits, "country", text_field(object_field(customer, "billing"), "country"));
    put_text(traits, "role", text_field(customer, "role"));
    put_text(traits, "created_at", first_text(customer, {"date_created_gmt", "date_created"}));
    object message{{"type", "identify"}, {"traits", std::move(traits)}};
    put_text(message, "messageId", prefixed("woo", std::string(delivery.id)));
    put_text(message, "userId", text_field(customer, "id"));
    put_text(message, "timestamp", first_text(customer, {"date_modified_gmt", "date_created_gmt", "date_modified"}));
    messages.push_back(std::move(message));
}

void add_woo_product(array& messages, const object& product, const WebhookDelivery& delivery) {
    object properties;
    put_text(properties, "product_id", text_field(product, "id"));
    put_text(properties, "name", text_field(product, "name"));
    put_text(properties, "sku", text_field(product, "sku"));
    put_text(properties, "price", text_field(product, "price"));
    put_text(properties, "stock_quantity", text_field(product, "stock_quantity"));
    put_text(properties, "status", text_field(product, "status"));
    bool category_known = false;
    for_each_object(product, "categories", [&](const object& category) {
        if (!std::exchange(category_known, true)) put_text(properties, "category", text_field(category, "name"));
    });
    auto message = track("price_changed", prefixed("woo", std::string(delivery.id)), std::move(properties));
    put_text(message, "timestamp", first_text(product, {"date_modified_gmt", "date_created_gmt", "date_modified"}));
    messages.push_back(std::move(message));
}

}  // namespace

Result<Parsed> read_shopify(const WebhookDelivery& delivery, const SegmentContext& context) {
    const auto body = parse_object(delivery.body);
    if (!body) return body.error();
    array messages;
    const auto topic = delivery.topic;
    if (topic == "orders/create" || topic == "orders/paid") add_shopify_order(messages, *body);
    else if (topic == "orders/cancelled") add_shopify_cancellation(messages, *body);
    else if (topic == "refunds/create") add_shopify_refund(messages, *body);
    else if (topic == "customers/create" || topic == "customers/update") add_shopify_customer(messages, *body, delivery);
    else if (topic == "products/create" || topic == "products/update") add_shopify_product(messages, *body, delivery);
    else if (topic == "checkouts/create" || topic == "checkouts/update") add_shopify_checkout(messages, *body);
    else if (topic == "carts/create" || topic == "carts/update") add_shopify_cart(messages, *body, delivery);
    else if (topic == "customers/redact") add_shopify_privacy(messages, *body, delivery, "Erasure Requested");
    else if (topic == "customers/data_request") add_shopify_privacy(messages, *body, delivery, "Access Requested");
    else return unused(delivery);
    return read_messages(delivery, std::move(messages), context);
}

Result<Parsed> read_woocommerce(const WebhookDelivery& delivery, const SegmentContext& context) {
    const auto body = parse_object(delivery.body);
    if (!body) return body.error();
    array messages;
    const auto topic = delivery.topic;
    if (topic == "order.created" || topic == "order.updated") add_woo_order(messages, *body);
    else if (topic == "customer.created" || topic == "customer.updated") add_woo_customer(messages, *body, delivery);
    else if (topic == "product.created" || topic == "product.updated") add_woo_product(messages, *body, delivery);
    else return unused(delivery);
    return read_messages(delivery, std::move(messages), context);
}

}  // namespace perennial::ingest
