// An explanation at the size of Amazon Beauty: 12 101 products, width 64, two blocks, two heads, a history of 50.
#include <benchmark/benchmark.h>

#include <numeric>

#include "model/attribution.h"
#include "model/random_network.h"

namespace perennial::model {
namespace {

// Arguments: readouts (products explained together), path steps. Items = explanations.
void explain_history_of_50(benchmark::State& state) {
    Config config;
    config.products = 12101;
    const auto network = random_network(config, 1, 0.1f);
    std::vector<Step> steps;
    for (std::int64_t i = 0; i < 50; ++i) steps.push_back({.product = static_cast<std::int32_t>(i * 37), .time_ms = i});
    const std::vector<float> shares(network.products(), 1.0f / 12101);
    std::vector<std::int32_t> products(static_cast<std::size_t>(state.range(0)));
    std::iota(products.begin(), products.end(), 0);
    for (auto _ : state) {
        const Explainer explainer(network);
        const auto got = explainer.attribute(steps, explainer.contrasts({}, products, shares), {.path_steps = static_cast<std::size_t>(state.range(1))});
        benchmark::DoNotOptimize(got.data());
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(explain_history_of_50)->Args({1, 8})->Args({1, 16})->Args({1, 32})->Args({10, 8})->Args({10, 16})->Unit(benchmark::kMillisecond);

}  // namespace
}  // namespace perennial::model
