// Ours against the scalar reference at the model's shapes: width 64, 2 heads, a table of 12 101 rows.
#include <benchmark/benchmark.h>

#include <vector>

#include "base/rng.h"
#include "kernels/attention.h"
#include "kernels/isa.h"

namespace perennial::kernels {
namespace {

std::vector<float> random(std::size_t count) {
    Rng rng(count);
    std::vector<float> values(count);
    for (auto& value : values) value = static_cast<float>(rng.normal());
    return values;
}

Isa isa(const benchmark::State& state) { return state.range(0) == 0 ? Isa::kScalar : Isa::kAvx2; }

void scores_over_table(benchmark::State& state) {  // items = multiply-adds
    const auto rows = static_cast<std::size_t>(state.range(1));
    const std::size_t width = 64, table_rows = 12101;
    const auto x = random(rows * width), weight = random(table_rows * width), bias = random(table_rows);
    std::vector<float> y(rows * table_rows);
    for (auto _ : state) {
        table(isa(state)).linear(x.data(), weight.data(), bias.data(), y.data(), rows, width, table_rows);
        benchmark::DoNotOptimize(y.data());
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(rows * width * table_rows));
    state.SetLabel(name(isa(state)));
}
BENCHMARK(scores_over_table)->ArgNames({"avx2", "rows"})->ArgsProduct({{0, 1}, {1, 16}});

void attend_one_query(benchmark::State& state) {  // items = keys
    const auto count = static_cast<std::size_t>(state.range(1));
    const std::size_t heads = 2, d = 32, width = heads * d;
    const auto q = random(width), k = random(count * width), v = random(count * width), bias = random(heads * count);
    std::vector<float> weights(heads * count), out(width);
    const AttendRow row{q.data(), k.data(), v.data(), bias.data(), weights.data(), width, count, heads, d};
    for (auto _ : state) {
        table(isa(state)).attend_row(row, out.data());
        benchmark::DoNotOptimize(out.data());
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(count));
    state.SetLabel(name(isa(state)));
}
BENCHMARK(attend_one_query)->ArgNames({"avx2", "keys"})->ArgsProduct({{0, 1}, {8, 50, 200}});

void attend_one_query_backward(benchmark::State& state) {  // items = keys
    const auto count = static_cast<std::size_t>(state.range(1));
    const std::size_t heads = 2, d = 32, width = heads * d;
    const auto q = random(width), k = random(count * width), v = random(count * width), bias = random(heads * count);
    std::vector<float> weights(heads * count, 1.0f / static_cast<float>(count)), dq(width), dk(k.size()), dv(k.size()), db(bias.size());
    const AttendRow row{q.data(), k.data(), v.data(), bias.data(), weights.data(), width, count, heads, d};
    for (auto _ : state) {
        table(isa(state)).attend_row_backward(row, q.data(), dq.data(), dk.data(), dv.data(), db.data());
        benchmark::DoNotOptimize(dq.data());
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(count));
    state.SetLabel(name(isa(state)));
}
BENCHMARK(attend_one_query_backward)->ArgNames({"avx2", "keys"})->ArgsProduct({{0, 1}, {8, 50, 200}});

void gates(benchmark::State& state) {  // items = elements
    const std::size_t width = 256, rows = 16;
    const auto x = random(rows * 2 * width);
    std::vector<float> out(rows * width);
    for (auto _ : state) {
        table(isa(state)).swiglu(x.data(), out.data(), rows, width);
        benchmark::DoNotOptimize(out.data());
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(out.size()));
    state.SetLabel(name(isa(state)));
}
BENCHMARK(gates)->ArgName("avx2")->Arg(0)->Arg(1);

}  // namespace
}  // namespace perennial::kernels
