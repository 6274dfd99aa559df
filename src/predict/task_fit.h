// Fits a task and judges it on held-out customers, beside what needs no network: the base rate, a linear rule and boosted
// trees on hand features. What answers is a mixture of all of them, its weights and its calibration fitted on out-of-fold
// predictions of the customers that learn; so it falls back to the trees, or to the base rate, where the network adds
// nothing. Held-out labels are looked at once, to judge.
// Threads: as train_network.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "predict/child_training.h"
#include "predict/task_judge.h"
#include "predict/task_model.h"

namespace perennial::predict {

struct TaskFit {
    TaskModel model;
    TaskEvaluation evaluation;
};

inline constexpr std::size_t kTaskDraws = 500;  // of the bootstrap

// Trains into `directory`. spec.options says kind and classes for good. Errors: the trainer's; kInvalid.
Result<TaskFit> fit_task(const TaskTable& table, const TaskSpec& spec, std::vector<std::string> classes, const std::filesystem::path& weights,
                         const std::filesystem::path& directory, std::size_t draws = kTaskDraws);

}  // namespace perennial::predict
