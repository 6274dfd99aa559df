// Eight-lane helpers shared by the _avx2.cpp files, and only by them. Everything is static: each file keeps its own copy.
#pragma once

#include <immintrin.h>

#include <cstddef>

namespace perennial::kernels::avx2 {

static inline float sum8(__m256 v) noexcept {
    __m128 half = _mm_add_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_add_ps(half, _mm_movehl_ps(half, half));
    half = _mm_add_ss(half, _mm_movehdup_ps(half));
    return _mm_cvtss_f32(half);
}

// Lane k of the result is the sum of v_k.
static inline __m128 sum8x4(__m256 v0, __m256 v1, __m256 v2, __m256 v3) noexcept {
    const __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(v0, v1), _mm256_hadd_ps(v2, v3));
    return _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1));
}

static inline float max8(__m256 v) noexcept {
    __m128 half = _mm_max_ps(_mm256_castps256_ps128(v), _mm256_extractf128_ps(v, 1));
    half = _mm_max_ps(half, _mm_movehl_ps(half, half));
    half = _mm_max_ss(half, _mm_movehdup_ps(half));
    return _mm_cvtss_f32(half);
}

// A mask whose first `count` (0..8) lanes are set.
static inline __m256i lanes(std::size_t count) noexcept {
    const __m256i index = _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7);
    return _mm256_cmpgt_epi32(_mm256_set1_epi32(static_cast<int>(count)), index);
}

// e^x to about 2 units in the last place: x = n ln 2 + r, |r| <= ln 2 / 2, degree-6 polynomial in r (Cephes expf).
// Below -87.3 the result is 0, above 88.37 (where n would reach 128, which has no float of its own) +inf; NaN stays NaN.
static inline __m256 exp8(__m256 x) noexcept {
    const __m256 high = _mm256_set1_ps(88.37f), low = _mm256_set1_ps(-87.33654f);
    const __m256 clipped = _mm256_min_ps(high, _mm256_max_ps(low, x));  // min and max hand on a NaN in second place
    const __m256 n = _mm256_round_ps(_mm256_mul_ps(clipped, _mm256_set1_ps(1.44269504088896341f)),
                                     _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m256 r = _mm256_fnmadd_ps(n, _mm256_set1_ps(0.693359375f), clipped);
    r = _mm256_fnmadd_ps(n, _mm256_set1_ps(-2.12194440e-4f), r);
    __m256 p = _mm256_set1_ps(1.9875691500e-4f);
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.3981999507e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(8.3334519073e-3f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(4.1665795894e-2f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(1.6666665459e-1f));
    p = _mm256_fmadd_ps(p, r, _mm256_set1_ps(5.0000001201e-1f));
    p = _mm256_fmadd_ps(_mm256_mul_ps(r, r), p, _mm256_add_ps(r, _mm256_set1_ps(1.0f)));
    const __m256i scale = _mm256_slli_epi32(_mm256_add_epi32(_mm256_cvtps_epi32(n), _mm256_set1_epi32(127)), 23);
    __m256 result = _mm256_mul_ps(p, _mm256_castsi256_ps(scale));
    result = _mm256_andnot_ps(_mm256_cmp_ps(x, low, _CMP_LT_OQ), result);
    return _mm256_blendv_ps(result, _mm256_set1_ps(__builtin_inff()), _mm256_cmp_ps(x, high, _CMP_GT_OQ));
}

static inline __m256 sigmoid8(__m256 x) noexcept {
    const __m256 one = _mm256_set1_ps(1.0f);
    return _mm256_div_ps(one, _mm256_add_ps(one, exp8(_mm256_sub_ps(_mm256_setzero_ps(), x))));
}

static inline float dot(const float* a, const float* b, std::size_t count) noexcept {
    __m256 sum = _mm256_setzero_ps();
    std::size_t i = 0;
    for (; i + 8 <= count; i += 8) sum = _mm256_fmadd_ps(_mm256_loadu_ps(a + i), _mm256_loadu_ps(b + i), sum);
    if (i < count) {
        const __m256i mask = lanes(count - i);
        sum = _mm256_fmadd_ps(_mm256_maskload_ps(a + i, mask), _mm256_maskload_ps(b + i, mask), sum);
    }
    return sum8(sum);
}

// Eight lanes under the names that the shared bodies (softmax_loss_tiles.h, norm_gate_lanes.h) use.
struct Vector {
    using Type = __m256;
    static constexpr std::size_t kLanes = 8;
    // Rows of a product whose sums stay in registers: 6 x 2 vectors = 12, leaving 4 of the 16 for two loads and a broadcast.
    static constexpr std::size_t kGroup = 6;
    static Type zero() noexcept { return _mm256_setzero_ps(); }
    static Type set1(float v) noexcept { return _mm256_set1_ps(v); }
    static Type load(const float* from) noexcept { return _mm256_loadu_ps(from); }
    static void store(float* to, Type v) noexcept { _mm256_storeu_ps(to, v); }
    // The first `count` lanes; the others are `rest`.
    static Type load_part(const float* from, std::size_t count, Type rest) noexcept {
        const __m256i mask = lanes(count);
        return _mm256_blendv_ps(rest, _mm256_maskload_ps(from, mask), _mm256_castsi256_ps(mask));
    }
    static void store_part(float* to, std::size_t count, Type v) noexcept { _mm256_maskstore_ps(to, lanes(count), v); }
    static Type add(Type a, Type b) noexcept { return _mm256_add_ps(a, b); }
    static Type sub(Type a, Type b) noexcept { return _mm256_sub_ps(a, b); }
    static Type mul(Type a, Type b) noexcept { return _mm256_mul_ps(a, b); }
    static Type fma(Type a, Type b, Type c) noexcept { return _mm256_fmadd_ps(a, b, c); }    // a b + c
    static Type fnma(Type a, Type b, Type c) noexcept { return _mm256_fnmadd_ps(a, b, c); }  // c - a b
    static Type max(Type a, Type b) noexcept { return _mm256_max_ps(a, b); }                 // b where one is NaN
    static Type exp(Type v) noexcept { return exp8(v); }
    static Type sigmoid(Type v) noexcept { return sigmoid8(v); }
    static float sum(Type v) noexcept { return sum8(v); }
    static float top(Type v) noexcept { return max8(v); }
    static void store_sums(float* to, Type a, Type b, Type c, Type d) noexcept { _mm_storeu_ps(to, sum8x4(a, b, c, d)); }  // [4]
};

}  // namespace perennial::kernels::avx2
