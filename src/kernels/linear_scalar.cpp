// The reference of linear.h: plain dot products, in order.
#include "kernels/variants.h"

namespace perennial::kernels::scalar {

void linear(const float* x, const float* weight, const float* bias, float* y, std::size_t rows, std::size_t in,
            std::size_t out) noexcept {
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t o = 0; o < out; ++o) {
            float sum = 0;
            for (std::size_t i = 0; i < in; ++i) sum += x[r * in + i] * weight[o * in + i];
            y[r * out + o] = sum + (bias != nullptr ? bias[o] : 0.0f);
        }
}

void linear_rows(const float* x, const float* weight, const float* bias, const std::int32_t* chosen, float* y, std::size_t in,
                 std::size_t count) noexcept {
    for (std::size_t k = 0; k < count; ++k) {
        const auto o = static_cast<std::size_t>(chosen[k]);
        float sum = 0;
        for (std::size_t i = 0; i < in; ++i) sum += x[i] * weight[o * in + i];
        y[k] = sum + (bias != nullptr ? bias[o] : 0.0f);
    }
}

void linear_backward(const float* d_y, const float* weight, float* d_x, std::size_t rows, std::size_t in, std::size_t out, bool add) noexcept {
    for (std::size_t r = 0; r < rows; ++r)
        for (std::size_t i = 0; i < in; ++i) {
            float sum = add ? d_x[r * in + i] : 0.0f;
            for (std::size_t o = 0; o < out; ++o) sum += d_y[r * out + o] * weight[o * in + i];
            d_x[r * in + i] = sum;
        }
}

}  // namespace perennial::kernels::scalar
