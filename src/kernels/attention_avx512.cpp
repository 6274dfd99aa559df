// One attention query, sixteen lanes at a time.
#include "kernels/attention_lanes.h"
#include "kernels/avx512_math.h"

namespace perennial::kernels::avx512 {

void attend_row(const AttendRow& row, float* out) noexcept { attend_row_of<Vector>(row, out); }
void attend_row_backward(const AttendRow& row, const float* d_out, float* d_query, float* d_keys, float* d_values,
                         float* d_bias) noexcept {
    attend_row_backward_of<Vector>(row, d_out, d_query, d_keys, d_values, d_bias);
}

}  // namespace perennial::kernels::avx512
