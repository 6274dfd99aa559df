// One file of the journal: a header, then records, each with its own checksum (docs/formats/journal.md).
// Threads: plain functions; one writer per file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>

#include "base/file.h"
#include "base/result.h"

namespace perennial::journal {

// Number of a record since the shop's first, counted from 0.
struct Offset {
    std::uint64_t value = 0;
    auto operator<=>(const Offset&) const = default;
};

inline constexpr std::uint64_t kSegmentHeaderBytes = 32;
inline constexpr std::uint64_t kRecordHeaderBytes = 12;          // checksum u64, length u32
inline constexpr std::uint32_t kRecordBytesLimit = 1u << 20;

std::string segment_name(Offset base);                           // "00000000000000000042.seg"
std::string segment_header(Offset base);
Result<Offset> parse_segment_header(std::string_view bytes, const std::filesystem::path& where);

void append_record(std::string& out, Offset offset, std::string_view payload);

// Reads records one after another from a segment file, also while a writer appends to it.
class SegmentReader {
public:
    static Result<SegmentReader> open(const std::filesystem::path& path);

    enum class State { kRecord, kEnd, kBad };  // kBad: bytes that are no whole record stand at position()
    // `record` is valid until the next call.
    Result<State> next(std::string_view& record);

    Offset base() const noexcept { return base_; }                 // of the segment's first record
    Offset offset() const noexcept { return offset_; }             // of the record that next() would return
    std::uint64_t position() const noexcept { return position_; }  // byte of the file at which it starts

private:
    Fd fd_;
    std::filesystem::path path_;
    Offset base_, offset_;
    std::uint64_t position_ = kSegmentHeaderBytes;
    std::string buffer_;               // bytes of the file from position_ - consumed_ on
    std::size_t consumed_ = 0;

    Result<bool> have(std::size_t bytes);  // true when so many bytes stand at position_
};

}  // namespace perennial::journal
