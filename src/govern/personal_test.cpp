#include "govern/personal.h"

#include <gtest/gtest.h>

#include "base/rng.h"

namespace perennial::govern {
namespace {

// "kind:text kind:text"
std::string seen_in(std::string_view text) {
    std::string out;
    for (const auto& finding : find_personal(text)) {
        if (!out.empty()) out += "|";
        out += std::string(name(finding.kind)) + ":" + std::string(text.substr(finding.begin, finding.end - finding.begin));
    }
    return out;
}

TEST(Personal, email) {
    EXPECT_EQ(seen_in("write to ann.lee+shop@mail.example.co.uk."), "email:ann.lee+shop@mail.example.co.uk");
    EXPECT_EQ(seen_in("<bob@example.com>, carol@例子"), "email:bob@example.com");
    EXPECT_EQ(seen_in("ｂｏｂ＠example.com"), "email:ｂｏｂ＠example.com");
    for (const auto* no : {"at @home", "a@b", "ann@localhost", "x@y..com", "@handle", "1@2.3", "price@10.50"}) EXPECT_EQ(seen_in(no), "") << no;
}

TEST(Personal, telephone_numbers) {
    for (const auto* yes : {"13812345678", "138 1234 5678", "138-1234-5678", "8613812345678", "+86 138 1234 5678", "0086 13812345678", "010-88889999", "(021) 6888 9999",
                            "0755-12345678", "+44 20 7946 0958", "020 7946 0958", "(212) 555-0123", "212-555-0123", "212.555.0123", "+1 212 555 0123", "030 12345678", "１３８１２３４５６７８"}) {
        const auto found = find_personal(std::string("call ") + yes + " now");
        ASSERT_EQ(found.size(), 1u) << yes;
        EXPECT_EQ(found[0].kind, PersonalKind::kPhone) << yes;
        EXPECT_EQ(masked(std::string("call ") + yes + " now").find_first_of("0123456789"), std::string::npos) << yes;
    }
    EXPECT_EQ(seen_in("电话13812345678，谢谢"), "phone:13812345678");
    EXPECT_EQ(seen_in("order 536365 13812345678"), "phone:13812345678") << "a number before it is not part of it";
    for (const auto* no : {"2026-11-24", "2026-11-24 10:20:30", "10.99", "1,234,567", "536365", "SKU13812345678", "13812345678kg", "12812345678", "192.168.0.1", "0.5", "1/2/2026", "85123A", "1700000000000"})
        EXPECT_EQ(seen_in(no), "") << no;
}

TEST(Personal, identity_numbers_need_their_check_digit) {
    // The standard's own two examples.
    EXPECT_EQ(seen_in("身份证11010519491231002X。"), "national_id:11010519491231002X");
    EXPECT_EQ(seen_in("id 440524188001010014"), "national_id:440524188001010014");
    EXPECT_EQ(seen_in("110105 19491231 002x"), "national_id:110105 19491231 002x");
    EXPECT_EQ(seen_in("110105194912310021"), "");
    EXPECT_EQ(seen_in("440524188013010014"), "") << "month 13";
    EXPECT_EQ(seen_in("my ssn is 536-22-8145"), "national_id:536-22-8145");
    for (const auto* no : {"000-22-8145", "666-22-8145", "936-22-8145", "536-00-8145", "536-22-0000", "536 22 8145"}) EXPECT_EQ(seen_in(no), "") << no;
}

TEST(Personal, any_one_digit_of_an_identity_number_or_card_changed_is_noticed) {
    for (const std::string good : {"440524188001010014", "4111111111111111", "378282246310005", "5555555555554444", "6011111111111117", "6200000000000005", "3530111333300000", "30569309025904"}) {
        ASSERT_EQ(find_personal(good).size(), 1u) << good;
        EXPECT_EQ(find_personal(good)[0].kind, good.size() == 18 ? PersonalKind::kNationalId : PersonalKind::kCard);
        for (std::size_t i = 0; i < good.size(); ++i)
            for (char digit = '0'; digit <= '9'; ++digit) {
                if (digit == good[i]) continue;
                auto bad = good;
                bad[i] = digit;
                for (const auto& finding : find_personal(bad)) EXPECT_EQ(finding.kind, PersonalKind::kPhone) << bad;
            }
    }
    EXPECT_EQ(seen_in("card 4111 1111 1111 1111, thanks"), "card:4111 1111 1111 1111");
    EXPECT_EQ(seen_in("4111-1111-1111-1111"), "card:4111-1111-1111-1111");
    EXPECT_EQ(seen_in("0000000000000000"), "");
    EXPECT_EQ(seen_in("5901234123457"), "") << "a product's EAN";
}

TEST(Personal, bank_accounts_need_their_check_digits) {
    EXPECT_EQ(seen_in("to DE89370400440532013000 please"), "bank_account:DE89370400440532013000");
    EXPECT_EQ(seen_in("to GB82 WEST 1234 5698 7654 32."), "bank_account:GB82 WEST 1234 5698 7654 32");
    EXPECT_EQ(seen_in("to DE89370400440532013001 please"), "");
}

TEST(Personal, addresses) {
    EXPECT_EQ(seen_in("送到：北京市朝阳区建国路88号，谢谢"), "address:北京市朝阳区建国路88号");
    EXPECT_EQ(seen_in("广东省深圳市南山区科技园路5号3栋"), "address:广东省深圳市南山区科技园路5号3栋");
    EXPECT_EQ(seen_in("ship to 221 Baker Street, London"), "address:221 Baker Street");
    for (const auto* no : {"北京市朝阳区", "这个号码不对", "3 Red Shirts", "12 Roses", "上海市很好"}) EXPECT_EQ(seen_in(no), "") << no;
}

TEST(Personal, masks_and_leaves_the_rest_byte_for_byte) {
    EXPECT_EQ(masked("a@b.com, 13812345678 and 4111111111111111"), "[email], [phone] and [card]");
    EXPECT_EQ(masked("WHITE HANGING HEART T-LIGHT HOLDER"), "WHITE HANGING HEART T-LIGHT HOLDER");
    EXPECT_EQ(masked("\xff\xfe 好 \xe5"), "\xff\xfe 好 \xe5");
}

// Whatever the bytes: findings lie in the text, in order, apart, and what is masked holds none any more.
TEST(Personal, holds_its_word_on_random_bytes) {
    Rng rng(7);
    const std::string_view alphabet = "0123456789012345678901234567890123456789 -.()+@/Xx,abcAZ\xe5\x8f\xb7\xff";
    for (int round = 0; round < 20'000; ++round) {
        std::string text(rng.below(60), ' ');
        for (char& c : text) c = alphabet[rng.below(alphabet.size())];
        std::size_t at = 0;
        for (const auto& finding : find_personal(text)) {
            ASSERT_LE(at, finding.begin) << text;
            ASSERT_LT(finding.begin, finding.end) << text;
            ASSERT_LE(finding.end, text.size()) << text;
            at = finding.end;
        }
    }
}

}  // namespace
}  // namespace perennial::govern
