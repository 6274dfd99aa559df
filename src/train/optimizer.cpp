#include "train/optimizer.h"

#include <algorithm>
#include <cmath>

#include "base/parallel.h"

namespace perennial::train {
namespace {

constexpr std::size_t kBlock = 1 << 15;  // elements: 128 KiB a stream, a few streams fit a core's second-level cache

}  // namespace

AdamW::AdamW(std::vector<Parameter> parameters, Options options)
    : parameters_(std::move(parameters)), states_(parameters_.size()), options_(options) {
    for (std::size_t p = 0; p < parameters_.size(); ++p) {
        const auto size = parameters_[p].values.size();
        states_[p] = {{}, std::vector<float>(size), std::vector<float>(size)};
    }
}

std::vector<std::span<float>> AdamW::memory() {
    std::vector<std::span<float>> all;
    for (auto& state : states_) all.emplace_back(state.mean);
    for (auto& state : states_) all.emplace_back(state.square);
    return all;
}

double AdamW::step(std::span<const std::vector<const float*>> gradients, double learning_rate, unsigned threads, std::span<const TouchedRows> touched) {
    const auto rows_of = [&](std::size_t p) {
        const auto found = std::ranges::find(touched, p, &TouchedRows::parameter);
        return found == touched.end() ? nullptr : &*found;
    };
    double squares = 0;
    for (std::size_t p = 0; p < parameters_.size(); ++p) {
        const auto* rows = rows_of(p);
        auto& sum = states_[p].sum;
        sum.resize(rows ? rows->rows.size() * rows->width : parameters_[p].values.size());
        std::vector<double> partial((sum.size() + kBlock - 1) / kBlock);
        parallel_for(sum.size(), kBlock, sum.size() > kBlock ? threads : 1, [&](std::size_t begin, std::size_t end) {
            std::fill(sum.begin() + static_cast<std::ptrdiff_t>(begin), sum.begin() + static_cast<std::ptrdiff_t>(end), 0.0f);
            for (const auto& shard : gradients)
                if (const float* gradient = shard[p])
                    for (std::size_t i = begin; i < end; ++i) sum[i] += gradient[i];
            double total = 0;
            for (std::size_t i = begin; i < end; ++i) total += double{sum[i]} * sum[i];
            partial[begin / kBlock] = total;
        });
        for (const double value : partial) squares += value;
    }
    const double norm = std::sqrt(squares);
    if (!std::isfinite(norm)) return norm;

    ++steps_;
    const auto clip = static_cast<float>(norm > options_.gradient_norm_limit ? options_.gradient_norm_limit / norm : 1.0);
    const auto beta1 = static_cast<float>(options_.beta1), beta2 = static_cast<float>(options_.beta2), eps = static_cast<float>(options_.eps);
    const auto rate = static_cast<float>(learning_rate / (1 - std::pow(options_.beta1, static_cast<double>(steps_))));
    const auto square_scale = static_cast<float>(1 / (1 - std::pow(options_.beta2, static_cast<double>(steps_))));
    for (std::size_t p = 0; p < parameters_.size(); ++p) {
        const auto* rows = rows_of(p);
        const auto keep = static_cast<float>(parameters_[p].decays ? 1 - learning_rate * options_.weight_decay : 1.0);
        // `count` values from `to` on, whose gradients begin at `from`.
        const auto update = [&, this](std::size_t from, std::size_t to, std::size_t count) {
            const float* sum = states_[p].sum.data() + from;
            float *mean = states_[p].mean.data() + to, *square = states_[p].square.data() + to, *values = parameters_[p].values.data() + to;
            for (std::size_t i = 0; i < count; ++i) {
                const float g = sum[i] * clip;
                mean[i] = beta1 * mean[i] + (1 - beta1) * g;
                square[i] = beta2 * square[i] + (1 - beta2) * g * g;
                values[i] = keep * values[i] - rate * mean[i] / (std::sqrt(square[i] * square_scale) + eps);
            }
        };
        if (rows) {
            parallel_for(rows->rows.size(), std::max<std::size_t>(1, kBlock / rows->width), threads, [&](std::size_t begin, std::size_t end) {
                for (auto r = begin; r < end; ++r) update(r * rows->width, static_cast<std::size_t>(rows->rows[r]) * rows->width, rows->width);
            });
        } else {
            const auto size = parameters_[p].values.size();
            parallel_for(size, kBlock, size > kBlock ? threads : 1, [&](std::size_t begin, std::size_t end) { update(begin, begin, end - begin); });
        }
    }
    return norm;
}

}  // namespace perennial::train
