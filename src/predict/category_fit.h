// Fits and judges a task of several labels: of each category, whether the customer buys from it within the horizon. Beside the
// adapter stand the category's base rate, the customer's own share of it, and one logistic rule a category on hand features,
// the own history and the time head. What answers is a mixture of all but the base rate, with the same weights for every
// category, fitted out of fold as in task_fit.h.
// Threads: as train_network.
#pragma once

#include "predict/task_fit.h"

namespace perennial::predict {

inline constexpr std::size_t kLabelDraws = 200;  // of the bootstrap at most: each draw ranks the customers once a category

// `table` of builtin category. Errors: as fit_task.
Result<TaskFit> fit_categories(const TaskTable& table, const TaskSpec& spec, const std::filesystem::path& weights, const std::filesystem::path& directory,
                               std::size_t draws);

}  // namespace perennial::predict
