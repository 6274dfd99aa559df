// Trains a network in a child process (perennial-train, the one program that links libtorch) and waits for it.
// Threads: one training at a time per output folder.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/result.h"
#include "model/task.h"
#include "model/task_data.h"

namespace perennial::predict {

struct NetworkOptions {
    std::uint64_t seed = 1;
    unsigned threads = 2;
    double seconds_limit = 90;       // stops after the epoch in which it is reached; 0: none
    std::string label = "the model that serves";  // what is being trained, for the log
    std::vector<std::string> extra;  // further flags of perennial-train
    bool resume = false;             // the folder belongs to this very training: go on with what is there, take over what is finished
    std::filesystem::path done = {}; // a folder where this very training was done before: its results are taken over
};

struct NetworkRun {
    std::filesystem::path weights, curves;
    int epochs = 0, best_epoch = 0;
    double train_seconds = 0, best_seconds = 0, targets_per_second = 0, valid_ndcg10 = 0;
    std::int64_t parameters = 0;
};

// Writes the data into `directory`, runs the trainer, reads what it reports; the data file is removed afterwards.
// Errors: kUnsupported when perennial-train is not beside this program, kBusy when a signal ended it, kIo when it failed
// (its message stands on standard error).
Result<NetworkRun> train_network(const model::TrainingData& data, const std::filesystem::path& directory, const NetworkOptions& options);
// As above on a data file that exists already, and stays.
Result<NetworkRun> train_network(const std::filesystem::path& data_file, const std::filesystem::path& directory, const NetworkOptions& options);

// What a training left in `directory`. Errors: kNotFound, kCorrupt.
Result<NetworkRun> read_network_run(const std::filesystem::path& directory);

struct AdapterRun {
    std::filesystem::path adapter;
    std::int64_t best_epoch = 0, epochs = 0, parameters = 0;
    double metric = 0, seconds = 0;
    std::vector<float> out_of_fold, all;  // [R, O] raw outputs of the head
};

// Trains an adapter of the network in `weights` on `rows` (train/task_train.h) into `directory`. Errors as above.
Result<AdapterRun> train_adapter(const model::TrainingData& data, const model::TaskRows& rows, const model::TaskOptions& options,
                                 const std::filesystem::path& weights, const std::filesystem::path& directory);

}  // namespace perennial::predict
