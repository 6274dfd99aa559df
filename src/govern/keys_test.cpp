#include "govern/keys.h"

#include <gtest/gtest.h>

#include <set>
#include <thread>

#include "base/file.h"

namespace perennial::govern {
namespace {

constexpr UtcTime kNow{1'780'000'000'000};

class Keys : public testing::Test {
protected:
    TempDir dir_;
    const std::filesystem::path path_ = dir_.path() / "keys.json";
};

TEST_F(Keys, a_key_is_known_by_its_role_and_nothing_of_it_stands_in_the_file) {
    std::vector<std::string> keys;
    for (std::size_t r = 0; r < kRoles; ++r) keys.push_back(create_key(path_, "key", static_cast<Role>(r), kNow).value());
    KeyRing ring(path_);
    EXPECT_FALSE(ring.empty());
    const auto file = read_file(path_).value();
    for (std::size_t r = 0; r < kRoles; ++r) {
        for (int again = 0; again < 2; ++again) {
            const auto holder = ring.holder(keys[r]);
            ASSERT_TRUE(holder.ok() && *holder) << r;
            EXPECT_EQ((*holder)->role, static_cast<Role>(r));
        }
        EXPECT_EQ(file.find(keys[r].substr(16)), std::string::npos);
    }
    EXPECT_EQ(std::set(keys.begin(), keys.end()).size(), kRoles);
}

TEST_F(Keys, any_letter_changed_or_cut_is_no_key) {
    const auto key = create_key(path_, "web", Role::kAdmin, kNow).value();
    for (std::size_t i = 0; i < key.size(); i += 3) {
        auto wrong = key;
        wrong[i] = wrong[i] == 'a' ? 'b' : 'a';
        KeyRing ring(path_);
        const auto holder = ring.holder(wrong);
        ASSERT_TRUE(holder.ok());
        EXPECT_FALSE(*holder) << i;
    }
    KeyRing ring(path_);
    for (const auto& wrong : {std::string(), key.substr(0, key.size() - 1), key + "a", std::string("pk_"), std::string(59, '_')}) EXPECT_FALSE(ring.holder(wrong).value());
}

TEST_F(Keys, revoking_ends_a_key_within_a_second_and_only_once) {
    const auto key = create_key(path_, "old", Role::kAnalyst, kNow).value(), other = create_key(path_, "new", Role::kViewer, kNow).value();
    KeyRing ring(path_);
    ASSERT_TRUE(ring.holder(key).value());
    const auto id = read_keys(path_).value()[0].id;
    ASSERT_TRUE(revoke_key(path_, id, kNow).ok());
    EXPECT_EQ(revoke_key(path_, id, kNow).error().code, Code::kInvalid);
    EXPECT_EQ(revoke_key(path_, "nosuchkey", kNow).error().code, Code::kNotFound);
    const double start = monotonic_seconds();
    while (ring.holder(key).value() && monotonic_seconds() - start < 10) std::this_thread::sleep_for(std::chrono::milliseconds(20));
    EXPECT_FALSE(ring.holder(key).value());
    EXPECT_TRUE(ring.holder(other).value());
    EXPECT_EQ(read_keys(path_).value()[0].revoked, kNow);
}

TEST_F(Keys, guessing_is_slowed_down_and_right_keys_that_are_known_go_on) {
    const auto key = create_key(path_, "web", Role::kSource, kNow).value();
    KeyRing ring(path_);
    ASSERT_TRUE(ring.holder(key).value());
    int hashed = 0;
    const double start = monotonic_seconds();
    for (int i = 0; i < 3 * kHashesPerSecond; ++i) {
        auto guess = key;
        for (int d = 0, n = i; d < 4; ++d, n /= 10) guess[key.size() - 1 - static_cast<std::size_t>(d)] = static_cast<char>('0' + n % 10);
        if (guess == key) continue;
        const auto holder = ring.holder(guess);
        if (holder.ok()) EXPECT_FALSE(*holder);
        else EXPECT_EQ(holder.error().code, Code::kBusy);
        hashed += holder.ok();
    }
    EXPECT_LE(hashed, kHashesPerSecond * (monotonic_seconds() - start + 2));
    EXPECT_TRUE(ring.holder(key).value());
}

TEST_F(Keys, many_at_once_are_all_kept) {
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t)
            threads.emplace_back([&] {
                for (int i = 0; i < 5; ++i) EXPECT_TRUE(create_key(path_, "k", Role::kSource, kNow).ok());
            });
    }
    EXPECT_EQ(read_keys(path_)->size(), 20u);
}

TEST_F(Keys, bad_files_and_names_are_refused) {
    EXPECT_EQ(create_key(path_, " ", Role::kSource, kNow).error().code, Code::kInvalid);
    EXPECT_EQ(create_key(path_, std::string(kKeyNameLimit + 1, 'x'), Role::kSource, kNow).error().code, Code::kInvalid);
    EXPECT_TRUE(read_keys(path_)->empty()) << "no file is no key";
    ASSERT_TRUE(create_key(path_, "good", Role::kSource, kNow).ok());
    const auto good = read_file(path_).value();
    const auto with = [&](std::string_view from, std::string_view to) {
        auto text = good;
        const auto at = text.find(from);
        EXPECT_NE(at, std::string::npos) << from;
        return text.replace(at, from.size(), to);
    };
    for (const auto& bad : {std::string("[]"), std::string("{"), with("\"source\"", "\"king\""), with("$argon2id$", "$md5$"), with("\"revoked\":null", "\"revoked\":false"), with("\"revoked\":null", "\"revoked\":\"soon\"")})
        EXPECT_EQ(parse_keys(bad, "f").error().code, Code::kCorrupt) << bad;
    EXPECT_EQ(parse_keys(with("\"version\":\"1\"", "\"version\":\"2\""), "f").error().code, Code::kUnsupported);
    ASSERT_TRUE(write_file(path_, "{}").ok());
    KeyRing ring(path_);
    EXPECT_FALSE(ring.holder("pk_" + std::string(12, 'a') + "_" + std::string(43, 'a')).ok()) << "a file that cannot be read opens no door";
}

}  // namespace
}  // namespace perennial::govern
