#include <gtest/gtest.h>

#include "base/rng.h"
#include "event/codec.h"
#include "event/event.h"

namespace perennial::event {
namespace {

Event sample_line() {
    Event e;
    e.kind = Kind::kOrderCompleted;
    e.channel = Channel::kImport;
    e.currency = Currency{{'G', 'B', 'P'}};
    e.time = {1'291'191'960'000};
    e.received = {1'700'000'000'000};
    e.message_id = "m-1";
    e.user_id = "17850";
    e.product = "85123A";
    e.title = "WHITE HANGING HEART T-LIGHT HOLDER";
    e.quantity = 6;
    e.price = {255};
    e.amount = {1530};
    e.order_id = "536365";
    return e;
}

std::string encoded(const Event& event) {
    std::string bytes;
    encode(event, bytes);
    return bytes;
}

TEST(Codec, random_events_round_trip_and_encode_the_same_way_twice) {
    Rng rng(1);
    const auto word = [&rng] { return std::string(rng.below(4) ? rng.below(30) : 0, static_cast<char>('a' + rng.below(26))); };
    for (int i = 0; i < 2000; ++i) {
        Event e;
        e.kind = static_cast<Kind>(rng.below(kKindCount));
        e.channel = static_cast<Channel>(rng.below(9));
        e.time.ms = static_cast<std::int64_t>(rng.next()) >> 20;
        e.quantity = static_cast<std::int64_t>(rng.next() >> rng.below(64));
        e.amount.minor = -static_cast<std::int64_t>(rng.below(100'000));
        e.rating = static_cast<std::int32_t>(rng.below(6));
        for (std::string* field : {&e.message_id, &e.user_id, &e.product, &e.text, &e.coupon, &e.properties, &e.order_id}) *field = word();
        if (rng.chance(0.5)) e.currency = Currency{{'C', 'N', 'Y'}};
        const auto bytes = encoded(e);
        ASSERT_EQ(decode(bytes).value(), e);
        ASSERT_EQ(encoded(decode(bytes).value()), bytes);
    }
}

TEST(Codec, golden_bytes_do_not_change) {
    const std::string want("\x01\x08" "\x02\x10" "\x03\x03GBP" "\x04\x80\x87\xce\x90\x94\x4b" "\x05\x03m-1" "\x06\x80\xa0\xab\xfe\xf9\x62"
                           "\x07\x05" "17850" "\x08\x0c" "\x0a\xfe\x03" "\x0c\xf4\x17" "\x0f\x06" "85123A"
                           "\x11\x22WHITE HANGING HEART T-LIGHT HOLDER" "\x15\x06" "536365");
    EXPECT_EQ(encoded(sample_line()), want);
}

TEST(Codec, every_cut_and_every_flipped_byte_gives_an_event_or_an_error_but_never_a_crash) {
    const auto bytes = encoded(sample_line());
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) (void)decode(std::string_view(bytes).substr(0, cut)).ok();
    for (std::size_t i = 0; i < bytes.size(); ++i)
        for (int flip = 1; flip < 256; flip <<= 1) {
            auto damaged = bytes;
            damaged[i] = static_cast<char>(damaged[i] ^ flip);
            (void)decode(damaged).ok();
        }
    EXPECT_EQ(decode("").error().code, Code::kCorrupt);
    EXPECT_EQ(decode(std::string_view("\x09\x01", 2)).error().code, Code::kUnsupported);
}

TEST(Kind, names_are_unique_and_read_back) {
    for (std::size_t i = 0; i < kKindCount; ++i) EXPECT_EQ(kind_from_name(name(static_cast<Kind>(i))), static_cast<Kind>(i));
    EXPECT_FALSE(kind_from_name("order"));
}

TEST(Validate, names_the_field_that_is_wrong) {
    const auto reason = [](auto change) {
        Event e = sample_line();
        change(e);
        const auto status = validate(e);
        return status.ok() ? std::string("fine") : status.error().message.substr(0, status.error().message.find(':'));
    };
    EXPECT_EQ(reason([](Event&) {}), "fine");
    EXPECT_EQ(reason([](Event& e) { e.message_id.clear(); }), "message_id");
    EXPECT_EQ(reason([](Event& e) { e.order_id.clear(); }), "order_id");
    EXPECT_EQ(reason([](Event& e) { e.user_id.assign(300, 'x'); }), "user_id");
    EXPECT_EQ(reason([](Event& e) { e.title = "\xff"; }), "title");
    EXPECT_EQ(reason([](Event& e) { e.product = "a\nb"; }), "product");
    EXPECT_EQ(reason([](Event& e) { e.time = after_days(e.received, 400); }), "time");
    EXPECT_EQ(reason([](Event& e) { e.rating = 6; }), "rating");
    EXPECT_EQ(reason([](Event& e) { e.quantity = -1; }), "quantity");
    EXPECT_EQ(reason([](Event& e) { e.kind = Kind::kPage; e.user_id.clear(); e.order_id.clear(); e.product.clear(); }), "customer");
}

TEST(Json, escapes_what_json_must) {
    Event e = sample_line();
    e.title = "a \"b\"\n";
    EXPECT_NE(to_json(e).find(R"("title":"a \"b\"\u000a")"), std::string::npos);
}

}  // namespace
}  // namespace perennial::event
