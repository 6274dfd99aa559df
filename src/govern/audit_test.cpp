#include "govern/audit.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <thread>

#include "base/file.h"

namespace perennial::govern {
namespace {

AuditEntry entry(int i) { return {.time = {1'700'000'000'000 + i}, .who = "cli:ann", .what = "train", .subject = fmt::format("shop \"{}\"\n", i), .details = fmt::format("{{\"seed\": {}}}", i)}; }

class Audit : public testing::Test {
protected:
    std::string write(int count) {
        for (int i = 0; i < count; ++i) head_ = record(path_, entry(i)).value();
        return read_file(path_).value();
    }
    TempDir dir_;
    const std::filesystem::path path_ = dir_.path() / "audit.jsonl";
    std::string head_;
};

TEST_F(Audit, says_what_was_recorded) {
    write(3);
    std::vector<AuditEntry> seen;
    const auto summary = verify(path_, [&](const AuditEntry& e) { seen.push_back(e); });
    ASSERT_TRUE(summary.ok()) << summary.error().message;
    EXPECT_EQ(summary->entries, 3u);
    EXPECT_EQ(summary->head, head_);
    ASSERT_EQ(seen.size(), 3u);
    EXPECT_EQ(seen[2].number, 3u);
    EXPECT_EQ(seen[2].who, "cli:ann");
    EXPECT_EQ(seen[2].subject, entry(2).subject);
    EXPECT_EQ(seen[2].details, R"({"seed":2})");
    EXPECT_EQ(seen[2].time, entry(2).time);
}

TEST_F(Audit, any_byte_changed_is_noticed) {
    const auto good = write(4);
    for (std::size_t i = 0; i < good.size(); ++i) {
        auto bad = good;
        bad[i] = static_cast<char>(bad[i] ^ 1);
        const auto found = verify_text(bad, "log", {}, head_);
        ASSERT_FALSE(found.ok()) << "byte " << i;
        EXPECT_EQ(found.error().code, Code::kCorrupt);
    }
}

TEST_F(Audit, lines_removed_moved_or_repeated_are_noticed) {
    const auto text = write(4);
    std::vector<std::string> lines;
    for (std::size_t at = 0; at < text.size(); at = text.find('\n', at) + 1) lines.push_back(text.substr(at, text.find('\n', at) + 1 - at));
    ASSERT_EQ(lines.size(), 4u);
    const auto of = [&](std::initializer_list<std::size_t> order) {
        std::string all;
        for (const auto i : order) all += lines[i];
        return verify_text(all, "log");
    };
    EXPECT_TRUE(of({0, 1, 2, 3}).ok());
    EXPECT_FALSE(of({1, 2, 3}).ok());
    EXPECT_FALSE(of({0, 2, 3}).ok());
    EXPECT_FALSE(of({0, 2, 1, 3}).ok());
    EXPECT_FALSE(of({0, 1, 1, 2, 3}).ok());
    // The end cut off is a good chain by itself; the head that was noted shows it.
    EXPECT_TRUE(of({0, 1, 2}).ok());
    EXPECT_FALSE(verify_text(lines[0] + lines[1], "log", {}, head_).ok());
    EXPECT_TRUE(verify_text(text, "log", {}, verify_text(lines[0] + lines[1], "log")->head).ok()) << "an earlier head is still in it";
}

TEST_F(Audit, goes_on_behind_a_line_that_a_crash_cut_short) {
    const auto good = write(2);
    for (const std::size_t kept : {good.size() - 1, good.size() - 20, good.find('\n') + 2}) {
        ASSERT_TRUE(write_file(path_, good.substr(0, kept)).ok());
        EXPECT_GT(verify(path_)->torn_bytes, 0u);
        ASSERT_TRUE(record(path_, entry(9)).ok());
        const auto summary = verify(path_);
        ASSERT_TRUE(summary.ok()) << summary.error().message;
        EXPECT_EQ(summary->entries, 2u);
        EXPECT_EQ(summary->torn_bytes, 0u);
    }
}

TEST_F(Audit, many_writers_make_one_chain) {
    {
        std::vector<std::jthread> threads;
        for (int t = 0; t < 4; ++t)
            threads.emplace_back([&] {
                for (int i = 0; i < 25; ++i) EXPECT_TRUE(record(path_, entry(i)).ok());
            });
    }
    EXPECT_EQ(verify(path_)->entries, 100u);
}

TEST_F(Audit, refuses_what_is_no_entry) {
    auto wrong = entry(0);
    wrong.details = "[1]";
    EXPECT_EQ(record(path_, wrong).error().code, Code::kInvalid);
    wrong.details = fmt::format("{{\"x\":\"{}\"}}", std::string(kAuditLineLimit, 'x'));
    EXPECT_EQ(record(path_, wrong).error().code, Code::kInvalid);
    EXPECT_EQ(verify(dir_.path() / "none").error().code, Code::kNotFound);
    ASSERT_TRUE(write_file(path_, "not an entry\n").ok());
    EXPECT_EQ(record(path_, entry(0)).error().code, Code::kCorrupt) << "it does not go on behind what it cannot read";
    ASSERT_TRUE(write_file(path_, std::string(3 * kAuditLineLimit, 'x')).ok());
    EXPECT_EQ(record(path_, entry(0)).error().code, Code::kCorrupt);
}

}  // namespace
}  // namespace perennial::govern
