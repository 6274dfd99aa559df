// Fits a task and judges it on held-out customers, beside what needs no network: the base rate, a linear rule and boosted
// trees on hand features. What answers is a mixture of all of them, its weights and its calibration fitted on out-of-fold
// predictions of the customers that learn; so it falls back to the trees, or to the base rate, where the network adds
// nothing. Held-out labels are looked at once, to judge.
// Threads: as train_network.
#pragma once

#include <boost/json/object.hpp>

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "model/adapter.h"
#include "predict/boosted_trees.h"
#include "predict/child_training.h"
#include "predict/statistics.h"
#include "predict/task_table.h"

namespace perennial::predict {

struct TaskMeasure {
    model::Metric metric;
    Interval value;                  // 95 %, bootstrap over customers
};

struct TaskMethodResult {
    std::string name;                // prior linear trees network fused combined
    std::vector<TaskMeasure> measures;
    std::vector<double> predictions; // [held-out rows, columns], calibrated
};

struct TaskComparison {
    std::string a, b;
    Interval difference;             // of the leading metric, a minus b
};

struct TaskEvaluation {
    std::size_t labels = 0, customers = 0, judged_labels = 0, judged_customers = 0;
    double base_rate = 0;            // of class 1, or the mean target, among the held-out
    std::vector<TaskMethodResult> methods;
    std::vector<TaskComparison> comparisons;
    std::vector<std::pair<std::string, double>> weights;  // of the mixture that answers
    std::int64_t best_epoch = 0, epochs = 0, parameters = 0;
    double network_seconds = 0, trees_seconds = 0;
};

// What calibrates a score: probabilities (a z + b for log odds, a z for classes' log shares), values (a x + b).
struct Calibration { double a = 1, b = 0; };

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

struct TaskFit {
    TaskModel model;
    TaskEvaluation evaluation;
};

inline constexpr std::size_t kTaskDraws = 500;  // of the bootstrap

// Trains into `directory`. spec.options says kind and classes for good. Errors: the trainer's; kInvalid.
Result<TaskFit> fit_task(const TaskTable& table, const TaskSpec& spec, std::vector<std::string> classes, const std::filesystem::path& weights,
                         const std::filesystem::path& directory, std::size_t draws = kTaskDraws);

// The metric a comparison is made by: auc, log_loss, or rmse.
model::Metric leading_metric(model::TaskKind kind) noexcept;

boost::json::object to_json(const TaskEvaluation& evaluation, const TaskSpec& spec, std::span<const std::string> classes);
std::string to_text(const TaskEvaluation& evaluation, const TaskSpec& spec);

}  // namespace perennial::predict
