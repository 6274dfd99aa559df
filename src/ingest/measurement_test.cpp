#include "ingest/measurement.h"

#include <gtest/gtest.h>

#include <fmt/format.h>

#include <boost/json.hpp>

namespace perennial::ingest {
namespace {

const SegmentContext kContext{.received = *parse_iso8601("2026-03-01T12:00:00Z"), .currency = *parse_currency("EUR")};

Parsed read(std::string_view events, std::string_view head = R"("client_id":"c.1","user_id":"u1","timestamp_micros":"1767225600000000")") {
    auto parsed = read_measurement(fmt::format(R"({{{},"events":[{}]}})", head, events), kContext);
    EXPECT_TRUE(parsed) << parsed.error().message;
    return std::move(*parsed);
}

constexpr std::string_view kPurchase = R"({"name":"purchase","params":{"transaction_id":"T-1","currency":"EUR","value":30,"tax":4.9,"shipping":5,"coupon":"SUMMER","session_id":"s",
    "items":[{"item_id":"SKU_1","item_name":"Tea","item_brand":"Leaf","item_category":"Drinks","price":10,"quantity":2,"index":0},{"item_name":"Pot","price":"10.00"}]}})";

TEST(Measurement, a_purchase_is_an_order_that_counts_once_by_its_transaction) {
    const auto parsed = read(kPurchase);
    ASSERT_TRUE(parsed.rejects.empty()) << parsed.rejects[0].reason;
    ASSERT_EQ(parsed.events.size(), 4u);
    EXPECT_EQ(parsed.events[0].kind, event::Kind::kOrderCompleted);
    EXPECT_EQ(parsed.events[0].message_id, "ga4:purchase:T-1#0");
    EXPECT_EQ(parsed.events[0].order_id, "T-1");
    EXPECT_EQ(parsed.events[0].product, "SKU_1");
    EXPECT_EQ(parsed.events[0].amount.minor, 2000);
    EXPECT_EQ(parsed.events[0].user_id, "u1");
    EXPECT_EQ(parsed.events[0].anonymous_id, "c.1");
    EXPECT_EQ(parsed.events[0].coupon, "SUMMER");
    EXPECT_EQ(iso8601(parsed.events[0].time), "2026-01-01T00:00:00.000Z");
    EXPECT_EQ(parsed.events[1].product, "Pot") << "a name stands for an id where there is none";
    std::int64_t sum = 0;
    for (const auto& event : parsed.events) sum += event.amount.minor;
    EXPECT_EQ(sum, 3990);
    EXPECT_EQ(read(kPurchase, R"("client_id":"other")").events[0].message_id, "ga4:purchase:T-1#0");
}

TEST(Measurement, recommended_events_have_our_kinds_and_items_of_their_own) {
    using event::Kind;
    const std::vector<std::pair<const char*, Kind>> cases{{"view_item", Kind::kProductViewed}, {"add_to_cart", Kind::kProductAdded}, {"remove_from_cart", Kind::kProductRemoved},
                                                          {"view_cart", Kind::kCartViewed}, {"begin_checkout", Kind::kCheckoutStarted}, {"view_item_list", Kind::kProductListViewed},
                                                          {"view_promotion", Kind::kPromotionViewed}, {"search", Kind::kProductsSearched}, {"page_view", Kind::kPage},
                                                          {"tutorial_begin", Kind::kCustom}};
    for (const auto& [name, kind] : cases) {
        const auto parsed = read(fmt::format(R"({{"name":"{}","params":{{"search_term":"tea"}}}})", name));
        ASSERT_EQ(parsed.events.size(), 1u) << name << (parsed.rejects.empty() ? "" : parsed.rejects[0].reason);
        EXPECT_EQ(parsed.events[0].kind, kind) << name;
    }
    const auto views = read(R"({"name":"view_item","params":{"value":20,"items":[{"item_id":"a","price":10},{"item_id":"b","price":10}]}})");
    ASSERT_EQ(views.events.size(), 2u);
    EXPECT_EQ(views.events[1].product, "b");
    EXPECT_NE(views.events[0].message_id, views.events[1].message_id);
    EXPECT_EQ(read(R"({"name":"search","params":{"search_term":"tea"}})").events[0].query, "tea");
}

TEST(Measurement, an_event_with_a_time_counts_once_and_one_without_by_its_receipt) {
    const std::string_view event = R"({"name":"view_item","params":{"items":[{"item_id":"a"}]}})";
    EXPECT_EQ(read(event).events[0].message_id, read(event).events[0].message_id);
    EXPECT_NE(read(event).events[0].message_id, read(event, R"("client_id":"c.2","user_id":"u1","timestamp_micros":"1767225600000000")").events[0].message_id);
    const auto first = read(event, R"("client_id":"c.1")");
    EXPECT_EQ(first.events[0].time, kContext.received);
    auto later = kContext;
    later.received.ms += 1;
    EXPECT_NE(read_measurement(R"({"client_id":"c.1","events":[{"name":"view_item","params":{"items":[{"item_id":"a"}]}}]})", later)->events[0].message_id, first.events[0].message_id);
}

TEST(Measurement, a_bad_event_is_kept_with_its_reason_beside_the_good_ones) {
    const std::vector<std::pair<std::string, std::string>> cases{
        {"{}", "name: want"}, {"7", "want an object"}, {R"({"name":"has space"})", "name: want letters"}, {R"({"name":"1st"})", "name: want letters"},
        {R"({"name":")" + std::string(41, 'x') + "\"}", "at most 40"}, {R"({"name":"purchase","params":{"value":1}})", "transaction_id: want"},
        {R"({"name":"view_item","params":{"items":{}}})", "items: want a list"}, {R"({"name":"view_item","params":{"items":[{"item_id":"a","price":"dear"}]}})", "price: want"}};
    for (const auto& [bad, want] : cases) {
        const auto parsed = read(bad + R"(,{"name":"login"})");
        EXPECT_EQ(parsed.events.size(), 1u) << bad;
        ASSERT_EQ(parsed.rejects.size(), 1u) << bad;
        EXPECT_NE(parsed.rejects[0].reason.find(want), std::string::npos) << parsed.rejects[0].reason;
        const auto messages = measurement_messages(R"({"client_id":"c","events":[)" + bad + R"(,{"name":"login"}]})", kContext);
        ASSERT_EQ(messages.size(), 1u) << bad;
        EXPECT_FALSE(messages[0].at("validationCode").as_string().empty());
    }
    std::string many = R"({"name":"login"})";
    for (std::size_t i = 0; i < kMeasurementEventsLimit; ++i) many += R"(,{"name":"login","params":{"n":)" + std::to_string(i) + "}}";
    EXPECT_EQ(read(many).rejects.size(), 1u);
    EXPECT_EQ(read_measurement("[]", kContext).error().code, Code::kInvalid);
    EXPECT_EQ(read_measurement("{}", kContext).error().code, Code::kInvalid);
    EXPECT_EQ(read_measurement(std::string(kMeasurementBytesLimit + 1, ' '), kContext).error().code, Code::kFull);
}

TEST(Measurement, a_good_body_has_nothing_to_say_about) {
    EXPECT_TRUE(measurement_messages(R"({"client_id":"c","events":[{"name":"login"}]})", kContext).empty());
    EXPECT_EQ(measurement_messages(R"({"events":[{"name":"login"}]})", kContext).at(0).at("fieldPath"), "client_id");
    EXPECT_EQ(measurement_messages("nonsense", kContext).size(), 1u);
}

}  // namespace
}  // namespace perennial::ingest
