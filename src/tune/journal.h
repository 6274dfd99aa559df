// A search's memory on disk: JSON lines, one a result, each durable before the next trial starts (docs/formats/search.md).
// A line that a crash cut short is the last one and is dropped; anything else that cannot be read is refused.
// Threads: one Journal is used from one thread; a second process on the same file is refused.
#pragma once

#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/result.h"
#include "tune/search.h"

namespace perennial::tune {

inline constexpr std::size_t kJournalBytesLimit = 64u << 20;

struct JournalContents {
    std::vector<TrialResult> results;
    std::size_t bytes = 0;  // of whole lines; what follows was cut short
};

// `data`: a text that stands for what the trials are judged on, such as a hash. Errors: kInvalid when the header names
// another space, plan or data; kUnsupported (another version); kCorrupt naming the line. `source` is named in messages.
Result<JournalContents> read_journal(std::string_view bytes, const Space& space, const Plan& plan, std::string_view data, std::string_view source);

std::string journal_header(const Space& space, const Plan& plan, std::string_view data);  // the first line

class Journal {
public:
    // Makes the file, or reads it and goes on behind its last whole line. Errors: as read_journal, kIo, kBusy.
    static Result<Journal> open(const std::filesystem::path& path, const Space& space, const Plan& plan, std::string_view data);

    std::span<const TrialResult> results() const noexcept { return results_; }
    // Durable on return. Errors: kInvalid (check() of search.h), kIo, kFull.
    Status append(const TrialResult& result);

private:
    Journal() = default;
    Space space_;
    Plan plan_;
    std::string path_;
    Fd fd_;
    std::vector<TrialResult> results_;
};

}  // namespace perennial::tune
