// The variants behind the table of isa.h. Private to this folder. No std:: template may be used in the avx files: the
// linker could keep that copy, and the program would die on an older CPU.
#pragma once

#include "kernels/isa.h"

#define PERENNIAL_KERNEL_VARIANTS                                                                                                \
    void linear(const float* x, const float* weight, const float* bias, float* y, std::size_t rows, std::size_t in,              \
                std::size_t out) noexcept;                                                                                       \
    void linear_rows(const float* x, const float* weight, const float* bias, const std::int32_t* chosen, float* y,               \
                     std::size_t in, std::size_t count) noexcept;                                                                \
    void linear_backward(const float* d_y, const float* weight, float* d_x, std::size_t rows, std::size_t in, std::size_t out,   \
                         bool add) noexcept;                                                                                     \
    void rms_norm(const float* x, const float* gain, float* out, std::size_t rows, std::size_t width, float eps) noexcept;       \
    void swiglu(const float* gate_and_value, float* out, std::size_t rows, std::size_t width) noexcept;                          \
    void gated_add(float* x, const float* gate, const float* y, std::size_t count) noexcept;                                     \
    void softmax(const float* x, float* out, std::size_t rows, std::size_t width) noexcept;                                      \
    void attend_row(const AttendRow& row, float* out) noexcept;                                                                  \
    void attend_row_backward(const AttendRow& row, const float* d_out, float* d_query, float* d_keys, float* d_values,           \
                             float* d_bias) noexcept;                                                                            \
    std::size_t above(const float* scores, std::size_t count, float threshold, std::int32_t* hits) noexcept;                     \
    void int8_bounds(const Int8Quad* weights, const Int8Rows* rows, std::size_t blocks, std::size_t quads, Int8Query* queries,   \
                     std::size_t count) noexcept;                                                                                \
    void rms_norm_backward(const float* x, const float* gain, const float* d_out, float* d_x, float* d_gain, std::size_t rows,   \
                              std::size_t width, float eps) noexcept;                                                            \
    void swiglu_backward(const float* gate_and_value, const float* d_out, float* d_gate_and_value, std::size_t rows,             \
                            std::size_t width) noexcept;                                                                         \
    void gated_add_backward(const float* gate, const float* y, const float* d_out, float* d_gate, float* d_y,                    \
                               std::size_t count) noexcept;                                                                      \
    void loss_strip(const LossStrip& strip) noexcept;                                                                            \
    void loss_table(const LossTable& part) noexcept;

namespace perennial::kernels::scalar {
PERENNIAL_KERNEL_VARIANTS
}
namespace perennial::kernels::avx2 {
PERENNIAL_KERNEL_VARIANTS
}
namespace perennial::kernels::vnni {  // AVX-512 with its 8-bit dot products
bool supported() noexcept;
bool wanted() noexcept;  // supported, and no other row is forced
void int8_bounds(const Int8Quad* weights, const Int8Rows* rows, std::size_t blocks, std::size_t quads, Int8Query* queries,
                 std::size_t count) noexcept;
}
namespace perennial::kernels::avx512 {
PERENNIAL_KERNEL_VARIANTS  // those that are no faster than avx2 are declared and never defined
}
#undef PERENNIAL_KERNEL_VARIANTS
