#include "ingest/shop_webhook.h"

#include <gtest/gtest.h>

#include "base/file.h"

namespace perennial::ingest {
namespace {

const SegmentContext kContext{.received = *parse_iso8601("2026-03-01T12:00:00Z"), .currency = *parse_currency("EUR")};

std::string golden(const std::string& name) { return read_file(std::filesystem::path(PERENNIAL_SOURCE_DIR) / "src/ingest/testdata" / name).value(); }

Parsed shopify(std::string_view topic, const std::string& body, std::string_view id = "d1") {
    auto parsed = read_shopify({.topic = topic, .id = id, .body = body}, kContext);
    EXPECT_TRUE(parsed) << parsed.error().message;
    return std::move(*parsed);
}
Parsed woo(std::string_view topic, const std::string& body, std::string_view id = "d1") {
    auto parsed = read_woocommerce({.topic = topic, .id = id, .body = body}, kContext);
    EXPECT_TRUE(parsed) << parsed.error().message;
    return std::move(*parsed);
}

std::int64_t money_of(const Parsed& parsed) {
    std::int64_t sum = 0;
    for (const auto& event : parsed.events) sum += event.amount.minor;
    return sum;
}
std::vector<std::string> ids_of(const Parsed& parsed) {
    std::vector<std::string> ids;
    for (const auto& event : parsed.events) ids.push_back(event.message_id);
    return ids;
}

TEST(Shopify, an_order_is_one_event_a_line_and_adds_up_to_its_total_price) {
    const auto parsed = shopify("orders/create", golden("shopify_order.json"));
    ASSERT_TRUE(parsed.rejects.empty()) << parsed.rejects[0].reason;
    EXPECT_EQ(ids_of(parsed), (std::vector<std::string>{"shopify:order:5001#0", "shopify:order:5001#1", "shopify:order:5001#shipping", "shopify:order:5001#tax",
                                                        "shopify:order:5001#discount", "shopify:alias:chk-77"}));
    EXPECT_EQ(money_of(parsed), 5885);  // total_price 58.85
    const auto& line = parsed.events[0];
    EXPECT_EQ(line.kind, event::Kind::kOrderCompleted);
    EXPECT_EQ(line.user_id, "9001");
    EXPECT_EQ(line.anonymous_id, "shopify:order:5001");
    EXPECT_EQ(line.email_hash, personal_hash("ada@example.com"));
    EXPECT_EQ(line.product, "7001");
    EXPECT_EQ(line.title, "Green tea tin");
    EXPECT_EQ(line.quantity, 2);
    EXPECT_EQ(line.price.minor, 1295);
    EXPECT_EQ(line.order_id, "5001");
    EXPECT_EQ(line.coupon, "SPRING");
    EXPECT_EQ(line.channel, event::Channel::kWeb);
    EXPECT_EQ(iso8601(line.time), "2026-02-28T08:15:00.000Z");
    EXPECT_EQ(parsed.events[1].amount.minor, 2500);
    EXPECT_EQ(parsed.events[5].kind, event::Kind::kAlias);
}

TEST(Shopify, topics_that_tell_of_one_order_have_the_same_ids) {
    const auto body = golden("shopify_order.json");
    EXPECT_EQ(ids_of(shopify("orders/create", body, "a")), ids_of(shopify("orders/paid", body, "b")));
}

TEST(Shopify, a_cancelled_order_comes_to_nothing_whether_or_not_it_was_told_of_before) {
    const auto parsed = shopify("orders/cancelled", golden("shopify_order.json"));
    EXPECT_EQ(money_of(parsed), 0);
    EXPECT_EQ(parsed.events.back().message_id, "shopify:cancel:5001#discount");
    EXPECT_EQ(parsed.events.back().user_id, "9001");
}

TEST(Shopify, a_cancellation_leaves_out_what_was_refunded_before) {
    auto body = golden("shopify_order.json");
    const std::string none = "\"refunds\": []";
    body.replace(body.find(none), none.size(), R"("refunds": [{"id": 1, "refund_line_items": [{"line_item_id": 6001, "quantity": 1}, {"line_item_id": 6002, "quantity": 1}]}])");
    const auto parsed = shopify("orders/cancelled", body);
    std::vector<const event::Event*> back;
    for (const auto& event : parsed.events)
        if (event.kind == event::Kind::kOrderRefunded) back.push_back(&event);
    ASSERT_EQ(back.size(), 1u);
    EXPECT_EQ(back[0]->product, "7001");
    EXPECT_EQ(back[0]->quantity, 1);
    EXPECT_EQ(back[0]->amount.minor, -1295);
}

TEST(Shopify, a_refund_takes_back_what_was_paid_and_belongs_to_the_orders_customer) {
    const auto parsed = shopify("refunds/create", golden("shopify_refund.json"));
    ASSERT_TRUE(parsed.rejects.empty()) << parsed.rejects[0].reason;
    EXPECT_EQ(ids_of(parsed), (std::vector<std::string>{"shopify:refund:8001#0", "shopify:refund:8001#shipping", "shopify:refund:8001#tax"}));
    EXPECT_EQ(money_of(parsed), -1850);  // the transaction's amount
    EXPECT_EQ(parsed.events[0].kind, event::Kind::kOrderRefunded);
    EXPECT_EQ(parsed.events[0].quantity, 1);
    EXPECT_EQ(parsed.events[0].amount.minor, -1230);
    EXPECT_EQ(parsed.events[0].anonymous_id, shopify("orders/create", golden("shopify_order.json")).events[0].anonymous_id);
}

TEST(Shopify, a_refund_of_money_alone_is_one_event) {
    const auto parsed = shopify("refunds/create", R"({"id":1,"order_id":2,"created_at":"2026-01-01T00:00:00Z","refund_line_items":[],
        "transactions":[{"kind":"refund","status":"success","amount":"5.00","currency":"USD"},{"kind":"refund","status":"failure","amount":"9.00"}]})");
    ASSERT_EQ(parsed.events.size(), 1u);
    EXPECT_EQ(parsed.events[0].amount.minor, -500);
    EXPECT_EQ(parsed.events[0].currency.text(), "USD");
}

TEST(Shopify, people_products_checkouts_and_carts_have_their_kinds) {
    const auto customer = shopify("customers/update", R"({"id":9001,"email":"Ada@Example.com","first_name":"Ada","phone":"+4912","tags":"vip","updated_at":"2026-02-01T00:00:00Z",
        "default_address":{"country_code":"DE","address1":"Road 1"},"email_marketing_consent":{"state":"subscribed"}})");
    ASSERT_EQ(customer.events.size(), 1u);
    EXPECT_EQ(customer.events[0].kind, event::Kind::kIdentify);
    EXPECT_EQ(customer.events[0].email_hash, personal_hash("ada@example.com"));
    EXPECT_EQ(customer.events[0].properties.find("Road"), std::string::npos);
    EXPECT_EQ(customer.events[0].properties.find("Ada"), std::string::npos);
    EXPECT_NE(customer.events[0].properties.find("subscribed"), std::string::npos);

    const auto product = shopify("products/update", R"({"id":7001,"title":"Green tea tin","product_type":"Tea","vendor":"Leaf","updated_at":"2026-02-01T00:00:00Z",
        "variants":[{"id":1,"price":"13.50","sku":"T1","inventory_quantity":4},{"id":2,"price":"25.00"}]})");
    ASSERT_EQ(product.events.size(), 1u) << product.rejects.at(0).reason;
    EXPECT_EQ(product.events[0].kind, event::Kind::kPriceChanged);
    EXPECT_EQ(product.events[0].product, "7001");
    EXPECT_EQ(product.events[0].price.minor, 1350);
    EXPECT_EQ(product.events[0].category, "Tea");

    const std::string checkout = R"({"id":1,"token":"chk-77","created_at":"2026-02-28T08:00:00Z","total_price":"25.90","currency":"EUR","email":"a@b.c","line_items":[{"product_id":7001,"title":"Tea","price":"12.95","quantity":2}]})";
    const auto first = shopify("checkouts/create", checkout, "x"), later = shopify("checkouts/update", checkout, "y");
    ASSERT_EQ(first.events.size(), 1u);
    EXPECT_EQ(first.events[0].kind, event::Kind::kCheckoutStarted);
    EXPECT_EQ(first.events[0].amount.minor, 2590);
    EXPECT_EQ(ids_of(first), ids_of(later)) << "a checkout counts once";
    EXPECT_EQ(shopify("carts/update", R"({"token":"c1","line_items":[]})").events.at(0).kind, event::Kind::kCartViewed);
    EXPECT_EQ(shopify("customers/redact", R"({"shop_domain":"x","customer":{"id":5}})").events.at(0).name, "Erasure Requested");
}

TEST(Shopify, what_tells_nothing_we_keep_is_a_reject_with_the_whole_body) {
    const auto parsed = shopify("themes/publish", R"({"id":1})");
    EXPECT_TRUE(parsed.events.empty());
    ASSERT_EQ(parsed.rejects.size(), 1u);
    EXPECT_EQ(parsed.rejects[0].raw, R"({"id":1})");
    EXPECT_NE(parsed.rejects[0].reason.find("themes/publish"), std::string::npos);
    const auto nobody = shopify("orders/create", R"({"line_items":[{"price":"x"}]})");
    ASSERT_EQ(nobody.rejects.size(), 1u);
    EXPECT_EQ(nobody.rejects[0].raw, R"({"line_items":[{"price":"x"}]})");
    EXPECT_EQ(read_shopify({.topic = "orders/create", .id = "", .body = "[]"}, kContext).error().code, Code::kInvalid);
}

TEST(WooCommerce, an_order_counts_once_it_is_paid_and_adds_up_to_its_total) {
    const auto body = golden("woo_order.json");
    const auto parsed = woo("order.updated", body);
    ASSERT_TRUE(parsed.rejects.empty()) << parsed.rejects[0].reason;
    EXPECT_EQ(money_of(parsed), 4219);  // total 42.19
    EXPECT_EQ(ids_of(parsed), (std::vector<std::string>{"woo:order:727#0", "woo:order:727#1", "woo:order:727#shipping", "woo:order:727#tax", "woo:order:727:fee:31"}));
    EXPECT_EQ(parsed.events[0].user_id, "26");
    EXPECT_EQ(parsed.events[0].amount.minor, 2000) << "the line's own total, not a rounded price times three";
    EXPECT_EQ(parsed.events[0].quantity, 3);
    EXPECT_EQ(parsed.events[0].coupon, "ten-off");
    EXPECT_EQ(iso8601(parsed.events[0].time), "2026-02-20T10:00:00.000Z");
    EXPECT_EQ(ids_of(woo("order.created", body)), ids_of(parsed));

    auto waiting = body;
    for (const auto& [from, to] : {std::pair<std::string, std::string>{"\"processing\"", "\"pending\""}, {"\"2026-02-20T10:01:00\"", "null"}})
        for (auto at = waiting.find(from); at != std::string::npos; at = waiting.find(from)) waiting.replace(at, from.size(), to);
    EXPECT_TRUE(woo("order.created", waiting).events.empty());
    EXPECT_TRUE(woo("order.created", waiting).rejects.empty());
}

TEST(WooCommerce, refunds_and_cancellations_take_back_what_they_say) {
    auto body = golden("woo_order.json");
    const std::string none = "\"refunds\": []";
    body.replace(body.find(none), none.size(), R"("refunds": [{"id": 801, "reason": "broken", "total": "-12.19"}])");
    const auto parsed = woo("order.updated", body);
    EXPECT_EQ(money_of(parsed), 4219 - 1219);
    EXPECT_EQ(parsed.events.back().message_id, "woo:refund:801");
    EXPECT_EQ(parsed.events.back().kind, event::Kind::kOrderRefunded);

    auto cancelled = golden("woo_order.json");
    cancelled.replace(cancelled.find("\"processing\""), 12, "\"cancelled\"");
    std::int64_t fee = 100;  // fees stay, as the shop decides about them in a refund
    EXPECT_EQ(money_of(woo("order.updated", cancelled)), fee);
}

TEST(WooCommerce, guests_people_products_and_deletions) {
    auto guest = golden("woo_order.json");
    guest.replace(guest.find("\"customer_id\": 26"), 17, "\"customer_id\": 0");
    EXPECT_EQ(woo("order.created", guest).events[0].user_id, "");
    EXPECT_EQ(woo("order.created", guest).events[0].anonymous_id, "woo:order:727");
    EXPECT_EQ(woo("customer.updated", R"({"id":26,"email":"a@b.c","billing":{"phone":"1","country":"DE"}})").events.at(0).kind, event::Kind::kIdentify);
    const auto product = woo("product.updated", R"({"id":93,"name":"Cap","price":"18.00","categories":[{"id":1,"name":"Hats"}]})");
    EXPECT_EQ(product.events.at(0).kind, event::Kind::kPriceChanged);
    EXPECT_EQ(product.events.at(0).currency.text(), "EUR");
    EXPECT_EQ(woo("order.deleted", R"({"id":727})").rejects.size(), 1u);
}

}  // namespace
}  // namespace perennial::ingest
