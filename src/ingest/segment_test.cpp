#include "ingest/segment.h"

#include <gtest/gtest.h>

namespace perennial::ingest {
namespace {

const UtcTime kReceived = *parse_iso8601("2024-05-01T12:00:00Z");

SegmentContext context() {
    SegmentContext c;
    c.received = kReceived;
    c.currency = *parse_currency("EUR");
    return c;
}

Parsed parse(std::string_view body, std::string_view type = {}) {
    auto parsed = SegmentParser().parse_message(body, type, context());
    EXPECT_TRUE(parsed) << parsed.error().message;
    return parsed ? *parsed : Parsed{};
}

event::Event one(std::string_view body, std::string_view type = {}) {
    auto parsed = parse(body, type);
    EXPECT_EQ(parsed.rejects.size(), 0u) << (parsed.rejects.empty() ? "" : parsed.rejects[0].reason);
    EXPECT_EQ(parsed.events.size(), 1u);
    return parsed.events.empty() ? event::Event{} : parsed.events[0];
}

TEST(Segment, names_are_understood_whatever_their_case_and_blanks) {
    using event::Kind;
    const std::vector<std::pair<const char*, Kind>> cases{
        {"Product Viewed", Kind::kProductViewed}, {"product_viewed", Kind::kProductViewed}, {"ProductViewed", Kind::kProductViewed},
        {"PRODUCT  VIEWED", Kind::kProductViewed}, {"Products Searched", Kind::kProductsSearched}, {"Product List Viewed", Kind::kProductListViewed},
        {"Product List Filtered", Kind::kProductListViewed}, {"Order Completed", Kind::kOrderCompleted}, {"Order Refunded", Kind::kOrderRefunded},
        {"Order Cancelled", Kind::kOrderRefunded}, {"Coupon Applied", Kind::kCouponApplied}, {"stock_changed", Kind::kStockChanged},
        {"price_changed", Kind::kPriceChanged}, {"message_sent", Kind::kMessageSent}, {"Email Opened", Kind::kMessageOpened},
        {"Product Clicked", Kind::kCustom}, {"Order Updated", Kind::kCustom}, {"Bought a boat", Kind::kCustom},
        {"decision", Kind::kCustom}, {"outcome", Kind::kCustom}, {"identify", Kind::kCustom}, {"", Kind::kCustom}};
    for (const auto& [name, kind] : cases) EXPECT_EQ(kind_of_track_name(name), kind) << name;
}

TEST(Segment, product_viewed_fills_the_flat_record_and_keeps_the_rest) {
    const auto e = one(R"({"messageId":"m1","type":"track","userId":7,"anonymousId":null,"event":"Product Viewed","timestamp":"2024-04-30T10:00:00Z",
        "context":{"library":{"name":"analytics.js"},"campaign":{"name":"spring"}},"integrations":{},
        "properties":{"product_id":507,"sku":"G-32","name":"Monopoly","category":"Games","price":"18.99","quantity":1,"currency":"usd","position":3,
        "brand":"Hasbro","email":"Bob@Example.com ","list":null}})");
    EXPECT_EQ(e.kind, event::Kind::kProductViewed);
    EXPECT_EQ(e.message_id, "m1");
    EXPECT_EQ(e.user_id, "7");
    EXPECT_EQ(e.product, "507");
    EXPECT_EQ(e.title, "Monopoly");
    EXPECT_EQ(e.price.minor, 1899);
    EXPECT_EQ(e.currency.text(), "USD");
    EXPECT_EQ(e.position, 3);
    EXPECT_EQ(e.campaign, "spring");
    EXPECT_EQ(e.channel, event::Channel::kWeb);
    EXPECT_EQ(iso8601(e.time), "2024-04-30T10:00:00.000Z");
    EXPECT_EQ(e.properties, R"({"brand":"Hasbro"})");
    EXPECT_EQ(e.email_hash, personal_hash("bob@example.com"));
}

TEST(Segment, an_order_becomes_one_event_a_product_and_its_amounts_add_up_to_the_total) {
    const auto parsed = parse(R"({"messageId":"o","userId":"u","event":"Order Completed","properties":{"order_id":50314,"total":30.5,"revenue":25,"shipping":"3.00",
        "tax":2.5,"discount":5,"coupon":"hasbros","currency":"EUR","affiliation":"Shop",
        "products":[{"product_id":"a","price":10,"quantity":2,"name":"A"},{"sku":"b","price":"10.00","variant":"red"}]}})", "track");
    ASSERT_TRUE(parsed.rejects.empty()) << parsed.rejects[0].reason;
    ASSERT_EQ(parsed.events.size(), 5u);
    std::int64_t sum = 0;
    for (const auto& e : parsed.events) {
        sum += e.amount.minor;
        EXPECT_EQ(e.order_id, "50314");
    }
    EXPECT_EQ(sum, 3050);
    EXPECT_EQ(parsed.events[0].message_id, "o#0");
    EXPECT_EQ(parsed.events[0].quantity, 2);
    EXPECT_EQ(parsed.events[0].coupon, "hasbros");
    EXPECT_EQ(parsed.events[0].properties, R"({"affiliation":"Shop"})");
    EXPECT_EQ(parsed.events[1].message_id, "o#1");
    EXPECT_EQ(parsed.events[1].product, "b");
    EXPECT_EQ(parsed.events[1].quantity, 1);
    EXPECT_EQ(parsed.events[1].properties, R"({"variant":"red"})");
    EXPECT_EQ(parsed.events[2].kind, event::Kind::kOrderCharge);
}

TEST(Segment, a_refund_is_positive_in_units_and_negative_in_money) {
    for (const char* name : {"Order Refunded", "Order Cancelled"}) {
        const auto whole = one(std::string(R"({"type":"track","userId":"u","event":")") + name + R"(","properties":{"order_id":"1","total":12}})");
        EXPECT_EQ(whole.kind, event::Kind::kOrderRefunded);
        EXPECT_EQ(whole.amount.minor, -1200);
        const auto line = one(std::string(R"({"type":"track","userId":"u","event":")") + name +
                              R"(","properties":{"order_id":"1","products":[{"product_id":"p","price":4,"quantity":3}]}})");
        EXPECT_EQ(line.quantity, 3);
        EXPECT_EQ(line.amount.minor, -1200);
    }
}

TEST(Segment, time_is_the_timestamp_or_the_receipt_less_the_age) {
    const std::vector<std::pair<const char*, const char*>> cases{
        {R"("timestamp":"2024-01-01T00:00:00Z","originalTimestamp":"2020-01-01T00:00:00Z")", "2024-01-01T00:00:00.000Z"},
        // The client's clock is an hour ahead; the event is two minutes old.
        {R"("originalTimestamp":"2024-05-01T12:58:00Z","sentAt":"2024-05-01T13:00:00Z")", "2024-05-01T11:58:00.000Z"},
        {R"("originalTimestamp":"2024-05-01T11:58:00Z")", "2024-05-01T11:58:00.000Z"},
        {R"("timestamp":null)", "2024-05-01T12:00:00.000Z"},
        // What @segment/analytics-node sends: its clock in timestamp, no originalTimestamp.
        {R"("timestamp":"2024-05-01T12:58:00Z","sentAt":"2024-05-01T13:00:00Z")", "2024-05-01T11:58:00.000Z"},
        {R"("timestamp":"2011-05-01T00:00:00Z","sentAt":"2024-05-01T12:00:00Z")", "2011-05-01T00:00:00.000Z"},
        // A server in between has corrected the clock already.
        {R"("timestamp":"2024-05-01T11:00:00Z","originalTimestamp":"2024-05-01T12:58:00Z","sentAt":"2024-05-01T13:00:00Z","receivedAt":"2024-05-01T11:02:00Z")",
         "2024-05-01T11:00:00.000Z"},
        {R"("timestamp":"2024-05-01T11:00:00Z","sentAt":"soon")", "2024-05-01T11:00:00.000Z"},
    };
    for (const auto& [times, want] : cases)
        EXPECT_EQ(iso8601(one(std::string(R"({"type":"page","userId":"u",)") + times + "}").time), want) << times;
}

TEST(Segment, other_calls_have_their_kinds) {
    EXPECT_EQ(one(R"({"userId":"u","traits":{"email":"A@b.c","plan":"pro"}})", "identify").properties, R"({"plan":"pro"})");
    const auto page = one(R"({"anonymousId":"a","name":"Home","properties":{"url":"/"}})", "page");
    EXPECT_EQ(page.kind, event::Kind::kPage);
    EXPECT_EQ(page.name, "Home");
    EXPECT_EQ(one(R"({"anonymousId":"a","name":"Home"})", "screen").channel, event::Channel::kApp);
    EXPECT_EQ(one(R"({"userId":"u","groupId":"g"})", "group").properties, R"({"groupId":"g"})");
    const auto alias = one(R"({"previousId":"a","userId":"u"})", "alias");
    EXPECT_EQ(alias.kind, event::Kind::kAlias);
    EXPECT_EQ(alias.anonymous_id, "a");
    EXPECT_EQ(alias.user_id, "u");
    const auto stock = one(R"({"event":"stock_changed","properties":{"product_id":"p","delta":-4}})", "track");
    EXPECT_EQ(stock.quantity, 4);
    EXPECT_EQ(stock.properties, R"({"delta":-4})");
    EXPECT_EQ(one(R"({"userId":"u","event":"Bought a boat","properties":{"length":9}})", "track").name, "Bought a boat");
}

TEST(Segment, a_message_id_is_made_from_the_content_when_there_is_none) {
    const char* body = R"({"userId":"u","event":"Product Viewed","properties":{"product_id":"p"}})";
    EXPECT_EQ(one(body, "track").message_id, one(body, "track").message_id);
    EXPECT_NE(one(body, "track").message_id, one(R"({"userId":"v","event":"Product Viewed","properties":{"product_id":"p"}})", "track").message_id);
}

TEST(Segment, bad_messages_are_rejected_with_their_reason_beside_the_good_ones) {
    const std::vector<std::pair<std::string, std::string>> cases{
        {R"({"type":"track","event":"x"})", "no_user_anon_id"},
        {R"({"type":"track","userId":"u"})", "event: want the name"},
        {R"({"type":"dance","userId":"u"})", "type: want"},
        {R"({"userId":"u"})", "type: want"},
        {R"({"type":"page","userId":"u","timestamp":"yesterday"})", "timestamp: time: want ISO 8601"},
        {R"({"type":"track","userId":"u","event":"Order Completed","properties":{"total":3}})", "order_id"},
        {R"({"type":"track","userId":"u","event":"Product Viewed","properties":{"price":"cheap"}})", "price: want a number"},
        {R"({"type":"track","userId":"u","event":"Product Viewed","properties":{"currency":"pounds"}})", "currency: want"},
        {R"({"type":"track","userId":"u","event":"Product Reviewed","properties":{"rating":9}})", "rating: want 1 to 5"},
        {R"({"type":"track","userId":"u","event":"Product Added","properties":{"quantity":1.5}})", "quantity: want a whole number"},
        {R"({"type":"track","userId":"u","event":"Order Completed","properties":{"order_id":"1","products":[3]}})", "products: want a list of objects"},
        {R"({"type":"track","userId":"u","event":"stock_changed","properties":{"product_id":"p"}})", "delta: want"},
        {R"({"type":"alias","userId":"u"})", "alias: want"},
        {R"({"type":"page","userId":"u","timestamp":"2150-01-01T00:00:00Z"})", "time: want at most"},
        {R"(17)", "message: want a JSON object"},
        {R"({"type":"page","userId":"u","name":")" + std::string(33'000, 'x') + "\"}", "message: want at most 32768 bytes"},
    };
    SegmentParser parser;
    for (const auto& [bad, want] : cases) {
        const auto parsed = parser.parse_batch(R"({"writeKey":"k","batch":[{"type":"page","userId":"a"},)" + bad + R"(,{"type":"page","userId":"b"}]})", context());
        ASSERT_TRUE(parsed) << parsed.error().message;
        EXPECT_EQ(parsed->write_key, "k");
        EXPECT_EQ(parsed->messages, 3u);
        EXPECT_EQ(parsed->events.size(), 2u) << bad;
        ASSERT_EQ(parsed->rejects.size(), 1u) << bad;
        EXPECT_NE(parsed->rejects[0].reason.find(want), std::string::npos) << parsed->rejects[0].reason;
        EXPECT_EQ(parsed->rejects[0].raw, bad);
    }
}

TEST(Segment, a_batch_lends_its_context_and_sent_at) {
    const auto parsed = SegmentParser().parse_batch(R"({"sentAt":"2024-05-01T13:00:00Z","context":{"campaign":{"name":"may"}},
        "batch":[{"type":"page","userId":"u","originalTimestamp":"2024-05-01T12:59:00Z"},{"type":"page","userId":"u","context":{"campaign":{"name":"own"}}}]})", context());
    ASSERT_TRUE(parsed);
    ASSERT_EQ(parsed->events.size(), 2u);
    EXPECT_EQ(parsed->events[0].campaign, "may");
    EXPECT_EQ(iso8601(parsed->events[0].time), "2024-05-01T11:59:00.000Z");
    EXPECT_EQ(parsed->events[1].campaign, "own");
}

TEST(Segment, a_repeat_that_renews_only_the_batchs_sent_at_does_not_move_the_event) {
    const auto parsed = SegmentParser().parse_batch(R"({"sentAt":"2024-05-01T12:00:00Z",
        "batch":[{"type":"page","userId":"u","originalTimestamp":"2024-05-01T11:50:00Z","sentAt":"2024-05-01T11:51:00Z"}]})", context());
    ASSERT_TRUE(parsed);
    EXPECT_EQ(iso8601(parsed->events.at(0).time), "2024-05-01T11:50:00.000Z");
}

TEST(Segment, messages_over_the_batch_limit_are_rejected_and_the_rest_kept) {
    std::string body = R"({"batch":[)";
    for (std::size_t i = 0; i < kBatchMessagesLimit + 3; ++i) body += std::string(i ? "," : "") + R"({"type":"page","userId":"u"})";
    const auto parsed = SegmentParser().parse_batch(body + "]}", context());
    ASSERT_TRUE(parsed);
    EXPECT_EQ(parsed->events.size(), kBatchMessagesLimit);
    EXPECT_EQ(parsed->rejects.size(), 3u);
}

TEST(Segment, a_body_that_is_no_json_object_is_an_error_of_the_whole) {
    SegmentParser parser;
    for (const char* body : {"", "{", "[1]", "\"x\"", "{\"a\":}", "{\"a\":\"\xff\"}", "nul"}) {
        const auto parsed = parser.parse_message(body, "track", context());
        ASSERT_FALSE(parsed) << body;
        EXPECT_EQ(parsed.error().code, Code::kInvalid);
    }
    EXPECT_EQ(parser.parse_batch(R"({"batch":3})", context()).error().code, Code::kInvalid);
    EXPECT_EQ(parser.parse_batch(std::string(kBatchBytesLimit + 1, ' '), context()).error().code, Code::kFull);
}

}  // namespace
}  // namespace perennial::ingest
