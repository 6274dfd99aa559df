// The reference of one attention query, forward and backward.
#include <cmath>

#include "kernels/variants.h"

namespace perennial::kernels::scalar {

void attend_row(const AttendRow& row, float* out) noexcept {
    const std::size_t n = row.count, d = row.head_width;
    const float scale = 1.0f / std::sqrt(static_cast<float>(d));
    for (std::size_t h = 0; h < row.heads; ++h) {
        float* weights = row.weights + h * n;
        for (std::size_t j = 0; j < n; ++j) {
            float dot = 0;
            for (std::size_t c = 0; c < d; ++c) dot += row.query[h * d + c] * row.keys[j * row.stride + h * d + c];
            weights[j] = dot * scale + row.bias[h * n + j];
        }
        softmax(weights, weights, 1, n);
        for (std::size_t c = 0; c < d; ++c) {
            float sum = 0;
            for (std::size_t j = 0; j < n; ++j) sum += weights[j] * row.values[j * row.stride + h * d + c];
            out[h * d + c] = sum;
        }
    }
}

// With p the weights: dp_j = dout . v_j, ds_j = p_j (dp_j - sum_k p_k dp_k); the rest is the chain rule.
void attend_row_backward(const AttendRow& row, const float* d_out, float* d_query, float* d_keys, float* d_values,
                         float* d_bias) noexcept {
    const std::size_t n = row.count, d = row.head_width;
    const float scale = 1.0f / std::sqrt(static_cast<float>(d));
    for (std::size_t h = 0; h < row.heads; ++h) {
        const float* p = row.weights + h * n;
        float* ds = d_bias + h * n;
        float expected = 0;
        for (std::size_t j = 0; j < n; ++j) {
            float dp = 0;
            for (std::size_t c = 0; c < d; ++c) dp += d_out[h * d + c] * row.values[j * row.stride + h * d + c];
            ds[j] = dp;
            expected += p[j] * dp;
        }
        for (std::size_t j = 0; j < n; ++j) {
            ds[j] = p[j] * (ds[j] - expected);
            const std::size_t at = j * row.stride + h * d;
            for (std::size_t c = 0; c < d; ++c) {
                d_query[h * d + c] += scale * ds[j] * row.keys[at + c];
                d_keys[at + c] += scale * ds[j] * row.query[h * d + c];
                d_values[at + c] += p[j] * d_out[h * d + c];
            }
        }
    }
}

}  // namespace perennial::kernels::scalar
