// norm_gate.h eight lanes at a time.
#include "kernels/avx2_math.h"
#include "kernels/norm_gate_lanes.h"
#include "kernels/variants.h"

namespace perennial::kernels::avx2 {

void rms_norm(const float* x, const float* gain, float* out, std::size_t rows, std::size_t width, float eps) noexcept {
    rms_norm_of<Vector>(x, gain, out, rows, width, eps);
}
void rms_norm_backward(const float* x, const float* gain, const float* d_out, float* d_x, float* d_gain, std::size_t rows,
                       std::size_t width, float eps) noexcept {
    rms_norm_backward_of<Vector>(x, gain, d_out, d_x, d_gain, rows, width, eps);
}
void swiglu(const float* gate_and_value, float* out, std::size_t rows, std::size_t width) noexcept {
    swiglu_of<Vector>(gate_and_value, out, rows, width);
}
void swiglu_backward(const float* gate_and_value, const float* d_out, float* d_gate_and_value, std::size_t rows,
                     std::size_t width) noexcept {
    swiglu_backward_of<Vector>(gate_and_value, d_out, d_gate_and_value, rows, width);
}
void gated_add(float* x, const float* gate, const float* y, std::size_t count) noexcept { gated_add_of<Vector>(x, gate, y, count); }
void gated_add_backward(const float* gate, const float* y, const float* d_out, float* d_gate, float* d_y, std::size_t count) noexcept {
    gated_add_backward_of<Vector>(gate, y, d_out, d_gate, d_y, count);
}
void softmax(const float* x, float* out, std::size_t rows, std::size_t width) noexcept { softmax_of<Vector>(x, out, rows, width); }

}  // namespace perennial::kernels::avx2
