#include "train/sgd.h"

#include <algorithm>
#include <cmath>

namespace perennial::train {

Sgd::Sgd(std::vector<Parameter> parameters, Options options) : parameters_(std::move(parameters)), options_(options) {
    for (const auto& parameter : parameters_) {
        sums_.emplace_back(parameter.values.size());
        velocities_.emplace_back(parameter.values.size());
    }
}

double Sgd::step(std::span<const std::vector<const float*>> gradients, double learning_rate) {
    double squares = 0;
    for (std::size_t p = 0; p < parameters_.size(); ++p) {
        auto& sum = sums_[p];
        std::ranges::fill(sum, 0.0f);
        for (const auto& shard : gradients)
            if (const float* gradient = shard[p])
                for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += gradient[i];
        for (const float value : sum) squares += double{value} * double{value};
    }
    const double norm = std::sqrt(squares);
    if (!std::isfinite(norm)) return norm;
    const auto clip = static_cast<float>(norm > options_.gradient_norm_limit ? options_.gradient_norm_limit / norm : 1.0);
    const auto momentum = static_cast<float>(options_.momentum), rate = static_cast<float>(learning_rate);
    for (std::size_t p = 0; p < parameters_.size(); ++p) {
        const auto decay = static_cast<float>(parameters_[p].decays ? options_.weight_decay : 0.0);
        const auto values = parameters_[p].values;
        for (std::size_t i = 0; i < values.size(); ++i) {
            velocities_[p][i] = momentum * velocities_[p][i] + clip * sums_[p][i] + decay * values[i];
            values[i] -= rate * velocities_[p][i];
        }
    }
    return norm;
}

}  // namespace perennial::train
