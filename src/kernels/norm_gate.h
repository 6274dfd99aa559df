// Row-wise pieces of a gated pre-norm block: RMS norm, SwiGLU, gated residual, softmax.
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

// out[r, i] = silu(g) * v with g = x[r, i], v = x[r, W + i]. x [R, 2W], out [R, W]; silu(g) = g / (1 + e^-g).
inline void swiglu(std::span<const float> x, std::span<float> out, std::size_t width) noexcept {
    assert(width > 0 && out.size() % width == 0 && x.size() == 2 * out.size());
    table().swiglu(x.data(), out.data(), out.size() / width, width);
}

// x += sigmoid(gate) * y, element by element; all of one size.
inline void gated_add(std::span<float> x, std::span<const float> gate, std::span<const float> y) noexcept {
    assert(x.size() == gate.size() && x.size() == y.size());
    table().gated_add(x.data(), gate.data(), y.data(), x.size());
}

// Softmax of each row [W]; x and out may be the same. A row of all -inf gives zeros, not NaN.
inline void softmax(std::span<const float> x, std::span<float> out, std::size_t width) noexcept {
    assert(width > 0 && x.size() == out.size() && x.size() % width == 0);
    table().softmax(x.data(), out.data(), x.size() / width, width);
}

}  // namespace perennial::kernels
