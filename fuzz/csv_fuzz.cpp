// Any bytes through the CSV reader, with a small row limit so that the fuzzer reaches it.
#include <cstddef>
#include <cstdint>
#include <string>

#include "ingest/csv.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    auto reader = perennial::ingest::CsvReader::over(std::string(reinterpret_cast<const char*>(data), size), {.row_bytes_limit = 512});
    if (!reader) return 0;
    perennial::ingest::CsvRow row;
    std::uint64_t last_line = 0;
    for (;;) {
        auto got = reader->next(row);
        if (!got || !*got) return 0;
        if (row.line <= last_line) __builtin_trap();
        last_line = row.line;
        if (row.problem.empty() && row.fields.size() != reader->header().size()) __builtin_trap();
        std::size_t bytes = 0;
        for (const auto field : row.fields) bytes += field.size();
        if (bytes > row.raw.size()) __builtin_trap();
    }
}
