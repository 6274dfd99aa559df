// Imports one file (CSV or Segment-spec JSON lines, plain or gzip) as checked, cleaned events.
// A CSV is read twice: a survey that settles what needs the whole file, then the reading that makes events (cleaning.h
// states the memory). Reading and the sink overlap: the sink is called on a second thread, one batch at a time, and at
// most kBatchesInFlight batches wait for it.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <string>
#include <vector>

#include "base/money.h"
#include "base/result.h"
#include "base/time.h"
#include "event/event.h"
#include "ingest/report.h"

namespace perennial::ingest {

inline constexpr std::size_t kBatchesInFlight = 2;

struct SinkReceipt { std::uint64_t accepted = 0, already_known = 0; };
// Takes a batch over. Durable when it returns; its error stops the import and becomes the import's error.
using Sink = std::function<Result<SinkReceipt>(std::vector<event::Event>&&)>;

struct ImportOptions {
    std::string mapping{};                     // preset name or TOML path; empty: found from the header
    std::vector<std::string> disabled_rules{}; // names as in cleaning.h
    std::filesystem::path quarantine_dir{};    // empty: rows that cannot be taken in are counted, not kept
    std::optional<Currency> currency{};        // instead of the mapping's
    std::optional<UtcTime> received{};         // absent: the clock, once, at the start
    std::size_t batch_events = 16 * 1024;
    bool show_progress = true;
};

// Errors: kNotFound, kIo, kFull (disk, or more rows than kRowsLimit), kCorrupt (gzip), kInvalid (no text file, unknown
// header, bad mapping, unknown rule, the file changed between the two readings), and the sink's. What the sink accepted
// before an error stays accepted; importing the file again continues without doubling, because message ids repeat.
Result<ImportReport> import_file(const std::filesystem::path& path, const ImportOptions& options, const Sink& sink);

}  // namespace perennial::ingest
