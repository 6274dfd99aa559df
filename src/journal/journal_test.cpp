#include "journal/journal.h"

#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <string>
#include <vector>

#include "base/rng.h"

namespace perennial::journal {
namespace {

namespace fs = std::filesystem;

std::vector<std::string> read_all(const fs::path& directory, Offset from = {}) {
    auto cursor = Cursor::open(directory, from);
    EXPECT_TRUE(cursor.ok()) << (cursor.ok() ? "" : cursor.error().message);
    std::vector<std::string> records;
    std::string_view record;
    while (cursor.ok()) {
        auto more = cursor->next(record);
        EXPECT_TRUE(more.ok()) << (more.ok() ? "" : more.error().message);
        if (!more.ok() || !*more) break;
        records.emplace_back(record);
    }
    return records;
}

std::vector<std::string> numbered(int first, int count) {
    std::vector<std::string> records;
    for (int i = first; i < first + count; ++i) records.push_back("record " + std::to_string(i) + std::string(static_cast<std::size_t>(i % 50), 'x'));
    return records;
}

TEST(Journal, keeps_order_across_segments_and_reopening) {
    TempDir dir;
    std::vector<std::string> want;
    for (int round = 0; round < 20; ++round) {
        auto journal = Journal::open(dir.path(), {.segment_bytes = 1000});
        ASSERT_TRUE(journal.ok()) << journal.error().message;
        EXPECT_EQ(journal->next_offset().value, want.size());
        const auto group = numbered(static_cast<int>(want.size()), round % 7 + 1);
        EXPECT_EQ(journal->append(group)->value, want.size());
        want.insert(want.end(), group.begin(), group.end());
    }
    EXPECT_EQ(read_all(dir.path()), want);
    for (std::uint64_t from = 0; from <= want.size(); ++from)
        EXPECT_EQ(read_all(dir.path(), {from}).size(), want.size() - from);
    EXPECT_EQ(Cursor::open(dir.path(), {want.size() + 1}).error().code, Code::kNotFound);
}

TEST(Journal, replays_a_prefix_of_whole_records_when_the_file_is_cut_at_any_byte) {
    TempDir dir;
    const auto want = numbered(0, 12);
    { ASSERT_TRUE(Journal::open(dir.path())->append(want).ok()); }
    const auto file = dir.path() / segment_name({});
    const auto bytes = read_file(file).value();
    for (std::size_t cut = kSegmentHeaderBytes; cut <= bytes.size(); ++cut) {
        TempDir other;
        ASSERT_TRUE(write_file(other.path() / segment_name({}), std::string_view(bytes).substr(0, cut)));
        const auto before = read_all(other.path());
        auto journal = Journal::open(other.path());
        ASSERT_TRUE(journal.ok()) << journal.error().message;
        ASSERT_EQ(journal->next_offset().value, before.size());
        ASSERT_TRUE(std::equal(before.begin(), before.end(), want.begin()));
        // What was cut off is kept beside the journal, and the journal goes on.
        if (journal->recovery().torn_bytes > 0) {
            ASSERT_EQ(fs::file_size(journal->recovery().torn_file), journal->recovery().torn_bytes);
        }
        ASSERT_TRUE(journal->append(std::vector<std::string>{"after"}).ok());
        auto after = read_all(other.path());
        ASSERT_EQ(after.size(), before.size() + 1);
        ASSERT_EQ(after.back(), "after");
    }
}

TEST(Journal, a_flipped_bit_ends_the_last_segment_and_is_an_error_in_an_earlier_one) {
    TempDir dir;
    {
        auto journal = Journal::open(dir.path(), {.segment_bytes = 300});
        for (int i = 0; i < 10; ++i) ASSERT_TRUE(journal->append(numbered(i * 5, 5)).ok());
    }
    const auto first = dir.path() / segment_name({});
    auto bytes = read_file(first).value();
    bytes[kSegmentHeaderBytes + kRecordHeaderBytes] ^= 1;  // first byte of the first payload
    ASSERT_TRUE(write_file(first, bytes));
    auto cursor = Cursor::open(dir.path());
    std::string_view record;
    const auto damaged = cursor->next(record);
    ASSERT_FALSE(damaged.ok());
    EXPECT_EQ(damaged.error().code, Code::kCorrupt);
}

TEST(Journal, a_segment_missing_in_the_middle_is_an_error_not_an_end) {
    TempDir dir;
    {
        auto journal = Journal::open(dir.path(), {.segment_bytes = 300});
        for (int i = 0; i < 10; ++i) ASSERT_TRUE(journal->append(numbered(i * 5, 5)).ok());
    }
    std::vector<fs::path> files;
    for (const auto& entry : fs::directory_iterator(dir.path()))
        if (entry.path().extension() == ".seg") files.push_back(entry.path());
    std::ranges::sort(files);
    ASSERT_GE(files.size(), 3u);
    fs::remove(files[1]);
    auto cursor = Cursor::open(dir.path());
    std::string_view record;
    Result<bool> more = true;
    do more = cursor->next(record);
    while (more.ok() && *more);
    ASSERT_FALSE(more.ok());
    EXPECT_EQ(more.error().code, Code::kCorrupt);
    EXPECT_NE(more.error().message.find(files[1].filename().string()), std::string::npos);
}

TEST(Journal, a_segment_with_a_cut_header_from_a_crash_is_replaced) {
    TempDir dir;
    { ASSERT_TRUE(Journal::open(dir.path())->append(numbered(0, 3)).ok()); }
    ASSERT_TRUE(write_file(dir.path() / segment_name({3}), "PRNL"));
    auto journal = Journal::open(dir.path());
    ASSERT_TRUE(journal.ok()) << journal.error().message;
    EXPECT_EQ(journal->next_offset().value, 3u);
    ASSERT_TRUE(journal->append(numbered(3, 2)).ok());
    EXPECT_EQ(read_all(dir.path()), numbered(0, 5));
}

TEST(Journal, a_second_writer_is_told_who_holds_it) {
    TempDir dir;
    auto first = Journal::open(dir.path());
    const auto second = Journal::open(dir.path());
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code, Code::kBusy);
    EXPECT_NE(second.error().message.find(std::to_string(::getpid())), std::string::npos);
}

TEST(Journal, refuses_a_record_above_the_limit_and_stays_usable) {
    TempDir dir;
    auto journal = Journal::open(dir.path());
    const auto refused = journal->append(std::vector<std::string>{"small", std::string(kRecordBytesLimit + 1, 'x')});
    EXPECT_EQ(refused.error().code, Code::kFull);
    EXPECT_TRUE(journal->append(std::vector<std::string>{"small"}).ok());
    EXPECT_EQ(read_all(dir.path()).size(), 1u);
}

// A file size limit stands in for a full disk: the kernel refuses the write half way through a group.
TEST(Journal, a_full_disk_takes_back_the_group_and_keeps_all_acknowledged_records) {
    TempDir dir;
    const pid_t child = ::fork();
    if (child == 0) {
        ::signal(SIGXFSZ, SIG_IGN);
        const rlimit limit{10'000, 10'000};
        ::setrlimit(RLIMIT_FSIZE, &limit);
        auto journal = Journal::open(dir.path());
        int acknowledged = 0;
        for (int i = 0; i < 1000; ++i) {
            const auto done = journal->append(std::vector<std::string>(7, std::string(100, static_cast<char>('a' + i % 26))));
            if (!done.ok()) ::_exit(done.error().code == Code::kFull || done.error().code == Code::kIo ? acknowledged : 255);
            ++acknowledged;
        }
        ::_exit(254);
    }
    int status = 0;
    ::waitpid(child, &status, 0);
    ASSERT_TRUE(WIFEXITED(status));
    const int acknowledged = WEXITSTATUS(status);
    ASSERT_GT(acknowledged, 0);
    ASSERT_LT(acknowledged, 254);
    EXPECT_EQ(read_all(dir.path()).size(), static_cast<std::size_t>(acknowledged) * 7);
    EXPECT_EQ(Journal::open(dir.path())->recovery().torn_bytes, 0u);
}

TEST(Segment, golden_bytes_do_not_change) {
    std::string bytes = segment_header({42});
    append_record(bytes, {42}, "abc");
    const std::string want("PRNLJRNL" "\x01\0\0\0" "\0\0\0\0" "\x2a\0\0\0\0\0\0\0", 24);
    EXPECT_EQ(bytes.substr(0, 24), want);
    EXPECT_EQ(bytes.size(), kSegmentHeaderBytes + kRecordHeaderBytes + 3);
    const auto golden = read_file(fs::path(PERENNIAL_SOURCE_DIR) / "src/journal/testdata/golden.seg");
    ASSERT_TRUE(golden.ok());
    EXPECT_EQ(bytes, *golden);
}

TEST(Segment, refuses_other_files_and_other_versions) {
    TempDir dir;
    std::string header = segment_header({});
    header[8] = 9;
    ASSERT_TRUE(write_file(dir.path() / "v9.seg", header));
    EXPECT_EQ(SegmentReader::open(dir.path() / "v9.seg").error().code, Code::kUnsupported);
    ASSERT_TRUE(write_file(dir.path() / "x.seg", std::string(100, 'x')));
    EXPECT_EQ(SegmentReader::open(dir.path() / "x.seg").error().code, Code::kCorrupt);
}

}  // namespace
}  // namespace perennial::journal
