// The reference of `int8_bounds`: bounds of every row's score from 8-bit numbers.
#include "kernels/variants.h"

namespace perennial::kernels::scalar {

void int8_bounds(const Int8Quad* weights, const Int8Rows* rows, std::size_t blocks, std::size_t quads, Int8Query* queries,
                 std::size_t count) noexcept {
    for (Int8Query* query = queries; query != queries + count; ++query) {
        query->hits = 0;
        for (std::size_t block = 0; block < blocks; ++block)
            for (std::size_t r = 0; r < 16; ++r) {
                std::int32_t dot = query->start;
                for (std::size_t k = 0; k < quads; ++k)
                    for (std::size_t c = 0; c < 4; ++c)
                        dot += std::int32_t{weights[block * quads + k].weight[r][c]} * query->x[4 * k + c];
                const Int8Rows& row = rows[block];
                const float middle = query->scale * row.scale[r] * static_cast<float>(dot) + row.bias[r];
                const float radius = query->by_norm * row.norm[r] + (query->by_error * row.error[r] + query->more);
                if (!(middle + radius >= query->threshold)) continue;
                query->rows[query->hits] = static_cast<std::int32_t>(16 * block + r);
                query->upper[query->hits] = middle + radius;
                query->lower[query->hits++] = middle - radius;
            }
    }
}

}  // namespace perennial::kernels::scalar
