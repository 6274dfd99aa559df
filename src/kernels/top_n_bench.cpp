// The ten best of a table of 12 101 rows, width 64: a naive loop, float32 kernels, 8-bit bounds. Items are queries.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "base/rng.h"
#include "kernels/int8.h"
#include "kernels/linear.h"

namespace perennial::kernels {
namespace {

constexpr std::size_t kRows = 12101, kWidth = 64, kBest = 10;

std::vector<float> random(std::size_t count) {
    Rng rng(count);
    std::vector<float> values(count);
    for (auto& value : values) value = static_cast<float>(rng.normal());
    return values;
}

struct Data {
    std::vector<float> weight = random(kRows * kWidth), bias = random(kRows), x;
    std::vector<Ranked> best;
    std::vector<TopQuery> queries;
    explicit Data(const benchmark::State& state) : x(random(static_cast<std::size_t>(state.range(0)) * kWidth)), best(static_cast<std::size_t>(state.range(0)) * kBest) {
        for (std::size_t q = 0; q < best.size() / kBest; ++q)
            queries.push_back({std::span(x).subspan(q * kWidth, kWidth), {}, std::span(best).subspan(q * kBest, kBest)});
    }
};

void naive_loop_and_partial_sort(benchmark::State& state) {
    Data data(state);
    std::vector<float> scores(kRows);
    std::vector<std::int32_t> order(kRows);
    for (auto _ : state)
        for (const auto& query : data.queries) {
            for (std::size_t i = 0; i < kRows; ++i) {
                float sum = data.bias[i];
                for (std::size_t k = 0; k < kWidth; ++k) sum += query.x[k] * data.weight[i * kWidth + k];
                scores[i] = sum;
            }
            std::iota(order.begin(), order.end(), 0);
            std::partial_sort(order.begin(), order.begin() + kBest, order.end(),
                              [&](std::int32_t a, std::int32_t b) { return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)]; });
            benchmark::DoNotOptimize(order.data());
        }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(naive_loop_and_partial_sort)->ArgName("queries")->Arg(1);

void float_scores_then_top_n(benchmark::State& state) {
    Data data(state);
    std::vector<float> scores(data.queries.size() * kRows);
    for (auto _ : state) {
        linear(data.x, data.weight, data.bias, scores, kWidth, kRows);
        for (std::size_t q = 0; q < data.queries.size(); ++q) top_n(std::span(scores).subspan(q * kRows, kRows), {}, data.queries[q].best);
        benchmark::DoNotOptimize(data.best.data());
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(float_scores_then_top_n)->ArgName("queries")->Arg(1)->Arg(32);

void float_tiles_fused_with_top_n(benchmark::State& state) {
    Data data(state);
    for (auto _ : state) {
        top_n_rows(data.weight, data.bias, data.queries);
        benchmark::DoNotOptimize(data.best.data());
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(float_tiles_fused_with_top_n)->ArgName("queries")->Arg(1)->Arg(32);

void int8_bounds_then_float(benchmark::State& state) {
    Data data(state);
    const auto table = Int8Table::make(data.weight, data.bias, kWidth);
    for (auto _ : state) {
        top_n_rows(*table, data.weight, data.bias, data.queries);
        benchmark::DoNotOptimize(data.best.data());
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
    state.counters["rescored"] = static_cast<double>(data.queries.front().rescored);
}
BENCHMARK(int8_bounds_then_float)->ArgName("queries")->Arg(1)->Arg(4)->Arg(32);

void top_n_of_scores(benchmark::State& state) {  // the selection alone
    const auto scores = random(kRows);
    std::vector<Ranked> best(static_cast<std::size_t>(state.range(0)));
    for (auto _ : state) benchmark::DoNotOptimize(top_n(scores, {}, best));
}
BENCHMARK(top_n_of_scores)->ArgName("n")->Arg(10)->Arg(100);

}  // namespace
}  // namespace perennial::kernels
