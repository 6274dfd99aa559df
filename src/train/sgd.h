// Stochastic gradient descent with momentum on plain spans, L2 for parameters that decay: v = m v + g + d w, w = w - rate v.
// Source: Sutskever et al. 2013, the form without Nesterov's look-ahead. Threads: one call at a time.
#pragma once

#include <span>
#include <vector>

#include "train/optimizer.h"

namespace perennial::train {

class Sgd {
public:
    struct Options { double momentum = 0.9, weight_decay = 0, gradient_norm_limit = 1; };
    Sgd(std::vector<Parameter> parameters, Options options);

    // As AdamW::step: gradients are added in the order of the shards and scaled down to the norm limit; returns the norm
    // before that; when it is not finite nothing is changed.
    double step(std::span<const std::vector<const float*>> gradients, double learning_rate);

private:
    std::vector<Parameter> parameters_;
    std::vector<std::vector<float>> sums_, velocities_;
    Options options_;
};

}  // namespace perennial::train
