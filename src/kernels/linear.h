// y = x W^T + b, the same for chosen rows of W only, and the gradient by x: layers, and scores of one or several queries over a table.
// Shapes: R rows, I in, O out. Row-major float32. Threads: pure functions.
#pragma once

#include <cassert>
#include <span>

#include "kernels/isa.h"

namespace perennial::kernels {

// x [R, I], weight [O, I], bias [O] or empty, y [R, O] (overwritten; must not overlap x). O(R I O); W is read once per
// call, so several rows together cost little more than one while x stays in the cache.
inline void linear(std::span<const float> x, std::span<const float> weight, std::span<const float> bias, std::span<float> y,
                   std::size_t in, std::size_t out) noexcept {
    const std::size_t rows = out == 0 ? 0 : y.size() / out;
    assert(x.size() == rows * in && weight.size() == out * in && y.size() == rows * out && (bias.empty() || bias.size() == out));
    table().linear(x.data(), weight.data(), bias.empty() ? nullptr : bias.data(), y.data(), rows, in, out);
}

// y[k] = x . weight[chosen[k]] + bias[chosen[k]] for one row x [I]; every chosen index is below O.
inline void linear_rows(std::span<const float> x, std::span<const float> weight, std::span<const float> bias,
                        std::span<const std::int32_t> chosen, std::span<float> y) noexcept {
    assert(y.size() == chosen.size() && (x.empty() || weight.size() % x.size() == 0));
    table().linear_rows(x.data(), weight.data(), bias.empty() ? nullptr : bias.data(), chosen.data(), y.data(), x.size(),
                        chosen.size());
}

// d_x [R, I] = d_y [R, O] weight [O, I], or that added to d_x; d_x must not overlap d_y. Also a weighted sum of rows of a
// table, for R = 1. O(R I O).
inline void linear_backward(std::span<const float> d_y, std::span<const float> weight, std::span<float> d_x, std::size_t in, std::size_t out,
                            bool add = false) noexcept {
    const std::size_t rows = in == 0 ? 0 : d_x.size() / in;
    assert(d_x.size() == rows * in && weight.size() == out * in && d_y.size() == rows * out);
    table().linear_backward(d_y.data(), weight.data(), d_x.data(), rows, in, out, add);
}

}  // namespace perennial::kernels
