// Ours against the scalar reference at the model's shapes: width 64, 2 heads, a table of 12 101 rows.
#include <benchmark/benchmark.h>

#include <cstdint>
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

Isa isa(const benchmark::State& state) { return kEveryIsa[state.range(0)]; }  // all must be supported

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
BENCHMARK(scores_over_table)->ArgNames({"isa", "rows"})->ArgsProduct({{0, 1, 2}, {1, 16}});

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
BENCHMARK(attend_one_query)->ArgNames({"isa", "keys"})->ArgsProduct({{0, 1, 2}, {8, 50, 200}});

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
BENCHMARK(attend_one_query_backward)->ArgNames({"isa", "keys"})->ArgsProduct({{0, 1, 2}, {8, 50, 200}});

// The block's elementwise pieces, forward and backward: 512 rows of width 64. Items = elements of the result.
constexpr std::size_t kRows = 512, kWidth = 64, kAll = kRows * kWidth;
using Piece = void (*)(const Table&, float* a, float* b, float* c, float* d);  // each [kRows, 2 kWidth]

void piece(benchmark::State& state, Piece run) {
    auto values = random(8 * kAll + 16);
    float* a = values.data();
    while (reinterpret_cast<std::uintptr_t>(a) % 64 != 0) ++a;  // as libtorch's tensors lie
    const Table& kernels = table(isa(state));
    for (auto _ : state) {
        run(kernels, a, a + 2 * kAll, a + 4 * kAll, a + 6 * kAll);
        benchmark::ClobberMemory();
    }
    state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kAll));
    state.SetLabel(name(isa(state)));
}
#define PERENNIAL_PIECE(name, call)                                                                                        \
    BENCHMARK_CAPTURE(piece, name, [](const Table& t, float* a, float* b, float* c, float* d) { (void)c, (void)d, t.call; }) \
        ->ArgName("isa")->DenseRange(0, 2)
PERENNIAL_PIECE(rms_norm, rms_norm(a, b, c, kRows, kWidth, 1e-6f));
PERENNIAL_PIECE(rms_norm_backward, rms_norm_backward(a, b, c, d, b + kAll, kRows, kWidth, 1e-6f));
PERENNIAL_PIECE(swiglu, swiglu(a, b, kRows, kWidth));
PERENNIAL_PIECE(swiglu_backward, swiglu_backward(a, b, c, kRows, kWidth));
PERENNIAL_PIECE(gated_add, gated_add(a, b, c, kAll));
PERENNIAL_PIECE(gated_add_backward, gated_add_backward(a, b, c, d, d + kAll, kAll));
PERENNIAL_PIECE(softmax, softmax(a, b, kRows, kWidth));

}  // namespace
}  // namespace perennial::kernels
