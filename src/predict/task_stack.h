// The methods that answer a task, and the mixture of them that does: each is calibrated, then a convex combination of their
// scores is chosen by the loss out of fold (stacking; Wolpert 1992, Breiman 1996 for weights of 0 or more).
// Threads: pure functions.
#pragma once

#include <array>

#include "predict/task_score.h"

namespace perennial::predict {

// time_head: what the pretrained network says of a purchase within the horizon, without any label. fused: trees that read
// the network's score and the time head beside hand features. own_share: of a category in what the customer bought.
enum Source : std::size_t { kLinear, kTrees, kNetwork, kTimeHead, kFused, kOwnShare, kSources };
inline constexpr std::array<const char*, kSources> kSourceNames{"linear", "trees", "network", "time_head", "fused", "own_share"};

// Scores of each method, none: it does not answer.
using SourceScores = std::array<Scores, kSources>;

struct Stack {
    std::array<Calibration, kSources> parts;
    std::array<double, kSources> weights{};  // 0 or more, together 1
    Calibration calibration;                 // of the mixture

    // Calibrates the parts and mixes them. Not the mixture's own calibration.
    Scores mixed(const Frame& f, const SourceScores& scores) const;
};

// 1,820 mixtures of five are tried, each O(rows Z). `slopes`: of each method's score, where labels are too few to say.
Stack fit_stack(const Frame& f, const SourceScores& out_of_fold, const std::array<double, kSources>& slopes);

}  // namespace perennial::predict
