// Rows of a CSV file, one at a time, as views into a buffer (RFC 4180 plus what real exports do).
// Separators , ; tab | are found from the header; line ends LF or CRLF; a UTF-8 byte order mark is skipped; bytes that
// are not UTF-8 are read as Latin-1. A row that cannot be read is handed over with its problem, never skipped.
// Threads: one reader per thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"

namespace perennial::ingest {

// A megabyte is a thousand times the longest row of the exports we know; more is a lost closing quote or no CSV at all.
inline constexpr std::size_t kRowBytesLimit = std::size_t{1} << 20;
inline constexpr std::size_t kColumnsLimit = 4096;

struct CsvOptions {
    std::optional<char> separator{};  // absent: found from the header
    std::size_t row_bytes_limit = kRowBytesLimit;
};

// Valid until the next call of next().
struct CsvRow {
    std::uint64_t line = 0;  // of the row's first byte, from 1
    std::span<const std::string_view> fields;
    std::string_view raw;    // without its line end; cut at the row limit
    std::string problem;     // empty: the row has as many fields as the header
};

class CsvReader {
public:
    // Reads the header too. Errors: kInvalid (not a text file, no header, more than kColumnsLimit columns), and those of ByteSource.
    static Result<CsvReader> open(const std::filesystem::path& path, CsvOptions options = {});
    static Result<CsvReader> over(std::string text, CsvOptions options = {});
    CsvReader(CsvReader&&) noexcept;
    CsvReader& operator=(CsvReader&&) noexcept;
    ~CsvReader();

    const std::vector<std::string>& header() const noexcept;
    char separator() const noexcept;

    // False at the end. Blank lines are no rows. Errors: kInvalid (a NUL byte: not a text file), and those of ByteSource.
    Result<bool> next(CsvRow& row);

    double share_read() const noexcept;  // [0, 1] of the file's own bytes

private:
    struct State;
    explicit CsvReader(std::unique_ptr<State> state) noexcept;
    static Result<CsvReader> start(std::unique_ptr<State> state);
    std::unique_ptr<State> state_;
};

}  // namespace perennial::ingest
