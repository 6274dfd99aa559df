#include "predict/task_stack.h"

#include <cmath>

namespace perennial::predict {
namespace {

// How strongly, in nats, weights are held to equal shares of the single methods: what a few labels cannot tell stays as it is
// without them, and a thousand labels do not feel it.
constexpr double kEqualShares = 16;
constexpr int kShares = 12;  // a weight is so many twelfths: halves, thirds and quarters are among them

Scores sum_of(const SourceScores& scaled, const std::array<double, kSources>& weights) {
    Scores out;
    for (std::size_t s = 0; s < kSources; ++s) {
        if (weights[s] == 0) continue;
        out.resize(scaled[s].size());
        for (std::size_t i = 0; i < out.size(); ++i) out[i] += weights[s] * scaled[s][i];
    }
    return out;
}

}  // namespace

Scores Stack::mixed(const Frame& f, const SourceScores& scores) const {
    SourceScores scaled;
    for (std::size_t s = 0; s < kSources; ++s)
        if (weights[s] != 0) scaled[s] = rescaled(f, parts[s], scores[s]);
    return sum_of(scaled, weights);
}

Stack fit_stack(const Frame& f, const SourceScores& out_of_fold, const std::array<double, kSources>& slopes) {
    const auto all = of_all_deals(f);
    Stack stack;
    SourceScores scaled;
    std::array<double, kSources> equal{};
    double singles = 0;
    for (std::size_t s = 0; s < kSources; ++s) {
        if (out_of_fold[s].empty()) continue;
        stack.parts[s] = calibrate(all, out_of_fold[s], slopes[s]);
        scaled[s] = rescaled(all, stack.parts[s], out_of_fold[s]);
        if (s != kFused) equal[s] = 1, singles += 1;
    }
    for (double& share : equal) share /= singles;

    double best = INFINITY;
    std::array<int, kSources> twelfths{};
    const auto visit = [&](const auto& self, std::size_t s, int left) -> void {
        if (s + 1 < kSources) {
            for (int k = 0; k <= (out_of_fold[s].empty() ? 0 : left); ++k) {
                twelfths[s] = k;
                self(self, s + 1, left - k);
            }
            return;
        }
        if (left > 0 && out_of_fold[s].empty()) return;
        twelfths[s] = left;
        std::array<double, kSources> weights;
        double loss = 0;
        for (std::size_t i = 0; i < kSources; ++i) {
            weights[i] = twelfths[i] / double{kShares};
            loss += kEqualShares * std::pow(weights[i] - equal[i], 2);
        }
        loss += total_loss(all, {}, sum_of(scaled, weights));
        if (loss < best) best = loss, stack.weights = weights;
    };
    visit(visit, 0, kShares);
    stack.calibration = calibrate(all, stack.mixed(f, out_of_fold));
    return stack;
}

}  // namespace perennial::predict
