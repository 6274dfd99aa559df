// Rows a second of the CSV reader alone and of a whole import into a sink that keeps nothing, on UCI Online Retail.
// bench_ingest; PERENNIAL_DATA points at the data sets.
#include <benchmark/benchmark.h>

#include <cstdlib>

#include "ingest/csv.h"
#include "ingest/import.h"

namespace perennial::ingest {
namespace {

std::filesystem::path online_retail() {
    const char* data = std::getenv("PERENNIAL_DATA");
    return std::filesystem::path(data ? data : "../shared/data") / "online_retail/online_retail.csv.gz";
}

void csv_reader(benchmark::State& state) {
    std::int64_t rows = 0;
    for (auto _ : state) {
        auto reader = CsvReader::open(online_retail());
        if (!reader) return state.SkipWithError(reader.error().message.c_str());
        CsvRow row;
        while (*reader->next(row)) {
            benchmark::DoNotOptimize(row.fields.data());
            ++rows;
        }
    }
    state.SetItemsProcessed(rows);
}
BENCHMARK(csv_reader)->Unit(benchmark::kMillisecond)->UseRealTime();

void import_online_retail(benchmark::State& state) {
    std::int64_t rows = 0;
    for (auto _ : state) {
        auto report = import_file(online_retail(), {.show_progress = false}, [](std::vector<event::Event>&& events) -> Result<SinkReceipt> {
            return SinkReceipt{.accepted = events.size()};
        });
        if (!report) return state.SkipWithError(report.error().message.c_str());
        rows += static_cast<std::int64_t>(report->rows);
    }
    state.SetItemsProcessed(rows);
}
BENCHMARK(import_online_retail)->Unit(benchmark::kMillisecond)->UseRealTime();

}  // namespace
}  // namespace perennial::ingest
