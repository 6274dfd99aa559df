// The network's settings chosen by trying them: trials train in child processes, validation NDCG@10 alone judges them.
// How trials are chosen and stopped: tune/search.h. Test data are never seen here.
// Threads: one search at a time in a folder, one trial at a time in a search.
#pragma once

#include <filesystem>
#include <string>
#include <vector>

#include "predict/child_training.h"
#include "tune/search.h"

namespace perennial::predict {

struct SearchOptions {
    std::int32_t trials = 0;         // 0: no search
    double seconds_limit = 0;        // of all trials together, those before a restart included: no new one starts behind it, leaders still go on to the end. 0: none
    std::int64_t epochs_limit = 18;  // of the trials that are trained to the end
};

struct SearchResult {
    tune::Space space;
    std::vector<tune::TrialResult> results;  // in the order in which they came
    std::vector<std::int64_t> rungs;         // epochs
    tune::TrialResult best, defaults;        // the last results of the winner and of trial 0
    std::vector<std::string> flags;          // the winner's, as perennial-train takes them
    std::filesystem::path winner;            // its folder, with model.safetensors, curves.csv and run.json; empty when it was deleted
    bool stopped_by_time = false;
};

// The flags of perennial-train that are searched, with its defaults (a test holds them equal).
tune::Space network_space();
std::vector<std::string> flags_of(const tune::Space& space, const tune::Values& values);

// Runs the trials in `directory`, or goes on with those whose results stand in directory/search.jsonl. `network` holds what
// all trials share; its time limit holds for each. A trial that fails counts as worse than all others; the defaults must not fail.
// Errors: those of tune::Journal::open (another data set or other options) and train_network.
Result<SearchResult> search_settings(const model::TrainingData& data, const std::filesystem::path& directory, const NetworkOptions& network,
                                     const SearchOptions& options);

}  // namespace perennial::predict
