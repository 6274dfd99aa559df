// The bodies of norm_gate.h over a vector type V, for norm_gate_avx2.cpp and _avx512.cpp and only for them. Tails are vectors
// with idle lanes, so every element takes the same arithmetic. No std:: template here: see variants.h.
#pragma once

#include <cstddef>

namespace perennial::kernels {

template <class V>
struct WholeVector {
    typename V::Type load(const float* from) const noexcept { return V::load(from); }
    typename V::Type load(const float* from, typename V::Type) const noexcept { return V::load(from); }
    void store(float* to, typename V::Type v) const noexcept { V::store(to, v); }
};

template <class V>
struct PartOfVector {
    std::size_t count;
    typename V::Type load(const float* from, typename V::Type rest = V::zero()) const noexcept { return V::load_part(from, count, rest); }
    void store(float* to, typename V::Type v) const noexcept { V::store_part(to, count, v); }
};

// Calls body(i, lanes) for i = 0, kLanes, ...; `lanes` loads and stores what of a vector is left.
template <class V, class Body>
static inline void along(std::size_t count, const Body& body) noexcept {
    std::size_t i = 0;
    for (; i + V::kLanes <= count; i += V::kLanes) body(i, WholeVector<V>{});
    if (i < count) body(i, PartOfVector<V>{count - i});
}

template <class V>
static inline float inverse_rms(const float* x, std::size_t width, float eps) noexcept {
    auto squares = V::zero();
    along<V>(width, [&](std::size_t i, auto lanes) {
        const auto v = lanes.load(x + i);
        squares = V::fma(v, v, squares);
    });
    return 1.0f / __builtin_sqrtf(V::sum(squares) / static_cast<float>(width) + eps);
}

template <class V>
static inline void rms_norm_of(const float* x, const float* gain, float* out, std::size_t rows, std::size_t width, float eps) noexcept {
    for (std::size_t r = 0; r < rows; ++r, x += width, out += width) {
        const auto scale = V::set1(inverse_rms<V>(x, width, eps));
        along<V>(width, [&](std::size_t i, auto lanes) {
            lanes.store(out + i, V::mul(V::mul(lanes.load(x + i), scale), lanes.load(gain + i)));
        });
    }
}

// Rows whose scales are known before their gradients are written, so that a vector of d_gain stays in its register for all of
// them instead of passing through memory in every row.
static constexpr std::size_t kNormRows = 16;

template <class V>
static inline void rms_norm_backward_of(const float* x, const float* gain, const float* d_out, float* d_x, float* d_gain,
                                        std::size_t rows, std::size_t width, float eps) noexcept {
    for (std::size_t first = 0; first < rows; first += kNormRows) {
        const std::size_t count = rows - first < kNormRows ? rows - first : kNormRows, at = first * width;
        float scale[kNormRows], pull[kNormRows];
        for (std::size_t r = 0; r < count; ++r) {
            const float *row = x + at + r * width, *d = d_out + at + r * width;
            auto products = V::zero();
            along<V>(width, [&](std::size_t i, auto lanes) {
                products = V::fma(V::mul(lanes.load(gain + i), lanes.load(d + i)), lanes.load(row + i), products);
            });
            const float s = scale[r] = inverse_rms<V>(row, width, eps);
            pull[r] = s * s * s * V::sum(products) / static_cast<float>(width);
        }
        along<V>(width, [&](std::size_t i, auto lanes) {
            const auto g = lanes.load(gain + i);
            auto sum = lanes.load(d_gain + i);
            for (std::size_t r = 0; r < count; ++r) {
                const std::size_t k = at + r * width + i;
                const auto v = lanes.load(x + k), d = V::mul(lanes.load(d_out + k), V::set1(scale[r]));
                sum = V::fma(d, v, sum);
                lanes.store(d_x + k, V::fnma(v, V::set1(pull[r]), V::mul(d, g)));
            }
            lanes.store(d_gain + i, sum);
        });
    }
}

template <class V>
static inline void swiglu_of(const float* gate_and_value, float* out, std::size_t rows, std::size_t width) noexcept {
    for (std::size_t r = 0; r < rows; ++r, gate_and_value += 2 * width, out += width)
        along<V>(width, [&](std::size_t i, auto lanes) {
            const auto g = lanes.load(gate_and_value + i);
            lanes.store(out + i, V::mul(V::mul(g, V::sigmoid(g)), lanes.load(gate_and_value + width + i)));
        });
}

template <class V>
static inline void swiglu_backward_of(const float* gate_and_value, const float* d_out, float* d_gate_and_value, std::size_t rows,
                                      std::size_t width) noexcept {
    const auto one = V::set1(1.0f);
    for (std::size_t r = 0; r < rows; ++r, gate_and_value += 2 * width, d_gate_and_value += 2 * width, d_out += width)
        along<V>(width, [&](std::size_t i, auto lanes) {
            const auto g = lanes.load(gate_and_value + i), v = lanes.load(gate_and_value + width + i), d = lanes.load(d_out + i);
            const auto s = V::sigmoid(g), ds = V::mul(d, s);
            lanes.store(d_gate_and_value + i, V::mul(V::mul(ds, v), V::fma(g, V::sub(one, s), one)));
            lanes.store(d_gate_and_value + width + i, V::mul(ds, g));
        });
}

template <class V>
static inline void gated_add_of(float* x, const float* gate, const float* y, std::size_t count) noexcept {
    along<V>(count, [&](std::size_t i, auto lanes) {
        lanes.store(x + i, V::fma(V::sigmoid(lanes.load(gate + i)), lanes.load(y + i), lanes.load(x + i)));
    });
}

template <class V>
static inline void gated_add_backward_of(const float* gate, const float* y, const float* d_out, float* d_gate, float* d_y,
                                         std::size_t count) noexcept {
    along<V>(count, [&](std::size_t i, auto lanes) {
        const auto s = V::sigmoid(lanes.load(gate + i)), through = V::mul(lanes.load(d_out + i), s);
        const auto value = lanes.load(y + i);  // before d_y is written: they may be the same
        lanes.store(d_y + i, through);
        lanes.store(d_gate + i, V::mul(V::mul(through, value), V::sub(V::set1(1.0f), s)));
    });
}

template <class V>
static inline void softmax_of(const float* x, float* out, std::size_t rows, std::size_t width) noexcept {
    const auto lowest = V::set1(-__builtin_inff());
    for (std::size_t r = 0; r < rows; ++r, x += width, out += width) {
        auto tops = lowest;
        along<V>(width, [&](std::size_t i, auto lanes) { tops = V::max(lanes.load(x + i, lowest), tops); });
        const float top = V::top(tops);
        const auto down = V::set1(top == -__builtin_inff() ? 0.0f : top);
        auto sums = V::zero();
        along<V>(width, [&](std::size_t i, auto lanes) {
            const auto e = V::exp(V::sub(lanes.load(x + i, lowest), down));
            lanes.store(out + i, e);
            sums = V::add(sums, e);
        });
        const float sum = V::sum(sums);
        const auto scale = V::set1(sum == 0 ? 0.0f : 1.0f / sum);
        along<V>(width, [&](std::size_t i, auto lanes) { lanes.store(out + i, V::mul(lanes.load(out + i), scale)); });
    }
}

}  // namespace perennial::kernels
