// A training cut off between two batches: parameters, the optimiser's memory, and where it stood. One file,
// "perennial.checkpoint" version 2 in a safetensors container (docs/formats/checkpoint.md), replaced in one step.
// Threads: plain values and functions.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace perennial::model {

struct TrainingPosition {
    std::string data, options;           // what is trained on what: a hash, and the options' text
    std::int64_t epoch = 1, batch = 0;   // so many batches of this epoch are done; random numbers follow from these two
    std::int64_t steps = 0;
    // Of this epoch so far.
    double product_loss = 0, time_loss = 0;  // sums
    std::int64_t product_targets = 0, time_targets = 0;
    // Of the epochs before it.
    std::int64_t epochs = 0, best_epoch = 0, targets_done = 0;
    std::int64_t cooling_epoch = 0;  // the first epoch of the falling learning rate; 0: it has not begun to fall
    double train_seconds = 0, stepping_seconds = 0, seconds_to_best = 0;
    double valid_ndcg10 = 0, valid_recall10 = 0, valid_loss = 0;  // of the best epoch
    std::string curves;
};

// `values`: all that the next step reads and changes, in an order that the trainer fixes. Durable on return. O(bytes).
// Errors: kIo, kFull.
Status write_checkpoint(const std::filesystem::path& path, const TrainingPosition& position, std::span<const std::span<const float>> values);

struct Checkpoint {
    TrainingPosition position;
    std::vector<std::vector<float>> values;
};
// Errors: kNotFound; kCorrupt for whatever is damaged or cut short (a checksum covers everything); kUnsupported for another
// format or version.
Result<Checkpoint> read_checkpoint(const std::filesystem::path& path);
Result<Checkpoint> parse_checkpoint(std::string bytes, std::string_view source);

}  // namespace perennial::model
