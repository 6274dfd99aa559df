#include <fmt/format.h>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <numeric>
#include <thread>

#include "base/bounded_queue.h"
#include "base/bytes.h"
#include "base/file.h"
#include "base/hash.h"
#include "base/money.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "base/signature.h"
#include "base/text.h"
#include "base/time.h"
#include "base/toml.h"

namespace perennial {
namespace {

constexpr Currency kGbp{{'G', 'B', 'P'}}, kJpy{{'J', 'P', 'Y'}};

TEST(Bytes, varints_and_zigzag_round_trip_at_every_width) {
    for (unsigned bit = 0; bit < 64; ++bit)
        for (const std::int64_t delta : {-1, 0, 1}) {
            const auto value = static_cast<std::int64_t>((std::uint64_t{1} << bit) + static_cast<std::uint64_t>(delta));
            std::string bytes;
            put_varint(bytes, zigzag(value));
            Reader reader(bytes);
            EXPECT_EQ(unzigzag(reader.varint()), value);
            EXPECT_TRUE(reader.ok() && reader.empty());
        }
}

TEST(Bytes, a_reader_that_runs_past_its_end_stays_failed) {
    std::string bytes;
    put_string(bytes, "abc");
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) {
        Reader reader(std::string_view(bytes).substr(0, cut));
        reader.string();
        EXPECT_FALSE(reader.ok());
        EXPECT_EQ(reader.fixed<std::uint32_t>(), 0u);
    }
    Reader too_long(std::string_view("\xff\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", 11));
    too_long.varint();
    EXPECT_FALSE(too_long.ok());
}

TEST(Time, iso_forms_that_clients_send_are_read) {
    const UtcTime want = utc_time({2010, 12, 1}, 8 * kMsPerHour + 26 * kMsPerMinute);
    for (const char* text : {"2010-12-01T08:26:00Z", "2010-12-01 08:26:00", "2010-12-01T08:26:00.000Z", "2010-12-01T08:26",
                             "2010-12-01T10:26:00+02:00", "2010-12-01T08:26:00.0000000Z", "2010-12-01T03:26:00-0500"})
        EXPECT_EQ(parse_iso8601(text).value(), want) << text;
    EXPECT_EQ(iso8601(want), "2010-12-01T08:26:00.000Z");
    EXPECT_EQ(parse_iso8601("2010-12-01T08:26:00.5Z").value().ms, want.ms + 500);
    for (const char* text : {"", "2010", "2010-13-01", "2010-02-30", "2010-12-01T25:00", "12/01/2010", "2010-12-01T08:26:00Zx", "9999-01-01"})
        EXPECT_FALSE(parse_iso8601(text).ok()) << text;
    EXPECT_EQ(parse_time("12/1/2010 8:26", "%m/%d/%Y %H:%M").value(), want);
    EXPECT_EQ(parse_time("20101201", "%Y%m%d").value(), utc_time({2010, 12, 1}));
}

TEST(Money, is_read_exactly_and_rounded_half_away_from_zero) {
    EXPECT_EQ(parse_money("2.55", kGbp)->minor, 255);
    EXPECT_EQ(parse_money("-11062.06", kGbp)->minor, -1106206);
    EXPECT_EQ(parse_money("1,234.5", kGbp)->minor, 123450);
    EXPECT_EQ(parse_money("£3", kGbp)->minor, 300);
    EXPECT_EQ(parse_money("0.125", kGbp)->minor, 13);
    EXPECT_EQ(parse_money("-0.125", kGbp)->minor, -13);
    EXPECT_EQ(parse_money("120", kJpy)->minor, 120);
    for (const char* text : {"", "-", ".", "1.2.3", "1e5", "abc", "99999999999999999999"}) EXPECT_FALSE(parse_money(text, kGbp).ok()) << text;
    EXPECT_EQ(format_money({123456789}, kGbp), "1,234,567.89 GBP");
    EXPECT_EQ(format_money({-99}, kGbp), "-0.99 GBP");
    EXPECT_EQ(format_money({1234}, kJpy), "1,234 JPY");
}

TEST(Text, globs_numbers_and_utf8) {
    EXPECT_TRUE(matches_glob("gift_0001_20", "GIFT_*"));
    EXPECT_TRUE(matches_glob("Bank Charges", "*charge*"));
    EXPECT_FALSE(matches_glob("POSTER", "POST"));
    EXPECT_TRUE(matches_glob("", "*"));
    EXPECT_EQ(to_integer("17850.0"), 17850);
    EXPECT_FALSE(to_integer("17850.5"));
    EXPECT_FALSE(to_integer("1x"));
    EXPECT_FALSE(to_number("nan"));
    EXPECT_TRUE(is_valid_utf8("连衣裙 £5"));
    EXPECT_FALSE(is_valid_utf8("\xa3""5"));
    EXPECT_EQ(to_utf8("\xa3""5"), "£5");
    EXPECT_EQ(clip("连衣裙", 4), "连");
}

TEST(Toml, malformed_files_are_errors_with_a_line_never_an_abort) {
    EXPECT_EQ(parse_toml("a = \"连衣裙\"  # 注释\n", "x")->get("a")->value<std::string>(), "连衣裙");
    for (const char* text : {"[@x]", "x = [}]", "имя = 1", "a = ", "a = 1\na = 2", "\xff", "= 3", "[", "a = \"open"}) {
        const auto table = parse_toml(text, "x");
        ASSERT_FALSE(table.ok()) << text;
        EXPECT_TRUE(table.error().message.starts_with("x: ")) << table.error().message;
    }
}

TEST(Rng, is_the_same_everywhere_and_has_the_moments_it_claims) {
    Rng golden(42);
    EXPECT_EQ(golden.next(), Rng(42).next());
    EXPECT_NE(Rng(42).fork(1).next(), Rng(42).fork(2).next());
    Rng rng(7);
    double sum = 0, squares = 0, gamma = 0, poisson = 0;
    constexpr int kDraws = 200'000;
    for (int i = 0; i < kDraws; ++i) {
        const double x = rng.normal();
        sum += x, squares += x * x, gamma += rng.gamma(0.7, 2.0), poisson += rng.poisson(3.0);
    }
    // Five standard errors of each mean.
    EXPECT_NEAR(sum / kDraws, 0, 5 / std::sqrt(kDraws));
    EXPECT_NEAR(squares / kDraws, 1, 5 * std::sqrt(2.0 / kDraws));
    EXPECT_NEAR(gamma / kDraws, 1.4, 5 * std::sqrt(2.8 / kDraws));
    EXPECT_NEAR(poisson / kDraws, 3, 5 * std::sqrt(3.0 / kDraws));
}

TEST(File, gzip_is_unpacked_and_a_cut_stream_is_named) {
    TempDir dir;
    std::string text;
    for (int i = 0; i < 50'000; ++i) text += std::to_string(i) + ",";
    const auto path = dir.path() / "a.gz";
    const gzFile out = gzopen(path.c_str(), "wb");
    gzwrite(out, text.data(), static_cast<unsigned>(text.size()));
    gzclose(out);
    const auto unpack = [](const std::filesystem::path& from) -> Result<std::string> {
        auto source = ByteSource::open(from);
        if (!source) return source.error();
        std::string all, chunk(1000, 0);
        for (;;) {
            auto got = source->read(chunk.data(), chunk.size());
            if (!got) return got.error();
            if (*got == 0) return all;
            all.append(chunk, 0, *got);
        }
    };
    EXPECT_EQ(unpack(path).value(), text);
    const auto packed = read_file(path).value();
    ASSERT_TRUE(write_file(dir.path() / "cut.gz", packed.substr(0, packed.size() / 2)));
    EXPECT_EQ(unpack(dir.path() / "cut.gz").error().code, Code::kCorrupt);
    ASSERT_TRUE(write_file(dir.path() / "two.gz", packed + packed));
    EXPECT_EQ(unpack(dir.path() / "two.gz").value(), text + text);
}

TEST(BoundedQueue, delivers_everything_in_order_and_blocks_at_its_bound) {
    BoundedQueue<int> queue(4);
    std::vector<int> seen;
    {
        std::jthread consumer([&] { while (auto item = queue.pop()) seen.push_back(*item); });
        for (int i = 0; i < 1000; ++i) ASSERT_TRUE(queue.push(i));
        queue.close();
    }
    std::vector<int> want(1000);
    std::iota(want.begin(), want.end(), 0);
    EXPECT_EQ(seen, want);
    int late = 1;
    EXPECT_FALSE(queue.try_push(late));
}

TEST(Parallel, covers_every_index_once_for_any_thread_count) {
    for (const unsigned threads : {1u, 2u, 7u}) {
        std::vector<int> hits(1003);
        parallel_for(hits.size(), 10, threads, [&](std::size_t begin, std::size_t end) { for (auto i = begin; i < end; ++i) ++hits[i]; });
        EXPECT_EQ(std::ranges::count(hits, 1), 1003);
    }
}

TEST(Signature, agrees_with_the_published_examples) {
    const auto hex_of = [](std::string_view bytes) {
        std::string text;
        for (const char c : bytes) text += fmt::format("{:02x}", static_cast<unsigned char>(c));
        return text;
    };
    // RFC 4231, cases 1, 2 and 6 (a key longer than a block).
    EXPECT_EQ(hex_of(hmac_sha256(std::string(20, '\x0b'), "Hi There")), "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7");
    EXPECT_EQ(hex_of(hmac_sha256("Jefe", "what do ya want for nothing?")), "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    EXPECT_EQ(hex_of(hmac_sha256(std::string(131, '\xaa'), "Test Using Larger Than Block-Size Key - Hash Key First")), "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
    // RFC 4648, section 10.
    for (const auto& [text, coded] : {std::pair{"", ""}, {"f", "Zg=="}, {"fo", "Zm8="}, {"foo", "Zm9v"}, {"foob", "Zm9vYg=="}, {"fooba", "Zm9vYmE="}, {"foobar", "Zm9vYmFy"}}) {
        EXPECT_EQ(to_base64(text), coded);
        EXPECT_EQ(from_base64(coded), text);
    }
    EXPECT_EQ(from_base64("Zg"), "f");
    for (const std::string_view bad : {"Z", "Zm9v!", "Z=g=", "Zm9vY", "Zm 9"}) EXPECT_EQ(from_base64(bad), std::nullopt) << bad;
    EXPECT_TRUE(equal_in_constant_time("abc", "abc"));
    EXPECT_FALSE(equal_in_constant_time("abc", "abd") || equal_in_constant_time("abc", "ab") || equal_in_constant_time("", "a"));
    EXPECT_NE(random_bytes(16), random_bytes(16));
    EXPECT_EQ(random_hex(4).size(), 8u);
}

}  // namespace
}  // namespace perennial
