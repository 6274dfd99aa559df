#include "ingest/csv.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/file.h"

namespace perennial::ingest {
namespace {

using Rows = std::vector<std::vector<std::string>>;

struct Case {
    const char* what;
    std::string text;
    Rows rows;
};

Rows read_good_rows(const std::string& text, CsvOptions options = {}) {
    auto reader = CsvReader::over(text, options);
    EXPECT_TRUE(reader) << reader.error().message;
    Rows rows;
    CsvRow row;
    while (reader && *reader->next(row))
        if (row.problem.empty()) rows.emplace_back(row.fields.begin(), row.fields.end());
    return rows;
}

TEST(Csv, reads_what_exports_really_hold) {
    const std::vector<Case> cases{
        {"plain rows", "a,b\n1,2\n3,4\n", {{"1", "2"}, {"3", "4"}}},
        {"no newline at the end", "a,b\n1,2", {{"1", "2"}}},
        {"CRLF", "a,b\r\n1,2\r\n3,4\r\n", {{"1", "2"}, {"3", "4"}}},
        {"byte order mark", "\xEF\xBB\xBF" "a,b\n1,2\n", {{"1", "2"}}},
        {"semicolons", "a;b\n1,5;2\n", {{"1,5", "2"}}},
        {"tabs", "a\tb\n1\t2\n", {{"1", "2"}}},
        {"bars", "a|b\n1|2\n", {{"1", "2"}}},
        {"one column", "a\n1\n2\n", {{"1"}, {"2"}}},
        {"empty fields", "a,b,c\n,,\nx,,\n", {{"", "", ""}, {"x", "", ""}}},
        {"quoted separator", "a,b\n\"1,5\",2\n", {{"1,5", "2"}}},
        {"separator quoted in the header", "\"a,b,c\";d\n1;2\n", {{"1", "2"}}},
        {"doubled quotes", "a,b\n\"say \"\"hi\"\"\",2\n", {{"say \"hi\"", "2"}}},
        {"quoted empty field", "a,b\n\"\",2\n", {{"", "2"}}},
        {"newline inside quotes", "a,b\n\"x\ny\",2\n3,4\n", {{"x\ny", "2"}, {"3", "4"}}},
        {"CRLF inside quotes", "a,b\r\n\"x\r\ny\",2\r\n", {{"x\r\ny", "2"}}},
        {"quote in the middle is an ordinary character", "a,b\n5\" pipe,2\n", {{"5\" pipe", "2"}}},
        {"text after a closing quote is kept", "a,b\n\"x\"y,2\n", {{"xy", "2"}}},
        {"blank lines are no rows", "a,b\n\n1,2\n\r\n3,4\n\n", {{"1", "2"}, {"3", "4"}}},
        {"Latin-1", "a,b\ncaf\xE9,\xA3" "5\n", {{"caf\xC3\xA9", "\xC2\xA3" "5"}}},
        {"UTF-8 stays", "a,b\ncaf\xC3\xA9,2\n", {{"caf\xC3\xA9", "2"}}},
        {"wrong column counts are left out", "a,b\n1\n1,2\n1,2,3\n", {{"1", "2"}}},
        {"header only", "a,b\n", {}},
    };
    for (const auto& [what, text, rows] : cases) EXPECT_EQ(read_good_rows(text), rows) << what;
}

TEST(Csv, reports_a_bad_row_with_the_line_it_begins_on) {
    auto reader = CsvReader::over("a,b\n\"x\ny\",2\n1,2,3\n4,5\n");
    ASSERT_TRUE(reader);
    CsvRow row;
    ASSERT_TRUE(*reader->next(row));
    EXPECT_EQ(row.line, 2u);
    ASSERT_TRUE(*reader->next(row));
    EXPECT_EQ(row.line, 4u);
    EXPECT_EQ(row.problem, "row: want 2 columns, got 3");
    EXPECT_EQ(row.raw, "1,2,3");
    ASSERT_TRUE(*reader->next(row));
    EXPECT_EQ(row.line, 5u);
    EXPECT_FALSE(*reader->next(row));
}

TEST(Csv, gives_up_one_line_only_when_a_quote_is_never_closed) {
    auto reader = CsvReader::over("a,b\n1,\"open\n3,4\n5,6\n");
    ASSERT_TRUE(reader);
    CsvRow row;
    ASSERT_TRUE(*reader->next(row));
    EXPECT_EQ(row.problem, "row: a quote is opened and never closed");
    EXPECT_EQ(row.raw, "1,\"open");
    ASSERT_TRUE(*reader->next(row));
    EXPECT_EQ(row.fields[0], "3");
    ASSERT_TRUE(*reader->next(row));
    EXPECT_EQ(row.line, 4u);
    EXPECT_FALSE(*reader->next(row));
}

TEST(Csv, passes_over_a_line_longer_than_the_limit) {
    std::string text = "a,b\n1," + std::string(700'000, 'x') + "\n3,4\n";
    auto reader = CsvReader::over(text, {.row_bytes_limit = 1000});
    ASSERT_TRUE(reader);
    CsvRow row;
    ASSERT_TRUE(*reader->next(row));
    EXPECT_EQ(row.problem, "row: want at most 1000 bytes, got more");
    ASSERT_TRUE(*reader->next(row));
    EXPECT_EQ(row.fields[0], "3");
    EXPECT_EQ(row.line, 3u);
    EXPECT_FALSE(*reader->next(row));
}

TEST(Csv, reads_the_same_rows_wherever_the_buffer_ends) {
    // Rows of every length around the chunk size, some quoted over lines: a field cut by a refill would show.
    std::string text = "id,text\n";
    Rows want;
    for (std::size_t i = 0; text.size() < 1'500'000; ++i) {
        const std::string body(i * 37 % 5000, static_cast<char>('a' + i % 26));
        const bool quoted = i % 3 == 0;
        text += std::to_string(i) + (quoted ? ",\"" + body + "\nnext \"\"line\"\"\"\n" : "," + body + "\n");
        want.push_back({std::to_string(i), quoted ? body + "\nnext \"line\"" : body});
    }
    EXPECT_EQ(read_good_rows(text), want);
}

TEST(Csv, refuses_what_is_no_text_and_says_what_it_looks_like) {
    const std::vector<std::pair<std::string, std::string>> cases{
        {std::string("PK\x03\x04\0\0abc", 9), "Excel"},
        {std::string("\xff\xfe" "a\0,\0", 6), "UTF-16"},
        {std::string("a,b\n1,\0002\n", 9), "NUL"},
        {"", "empty"},
    };
    for (const auto& [text, hint] : cases) {
        const auto reader = CsvReader::over(text);
        ASSERT_FALSE(reader);
        EXPECT_EQ(reader.error().code, Code::kInvalid);
        EXPECT_NE(reader.error().message.find(hint), std::string::npos) << reader.error().message;
    }
}

TEST(Csv, finds_a_nul_byte_far_into_the_file) {
    auto reader = CsvReader::over("a,b\n" + std::string(400'000, 'x') + ",1\n" + std::string("1,\0\n", 4));
    ASSERT_TRUE(reader);
    CsvRow row;
    Result<bool> got = true;
    while (got && *got) got = reader->next(row);
    ASSERT_FALSE(got);
    EXPECT_EQ(got.error().code, Code::kInvalid);
}

}  // namespace
}  // namespace perennial::ingest
