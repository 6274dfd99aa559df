// What could not be taken in, kept so that it can be fixed and taken in again: one JSON object per line, appended to
// DIR/quarantine.jsonl (docs/formats/quarantine.md). Threads: one writer per thread; several processes may append to one
// file, because every write() is of whole lines on a file opened for appending.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/result.h"
#include "base/time.h"

namespace perennial::ingest {

inline constexpr std::size_t kQuarantineRawBytesLimit = std::size_t{1} << 20;  // as large as a CSV row may be
inline constexpr std::string_view kQuarantineFile = "quarantine.jsonl";

class Quarantine {
public:
    // Makes the directory when it is missing. Errors: kIo, kFull.
    static Result<Quarantine> open(const std::filesystem::path& directory);
    // Keeps nothing, counts only: for callers that were given no place to keep it.
    Quarantine() = default;

    // `file` is where it came from ("http" for the API), `line` 0 where there are none. Errors: kIo, kFull.
    Status add(std::string_view file, std::uint64_t line, std::string_view reason, std::string_view raw, UtcTime received);
    // On the disk when it returns.
    Status sync();
    std::uint64_t count() const noexcept { return count_; }

private:
    Status flush();

    Fd fd_;
    std::filesystem::path path_;
    std::string pending_;
    std::uint64_t count_ = 0;
    bool keeps_ = false;
};

}  // namespace perennial::ingest
