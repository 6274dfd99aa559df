// Everything that answers for one task, as it is fitted, kept and served.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "model/adapter.h"
#include "predict/boosted_trees.h"
#include "predict/churn.h"
#include "predict/network_recommender.h"
#include "predict/task_stack.h"
#include "predict/task_table.h"

namespace perennial::predict {

// Everything that answers for one task. Kept in models/<run>/tasks/<name>/ (docs/formats/task.md).
struct TaskModel {
    std::string name;
    model::TaskOptions options;
    std::vector<std::string> classes;
    double horizon_days = 90;        // the time head is asked for a purchase within them
    bool hand_features = true;
    profile::ShopRhythm rhythm;
    std::shared_ptr<const model::AdaptedNetwork> network;
    std::shared_ptr<const NetworkRecommender> base;  // the network as it was pretrained: its time head is asked
    BoostedTrees trees, fused;                       // fused reads the network's score and the time head beside the features
    std::vector<double> linear;                      // intercept, then one a feature; of a category task one such rule a category; empty: none
    std::vector<float> linear_mean, linear_scale;
    Categories categories;                           // of a category task, which has no trees
    Stack stack;

    // The calibrated answer [columns] for a customer just before `time`; `steps` in the words of the network's vocabulary.
    // From one thread at a time (libxgboost).
    Result<std::vector<double>> predict(std::span<const event::Event> timeline, std::span<const sequence::Step> steps, UtcTime time) const;

    Status save(const std::filesystem::path& directory) const;  // task.json, trees.json, fused-trees.json (no trees of a category task)
    // `weights`: of the network; `base`: it, where it is at hand. Errors: kCorrupt, kUnsupported for damaged files; kInvalid when
    // the adapter belongs to another network.
    static Result<TaskModel> load(const std::filesystem::path& directory, const std::filesystem::path& weights,
                                  std::shared_ptr<const NetworkRecommender> base = nullptr);
};

// Log odds, from the pretrained network, of a purchase within the horizon; `steps` end before `time`.
float return_log_odds(const NetworkRecommender& network, std::span<const sequence::Step> known, UtcTime time, double horizon_days);
inline constexpr std::string_view kReturnFeature = "return_log_odds";
// Score of the logistic rule `beta` [1 + n] on tamed features [n], standardised; missing is average.
double linear_score(std::span<const double> beta, std::span<const float> mean, std::span<const float> scale, std::span<const float> features);
inline constexpr double kLinearScoreLimit = 12;
// What the head reads beside the state.
std::vector<std::string> head_feature_names(bool hand_features, std::span<const std::string> categories = {});
// Columns that a category's rule reads: hand features, days since the last event, its own history, the time head.
inline constexpr std::size_t kCategoryColumns = kChurnFeatures.size() + 1 + kOwnColumns + 1;

// The state of a network after the last steps of a history, as many as it looks back.
model::Session task_session(const model::Network& network, std::span<const sequence::Step> known);

}  // namespace perennial::predict
