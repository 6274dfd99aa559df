// The body of linear_backward (linear.h) over a vector type V, for linear_avx2.cpp and _avx512.cpp and only for them: lanes
// along the inputs, so that no sum crosses lanes. No std:: template here: see variants.h.
#pragma once

#include "kernels/norm_gate_lanes.h"
#include "kernels/variants.h"

namespace perennial::kernels {

// Four rows of 4 (AVX2: 2) vectors: 16 (8) sums, and room for the weights and a broadcast in 32 (16) registers.
inline constexpr std::size_t kBackwardRows = 4;

// `vectors` columns of lanes from `c` on, of `Rows` rows. `lanes` loads and stores a column.
template <class V, std::size_t Rows, std::size_t Vectors, class Lanes>
static inline void backward_tile(const float* d_y, const float* weight, float* d_x, std::size_t in, std::size_t out, bool add, Lanes lanes) noexcept {
    typename V::Type sum[Rows][Vectors];
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 8
        for (std::size_t v = 0; v < Vectors; ++v) sum[r][v] = add ? lanes.load(d_x + r * in + v * V::kLanes) : V::zero();
    for (std::size_t o = 0; o < out; ++o) {
        typename V::Type weights[Vectors];
#pragma GCC unroll 8
        for (std::size_t v = 0; v < Vectors; ++v) weights[v] = lanes.load(weight + o * in + v * V::kLanes);
#pragma GCC unroll 8
        for (std::size_t r = 0; r < Rows; ++r) {
            const auto factor = V::set1(d_y[r * out + o]);
#pragma GCC unroll 8
            for (std::size_t v = 0; v < Vectors; ++v) sum[r][v] = V::fma(factor, weights[v], sum[r][v]);
        }
    }
#pragma GCC unroll 8
    for (std::size_t r = 0; r < Rows; ++r)
#pragma GCC unroll 8
        for (std::size_t v = 0; v < Vectors; ++v) lanes.store(d_x + r * in + v * V::kLanes, sum[r][v]);
}

template <class V, std::size_t Rows>
static inline void backward_rows(const float* d_y, const float* weight, float* d_x, std::size_t in, std::size_t out, bool add) noexcept {
    constexpr std::size_t kVectors = V::kLanes == 16 ? 4 : 2;
    std::size_t c = 0;
    for (; c + kVectors * V::kLanes <= in; c += kVectors * V::kLanes) backward_tile<V, Rows, kVectors>(d_y, weight + c, d_x + c, in, out, add, WholeVector<V>{});
    for (; c + V::kLanes <= in; c += V::kLanes) backward_tile<V, Rows, 1>(d_y, weight + c, d_x + c, in, out, add, WholeVector<V>{});
    if (c < in) backward_tile<V, Rows, 1>(d_y, weight + c, d_x + c, in, out, add, PartOfVector<V>{in - c});
}

template <class V>
static inline void linear_backward_of(const float* d_y, const float* weight, float* d_x, std::size_t rows, std::size_t in, std::size_t out, bool add) noexcept {
    std::size_t r = 0;
    for (; r + kBackwardRows <= rows; r += kBackwardRows) backward_rows<V, kBackwardRows>(d_y + r * out, weight, d_x + r * in, in, out, add);
    for (; r < rows; ++r) backward_rows<V, 1>(d_y + r * out, weight, d_x + r * in, in, out, add);
}

}  // namespace perennial::kernels
