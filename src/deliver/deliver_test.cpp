#include <gtest/gtest.h>

#include <array>

#include "base/file.h"
#include "base/text.h"
#include "deliver/deliveries.h"
#include "deliver/outbox.h"
#include "deliver/standard_webhooks.h"

namespace perennial::deliver {
namespace {

constexpr UtcTime kNow{1'614'265'330'000};
constexpr std::string_view kSecret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", kId = "msg_p5jXN8AQM9LWM0D4loKWxJek", kBody = R"({"test": 2432232314})";

TEST(StandardWebhooks, signs_as_the_specifications_example) {
    EXPECT_EQ(webhook_signature(*webhook_key(kSecret), kId, 1614265330, kBody), "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE=");
}

TEST(StandardWebhooks, verifies_what_it_signed_under_any_key_and_nothing_else) {
    const std::array keys{*webhook_key(new_webhook_secret()), *webhook_key(kSecret)};
    const auto right = webhook_signature(keys[1], kId, 1614265330, kBody);
    const auto verify = [&](std::string_view id, std::string_view timestamp, std::string_view signature, std::string_view body, UtcTime now = kNow) {
        const auto done = verify_webhook(keys, {.id = id, .timestamp = timestamp, .signature = signature, .body = body}, now);
        return done ? "ok" : name(done.error().code);
    };
    EXPECT_EQ(verify(kId, "1614265330", right, kBody), "ok");
    EXPECT_EQ(verify(kId, "1614265330", "v1,AAAA v2,x " + right, kBody), "ok");
    const auto denied = name(Code::kDenied), invalid = name(Code::kInvalid);
    EXPECT_EQ(verify(kId, "1614265330", "", kBody), denied);
    EXPECT_EQ(verify(kId, "1614265330", right.substr(3), kBody), denied);
    EXPECT_EQ(verify(kId, "1614265331", right, kBody), denied);
    EXPECT_EQ(verify("msg_other", "1614265330", right, kBody), denied);
    EXPECT_EQ(verify(kId, "1614265330", right, "{}"), denied);
    EXPECT_EQ(verify(kId, "soon", right, kBody), invalid);
    EXPECT_EQ(verify("", "1614265330", right, kBody), invalid);
    EXPECT_EQ(verify(kId, "1614265330", right, kBody, {kNow.ms + 301'000}), invalid);
    EXPECT_EQ(verify(kId, "9223372036854775807", right, kBody), invalid);
}

TEST(StandardWebhooks, takes_secrets_of_24_to_64_bytes) {
    EXPECT_EQ(webhook_key(new_webhook_secret())->size(), 32u);
    for (const std::string secret : {"", "whsec_", "whsec_!!", "MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw", "whsec_c2hvcnQ="}) EXPECT_FALSE(webhook_key(secret)) << secret;
}

Letter letter(std::string endpoint, std::string id, std::int64_t due) {
    return {.endpoint = std::move(endpoint), .id = std::move(id), .type = "t", .body = "{}", .created = {due}, .next_try = {due}};
}

Outbox opened(const TempDir& dir) {
    auto outbox = Outbox::open(dir.path() / "outbox");
    EXPECT_TRUE(outbox.ok()) << outbox.error().message;
    return std::move(outbox).value();
}
std::string first_id(const Outbox& outbox, std::string_view endpoint) {
    const auto found = outbox.first(endpoint);
    return found && *found ? (*found)->id : "none";
}

TEST(Outbox, keeps_letters_by_endpoint_in_order_of_their_turn_over_a_new_start) {
    const TempDir dir;
    {
        auto outbox = opened(dir);
        ASSERT_TRUE(outbox.put({letter("a", "late", 20), letter("a", "early", 10), letter("b", "late", 5)}).ok());
        ASSERT_TRUE(outbox.put({letter("a", "early", 1)}).ok()) << "it is there already";
        EXPECT_EQ(first_id(outbox, "a"), "early");
    }
    auto outbox = opened(dir);
    EXPECT_EQ(outbox.counts("a").waiting, 2u);
    EXPECT_EQ(first_id(outbox, "b"), "late");
    auto early = **outbox.first("a");
    early.next_try = {30};
    early.tries = 3;
    early.error = "answered 500";
    ASSERT_TRUE(outbox.put_off(early).ok());
    EXPECT_EQ(first_id(outbox, "a"), "late");
    ASSERT_TRUE(outbox.remove(**outbox.first("a")).ok());
    EXPECT_EQ((*outbox.first("a"))->tries, 3u);
    EXPECT_EQ(first_id(outbox, "c"), "none");
}

TEST(Outbox, dead_letters_can_rise_again) {
    const TempDir dir;
    {
        auto outbox = opened(dir);
        ASSERT_TRUE(outbox.put({letter("a", "x", 10), letter("b", "x", 10)}).ok());
        for (const char* endpoint : {"a", "b"}) {
            auto dying = **outbox.first(endpoint);
            dying.error = "answered 500";
            dying.tries = 10;
            ASSERT_TRUE(outbox.bury(dying).ok());
        }
        EXPECT_EQ(first_id(outbox, "a"), "none");
        ASSERT_TRUE(outbox.put({letter("a", "x", 10)}).ok());
        EXPECT_EQ(first_id(outbox, "a"), "none") << "a dead message is not sent again by being said again";
    }
    auto outbox = opened(dir);
    EXPECT_EQ(outbox.counts("a").dead, 1u);
    EXPECT_EQ(outbox.dead(10)->at(0).error, "answered 500");
    EXPECT_EQ(outbox.revive("y", kNow).error().code, Code::kNotFound);
    ASSERT_TRUE(outbox.revive("x", kNow).ok());
    EXPECT_EQ(outbox.dead(10)->size(), 0u);
    EXPECT_EQ(outbox.counts("a").dead, 0u);
    EXPECT_EQ((*outbox.first("b"))->tries, 0u);
}

TEST(Outbox, refuses_what_is_too_large_and_a_second_holder) {
    const TempDir dir;
    auto outbox = opened(dir);
    auto large = letter("a", "x", 1);
    large.body.assign(kLetterBytesLimit + 1, 'x');
    EXPECT_EQ(outbox.put({large}).error().code, Code::kInvalid);
    EXPECT_EQ(Outbox::open(dir.path() / "outbox").error().code, Code::kBusy);
}

TEST(Endpoints, are_read_from_their_file_or_refused_with_the_reason) {
    const TempDir dir;
    const auto path = dir.path() / "webhooks.toml";
    EXPECT_TRUE(load_endpoints(path)->empty());
    const auto read = [&](std::string text) {
        EXPECT_TRUE(write_file(path, text).ok());
        return load_endpoints(path);
    };
    const std::string secret(kSecret);
    const auto good = read("[[endpoint]]\nname = \"crm\"\nurl = \"https://example.org/hook\"\nsecret = \"" + secret + " " + secret + "\"\ntypes = [\"segment.*\"]\n");
    ASSERT_TRUE(good.ok()) << good.error().message;
    EXPECT_EQ(good->at(0).keys.size(), 2u);
    EXPECT_TRUE(good->at(0).wants("segment.entered"));
    EXPECT_FALSE(good->at(0).wants("ping"));
    for (const auto& bad : {"x = 1", "[[endpoint]]\nname = \"a\"", "[[endpoint]]\nname = \"a\"\nurl = \"ftp://x\"", "[[endpoint]]\nname = \"a\"\nurl = \"http://x\"",
                            "[[endpoint]]\nname = \"a\"\nurl = \"http://x\"\nsecret = \"short\""})
        EXPECT_EQ(read(bad).error().code, Code::kInvalid) << bad;
}

}  // namespace
}  // namespace perennial::deliver
