// The reference of norm_gate.h.
#include <cmath>

#include "kernels/variants.h"

namespace perennial::kernels::scalar {

void rms_norm(const float* x, const float* gain, float* out, std::size_t rows, std::size_t width, float eps) noexcept {
    for (std::size_t r = 0; r < rows; ++r, x += width, out += width) {
        float squares = 0;
        for (std::size_t i = 0; i < width; ++i) squares += x[i] * x[i];
        const float scale = 1.0f / std::sqrt(squares / static_cast<float>(width) + eps);
        for (std::size_t i = 0; i < width; ++i) out[i] = x[i] * scale * gain[i];
    }
}

void swiglu(const float* gate_and_value, float* out, std::size_t rows, std::size_t width) noexcept {
    for (std::size_t r = 0; r < rows; ++r, gate_and_value += 2 * width, out += width)
        for (std::size_t i = 0; i < width; ++i) {
            const float g = gate_and_value[i];
            out[i] = g / (1.0f + std::exp(-g)) * gate_and_value[width + i];
        }
}

void gated_add(float* x, const float* gate, const float* y, std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i) x[i] += y[i] / (1.0f + std::exp(-gate[i]));
}

// With s = 1 / sqrt(mean(x^2) + eps): dx = s g dy - x s^3 mean(g dy x), dgain = sum over rows of dy x s.
void rms_norm_backward(const float* x, const float* gain, const float* d_out, float* d_x, float* d_gain, std::size_t rows,
                       std::size_t width, float eps) noexcept {
    for (std::size_t r = 0; r < rows; ++r, x += width, d_out += width, d_x += width) {
        float squares = 0, products = 0;
        for (std::size_t i = 0; i < width; ++i) {
            squares += x[i] * x[i];
            products += gain[i] * d_out[i] * x[i];
        }
        const float s = 1.0f / std::sqrt(squares / static_cast<float>(width) + eps);
        const float pull = s * s * s * products / static_cast<float>(width);
        for (std::size_t i = 0; i < width; ++i) {
            const float d = d_out[i];
            d_gain[i] += d * x[i] * s;
            d_x[i] = s * gain[i] * d - x[i] * pull;
        }
    }
}

// silu'(g) = s (1 + g (1 - s)) with s = sigmoid(g).
void swiglu_backward(const float* gate_and_value, const float* d_out, float* d_gate_and_value, std::size_t rows,
                     std::size_t width) noexcept {
    for (std::size_t r = 0; r < rows; ++r, gate_and_value += 2 * width, d_gate_and_value += 2 * width, d_out += width)
        for (std::size_t i = 0; i < width; ++i) {
            const float g = gate_and_value[i], v = gate_and_value[width + i], s = 1.0f / (1.0f + std::exp(-g));
            d_gate_and_value[i] = d_out[i] * v * s * (1.0f + g * (1.0f - s));
            d_gate_and_value[width + i] = d_out[i] * g * s;
        }
}

void gated_add_backward(const float* gate, const float* y, const float* d_out, float* d_gate, float* d_y, std::size_t count) noexcept {
    for (std::size_t i = 0; i < count; ++i) {
        const float s = 1.0f / (1.0f + std::exp(-gate[i])), through = d_out[i] * s, value = y[i];
        d_y[i] = through;
        d_gate[i] = through * value * (1.0f - s);
    }
}

void softmax(const float* x, float* out, std::size_t rows, std::size_t width) noexcept {
    for (std::size_t r = 0; r < rows; ++r, x += width, out += width) {
        float top = -INFINITY;
        for (std::size_t i = 0; i < width; ++i) top = x[i] > top ? x[i] : top;
        if (top == -INFINITY) top = 0;  // a row of all -inf: e^-inf = 0 everywhere
        double sum = 0;  // one float would lose the small terms of a row of thousands
        for (std::size_t i = 0; i < width; ++i) sum += out[i] = std::exp(x[i] - top);
        const auto scale = static_cast<float>(sum == 0 ? 0.0 : 1.0 / sum);
        for (std::size_t i = 0; i < width; ++i) out[i] *= scale;
    }
}

}  // namespace perennial::kernels::scalar
