// Sixteen-lane helpers shared by the _avx512.cpp files, and only by them. Everything is static: each file keeps its own copy.
#pragma once

#include <immintrin.h>

#include <cstddef>

namespace perennial::kernels::avx512 {

// The same reduction and polynomial as exp8 of avx2_math.h; scaling by 2^n is one instruction here.
static inline __m512 exp16(__m512 x) noexcept {
    const __m512 high = _mm512_set1_ps(89.0f), low = _mm512_set1_ps(-87.33654f);  // e^89 is +inf already
    const __mmask16 raised = _mm512_cmp_ps_mask(x, low, _CMP_NLT_UQ);             // true for NaN
    const __m512 clipped = _mm512_min_ps(high, _mm512_max_ps(low, x));            // min and max hand on a NaN in second place
    const __m512 n = _mm512_roundscale_ps(_mm512_mul_ps(clipped, _mm512_set1_ps(1.44269504088896341f)),
                                          _MM_FROUND_TO_NEAREST_INT | _MM_FROUND_NO_EXC);
    __m512 r = _mm512_fnmadd_ps(n, _mm512_set1_ps(0.693359375f), clipped);
    r = _mm512_fnmadd_ps(n, _mm512_set1_ps(-2.12194440e-4f), r);
    __m512 p = _mm512_set1_ps(1.9875691500e-4f);
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.3981999507e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(8.3334519073e-3f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(4.1665795894e-2f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(1.6666665459e-1f));
    p = _mm512_fmadd_ps(p, r, _mm512_set1_ps(5.0000001201e-1f));
    p = _mm512_fmadd_ps(_mm512_mul_ps(r, r), p, _mm512_add_ps(r, _mm512_set1_ps(1.0f)));
    return _mm512_maskz_scalef_ps(raised, p, n);
}

// Sixteen lanes under the names of avx2::Vector.
struct Vector {
    using Type = __m512;
    static constexpr std::size_t kLanes = 16;
    static constexpr std::size_t kGroup = 12;  // 12 x 2 vectors = 24 of the 32 registers
    static __mmask16 lanes(std::size_t count) noexcept { return static_cast<__mmask16>((1u << count) - 1u); }
    static Type zero() noexcept { return _mm512_setzero_ps(); }
    static Type set1(float v) noexcept { return _mm512_set1_ps(v); }
    static Type load(const float* from) noexcept { return _mm512_loadu_ps(from); }
    static void store(float* to, Type v) noexcept { _mm512_storeu_ps(to, v); }
    static Type load_part(const float* from, std::size_t count, Type rest) noexcept {
        return _mm512_mask_loadu_ps(rest, lanes(count), from);
    }
    static void store_part(float* to, std::size_t count, Type v) noexcept { _mm512_mask_storeu_ps(to, lanes(count), v); }
    static Type add(Type a, Type b) noexcept { return _mm512_add_ps(a, b); }
    static Type sub(Type a, Type b) noexcept { return _mm512_sub_ps(a, b); }
    static Type mul(Type a, Type b) noexcept { return _mm512_mul_ps(a, b); }
    static Type fma(Type a, Type b, Type c) noexcept { return _mm512_fmadd_ps(a, b, c); }
    static Type fnma(Type a, Type b, Type c) noexcept { return _mm512_fnmadd_ps(a, b, c); }
    static Type max(Type a, Type b) noexcept { return _mm512_max_ps(a, b); }
    static Type exp(Type v) noexcept { return exp16(v); }
    static Type sigmoid(Type v) noexcept {
        const __m512 one = _mm512_set1_ps(1.0f);
        return _mm512_div_ps(one, _mm512_add_ps(one, exp16(_mm512_sub_ps(_mm512_setzero_ps(), v))));
    }
    static float sum(Type v) noexcept { return _mm512_reduce_add_ps(v); }
    static float top(Type v) noexcept { return _mm512_reduce_max_ps(v); }
    static void store_sums(float* to, Type a, Type b, Type c, Type d) noexcept {
        const auto half = [](Type v) { return _mm256_add_ps(_mm512_castps512_ps256(v), _mm512_extractf32x8_ps(v, 1)); };
        const __m256 pairs = _mm256_hadd_ps(_mm256_hadd_ps(half(a), half(b)), _mm256_hadd_ps(half(c), half(d)));
        _mm_storeu_ps(to, _mm_add_ps(_mm256_castps256_ps128(pairs), _mm256_extractf128_ps(pairs, 1)));
    }
};

}  // namespace perennial::kernels::avx512
