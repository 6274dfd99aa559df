// What answers a task without the network, and the trees that read the network's score beside hand features.
// R rows, Z columns of a score. Threads: as BoostedTrees.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>

#include "model/adapter.h"
#include "predict/boosted_trees.h"
#include "predict/child_training.h"
#include "predict/network_recommender.h"
#include "predict/task_score.h"
#include "predict/task_table.h"

namespace perennial::predict {

struct TreeFit {
    BoostedTrees trees;
    Scores out_of_fold, all;
    TreeOptions chosen;
};

// `learn` [repeats, R, columns] is what learned rows show in each deal, or [R, columns] for all; `ask` [R, columns] what is asked
// with in the end. The settings with the smallest out-of-fold loss of the first deal.
Result<TreeFit> fit_trees(const Frame& f, std::span<const float> learn, std::span<const float> ask, std::size_t columns, const TaskSpec& spec);

// Logistic rule on tamed, standardised features; missing is average.
struct LinearFit {
    double chosen = 1;  // scale of the features: the smaller, the stronger the ridge
    std::vector<double> beta;
    std::vector<float> mean, scale;
    Scores out_of_fold, all;
};
// As settled by an earlier fit, on all the rows of `matrix` [R, columns].
Result<BoostedTrees> refit_trees(const Frame& f, std::span<const float> matrix, std::size_t columns, const TreeOptions& chosen);
// `scale` none: by the smallest out-of-fold loss.
LinearFit fit_linear(const Frame& f, std::span<const float> matrix, std::size_t columns, std::optional<double> scale = {});

// Log odds of a purchase within the horizon by the pretrained network. [R]
std::vector<float> time_head(const NetworkRecommender& network, const TaskTable& table, const TaskSpec& spec);
// The table's rows, with `features` as the head reads them, through the network that serves, not the one that trained. [R, O]
std::vector<float> served_outputs(const model::AdaptedNetwork& network, const TaskTable& table, std::span<const float> features, unsigned threads);
// The adapter of `run`, trained again on all `rows` for as many epochs as were best, in its place; null when that is none.
Result<std::shared_ptr<const model::AdaptedNetwork>> refit_adapter(const TaskTable& table, model::TaskRows rows, const TaskSpec& spec, const AdapterRun& run,
                                                                   const std::filesystem::path& weights, const std::filesystem::path& directory);

// Hand features and the days since the last event: what trees and the linear rule read.
std::vector<float> hand_matrix(const TaskTable& table);
// `features` [R, columns] with `extra` [R, extra_columns] behind them.
std::vector<float> with_columns(std::span<const float> features, std::size_t columns, std::span<const float> extra, std::size_t extra_columns);
std::vector<float> with_columns(std::span<const float> features, std::size_t columns, std::span<const double> extra, std::size_t extra_columns);

}  // namespace perennial::predict
