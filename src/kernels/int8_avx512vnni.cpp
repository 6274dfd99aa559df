// int8_bounds sixteen rows a vector, 64 products an instruction (AVX-512 VNNI). Not every CPU with AVX-512 has it.
#include <immintrin.h>

#include "kernels/variants.h"

// At -O2 GCC keeps an array of vectors in memory unless every loop over it is unrolled.
#define PERENNIAL_UNROLL _Pragma("GCC unroll 8")

namespace perennial::kernels::vnni {
namespace {

template <std::size_t Blocks, std::size_t Queries>
inline void tile(const Int8Quad* weights, const Int8Rows* rows, std::size_t block, std::size_t quads, Int8Query* queries) noexcept {
    __m512i sum[Blocks][Queries];
    PERENNIAL_UNROLL
    for (std::size_t b = 0; b < Blocks; ++b)
        PERENNIAL_UNROLL
        for (std::size_t q = 0; q < Queries; ++q) sum[b][q] = _mm512_set1_epi32(queries[q].start);
    for (std::size_t k = 0; k < quads; ++k) {
        __m512i x[Queries];
        PERENNIAL_UNROLL
        for (std::size_t q = 0; q < Queries; ++q) {
            std::int32_t four;
            __builtin_memcpy(&four, queries[q].x + 4 * k, 4);
            x[q] = _mm512_set1_epi32(four);
        }
        PERENNIAL_UNROLL
        for (std::size_t b = 0; b < Blocks; ++b) {
            const __m512i weight = _mm512_load_si512(&weights[(block + b) * quads + k]);
            PERENNIAL_UNROLL
            for (std::size_t q = 0; q < Queries; ++q) sum[b][q] = _mm512_dpbusd_epi32(sum[b][q], weight, x[q]);
        }
    }
    PERENNIAL_UNROLL
    for (std::size_t b = 0; b < Blocks; ++b) {
        const Int8Rows& row = rows[block + b];
        const __m512 scale = _mm512_load_ps(row.scale), bias = _mm512_load_ps(row.bias), norm = _mm512_load_ps(row.norm), error = _mm512_load_ps(row.error);
        PERENNIAL_UNROLL
        for (std::size_t q = 0; q < Queries; ++q) {
            Int8Query& query = queries[q];
            const __m512 middle = _mm512_fmadd_ps(_mm512_mul_ps(_mm512_set1_ps(query.scale), scale), _mm512_cvtepi32_ps(sum[b][q]), bias);
            const __m512 radius = _mm512_fmadd_ps(_mm512_set1_ps(query.by_norm), norm,
                                                  _mm512_fmadd_ps(_mm512_set1_ps(query.by_error), error, _mm512_set1_ps(query.more)));
            const __m512 upper = _mm512_add_ps(middle, radius);
            const __mmask16 mask = _mm512_cmp_ps_mask(upper, _mm512_set1_ps(query.threshold), _CMP_GE_OQ);
            if (mask == 0) continue;
            // Compressed in a register and stored whole: storing compressed is slow on Zen 4, and there is room (isa.h).
            const __m512i place = _mm512_add_epi32(_mm512_set1_epi32(static_cast<int>(16 * (block + b))),
                                                   _mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15));
            _mm512_storeu_si512(query.rows + query.hits, _mm512_maskz_compress_epi32(mask, place));
            _mm512_storeu_ps(query.upper + query.hits, _mm512_maskz_compress_ps(mask, upper));
            _mm512_storeu_ps(query.lower + query.hits, _mm512_maskz_compress_ps(mask, _mm512_sub_ps(middle, radius)));
            query.hits += static_cast<std::size_t>(__builtin_popcount(mask));
        }
    }
}

template <std::size_t Queries>
void all_blocks(const Int8Quad* weights, const Int8Rows* rows, std::size_t blocks, std::size_t quads, Int8Query* queries) noexcept {
    for (std::size_t q = 0; q < Queries; ++q) queries[q].hits = 0;
    std::size_t block = 0;
    for (; block + 4 <= blocks; block += 4) tile<4, Queries>(weights, rows, block, quads, queries);
    for (; block < blocks; ++block) tile<1, Queries>(weights, rows, block, quads, queries);
}

}  // namespace

void int8_bounds(const Int8Quad* weights, const Int8Rows* rows, std::size_t blocks, std::size_t quads, Int8Query* queries,
                 std::size_t count) noexcept {
    // 4 blocks x 4 queries = 16 sums of 32 registers: every weight and every x that was loaded serves four times.
    for (; count >= 4; count -= 4, queries += 4) all_blocks<4>(weights, rows, blocks, quads, queries);
    for (; count > 0; --count, ++queries) all_blocks<1>(weights, rows, blocks, quads, queries);
}

}  // namespace perennial::kernels::vnni
