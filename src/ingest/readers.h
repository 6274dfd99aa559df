// The two imports behind import_file, one per format. Internal to this room.
#pragma once

#include "ingest/import.h"
#include "ingest/mapping.h"

namespace perennial::ingest {

// `mapping` absent: found from the header.
Result<ImportReport> import_csv(const std::filesystem::path& path, const ImportOptions& options, const Sink& sink, std::optional<Mapping> mapping);
Result<ImportReport> import_jsonl(const std::filesystem::path& path, const ImportOptions& options, const Sink& sink);

}  // namespace perennial::ingest
