// linear.h eight lanes at a time. The rows of W stream past tiles of x: W is read once for all rows of x.
#include "kernels/avx2_math.h"
#include "kernels/linear_lanes.h"
#include "kernels/variants.h"

// At -O2 GCC keeps an array of vectors in memory unless every loop over it is unrolled.
#define PERENNIAL_UNROLL _Pragma("GCC unroll 8")

namespace perennial::kernels::avx2 {
namespace {

// 2 rows x 4 outputs = 8 accumulators: enough independent sums to hide the 4-cycle FMA at two a cycle.
constexpr std::size_t kRowsPerTile = 2, kOutsPerTile = 4;

template <std::size_t Rows>
inline void tile(const float* x, const float* w, const float* bias, float* y, std::size_t in, std::size_t out) noexcept {
    __m256 sum[Rows][kOutsPerTile];
    PERENNIAL_UNROLL
    for (std::size_t r = 0; r < Rows; ++r)
        PERENNIAL_UNROLL
        for (std::size_t o = 0; o < kOutsPerTile; ++o) sum[r][o] = _mm256_setzero_ps();
    std::size_t i = 0;
    for (; i + 8 <= in; i += 8) {
        __m256 weights[kOutsPerTile];
        PERENNIAL_UNROLL
        for (std::size_t o = 0; o < kOutsPerTile; ++o) weights[o] = _mm256_loadu_ps(w + o * in + i);
        PERENNIAL_UNROLL
        for (std::size_t r = 0; r < Rows; ++r) {
            const __m256 value = _mm256_loadu_ps(x + r * in + i);
            PERENNIAL_UNROLL
            for (std::size_t o = 0; o < kOutsPerTile; ++o) sum[r][o] = _mm256_fmadd_ps(value, weights[o], sum[r][o]);
        }
    }
    if (i < in) {
        const __m256i mask = lanes(in - i);
        PERENNIAL_UNROLL
        for (std::size_t r = 0; r < Rows; ++r) {
            const __m256 value = _mm256_maskload_ps(x + r * in + i, mask);
            PERENNIAL_UNROLL
            for (std::size_t o = 0; o < kOutsPerTile; ++o)
                sum[r][o] = _mm256_fmadd_ps(value, _mm256_maskload_ps(w + o * in + i, mask), sum[r][o]);
        }
    }
    const __m128 add = bias != nullptr ? _mm_loadu_ps(bias) : _mm_setzero_ps();
    PERENNIAL_UNROLL
    for (std::size_t r = 0; r < Rows; ++r)
        _mm_storeu_ps(y + r * out, _mm_add_ps(sum8x4(sum[r][0], sum[r][1], sum[r][2], sum[r][3]), add));
}

}  // namespace

void linear(const float* x, const float* weight, const float* bias, float* y, std::size_t rows, std::size_t in,
            std::size_t out) noexcept {
    std::size_t o = 0;
    for (; o + kOutsPerTile <= out; o += kOutsPerTile) {
        const float* w = weight + o * in;
        const float* b = bias != nullptr ? bias + o : nullptr;
        std::size_t r = 0;
        for (; r + kRowsPerTile <= rows; r += kRowsPerTile) tile<kRowsPerTile>(x + r * in, w, b, y + r * out + o, in, out);
        if (r < rows) tile<1>(x + r * in, w, b, y + r * out + o, in, out);
    }
    for (; o < out; ++o)
        for (std::size_t r = 0; r < rows; ++r)
            y[r * out + o] = dot(x + r * in, weight + o * in, in) + (bias != nullptr ? bias[o] : 0.0f);
}

void linear_rows(const float* x, const float* weight, const float* bias, const std::int32_t* chosen, float* y, std::size_t in,
                 std::size_t count) noexcept {
    for (std::size_t k = 0; k < count; ++k) {
        const auto o = static_cast<std::size_t>(chosen[k]);
        y[k] = dot(x, weight + o * in, in) + (bias != nullptr ? bias[o] : 0.0f);
    }
}

void linear_backward(const float* d_y, const float* weight, float* d_x, std::size_t rows, std::size_t in, std::size_t out, bool add) noexcept {
    linear_backward_of<Vector>(d_y, weight, d_x, rows, in, out, add);
}

}  // namespace perennial::kernels::avx2
