// Gradient-boosted trees for yes/no questions (libxgboost, logistic loss, histogram splits).
// Source: Chen and Guestrin 2016. Threads: const members from one thread at a time (libxgboost keeps a cache).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"

namespace perennial::predict {

struct TreeOptions {
    int rounds = 150, depth = 4;
    double learning_rate = 0.06, row_share = 0.8, column_share = 0.8, leaf_rows_min = 10;
    std::uint64_t seed = 1;
    unsigned threads = 2;
};

class BoostedTrees {
public:
    // `features` row-major [rows, columns], NaN means missing; `labels` 0 or 1. Errors: kInvalid (shapes), kIo (libxgboost's word).
    static Result<BoostedTrees> train(std::span<const float> features, std::size_t columns, std::span<const std::uint8_t> labels,
                                      const TreeOptions& options);
    static Result<BoostedTrees> load(const std::filesystem::path& path);
    Status save(const std::filesystem::path& path) const;  // libxgboost's JSON

    Result<std::vector<double>> probabilities(std::span<const float> features, std::size_t columns) const;
    // Contribution of each feature to each row's log odds (TreeSHAP, Lundberg 2018), [rows, columns + 1], the last is the bias.
    Result<std::vector<float>> contributions(std::span<const float> features, std::size_t columns) const;

private:
    struct Free { void operator()(void* handle) const noexcept; };
    std::unique_ptr<void, Free> booster_;
};

}  // namespace perennial::predict
