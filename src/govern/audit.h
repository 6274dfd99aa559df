// Who did what, when: a file of JSON lines that is only ever added to. Each line's hash covers the line and the hash
// before it, so that a line changed, removed or put in later breaks the chain; a head that was noted elsewhere shows
// that the end was not cut off (docs/formats/audit.md).
// Source: hash-linked log, Schneier and Kelsey 1999; BLAKE2b-256, RFC 7693.
// Threads: record() from any thread and any process; a lock on the file puts them in order.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace perennial::govern {

inline constexpr std::size_t kAuditLineLimit = 64 * 1024;

struct AuditEntry {
    std::uint64_t number = 0;  // from 1, filled in by record()
    UtcTime time;
    std::string who;            // "cli:ann", "key:dashboard"
    std::string what;           // "train", "identity.accept"
    std::string subject;        // what it was done to
    std::string details = "{}"; // a JSON object
};

// Adds one line, durable on return, and makes the file where there is none. A line that a crash cut short is dropped first:
// nobody was told that it stands. O(1): looks at the last line alone.
// Returns the new head. Errors: kInvalid (details are no JSON object, or the line would pass kAuditLineLimit), kCorrupt (the last
// line is no entry), kIo, kFull.
Result<std::string> record(const std::filesystem::path& path, AuditEntry entry);

struct AuditSummary {
    std::uint64_t entries = 0;
    std::string head;           // 64 hexadecimal digits; of an empty file, zeros
    std::uint64_t torn_bytes = 0;  // behind the last whole line
};

// Follows the chain from the first line. `visit` may be empty; `known_head` too: else a hash that must be in the chain.
// O(file). Errors: kNotFound, kCorrupt naming the first line that does not fit, kIo.
Result<AuditSummary> verify(const std::filesystem::path& path, const std::function<void(const AuditEntry&)>& visit = {}, std::string_view known_head = {});
// The same from bytes; `source` is named in messages.
Result<AuditSummary> verify_text(std::string_view bytes, std::string_view source, const std::function<void(const AuditEntry&)>& visit = {}, std::string_view known_head = {});

}  // namespace perennial::govern
