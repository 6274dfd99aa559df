// Events per second through the one door: de-duplicate, journal, fdatasync, fold. By group size.
#include <benchmark/benchmark.h>
#include <fmt/format.h>

#include "base/file.h"
#include "base/rng.h"
#include "profile/store.h"

namespace perennial::profile {
namespace {

void append(benchmark::State& state) {
    TempDir dir;
    auto store = Store::open(dir.path());
    Rng rng(1);
    std::uint64_t number = 0;
    for (auto _ : state) {
        state.PauseTiming();
        std::vector<event::Event> events(static_cast<std::size_t>(state.range(0)));
        for (auto& e : events) {
            e.kind = event::Kind::kOrderCompleted;
            e.message_id = fmt::format("message-{:016}", number);
            e.user_id = fmt::format("{}", rng.below(5000));
            e.order_id = fmt::format("{}", number / 10);
            e.product = fmt::format("p{}", rng.below(4000));
            e.time = e.received = {static_cast<std::int64_t>(1'300'000'000'000 + number++ * 1000)};
            e.quantity = 1;
            e.amount = {100};
        }
        state.ResumeTiming();
        benchmark::DoNotOptimize(store->append(std::move(events)).ok());
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(append)->Arg(1)->Arg(100)->Arg(16'384)->UseRealTime();

}  // namespace
}  // namespace perennial::profile
