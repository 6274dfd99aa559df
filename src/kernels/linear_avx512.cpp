// The backward half of linear.h sixteen lanes at a time.
#include "kernels/avx512_math.h"
#include "kernels/linear_lanes.h"
#include "kernels/variants.h"

namespace perennial::kernels::avx512 {

void linear_backward(const float* d_y, const float* weight, float* d_x, std::size_t rows, std::size_t in, std::size_t out, bool add) noexcept {
    linear_backward_of<Vector>(d_y, weight, d_x, rows, in, out, add);
}

}  // namespace perennial::kernels::avx512
