#include "model/attribution.h"

#include <algorithm>
#include <cassert>
#include <cmath>
#include <numbers>
#include <numeric>

#include "kernels/attention.h"
#include "kernels/linear.h"
#include "kernels/norm_gate.h"
#include "model/buckets.h"

namespace perennial::model {
namespace {

using Floats = std::vector<float>;

void add(std::span<float> to, std::span<const float> x) {
    for (std::size_t i = 0; i < to.size(); ++i) to[i] += x[i];
}

struct PathPoint { double place, weight; };

// Nodes and weights of Gauss and Legendre on 0..1, by Newton's method on the Legendre polynomial, with the path walked as
// place = t^2. The value turns fastest near the baseline, where a norm sees a small vector change its direction; the square
// puts more points there, and integrated gradients do not depend on how fast the path is walked.
std::vector<PathPoint> path(std::size_t count) {
    std::vector<PathPoint> points;
    const auto n = static_cast<double>(count);
    for (std::size_t k = 0; k < count; ++k) {
        double x = std::cos(std::numbers::pi * (static_cast<double>(k) + 0.75) / (n + 0.5)), slope = 1;
        for (int round = 0; round < 100; ++round) {
            double p = 1, before = 0;
            for (std::size_t j = 1; j <= count; ++j) {
                const auto degree = static_cast<double>(j);
                before = std::exchange(p, ((2 * degree - 1) * x * p - (degree - 1) * before) / degree);
            }
            slope = n * (x * p - before) / (x * x - 1);
            const double move = p / slope;
            x -= move;
            if (std::abs(move) < 1e-15) break;
        }
        const double t = (1 + x) / 2;
        points.push_back({t * t, 2 * t / ((1 - x * x) * slope * slope)});
    }
    return points;
}

}  // namespace

double Attribution::missing() const noexcept { return value - baseline - std::accumulate(effects.begin(), effects.end(), 0.0); }

std::vector<Readout> Explainer::contrasts(const Request& request, std::span<const std::int32_t> products, std::span<const float> shares) const {
    const auto width = static_cast<std::size_t>(network_.config_.width);
    assert(shares.size() == network_.products());
    Floats mean(width);
    kernels::linear_backward(shares, network_.product_, mean, width, shares.size());
    const double mean_bias = std::inner_product(shares.begin(), shares.end(), network_.product_bias_.begin(), 0.0);
    const std::size_t gap = request.same_occasion ? kSameOccasionGap : network_.config_.has_time ? timed_gap_days(request.gap_days) : kUnknownGap;
    std::vector<Readout> out;
    for (const auto product : products) {
        const auto vector = network_.product_vector(product);
        Floats direction(width);  // by h, the request's scale applied
        double rest = network_.product_bias_[static_cast<std::size_t>(product)] - mean_bias;
        for (std::size_t i = 0; i < width; ++i) {
            const double apart = static_cast<double>(vector[i]) - mean[i];
            direction[i] = static_cast<float>(apart * (1 + network_.request_scale_[gap * width + i]));
            rest += apart * network_.request_shift_[gap * width + i];
        }
        out.push_back([direction = std::move(direction), rest](std::span<const float> h, std::span<float> d_h) {
            std::ranges::copy(direction, d_h.begin());
            return std::inner_product(h.begin(), h.end(), direction.begin(), rest);
        });
    }
    return out;
}

Readout Explainer::hazard(double from_days, double to_days) const {
    assert(0 <= from_days && from_days <= to_days);
    return [this, from_days, to_days](std::span<const float> h, std::span<float> d_h) {
        const auto& edges = network_.edges_days_;
        std::ranges::fill(d_h, 0.0f);
        double sum = 0;
        for (std::size_t k = 0; k < network_.hazard_bias_.size(); ++k) {
            const bool last = k + 1 == network_.hazard_bias_.size();
            const double begin = std::max<double>(from_days, edges[k]), end = last ? to_days : std::min<double>(to_days, edges[k + 1]);
            if (end <= begin) continue;
            const double share = (end - begin) / (edges[k + 1] - edges[k]);
            const auto row = std::span(network_.hazard_).subspan(k * h.size(), h.size());
            const double z = std::inner_product(h.begin(), h.end(), row.begin(), static_cast<double>(network_.hazard_bias_[k]));
            sum += share * (z > 30 ? z : std::log1p(std::exp(z)));
            const auto slope = static_cast<float>(share / (1 + std::exp(-z)));
            for (std::size_t i = 0; i < h.size(); ++i) d_h[i] += slope * row[i];
        }
        return sum;
    };
}

// One sequence of T events, of which the first are held as they are: their keys and values are worked out once. A events
// walk the path. Forward at a point of it keeps what backward needs. Only the last position is read, so the last block
// works out its query and what follows for that position alone.
struct Explainer::Pass {
    const Network& network;
    std::size_t count, held, active, width, heads, hidden, window;  // count T = held + active A
    Floats x0, delta;                                               // [A, D]

    struct Layer {
        std::size_t from = 0;  // first position that is worked out, R = T - from of them
        Floats in, norm, q, kv, bias, weights, attended, attention, gate;  // [A, D], [A, D], [R, D], [T, 2D], 2 x [R, H window], 3 x [R, D]
        Floats mid, ffn_norm, wide, active, ffn, ffn_gate;                 // [R, D], [R, D], [R, 2F], [R, F], 2 x [R, D]
    };
    std::vector<Layer> layers;
    // `no_gain` takes the gains' gradients, which nobody reads.
    Floats out, h, d_h, d_x, d_in, d_branch, d_gate, d_norm, d_part, d_wide, d_active, d_q, d_kv, d_bias, no_gain;

    Pass(const Explainer& of, std::span<const Step> steps, std::size_t held_steps, Absent absent)
        : network(of.network_), count(steps.size()), held(held_steps), active(count - held), width(static_cast<std::size_t>(network.config_.width)),
          heads(static_cast<std::size_t>(network.config_.heads)), hidden(static_cast<std::size_t>(network.config_.hidden)),
          window(std::min(count, static_cast<std::size_t>(network.config_.history_limit))), x0(active * width), delta(active * width),
          layers(network.blocks_.size()), h(width), d_h(width), d_kv(2 * count * width), d_bias(heads * window), no_gain(width) {
        std::vector<std::int64_t> stamps;
        for (std::size_t i = 0; i < count; ++i) {
            const Step& step = steps[i];
            const bool timed = network.config_.has_time;
            const std::size_t gap = i == 0 ? kUnknownGap : step.same_occasion ? kSameOccasionGap : timed ? timed_gap(step.time_ms - steps[i - 1].time_ms) : kUnknownGap;
            if (timed) stamps.push_back(step.time_ms);
            if (i < held) continue;
            const std::size_t at = i - held;
            add_row(x0, at, network.kind_, step.kind);
            if (step.product >= 0 && step.product < network.config_.products) add_row(delta, at, network.product_, static_cast<std::size_t>(step.product));
            auto& details = absent == Absent::kDetails ? delta : x0;
            add_row(details, at, network.quantity_, step.quantity);
            add_row(details, at, network.gap_, gap);
            if (absent == Absent::kProduct) continue;
            add_row(x0, at, network.quantity_, 0);
            add_row(x0, at, network.gap_, kUnknownGap);
            for (std::size_t c = 0; c < width; ++c) delta[at * width + c] -= network.quantity_[c] + network.gap_[kUnknownGap * width + c];
        }
        for (std::size_t b = 0; b < layers.size(); ++b) {
            auto& layer = layers[b];
            layer.from = b + 1 == layers.size() ? count - 1 : held;
            const std::size_t rows = count - layer.from;
            for (auto* x : {&layer.q, &layer.attended, &layer.attention, &layer.gate, &layer.mid, &layer.ffn_norm, &layer.ffn, &layer.ffn_gate}) x->resize(rows * width);
            layer.norm.resize(active * width);
            layer.kv.resize(2 * count * width);
            layer.wide.resize(2 * rows * hidden);
            layer.active.resize(rows * hidden);
            layer.weights.resize(rows * heads * window);
            layer.bias.resize(rows * heads * window);
            const auto& block = network.blocks_[b];
            const kernels::PairBias tables{block.lag_bias, timed_span(block.stamp_bias), stamp_edges(), heads};
            for (std::size_t i = layer.from; i < count; ++i) {
                const std::size_t keys = std::min(i + 1, window);
                const auto seen = stamps.empty() ? std::span<const std::int64_t>() : std::span<const std::int64_t>(stamps).subspan(i + 1 - keys, keys);
                kernels::pair_bias(tables, seen, keys, std::span(layer.bias).subspan((i - layer.from) * heads * window, heads * keys));
            }
        }
        if (held == 0) return;
        Pass before(of, steps.first(held), 0, absent);
        before.forward(1);
        for (std::size_t b = 0; b < layers.size(); ++b) std::ranges::copy(before.layers[b].kv, layers[b].kv.begin());
    }

    std::span<const float> timed_span(const Floats& table) const { return network.config_.has_time ? std::span<const float>(table) : std::span<const float>(); }

    void add_row(Floats& x, std::size_t position, const Floats& table, std::size_t row) const {
        for (std::size_t c = 0; c < width; ++c) x[position * width + c] += table[row * width + c];
    }

    kernels::AttendRow row(Layer& layer, std::size_t i) const {
        const std::size_t keys = std::min(i + 1, window), at = i - layer.from;
        const float* oldest = layer.kv.data() + (i + 1 - keys) * 2 * width;
        return {layer.q.data() + at * width, oldest, oldest + width, layer.bias.data() + at * heads * window, layer.weights.data() + at * heads * window,
                2 * width, keys, heads, width / heads};
    }

    // Fills `h` for the inputs x0 + place * delta.
    void forward(double place) {
        Floats x(active * width);
        for (std::size_t i = 0; i < x.size(); ++i) x[i] = x0[i] + static_cast<float>(place) * delta[i];
        for (std::size_t b = 0; b < layers.size(); ++b) {
            auto& l = layers[b];
            const auto& w = network.blocks_[b];
            l.in = std::move(x);
            kernels::rms_norm(l.in, w.attention_norm, l.norm, kNormEps);
            const auto norm = std::span<const float>(l.norm).subspan((l.from - held) * width);
            const std::span<const float> qkv = w.qkv;
            kernels::linear(norm, qkv.first(width * width), {}, l.q, width, width);
            kernels::linear(l.norm, qkv.subspan(width * width), {}, std::span(l.kv).subspan(held * 2 * width), width, 2 * width);
            for (std::size_t i = l.from; i < count; ++i) kernels::attend_row(row(l, i), std::span(l.attended).subspan((i - l.from) * width, width));
            kernels::linear(l.attended, w.attention_out, {}, l.attention, width, width);
            kernels::linear(norm, w.attention_gate, w.attention_gate_bias, l.gate, width, width);
            std::copy(l.in.begin() + static_cast<std::ptrdiff_t>((l.from - held) * width), l.in.end(), l.mid.begin());
            kernels::gated_add(l.mid, l.gate, l.attention);

            kernels::rms_norm(l.mid, w.ffn_norm, l.ffn_norm, kNormEps);
            kernels::linear(l.ffn_norm, w.ffn_in, {}, l.wide, width, 2 * hidden);
            kernels::swiglu(l.wide, l.active, hidden);
            kernels::linear(l.active, w.ffn_out, {}, l.ffn, hidden, width);
            kernels::linear(l.ffn_norm, w.ffn_gate, w.ffn_gate_bias, l.ffn_gate, width, width);
            x = l.mid;
            kernels::gated_add(x, l.ffn_gate, l.ffn);
        }
        out.assign(x.end() - static_cast<std::ptrdiff_t>(width), x.end());
        kernels::rms_norm(out, network.norm_, h, kNormEps);
    }

    // From d_h to d_in [A, D], the gradient by the inputs.
    void backward() {
        d_x.resize(width);
        kernels::rms_norm_backward(out, network.norm_, d_h, d_x, no_gain, kNormEps);
        for (std::size_t b = layers.size(); b-- > 0;) {
            block_backward(layers[b], network.blocks_[b]);
            d_x = d_in;
        }
    }

    // d_x [R, D] by the block's output to d_in [A, D] by its input.
    void block_backward(Layer& l, const Network::Block& w) {
        const std::size_t rows = count - l.from, size = rows * width;
        for (auto* x : {&d_branch, &d_gate, &d_part, &d_q}) x->resize(size);
        d_active.resize(rows * hidden);
        d_wide.resize(2 * rows * hidden);
        d_norm.resize(size);
        kernels::gated_add_backward(l.ffn_gate, l.ffn, d_x, d_gate, d_branch);
        kernels::linear_backward(d_branch, w.ffn_out, d_active, hidden, width);
        kernels::swiglu_backward(l.wide, d_active, d_wide, hidden);
        kernels::linear_backward(d_wide, w.ffn_in, d_norm, width, 2 * hidden);
        kernels::linear_backward(d_gate, w.ffn_gate, d_norm, width, width, true);
        kernels::rms_norm_backward(l.mid, w.ffn_norm, d_norm, d_norm, no_gain, kNormEps);
        add(d_x, d_norm);  // by `mid` now

        kernels::gated_add_backward(l.gate, l.attention, d_x, d_gate, d_branch);
        kernels::linear_backward(d_branch, w.attention_out, d_part, width, width);
        std::ranges::fill(d_q, 0.0f);
        std::ranges::fill(d_kv, 0.0f);
        for (std::size_t i = l.from; i < count; ++i) {
            const auto keys = row(l, i);
            float* d_keys = d_kv.data() + (i + 1 - keys.count) * 2 * width;
            kernels::table().attend_row_backward(keys, d_part.data() + (i - l.from) * width, d_q.data() + (i - l.from) * width, d_keys, d_keys + width, d_bias.data());
        }
        d_norm.resize(active * width);
        const std::span<const float> qkv = w.qkv;
        kernels::linear_backward(std::span<const float>(d_kv).subspan(held * 2 * width), qkv.subspan(width * width), d_norm, width, 2 * width);
        const auto own = std::span(d_norm).subspan((l.from - held) * width);
        kernels::linear_backward(d_q, qkv.first(width * width), own, width, width, true);
        kernels::linear_backward(d_gate, w.attention_gate, own, width, width, true);
        d_in.resize(active * width);
        kernels::rms_norm_backward(l.in, w.attention_norm, d_norm, d_in, no_gain, kNormEps);
        add(std::span(d_in).subspan((l.from - held) * width), d_x);
    }
};

std::vector<Attribution> Explainer::attribute(std::span<const Step> steps, std::span<const Readout> readouts, const AttributionOptions& options) const {
    assert(options.path_steps > 0);
    std::vector<Attribution> out(readouts.size());
    Floats ignored(static_cast<std::size_t>(network_.config_.width));
    if (steps.empty()) {
        for (std::size_t r = 0; r < readouts.size(); ++r) out[r].value = out[r].baseline = readouts[r](network_.start_, ignored);
        return out;
    }
    const std::size_t held = steps.size() - std::min(steps.size(), options.latest);
    Pass pass(*this, steps, held, options.absent);
    for (auto& one : out) one.effects.assign(steps.size(), 0);
    if (options.ends) {
        pass.forward(0);
        for (std::size_t r = 0; r < readouts.size(); ++r) out[r].baseline = readouts[r](pass.h, ignored);
        pass.forward(1);
        for (std::size_t r = 0; r < readouts.size(); ++r) out[r].value = readouts[r](pass.h, ignored);
    }
    const std::size_t width = pass.width;
    for (const auto& [place, weight] : options.integrate ? path(options.path_steps) : std::vector<PathPoint>{{1, 1}}) {
        pass.forward(place);
        for (std::size_t r = 0; r < readouts.size(); ++r) {
            readouts[r](pass.h, pass.d_h);
            pass.backward();
            for (std::size_t i = 0; i < pass.active; ++i) {
                const auto at = static_cast<std::ptrdiff_t>(i * width);
                out[r].effects[held + i] += weight * std::inner_product(pass.delta.begin() + at, pass.delta.begin() + at + static_cast<std::ptrdiff_t>(width), pass.d_in.begin() + at, 0.0);
            }
        }
    }
    return out;
}

}  // namespace perennial::model
