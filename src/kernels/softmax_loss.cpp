// Tiles, padding and threads around the two tasks of softmax_loss.h; their arithmetic is in the variants.
#include "kernels/softmax_loss.h"

#include <algorithm>
#include <atomic>
#include <cassert>
#include <deque>
#include <memory>
#include <new>
#include <vector>

#include "base/parallel.h"
#include "kernels/isa.h"

namespace perennial::kernels {
namespace {

// Probabilities of a tile, unless one strip has more: 8 MiB, and three tiles are under way at once.
constexpr std::size_t kLossTileFloats = std::size_t{1} << 21;
constexpr std::size_t kLossTiles = 3;
// Classes of one task of the table's gradient: a multiple of both groups of the variants, about a hundred tasks.
constexpr std::size_t kLossTableTask = 144;

std::size_t round_up(std::size_t value, std::size_t unit) noexcept { return (value + unit - 1) / unit * unit; }

struct Freed {
    void operator()(float* floats) const noexcept { ::operator delete(floats, std::align_val_t{64}); }
};
using Floats = std::unique_ptr<float, Freed>;

// Uninitialised: writing 24 MiB of zeros first would cost a tenth of a call.
Floats floats(std::size_t count) {
    return Floats(static_cast<float*>(::operator new(count * sizeof(float), std::align_val_t{64})));
}

// Rows of `from` widened with zeros, or narrowed.
void copy_rows(const float* from, std::size_t from_width, float* to, std::size_t to_width, std::size_t rows) noexcept {
    for (std::size_t r = 0; r < rows; ++r) {
        std::copy_n(from + r * from_width, std::min(from_width, to_width), to + r * to_width);
        if (to_width > from_width) std::fill_n(to + r * to_width + from_width, to_width - from_width, 0.0f);
    }
}

struct Shape {
    std::size_t rows, classes, width;
};

// Tasks that may run in any order: the strips of a tile (A), or blocks of classes for a tile (B).
struct Stage {
    std::size_t tile, tasks;
    bool strips;
    std::atomic<std::size_t> next{0}, left;

    Stage(std::size_t tile_, std::size_t tasks_, bool strips_) : tile(tile_), tasks(tasks_), strips(strips_), left(tasks_) {}
};

// A0 A1 B0 A2 B1 ... A(n-1) B(n-2) B(n-1). Between a stage and the one that needs it lies another to work on, so nobody waits
// for the slowest thread until the end.
std::deque<Stage> stages_of(std::size_t strips, std::size_t tile, std::size_t blocks) {
    std::deque<Stage> stages;
    const std::size_t tiles = (strips + tile - 1) / tile;
    for (std::size_t t = 0; t < tiles; ++t) {
        stages.emplace_back(t, std::min(tile, strips - t * tile), true);
        if (t > 0) stages.emplace_back(t - 1, blocks, false);
    }
    stages.emplace_back(tiles - 1, blocks, false);
    return stages;
}

void wait_for(Stage& stage) noexcept {
    for (auto left = stage.left.load(); left > 0; left = stage.left.load()) stage.left.wait(left);
}

// Each thread walks the stages and takes tasks. What a stage needs is done before its first task: B(t) needs A(t) and B(t-1),
// two or three stages back (for the last stage: one or two); A(t) needs the place of B(t-3) in the ring, three back.
template <class Body>
void walk(std::deque<Stage>& stages, const Body& body) noexcept {
    for (std::size_t s = 0; s < stages.size(); ++s) {
        for (std::size_t back = s + 1 == stages.size() ? 1 : 2; back <= std::min<std::size_t>(s, 3); ++back) wait_for(stages[s - back]);
        Stage& stage = stages[s];
        for (std::size_t task = stage.next++; task < stage.tasks; task = stage.next++) {
            body(stage, task);
            if (--stage.left == 0) stage.left.notify_all();
        }
    }
}

// Widths are multiples of kLossWidthUnit here. d_h may be null: then no gradients.
double run(const Table& kernels, const Shape& shape, const float* h, const float* table, const SoftmaxLoss& input, float* d_h,
           float* d_table, float* d_bias, unsigned threads) {
    const std::size_t strips = (shape.rows + kLossRows - 1) / kLossRows;
    const std::size_t p_floats = shape.classes * kLossRows, h_floats = shape.width * kLossRows;
    const std::size_t most = std::clamp<std::size_t>(kLossTileFloats / p_floats, 1, strips), tiles = (strips + most - 1) / most;
    const std::size_t tile = (strips + tiles - 1) / tiles, room = std::min(strips, kLossTiles * tile);  // strips kept, as a ring
    const auto p = floats(room * p_floats), h_columns = floats(room * h_floats), weighted_h = floats(room * h_floats),
               weights = floats(room * kLossRows);
    std::vector<double> losses(shape.rows);
    auto stages = stages_of(strips, tile, d_h == nullptr ? 0 : (shape.classes + kLossTableTask - 1) / kLossTableTask);
    const auto task = [&](const Stage& stage, std::size_t i) noexcept {
        const std::size_t first = stage.tile % kLossTiles * tile;
        if (!stage.strips) {
            const std::size_t begin = i * kLossTableTask, count = std::min(kLossTableTask, shape.classes - begin);
            kernels.loss_table({p.get() + first * p_floats, weights.get() + first * kLossRows, weighted_h.get() + first * h_floats,
                                std::min(tile, strips - stage.tile * tile), shape.classes, shape.width, begin, count, stage.tile > 0,
                                d_table, d_bias});
            return;
        }
        const std::size_t row = (stage.tile * tile + i) * kLossRows, at = first + i;
        kernels.loss_strip({h + row * shape.width, table, input.bias.data(), input.targets.data() + row,
                            std::min(kLossRows, shape.rows - row), shape.width, shape.classes, input.scale,
                            h_columns.get() + at * h_floats, p.get() + at * p_floats, weights.get() + at * kLossRows,
                            weighted_h.get() + at * h_floats, d_h == nullptr ? nullptr : d_h + row * shape.width, losses.data() + row});
    };
    parallel_for(std::max(threads, 1u), 1, threads, [&](std::size_t, std::size_t) { walk(stages, task); });
    double sum = 0;
    for (const double loss : losses) sum += loss;
    return sum;
}

double checked(const SoftmaxLoss& input, const SoftmaxLossGradient* gradient, unsigned threads) {
    const Shape shape{input.targets.size(), input.bias.size(), input.width};
    assert(shape.rows > 0 && shape.classes > 0 && shape.width > 0);
    assert(input.h.size() == shape.rows * shape.width && input.table.size() == shape.classes * shape.width);
    assert(gradient == nullptr || (gradient->h.size() == input.h.size() && gradient->table.size() == input.table.size() &&
                                   gradient->bias.size() == input.bias.size()));
    assert(std::ranges::all_of(input.targets, [&](std::int32_t t) { return t >= 0 && static_cast<std::size_t>(t) < shape.classes; }));
    float* d_h = gradient == nullptr ? nullptr : gradient->h.data();
    float* d_table = gradient == nullptr ? nullptr : gradient->table.data();
    float* d_bias = gradient == nullptr ? nullptr : gradient->bias.data();
    const std::size_t width = round_up(shape.width, kLossWidthUnit);
    if (width == shape.width)
        return run(kernels::table(), shape, input.h.data(), input.table.data(), input, d_h, d_table, d_bias, threads);
    const auto h = floats(shape.rows * width), table = floats(shape.classes * width);
    copy_rows(input.h.data(), shape.width, h.get(), width, shape.rows);
    copy_rows(input.table.data(), shape.width, table.get(), width, shape.classes);
    const Shape padded{shape.rows, shape.classes, width};
    if (gradient == nullptr)
        return run(kernels::table(), padded, h.get(), table.get(), input, nullptr, nullptr, nullptr, threads);
    const auto wide_h = floats(shape.rows * width), wide_table = floats(shape.classes * width);
    const double loss = run(kernels::table(), padded, h.get(), table.get(), input, wide_h.get(), wide_table.get(), d_bias, threads);
    copy_rows(wide_h.get(), width, d_h, shape.width, shape.rows);
    copy_rows(wide_table.get(), width, d_table, shape.width, shape.classes);
    return loss;
}

}  // namespace

double softmax_loss(const SoftmaxLoss& input, const SoftmaxLossGradient& gradient, unsigned threads) {
    return checked(input, &gradient, threads);
}

double softmax_loss(const SoftmaxLoss& input, unsigned threads) { return checked(input, nullptr, threads); }

}  // namespace perennial::kernels
