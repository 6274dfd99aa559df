// AdamW on plain spans: gradients of all shards in, parameters changed in place.
// Source: Loshchilov and Hutter 2019 (decoupled weight decay). Threads: one call at a time; it splits its work into fixed
// blocks of elements, so the result is the same for any number of threads.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace perennial::train {

struct Parameter {
    std::span<float> values;
    bool decays = false;
};

// A parameter of rows of which a step touches few: its gradient holds those rows alone, one after another. Moments and
// decay of the others stay as they are (lazy Adam).
struct TouchedRows {
    std::size_t parameter = 0, width = 0;
    std::span<const std::int32_t> rows;  // ascending, distinct
};

class AdamW {
public:
    struct Options {
        double weight_decay = 0.01, gradient_norm_limit = 1.0;
        double beta1 = 0.9, beta2 = 0.98, eps = 1e-9;  // beta2 as usual for transformers with short runs
    };
    AdamW(std::vector<Parameter> parameters, Options options);

    // gradients[shard][parameter] points at as many floats as the parameter has, or is null (no gradient). Adds them in
    // the order of the shards, scales the sum down to the norm limit, steps. Returns the norm before scaling; when it is
    // not finite nothing is changed. Parameters that `touched` does not name are dense.
    double step(std::span<const std::vector<const float*>> gradients, double learning_rate, unsigned threads, std::span<const TouchedRows> touched = {});

    // What the next step depends on beside the parameters: the steps so far, and running means of gradients and squares.
    std::int64_t& steps() noexcept { return steps_; }
    std::vector<std::span<float>> memory();  // all means, then all squares, one a parameter each

private:
    struct State {
        std::vector<float> sum, mean, square;
    };
    std::vector<Parameter> parameters_;
    std::vector<State> states_;
    Options options_;
    std::int64_t steps_ = 0;
};

}  // namespace perennial::train
