// `above` 32 scores at a time: where none passes, which is nearly everywhere, a comparison of the largest is all.
#include "kernels/avx2_math.h"
#include "kernels/variants.h"

namespace perennial::kernels::avx2 {

std::size_t above(const float* scores, std::size_t count, float threshold, std::int32_t* hits) noexcept {
    const __m256 limit = _mm256_set1_ps(threshold);
    std::size_t found = 0, i = 0;
    for (; i + 32 <= count; i += 32) {
        unsigned mask = 0;
        for (unsigned v = 0; v < 4; ++v) {
            const __m256 passes = _mm256_cmp_ps(_mm256_loadu_ps(scores + i + 8 * v), limit, _CMP_GT_OQ);
            mask |= static_cast<unsigned>(_mm256_movemask_ps(passes)) << (8 * v);
        }
        for (; mask != 0; mask &= mask - 1) hits[found++] = static_cast<std::int32_t>(i) + __builtin_ctz(mask);
    }
    for (; i < count; ++i)
        if (scores[i] > threshold) hits[found++] = static_cast<std::int32_t>(i);
    return found;
}

}  // namespace perennial::kernels::avx2
