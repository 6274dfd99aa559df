// Durable appends by group size: what one fdatasync costs, spread over the group. Rival: the same without sync.
#include <benchmark/benchmark.h>

#include "base/file.h"
#include "journal/journal.h"

namespace perennial::journal {
namespace {

void append(benchmark::State& state, bool sync) {
    TempDir dir;
    auto journal = Journal::open(dir.path(), {.sync = sync});
    const std::vector<std::string> group(static_cast<std::size_t>(state.range(0)), std::string(120, 'e'));
    for (auto _ : state) benchmark::DoNotOptimize(journal->append(group).ok());
    state.SetItemsProcessed(state.iterations() * state.range(0));
    state.SetBytesProcessed(state.iterations() * state.range(0) * 120);
}

void append_durable(benchmark::State& state) { append(state, true); }
void append_without_sync(benchmark::State& state) { append(state, false); }
BENCHMARK(append_durable)->Arg(1)->Arg(100)->Arg(10'000)->UseRealTime();
BENCHMARK(append_without_sync)->Arg(1)->Arg(100)->Arg(10'000)->UseRealTime();

}  // namespace
}  // namespace perennial::journal
