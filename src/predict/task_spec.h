// What a TOML file (docs/formats/task.md) or the name of a built-in task asks for.
// Threads: plain values and pure functions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"
#include "model/task.h"

namespace perennial::predict {

// Labels made from the shop's own events at moments t, looking at t .. t + horizon:
//   churn        of who bought in the 180 days before t: 1 when nothing is bought
//   purchase     of everyone who bought before t: 1 when something is
//   refund       the same: 1 when something is sent back
//   high_spend   the same: 1 when more is spent than the median of those who spend anything
//   amount       the same: money spent, refunds not taken off
//   category     the same, of each category by itself: 1 when something of it is bought (the commonest ones)
inline constexpr std::string_view kBuiltinTasks[] = {"churn", "purchase", "refund", "high_spend", "amount", "category"};

struct TaskSpec {
    std::string name;
    model::TaskOptions options;                      // kind and classes are final once the labels are read
    bool classification = true;                      // two or more classes; else options.kind says what
    std::filesystem::path labels;                    // CSV; empty: built in
    std::string customer_column = "customer", time_column = "time", label_column = "label", weight_column;
    std::vector<std::string> classes;                // names in order; empty: those in the file, sorted
    std::string builtin;
    double horizon_days = 90;
    std::vector<UtcTime> as_of;                      // moments of built-in labels; empty: the next two say
    std::int64_t as_of_count = 4;
    double as_of_every_days = 30;                    // back from the last moment whose horizon is known
    std::int64_t categories = 20;                    // of `category`: at most so many, the most bought
    bool top_level_categories = false;               // their names cut at the first '>', '/' or '|'
    double held_out = 0.3;                           // share of the customers that judge
    std::int64_t folds = 3;
    std::int64_t labels_limit = 0;                   // learn from so many labels, drawn by seed; 0: all
    bool refit = true;                               // after judging, the parts learn from the held-out labels too
    bool hand_features = true;                       // whether the head reads them beside the state
    bool blind_backbone = false;                     // pretrain one that has not seen what held-out customers did later
};

// Errors name file and key, what was wanted and what came.
Result<TaskSpec> parse_task_spec(std::string_view toml, const std::filesystem::path& origin);
Result<TaskSpec> read_task_spec(const std::filesystem::path& path);
// The spec of a built-in task with default options. kNotFound for a name that is none.
Result<TaskSpec> builtin_task(std::string_view name);

}  // namespace perennial::predict
