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

}  // namespace perennial::kernels::avx512
