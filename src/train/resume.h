// Going on where a killed training stopped: what a checkpoint must agree with, when the next is due. No libtorch in here.
// Threads: one owner.
#pragma once

#include <chrono>
#include <filesystem>
#include <optional>
#include <span>
#include <string>

#include "model/checkpoint.h"
#include "model/training_data.h"
#include "train/train.h"

namespace perennial::train {

// Of every column. Equal for equal data alone, but for a chance of 2^-64.
std::string data_hash(const model::TrainingData& data);
// Every option that the weights depend on, as words name=value. Errors: those of reading init_weights.
Result<std::string> options_text(const TrainOptions& options);

// The checkpoint in the folder, if there is one and options.checkpoints.resume wants it, else none; unwanted ones are
// removed. kInvalid when it belongs to another training; kCorrupt, kNotFound for what is damaged or missing.
Result<std::optional<model::Checkpoint>> earlier_checkpoint(const std::filesystem::path& path, const model::TrainingPosition& wanted, const TrainOptions& options);

// Writes checkpoints when they are due.
class Checkpoints {
public:
    Checkpoints(const CheckpointOptions& options, std::filesystem::path path) : options_(options), path_(std::move(path)) {}

    bool due(std::int64_t steps) const;
    Status write(const model::TrainingPosition& position, std::span<const std::span<float>> state);
    const std::filesystem::path& path() const { return path_; }
    std::int64_t count() const { return count_; }
    double seconds() const { return total_seconds_; }  // spent on all of them

private:
    using Clock = std::chrono::steady_clock;
    static constexpr double kCostLimit = 100;  // of the training time, at most a hundredth goes into checkpoints
    const CheckpointOptions& options_;
    std::filesystem::path path_;
    Clock::time_point last_ = Clock::now();
    std::int64_t last_steps_ = 0, count_ = 0;
    double last_seconds_ = 0, total_seconds_ = 0;
};

}  // namespace perennial::train
