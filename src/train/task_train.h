// Training of an adapter: a pretrained network, sequences and the rows of a task in; an adapter file out, with what it says
// of every row. The same data, options and seed give the same bytes for any number of threads.
//
// Rows are cut into folds of customers. One learner a fold trains on the other folds; after every epoch their predictions
// of their own folds, put together, give the metric that stops training: so no label is spent on validation, and the
// out-of-fold predictions are what stacking and calibration may be fitted on. A last learner then trains on all folds for
// the chosen number of epochs, which may be 0: the base rate, when the network finds nothing that holds. With one fold nothing
// is predicted out of fold: exactly options.epochs_limit epochs are trained.
// Threads: one call at a time in a process; it starts options.threads - 1 helpers.
#pragma once

#include <filesystem>
#include <functional>
#include <vector>

#include "model/task.h"
#include "model/task_data.h"

namespace perennial::train {

struct TaskEpoch {
    std::int64_t epoch = 0;  // 0: before any step
    double metric = 0;       // options.early_stop of the out-of-fold predictions
    double train_loss = 0;   // mean over folds
};

struct TaskSummary {
    std::int64_t best_epoch = 0, epochs = 0, parameters = 0, rows = 0;
    double metric = 0, seconds = 0;
    std::vector<TaskEpoch> curve;
};

// Writes out_dir/adapter.safetensors, outputs.safetensors ("out_of_fold" and "all", [R, O] raw outputs of the head; rows
// that are only predicted have zeros in the first), curves.csv and run.json.
// Errors: kInvalid (options, rows, a target outside its classes, no row to learn from), kIo, kCorrupt (weights), kUnsupported.
Result<TaskSummary> train_task(const model::TrainingData& data, const model::TaskRows& rows, const model::TaskOptions& options,
                               const std::filesystem::path& weights, const std::filesystem::path& out_dir,
                               const std::function<void(const TaskEpoch&)>& progress = {});

}  // namespace perennial::train
