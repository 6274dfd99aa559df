// The rows of one task as a trainer reads them: which customer at which moment, what came true, what else is known.
// One file, "perennial.task-rows" version 2 in a safetensors container (docs/formats/task-rows.md), beside a training-data
// file that holds the sequences. R rows, F features, T numbers of a target. Threads: plain values.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/training_data.h"

namespace perennial::model {

inline constexpr std::int32_t kOnlyPredicted = -1;
inline constexpr std::int32_t kFoldsLimit = 64;

struct TaskRows {
    std::vector<std::int64_t> sequence;  // [R] of the training data
    std::vector<std::int64_t> end;       // [R] positions of that sequence that are known: its first `end`
    std::vector<float> gap_days;         // [R] from the last known position to the moment asked about; 0 without any
    std::vector<float> target;           // [R, T] 0 or 1, a class number, a value, an amount >= 0, or T labels 0 or 1; ignored when only predicted
    std::vector<float> weight;           // [R] above 0
    std::vector<std::int32_t> fold;      // [R] 0 .. folds - 1: learned from, out-of-fold predicted by its own fold; or kOnlyPredicted
    std::vector<float> features;         // [R, F] NaN: missing
    std::vector<std::string> feature_names;

    std::size_t size() const noexcept { return sequence.size(); }
    std::size_t targets() const noexcept { return sequence.empty() ? 1 : target.size() / sequence.size(); }  // T
    std::int32_t folds() const noexcept;
};

// kInvalid naming the first column and row that breaks a rule above.
Status check(const TaskRows& rows, const TrainingData& data);

Result<TaskRows> read_task_rows(const std::filesystem::path& path, const TrainingData& data);  // checked
Status write_task_rows(const TaskRows& rows, const TrainingData& data, const std::filesystem::path& path);

// A feature as heads read it: sign(x) log(1 + |x|), which tames money and counts alike; then centred and scaled, missing 0.
float tamed(float value) noexcept;

}  // namespace perennial::model
