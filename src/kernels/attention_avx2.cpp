// One attention query, eight lanes along the head width. Head widths that are no multiple of eight take masked tails.
#include "kernels/avx2_math.h"
#include "kernels/variants.h"

namespace perennial::kernels::avx2 {
namespace {

// to[j] = a . rows[j], four rows at a time so that their sums share one reduction.
inline void dots(const float* a, const float* rows, std::size_t stride, std::size_t count, std::size_t d, float* to) noexcept {
    std::size_t j = 0;
    if (d % 8 == 0)
        for (; j + 4 <= count; j += 4) {
            const float* r = rows + j * stride;
            __m256 s0 = _mm256_setzero_ps(), s1 = s0, s2 = s0, s3 = s0;
            for (std::size_t c = 0; c < d; c += 8) {
                const __m256 v = _mm256_loadu_ps(a + c);
                s0 = _mm256_fmadd_ps(v, _mm256_loadu_ps(r + c), s0);
                s1 = _mm256_fmadd_ps(v, _mm256_loadu_ps(r + stride + c), s1);
                s2 = _mm256_fmadd_ps(v, _mm256_loadu_ps(r + 2 * stride + c), s2);
                s3 = _mm256_fmadd_ps(v, _mm256_loadu_ps(r + 3 * stride + c), s3);
            }
            _mm_storeu_ps(to + j, sum8x4(s0, s1, s2, s3));
        }
    for (; j < count; ++j) to[j] = dot(a, rows + j * stride, d);
}

// to = sum over j of factors[j] * rows[j], or that added to `to`; a column of eight stays in its register.
inline void weighted_sum(const float* factors, const float* rows, std::size_t stride, std::size_t count, std::size_t d, float scale,
                         bool add, float* to) noexcept {
    for (std::size_t c = 0; c < d; c += 8) {
        const __m256i mask = lanes(d - c < 8 ? d - c : 8);
        __m256 sum = _mm256_setzero_ps();
        for (std::size_t j = 0; j < count; ++j)
            sum = _mm256_fmadd_ps(_mm256_set1_ps(factors[j]), _mm256_maskload_ps(rows + j * stride + c, mask), sum);
        sum = _mm256_mul_ps(sum, _mm256_set1_ps(scale));
        if (add) sum = _mm256_add_ps(sum, _mm256_maskload_ps(to + c, mask));
        _mm256_maskstore_ps(to + c, mask, sum);
    }
}

}  // namespace

void attend_row(const AttendRow& row, float* out) noexcept {
    const std::size_t n = row.count, d = row.head_width;
    const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(d));
    for (std::size_t h = 0; h < row.heads; ++h) {
        float* weights = row.weights + h * n;
        const float* bias = row.bias + h * n;
        dots(row.query + h * d, row.keys + h * d, row.stride, n, d, weights);
        for (std::size_t j = 0; j < n; ++j) weights[j] = weights[j] * scale + bias[j];
        softmax(weights, weights, 1, n);
        weighted_sum(weights, row.values + h * d, row.stride, n, d, 1.0f, false, out + h * d);
    }
}

void attend_row_backward(const AttendRow& row, const float* d_out, float* d_query, float* d_keys, float* d_values,
                         float* d_bias) noexcept {
    const std::size_t n = row.count, d = row.head_width;
    const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(d));
    for (std::size_t h = 0; h < row.heads; ++h) {
        const float* p = row.weights + h * n;
        float* ds = d_bias + h * n;
        dots(d_out + h * d, row.values + h * d, row.stride, n, d, ds);
        const float expected = dot(p, ds, n);
        for (std::size_t j = 0; j < n; ++j) ds[j] = p[j] * (ds[j] - expected);
        weighted_sum(ds, row.keys + h * d, row.stride, n, d, scale, true, d_query + h * d);
        for (std::size_t j = 0; j < n; ++j) {
            add_scaled(d_keys + j * row.stride + h * d, row.query + h * d, scale * ds[j], d);
            add_scaled(d_values + j * row.stride + h * d, d_out + h * d, p[j], d);
        }
    }
}

}  // namespace perennial::kernels::avx2
