// The methods that answer a task, and the mixture of them that does.
// Threads: pure functions.
#pragma once

#include <array>

#include "predict/task_score.h"

namespace perennial::predict {

enum Source : std::size_t { kLinear, kTrees, kNetwork, kFused, kSources };
inline constexpr std::array<const char*, kSources> kSourceNames{"linear", "trees", "network", "fused"};

Scores mixed(const std::array<Scores, kSources>& scores, std::span<const double> weights);
// Weights in tenths with the smallest calibrated loss of out-of-fold scores (none: the method does not answer), held to equal
// shares of the single methods.
std::vector<double> best_weights(const Frame& f, const std::array<Scores, kSources>& scores);

}  // namespace perennial::predict
