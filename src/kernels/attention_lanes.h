// The bodies of one attention query (attention.h) over a vector type V, for attention_avx2.cpp and _avx512.cpp and only for
// them: lanes along the head width. No std:: template here: see variants.h.
#pragma once

#include "kernels/norm_gate_lanes.h"
#include "kernels/variants.h"

namespace perennial::kernels {

// to[j] = a . rows[j], four rows at a time so that their sums share one reduction.
template <class V>
static inline void dots(const float* a, const float* rows, std::size_t stride, std::size_t count, std::size_t d, float* to) noexcept {
    std::size_t j = 0;
    for (; j + 4 <= count; j += 4) {
        const float* r = rows + j * stride;
        auto s0 = V::zero(), s1 = s0, s2 = s0, s3 = s0;
        along<V>(d, [&](std::size_t c, auto lanes) {
            const auto v = lanes.load(a + c);
            s0 = V::fma(v, lanes.load(r + c), s0);
            s1 = V::fma(v, lanes.load(r + stride + c), s1);
            s2 = V::fma(v, lanes.load(r + 2 * stride + c), s2);
            s3 = V::fma(v, lanes.load(r + 3 * stride + c), s3);
        });
        V::store_sums(to + j, s0, s1, s2, s3);
    }
    for (; j < count; ++j) {
        auto sum = V::zero();
        along<V>(d, [&](std::size_t c, auto lanes) { sum = V::fma(lanes.load(a + c), lanes.load(rows + j * stride + c), sum); });
        to[j] = V::sum(sum);
    }
}

// to = scale * sum over j of factors[j] * rows[j], or that added to `to`. A column of lanes stays in its register; two sums,
// because one would wait for its own last addition.
template <class V>
static inline void weighted_sum(const float* factors, const float* rows, std::size_t stride, std::size_t count, std::size_t d, float scale,
                                bool add, float* to) noexcept {
    along<V>(d, [&](std::size_t c, auto lanes) {
        auto even = V::zero(), odd = V::zero();
        std::size_t j = 0;
        for (; j + 2 <= count; j += 2) {
            even = V::fma(V::set1(factors[j]), lanes.load(rows + j * stride + c), even);
            odd = V::fma(V::set1(factors[j + 1]), lanes.load(rows + (j + 1) * stride + c), odd);
        }
        if (j < count) even = V::fma(V::set1(factors[j]), lanes.load(rows + j * stride + c), even);
        lanes.store(to + c, V::fma(V::add(even, odd), V::set1(scale), add ? lanes.load(to + c) : V::zero()));
    });
}

template <class V>
static inline void attend_row_of(const AttendRow& row, float* out) noexcept {
    const std::size_t n = row.count, d = row.head_width;
    const auto scale = V::set1(1.0f / __builtin_sqrtf(static_cast<float>(d)));
    for (std::size_t h = 0; h < row.heads; ++h) {
        float* weights = row.weights + h * n;
        const float* bias = row.bias + h * n;
        dots<V>(row.query + h * d, row.keys + h * d, row.stride, n, d, weights);
        along<V>(n, [&](std::size_t j, auto lanes) { lanes.store(weights + j, V::fma(lanes.load(weights + j), scale, lanes.load(bias + j))); });
        softmax_of<V>(weights, weights, 1, n);
        weighted_sum<V>(weights, row.values + h * d, row.stride, n, d, 1.0f, false, out + h * d);
    }
}

template <class V>
static inline void attend_row_backward_of(const AttendRow& row, const float* d_out, float* d_query, float* d_keys, float* d_values,
                                          float* d_bias) noexcept {
    const std::size_t n = row.count, d = row.head_width;
    const float scale = 1.0f / __builtin_sqrtf(static_cast<float>(d));
    for (std::size_t h = 0; h < row.heads; ++h) {
        const float* p = row.weights + h * n;
        float* ds = d_bias + h * n;
        dots<V>(d_out + h * d, row.values + h * d, row.stride, n, d, ds);
        auto sum = V::zero();
        along<V>(n, [&](std::size_t j, auto lanes) { sum = V::fma(lanes.load(p + j), lanes.load(ds + j), sum); });
        const auto expected = V::set1(V::sum(sum));
        along<V>(n, [&](std::size_t j, auto lanes) { lanes.store(ds + j, V::mul(lanes.load(p + j), V::sub(lanes.load(ds + j), expected))); });
        weighted_sum<V>(ds, row.keys + h * d, row.stride, n, d, scale, true, d_query + h * d);
        along<V>(d, [&](std::size_t c, auto lanes) {
            const auto query = V::mul(lanes.load(row.query + h * d + c), V::set1(scale)), out = lanes.load(d_out + h * d + c);
            for (std::size_t j = 0; j < n; ++j) {
                float *key = d_keys + j * row.stride + h * d + c, *value = d_values + j * row.stride + h * d + c;
                lanes.store(key, V::fma(query, V::set1(ds[j]), lanes.load(key)));
                lanes.store(value, V::fma(out, V::set1(p[j]), lanes.load(value)));
            }
        });
    }
}

}  // namespace perennial::kernels
