// The reference of `above`: the scan inside top_n.
#include "kernels/variants.h"

namespace perennial::kernels::scalar {

std::size_t above(const float* scores, std::size_t count, float threshold, std::int32_t* hits) noexcept {
    std::size_t found = 0;
    for (std::size_t i = 0; i < count; ++i)
        if (scores[i] > threshold) hits[found++] = static_cast<std::int32_t>(i);
    return found;
}

}  // namespace perennial::kernels::scalar
