// Gradient-boosted trees for yes/no questions and for orders (libxgboost, histogram splits).
// Source: Chen and Guestrin 2016. Threads: const members from one thread at a time (libxgboost keeps a cache).
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace perennial::predict {

// What a tree ensemble is asked: a chance, one of `classes` numbers, a value, an amount >= 0 that is often 0 (Tweedie).
enum class TreeTarget : std::uint8_t { kBinary, kClass, kValue, kAmount };

struct TreeOptions {
    int rounds = 150, depth = 4;
    double learning_rate = 0.06, row_share = 0.8, column_share = 0.8, leaf_rows_min = 10;
    std::uint64_t seed = 1;
    unsigned threads = 2;
    TreeTarget target = TreeTarget::kBinary;
    std::size_t classes = 2;
};

class BoostedTrees {
public:
    // `features` row-major [rows, columns], NaN means missing; `labels` 0 or 1. Errors: kInvalid (shapes), kIo (libxgboost's word).
    static Result<BoostedTrees> train(std::span<const float> features, std::size_t columns, std::span<const std::uint8_t> labels,
                                      const TreeOptions& options);
    // Any target; `weights` empty: all the same.
    static Result<BoostedTrees> train(std::span<const float> features, std::size_t columns, std::span<const float> targets,
                                      std::span<const float> weights, const TreeOptions& options);
    // Learns an order within lists instead (LambdaMART; Burges 2010): `lists` are the rows of each list, in order, their sum
    // the rows; `labels` 1 for what should rank first.
    static Result<BoostedTrees> train_ranking(std::span<const float> features, std::size_t columns, std::span<const std::uint8_t> labels,
                                              std::span<const std::uint32_t> lists, const TreeOptions& options);
    static Result<BoostedTrees> load(const std::filesystem::path& path);
    Status save(const std::filesystem::path& path) const;  // libxgboost's JSON

    // One number a row; one a class for kClass.
    Result<std::vector<double>> probabilities(std::span<const float> features, std::size_t columns) const;
    // Contribution of each feature to each row's log odds (TreeSHAP, Lundberg 2018), [rows, columns + 1], the last is the bias.
    Result<std::vector<float>> contributions(std::span<const float> features, std::size_t columns) const;

    Result<std::string> json() const;  // libxgboost's JSON, as a string

private:
    static Result<BoostedTrees> train(std::span<const float> features, std::size_t columns, std::span<const float> labels, std::span<const float> weights,
                                      std::span<const std::uint32_t> lists, const char* objective, const TreeOptions& options);
    struct Free { void operator()(void* handle) const noexcept; };
    std::unique_ptr<void, Free> booster_;
};

// The same trees as plain arrays: a row's sum of leaves in a few microseconds, from any thread. No links, no bias.
inline constexpr std::size_t kTreeDepthLimit = 64;   // levels that a file's trees may have
inline constexpr std::size_t kPlayersLimit = 32;     // in shapley()

class TreeSum {
public:
    static Result<TreeSum> of(const BoostedTrees& trees);
    // Errors: kCorrupt for JSON that is no model of trees with each node below one parent, features below `columns`, covers
    // >= 0 and at most kTreeDepthLimit levels.
    static Result<TreeSum> parse(std::string_view json, std::size_t columns);
    static Result<TreeSum> load(const std::filesystem::path& path, std::size_t columns);
    Status save(const std::filesystem::path& path) const;  // the JSON it was read from

    float operator()(std::span<const float> row) const noexcept { return part(row, 0, roots_.size()); }
    // Of trees first .. last - 1 alone.
    float part(std::span<const float> row, std::size_t first, std::size_t last) const noexcept;
    std::size_t trees() const noexcept { return roots_.size(); }

    // What each player adds to the row's sum: Shapley values of the game in which a player's features are known together or
    // not at all, and the trees go both ways, weighted by the training rows, at what is not known (path-dependent TreeSHAP;
    // Lundberg et al. 2020). `player_of` [columns]: of each feature, below `players`. Returns [players + 1]; the last is the
    // expected sum, and all of them add up to operator(). With a player a feature, libxgboost's contributions.
    // O(leaves x (depth + players on the path^2)).
    std::vector<double> shapley(std::span<const float> row, std::span<const std::uint8_t> player_of, std::size_t players) const;

private:
    struct Node {
        float value = 0;             // threshold, or what a leaf adds
        float left_share = 0;        // of the node's training rows, by their second derivatives, those that went left
        std::int32_t feature = -1;   // -1: leaf
        std::int32_t left = 0, right = 0;
        bool missing_left = false;
    };
    struct Game;
    bool goes_left(const Node& node, std::span<const float> row) const noexcept;

    std::vector<Node> nodes_;
    std::vector<std::int32_t> roots_;
    std::string json_;
};

}  // namespace perennial::predict
