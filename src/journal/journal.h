// The durable, ordered log of a shop's events: a folder of segment files. What append() has returned for survives a
// crash of the process and of the machine; everything else in a shop's folder can be rebuilt from here.
// Threads: one Journal (writer) per folder, held by a lock file, used from one thread; any number of Cursors beside it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "journal/segment.h"

namespace perennial::journal {

struct Options {
    std::uint64_t segment_bytes = 64u << 20;  // a segment is closed once it is at least so large
    bool sync = true;                         // false only for measuring what the disk costs
};

// What open() found after a crash. Torn bytes are a write that was never acknowledged; they are set aside in
// `torn_file`, not thrown away.
struct Recovery {
    std::uint64_t torn_bytes = 0;
    std::filesystem::path torn_file;
};

class Journal {
public:
    // Creates the folder when it is missing. Checks the last segment record by record: O(segment_bytes).
    // Errors: kBusy (another process writes here), kCorrupt, kUnsupported, kIo.
    static Result<Journal> open(const std::filesystem::path& directory, const Options& options = {});

    // Appends one group and returns the offset of its first record; durable on return. All of the group or, on an
    // error, none of it. O(bytes) and one fdatasync.
    // Errors: kFull (disk full, or a record above kRecordBytesLimit), kIo. The journal stays usable after kFull.
    Result<Offset> append(std::span<const std::string> records);

    Offset next_offset() const noexcept { return next_; }
    const Recovery& recovery() const noexcept { return recovery_; }

private:
    Status start_segment();

    std::filesystem::path directory_;
    Options options_;
    Fd lock_, segment_;
    std::filesystem::path segment_path_;
    std::uint64_t segment_size_ = 0;
    Offset next_;
    Recovery recovery_;
    bool broken_ = false;  // an append failed and could not be taken back
    std::string group_;    // reused buffer
};

// Reads records in order from `from` on, to the last whole record there is now. Works beside a writer.
class Cursor {
public:
    // Errors: kNotFound (no journal here), kCorrupt, kIo.
    static Result<Cursor> open(const std::filesystem::path& directory, Offset from = {});

    // False at the end; calling again later sees what was appended meanwhile. `record` is valid until the next call.
    // Errors: kCorrupt when a record that is not at the tail of the last segment fails its checksum.
    Result<bool> next(std::string_view& record);
    Offset offset() const noexcept { return reader_ ? reader_->offset() : next_; }  // of the next record

private:
    std::filesystem::path directory_;
    std::optional<SegmentReader> reader_;
    Offset next_;
};

}  // namespace perennial::journal
