// Tiles, padding and threads around the two tasks of softmax_loss.h; their arithmetic is in the variants.
#include "kernels/softmax_loss.h"

#include <algorithm>
#include <cassert>
#include <memory>
#include <new>
#include <vector>

#include "base/parallel.h"
#include "kernels/isa.h"

namespace perennial::kernels {
namespace {

// Probabilities kept at once, unless one strip needs more: 16 MiB, which a third-level cache may still hold.
constexpr std::size_t kLossTileFloats = std::size_t{1} << 22;
// Classes of one task of the table's gradient: a multiple of both groups of the variants, about a hundred tasks.
constexpr std::size_t kLossTableTask = 144;

std::size_t round_up(std::size_t value, std::size_t unit) noexcept { return (value + unit - 1) / unit * unit; }

struct Freed {
    void operator()(float* floats) const noexcept { ::operator delete(floats, std::align_val_t{64}); }
};
using Floats = std::unique_ptr<float, Freed>;

// Uninitialised: writing 16 MiB of zeros first would cost a tenth of a call.
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

// Widths are multiples of kLossWidthUnit here. d_h may be null: then no gradients.
double run(const Table& kernels, const Shape& shape, const float* h, const float* table, const SoftmaxLoss& input, float* d_h,
           float* d_table, float* d_bias, unsigned threads) {
    const std::size_t strips = round_up(shape.rows, kLossRows) / kLossRows, strip_floats = shape.classes * kLossRows;
    const std::size_t most = std::clamp<std::size_t>(kLossTileFloats / strip_floats, 1, strips);
    const std::size_t tiles = (strips + most - 1) / most, tile = (strips + tiles - 1) / tiles;
    const auto p = floats(tile * strip_floats), h_columns = floats(tile * kLossRows * shape.width),
               weighted_h = floats(tile * kLossRows * shape.width), weights = floats(tile * kLossRows);
    std::vector<double> losses(shape.rows);
    for (std::size_t first = 0; first < strips; first += tile) {
        const std::size_t count = std::min(tile, strips - first);
        parallel_for(count, 1, threads, [&](std::size_t strip, std::size_t) {
            const std::size_t row = (first + strip) * kLossRows, at = strip * kLossRows * shape.width;
            kernels.loss_strip({h + row * shape.width, table, input.bias.data(), input.targets.data() + row,
                                std::min(kLossRows, shape.rows - row), shape.width, shape.classes, input.scale,
                                h_columns.get() + at, p.get() + strip * strip_floats, weights.get() + strip * kLossRows,
                                weighted_h.get() + at, d_h == nullptr ? nullptr : d_h + row * shape.width, losses.data() + row});
        });
        if (d_h == nullptr) continue;
        parallel_for(shape.classes, kLossTableTask, threads, [&](std::size_t begin, std::size_t end) {
            kernels.loss_table({p.get(), weights.get(), weighted_h.get(), count, shape.classes, shape.width, begin, end - begin,
                                first > 0, d_table, d_bias});
        });
    }
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
