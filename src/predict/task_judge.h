// A task judged on held-out customers: measures with intervals, and how they are told.
// Threads: const members from any thread.
#pragma once

#include <boost/json/object.hpp>

#include <functional>
#include <string>
#include <vector>

#include "predict/statistics.h"
#include "predict/task_score.h"
#include "predict/task_table.h"

namespace perennial::predict {

struct TaskMeasure {
    model::Metric metric;
    Interval value;                  // 95 %, bootstrap over customers
};

struct TaskMethodResult {
    std::string name;                // prior linear trees network time_head fused own_share combined
    std::vector<TaskMeasure> measures;
    std::vector<double> predictions; // [held-out rows, columns], calibrated
};

struct TaskComparison {
    std::string a, b;
    Interval difference;             // of the leading metric, a minus b
};

struct TaskEvaluation {
    std::size_t labels = 0, customers = 0, judged_labels = 0, judged_customers = 0;
    std::size_t served_labels = 0;   // that the saved task has learned from, the judged ones among them after a refit
    double base_rate = 0;            // of class 1, or the mean target, among the held-out
    std::vector<TaskMethodResult> methods;
    std::vector<TaskComparison> comparisons;
    std::vector<std::pair<std::string, double>> weights;  // of the mixture that answers
    std::int64_t best_epoch = 0, epochs = 0, parameters = 0;
    double network_seconds = 0, trees_seconds = 0;
    std::size_t ranked_labels = 0, left_out = 0;  // of several labels: judged by AUC; categories that are not asked about
    double left_out_share = 0;                    // of what is bought
};

// Of several labels those count for the AUC that are true of so many judged rows; all, when none is.
inline constexpr std::size_t kRankedPositivesMin = 20;

// The metric a comparison is made by: auc, log_loss, or rmse.
model::Metric leading_metric(model::TaskKind kind) noexcept;

// Held-out rows by customer, so that a draw of the bootstrap takes a customer whole.
class Judge {
public:
    // `f` and `table` outlive this; `draws` of the bootstrap, 0: none.
    Judge(const Frame& f, const TaskTable& table, std::size_t draws, std::uint64_t seed);

    std::size_t customers() const { return groups_.size(); }
    std::size_t ranked_labels() const { return ranked_.size(); }
    // predictions [judged, Z], calibrated.
    TaskMethodResult judged(std::string name, std::vector<double> predictions) const;
    // Of the leading metric, both judged.
    TaskComparison compared(const TaskMethodResult& a, const TaskMethodResult& b) const;

private:
    Interval interval(const std::function<double(std::span<const std::size_t>)>& statistic) const;
    double measured(model::Metric metric, std::span<const double> predictions, std::span<const std::size_t> rows) const;

    const Frame& f_;
    std::size_t draws_;
    std::uint64_t seed_;
    std::vector<std::vector<std::size_t>> groups_;
    std::vector<std::size_t> ranked_;  // columns of several labels that the AUC is the mean of
};

// The base rate, or the mean, for every judged row.
std::vector<double> prior_predictions(const Frame& f);

boost::json::object to_json(const TaskEvaluation& evaluation, const TaskSpec& spec, std::span<const std::string> classes);
std::string to_text(const TaskEvaluation& evaluation, const TaskSpec& spec);

}  // namespace perennial::predict
