#include "predict/task_stack.h"

#include <cmath>

namespace perennial::predict {
namespace {

// How strongly, in nats, weights are held to equal shares: what a few labels cannot tell stays as it is without them, and a
// thousand labels do not feel it.
constexpr double kEqualShares = 4;

}  // namespace

Scores mixed(const std::array<Scores, kSources>& scores, std::span<const double> weights) {
    Scores out;
    for (std::size_t s = 0; s < kSources; ++s) {
        if (weights[s] == 0) continue;
        out.resize(scores[s].size());
        for (std::size_t i = 0; i < out.size(); ++i) out[i] += weights[s] * scores[s][i];
    }
    return out;
}

std::vector<double> best_weights(const Frame& f, const std::array<Scores, kSources>& scores) {
    std::array<double, kSources> equal{};
    double singles = 0;
    for (const auto s : {kLinear, kTrees, kNetwork}) singles += scores[s].empty() ? 0 : 1;
    for (const auto s : {kLinear, kTrees, kNetwork}) equal[s] = scores[s].empty() ? 0 : 1 / singles;
    std::vector<double> best;
    double best_loss = INFINITY;
    constexpr int kTenths = 10;
    for (int a = 0; a <= (scores[kLinear].empty() ? 0 : kTenths); ++a)
        for (int b = 0; a + b <= kTenths; ++b)
            for (int c = 0; a + b + c <= kTenths; ++c) {
                const std::vector<double> weights{a / 10.0, b / 10.0, c / 10.0, (kTenths - a - b - c) / 10.0};
                if (weights[kFused] > 0 && scores[kFused].empty()) continue;
                const auto z = mixed(scores, weights);
                double loss = total_loss(f, calibrate(f, z), z);
                for (std::size_t s = 0; s < kSources; ++s) loss += kEqualShares * (weights[s] - equal[s]) * (weights[s] - equal[s]);
                if (loss < best_loss - 1e-9) best_loss = loss, best = weights;
            }
    return best;
}

}  // namespace perennial::predict
