// Everything that answers for one task, as it is fitted, kept and served.
#pragma once

#include <filesystem>
#include <memory>
#include <string>
#include <vector>

#include "model/adapter.h"
#include "predict/boosted_trees.h"
#include "predict/task_score.h"
#include "predict/task_table.h"

namespace perennial::predict {

// Everything that answers for one task. Kept in models/<run>/tasks/<name>/ (docs/formats/task.md).
struct TaskModel {
    std::string name;
    model::TaskOptions options;
    std::vector<std::string> classes;
    double horizon_days = 0;         // of a built-in task, else 0
    bool hand_features = true;
    profile::ShopRhythm rhythm;
    std::shared_ptr<const model::AdaptedNetwork> network;
    BoostedTrees trees, fused;       // fused reads the network's score beside the features
    std::vector<double> linear;      // intercept, then one a feature; empty: none
    std::vector<float> linear_mean, linear_scale;
    std::vector<double> weights;     // linear trees network fused
    Calibration calibration;

    // The calibrated answer [columns] for a customer just before `time`; `steps` in the words of the network's vocabulary.
    // From one thread at a time (libxgboost).
    Result<std::vector<double>> predict(std::span<const event::Event> timeline, std::span<const sequence::Step> steps, UtcTime time) const;

    Status save(const std::filesystem::path& directory) const;  // task.json, trees.json, fused-trees.json
    // `weights`: of the network. Errors: kCorrupt, kUnsupported for damaged files.
    static Result<TaskModel> load(const std::filesystem::path& directory, const std::filesystem::path& weights);
};

// The state of a network after the last steps of a history, as many as it looks back.
model::Session task_session(const model::Network& network, std::span<const sequence::Step> known);

}  // namespace perennial::predict
