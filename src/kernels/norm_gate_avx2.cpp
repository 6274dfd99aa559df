// norm_gate.h eight lanes at a time; tails go through a masked vector, so every lane takes the same arithmetic.
#include "kernels/avx2_math.h"
#include "kernels/variants.h"

namespace perennial::kernels::avx2 {

void rms_norm(const float* x, const float* gain, float* out, std::size_t rows, std::size_t width, float eps) noexcept {
    for (std::size_t r = 0; r < rows; ++r, x += width, out += width) {
        const float mean = dot(x, x, width) / static_cast<float>(width);
        const float scale = 1.0f / __builtin_sqrtf(mean + eps);
        const __m256 s = _mm256_set1_ps(scale);
        std::size_t i = 0;
        for (; i + 8 <= width; i += 8)
            _mm256_storeu_ps(out + i, _mm256_mul_ps(_mm256_mul_ps(_mm256_loadu_ps(x + i), s), _mm256_loadu_ps(gain + i)));
        for (; i < width; ++i) out[i] = x[i] * scale * gain[i];
    }
}

void swiglu(const float* gate_and_value, float* out, std::size_t rows, std::size_t width) noexcept {
    for (std::size_t r = 0; r < rows; ++r, gate_and_value += 2 * width, out += width) {
        const float* value = gate_and_value + width;
        std::size_t i = 0;
        for (; i + 8 <= width; i += 8) {
            const __m256 g = _mm256_loadu_ps(gate_and_value + i);
            _mm256_storeu_ps(out + i, _mm256_mul_ps(_mm256_mul_ps(g, sigmoid8(g)), _mm256_loadu_ps(value + i)));
        }
        if (i < width) {
            const __m256i mask = lanes(width - i);
            const __m256 g = _mm256_maskload_ps(gate_and_value + i, mask);
            _mm256_maskstore_ps(out + i, mask, _mm256_mul_ps(_mm256_mul_ps(g, sigmoid8(g)), _mm256_maskload_ps(value + i, mask)));
        }
    }
}

void gated_add(float* x, const float* gate, const float* y, std::size_t count) noexcept {
    std::size_t i = 0;
    for (; i + 8 <= count; i += 8)
        _mm256_storeu_ps(x + i, _mm256_fmadd_ps(sigmoid8(_mm256_loadu_ps(gate + i)), _mm256_loadu_ps(y + i), _mm256_loadu_ps(x + i)));
    if (i < count) {
        const __m256i mask = lanes(count - i);
        const __m256 gated = _mm256_fmadd_ps(sigmoid8(_mm256_maskload_ps(gate + i, mask)), _mm256_maskload_ps(y + i, mask),
                                             _mm256_maskload_ps(x + i, mask));
        _mm256_maskstore_ps(x + i, mask, gated);
    }
}

void softmax(const float* x, float* out, std::size_t rows, std::size_t width) noexcept {
    const __m256 minus_infinity = _mm256_set1_ps(-__builtin_inff());
    for (std::size_t r = 0; r < rows; ++r, x += width, out += width) {
        const std::size_t whole = width - width % 8;
        const __m256i mask = lanes(width % 8);
        const __m256 tail = _mm256_blendv_ps(minus_infinity, _mm256_maskload_ps(x + whole, mask), _mm256_castsi256_ps(mask));
        __m256 tops = tail;
        for (std::size_t i = 0; i < whole; i += 8) tops = _mm256_max_ps(_mm256_loadu_ps(x + i), tops);
        float top = max8(tops);
        if (top == -__builtin_inff()) top = 0;
        const __m256 t = _mm256_set1_ps(top);
        __m256 sums = _mm256_setzero_ps();
        for (std::size_t i = 0; i < whole; i += 8) {
            const __m256 e = exp8(_mm256_sub_ps(_mm256_loadu_ps(x + i), t));
            _mm256_storeu_ps(out + i, e);
            sums = _mm256_add_ps(sums, e);
        }
        const __m256 last = exp8(_mm256_sub_ps(tail, t));
        const float sum = sum8(_mm256_add_ps(sums, last));
        const __m256 scale = _mm256_set1_ps(sum == 0 ? 0.0f : 1.0f / sum);
        for (std::size_t i = 0; i < whole; i += 8) _mm256_storeu_ps(out + i, _mm256_mul_ps(_mm256_loadu_ps(out + i), scale));
        _mm256_maskstore_ps(out + whole, mask, _mm256_mul_ps(last, scale));
    }
}

}  // namespace perennial::kernels::avx2
