// What the tasks of the run that serves say of one customer.
// Threads: const members from any thread; one customer at a time is asked (libxgboost).
#pragma once

#include <boost/json/array.hpp>

#include <filesystem>
#include <mutex>
#include <span>
#include <string>
#include <vector>

#include "predict/shop_models.h"
#include "predict/task_model.h"

namespace perennial::app {

inline constexpr std::size_t kCategoriesShown = 5;

class TaskAnswers {
public:
    // Those under RUN/tasks, by name. One that cannot be read is left out with a word in the log: it takes nothing from the others.
    TaskAnswers(const std::filesystem::path& run, const predict::ShopModels& models);

    // Each: task, kind, horizon_days, and `probability` of the second of two classes, `probabilities` by class, `value`, or
    // `categories`, the kCategoriesShown most probable with the `probability` of each by itself;
    // `as_of`, the moment it is computed for, every event up to it known; `model`, the run. `steps` in the run's words.
    Result<boost::json::array> operator()(std::span<const event::Event> timeline, std::span<const sequence::Step> steps, UtcTime as_of) const;

    // Changes when a task is trained, again or for the first time, into RUN/tasks.
    static std::string stamp(const std::filesystem::path& run);

private:
    std::string run_;
    std::vector<predict::TaskModel> tasks_;
    mutable std::mutex mutex_;
};

}  // namespace perennial::app
