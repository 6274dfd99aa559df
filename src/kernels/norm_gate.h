// Row-wise pieces of a gated pre-norm block: RMS norm, SwiGLU, gated residual, forward and backward; softmax.
// Sources: Zhang and Sennrich 2019 (RMSNorm), Shazeer 2020 (SwiGLU). Row-major float32; R rows, W width.
// Threads: pure functions. NaN in gives NaN out; very large values saturate as IEEE says.
#pragma once

#include <cassert>
#include <span>

#include "kernels/isa.h"

namespace perennial::kernels {

// out[r] = gain * x[r] / sqrt(mean(x[r]^2) + eps). x and out [R, W] may be the same; gain [W].
inline void rms_norm(std::span<const float> x, std::span<const float> gain, std::span<float> out, float eps) noexcept {
    assert(x.size() == out.size() && !gain.empty() && x.size() % gain.size() == 0);
    table().rms_norm(x.data(), gain.data(), out.data(), x.size() / gain.size(), gain.size(), eps);
}

// Its gradients from d_out [R, W], the gradient of `out`: d_x [R, W] is overwritten and may be d_out; d_gain [W] is added to.
inline void rms_norm_backward(std::span<const float> x, std::span<const float> gain, std::span<const float> d_out,
                              std::span<float> d_x, std::span<float> d_gain, float eps) noexcept {
    assert(x.size() == d_out.size() && x.size() == d_x.size() && !gain.empty() && x.size() % gain.size() == 0 && d_gain.size() == gain.size());
    table().rms_norm_backward(x.data(), gain.data(), d_out.data(), d_x.data(), d_gain.data(), x.size() / gain.size(), gain.size(), eps);
}

// out[r, i] = silu(g) * v with g = x[r, i], v = x[r, W + i]. x [R, 2W], out [R, W]; silu(g) = g / (1 + e^-g).
inline void swiglu(std::span<const float> x, std::span<float> out, std::size_t width) noexcept {
    assert(width > 0 && out.size() % width == 0 && x.size() == 2 * out.size());
    table().swiglu(x.data(), out.data(), out.size() / width, width);
}

// Its gradient d_x [R, 2W], overwritten, from d_out [R, W]; d_x may be x.
inline void swiglu_backward(std::span<const float> x, std::span<const float> d_out, std::span<float> d_x, std::size_t width) noexcept {
    assert(width > 0 && d_out.size() % width == 0 && x.size() == 2 * d_out.size() && d_x.size() == x.size());
    table().swiglu_backward(x.data(), d_out.data(), d_x.data(), d_out.size() / width, width);
}

// x += sigmoid(gate) * y, element by element; all of one size.
inline void gated_add(std::span<float> x, std::span<const float> gate, std::span<const float> y) noexcept {
    assert(x.size() == gate.size() && x.size() == y.size());
    table().gated_add(x.data(), gate.data(), y.data(), x.size());
}

// Its gradients from d_out, the gradient of the sum: d_gate and d_y are overwritten and may be gate and y (x's own is d_out).
inline void gated_add_backward(std::span<const float> gate, std::span<const float> y, std::span<const float> d_out,
                               std::span<float> d_gate, std::span<float> d_y) noexcept {
    assert(gate.size() == y.size() && gate.size() == d_out.size() && gate.size() == d_gate.size() && gate.size() == d_y.size());
    table().gated_add_backward(gate.data(), y.data(), d_out.data(), d_gate.data(), d_y.data(), gate.size());
}

// Softmax of each row [W]; x and out may be the same. A row of all -inf gives zeros, not NaN.
inline void softmax(std::span<const float> x, std::span<float> out, std::size_t width) noexcept {
    assert(width > 0 && x.size() == out.size() && x.size() % width == 0);
    table().softmax(x.data(), out.data(), x.size() / width, width);
}

}  // namespace perennial::kernels
