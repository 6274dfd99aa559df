// int8_bounds eight rows a vector: products of bytes in pairs to 16 bits (they fit, see Int8Query::x), pairs of those to 32.
#include "kernels/avx2_math.h"
#include "kernels/variants.h"

// At -O2 GCC keeps an array of vectors in memory unless every loop over it is unrolled.
#define PERENNIAL_UNROLL _Pragma("GCC unroll 8")

namespace perennial::kernels::avx2 {
namespace {

template <std::size_t Queries>
inline void block_bounds(const Int8Quad* weights, const Int8Rows& row, std::size_t block, std::size_t quads, Int8Query* queries) noexcept {
    __m256i sum[Queries][2];
    PERENNIAL_UNROLL
    for (std::size_t q = 0; q < Queries; ++q) sum[q][0] = sum[q][1] = _mm256_set1_epi32(queries[q].start);
    const __m256i ones = _mm256_set1_epi16(1);
    for (std::size_t k = 0; k < quads; ++k) {
        const auto* bytes = reinterpret_cast<const __m256i*>(&weights[k]);
        const __m256i low = _mm256_load_si256(bytes), high = _mm256_load_si256(bytes + 1);
        PERENNIAL_UNROLL
        for (std::size_t q = 0; q < Queries; ++q) {
            std::int32_t four;
            __builtin_memcpy(&four, queries[q].x + 4 * k, 4);
            const __m256i x = _mm256_set1_epi32(four);
            sum[q][0] = _mm256_add_epi32(sum[q][0], _mm256_madd_epi16(_mm256_maddubs_epi16(low, x), ones));
            sum[q][1] = _mm256_add_epi32(sum[q][1], _mm256_madd_epi16(_mm256_maddubs_epi16(high, x), ones));
        }
    }
    PERENNIAL_UNROLL
    for (std::size_t q = 0; q < Queries; ++q) {
        Int8Query& query = queries[q];
        PERENNIAL_UNROLL
        for (std::size_t half = 0; half < 2; ++half) {
            const std::size_t r = 8 * half;
            const __m256 scale = _mm256_mul_ps(_mm256_set1_ps(query.scale), _mm256_load_ps(row.scale + r));
            const __m256 middle = _mm256_fmadd_ps(scale, _mm256_cvtepi32_ps(sum[q][half]), _mm256_load_ps(row.bias + r));
            const __m256 radius = _mm256_fmadd_ps(_mm256_set1_ps(query.by_norm), _mm256_load_ps(row.norm + r),
                                                  _mm256_fmadd_ps(_mm256_set1_ps(query.by_error), _mm256_load_ps(row.error + r), _mm256_set1_ps(query.more)));
            const __m256 upper = _mm256_add_ps(middle, radius);
            auto mask = static_cast<unsigned>(_mm256_movemask_ps(_mm256_cmp_ps(upper, _mm256_set1_ps(query.threshold), _CMP_GE_OQ)));
            if (mask == 0) continue;
            alignas(32) float most[8], least[8];
            _mm256_store_ps(most, upper);
            _mm256_store_ps(least, _mm256_sub_ps(middle, radius));
            for (; mask != 0; mask &= mask - 1) {
                const auto lane = static_cast<std::size_t>(__builtin_ctz(mask));
                query.rows[query.hits] = static_cast<std::int32_t>(16 * block + r + lane);
                query.upper[query.hits] = most[lane];
                query.lower[query.hits++] = least[lane];
            }
        }
    }
}

template <std::size_t Queries>
void all_blocks(const Int8Quad* weights, const Int8Rows* rows, std::size_t blocks, std::size_t quads, Int8Query* queries) noexcept {
    for (std::size_t q = 0; q < Queries; ++q) queries[q].hits = 0;
    for (std::size_t block = 0; block < blocks; ++block) block_bounds<Queries>(weights + block * quads, rows[block], block, quads, queries);
}

}  // namespace

void int8_bounds(const Int8Quad* weights, const Int8Rows* rows, std::size_t blocks, std::size_t quads, Int8Query* queries,
                 std::size_t count) noexcept {
    // 4 queries: 8 sums, two vectors of weights, one of x, the ones, and what lies between fit 16 registers.
    for (; count >= 4; count -= 4, queries += 4) all_blocks<4>(weights, rows, blocks, quads, queries);
    for (; count > 0; --count, ++queries) all_blocks<1>(weights, rows, blocks, quads, queries);
}

}  // namespace perennial::kernels::avx2
