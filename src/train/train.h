// Training: a training set in, a weight file out. libtorch does the differentiation; no type of it appears here.
// The same data, options and seed give the same weights bit for bit, whatever the number of threads: a batch is cut into
// fixed shards, each differentiated on one thread, and their gradients are added in order.
// Threads: train() may be called once at a time in a process; it starts options.threads - 1 helpers of its own.
#pragma once

#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "base/result.h"
#include "model/training_data.h"

namespace perennial::train {

// Where training stands is written into out_dir/checkpoint.safetensors (docs/formats/checkpoint.md), so that a training
// that was killed can go on and end with the same bytes as one that was not.
struct CheckpointOptions {
    bool resume = false;       // go on from the checkpoint in out_dir, if there is one
    bool keep = false;         // leave one behind at the end, from which a larger epochs_limit can go on
    double seconds = 30;       // between two; more where writing one takes more than a hundredth of that. 0: none by time
    std::int64_t steps = 0;    // between two; 0: none by steps
};

using model::kFullSoftmaxProducts;
inline constexpr std::int64_t kNegatives = 8'192;
inline constexpr double kPlateauGain = 0.02;

struct TrainOptions {
    // The network (model/config.h).
    std::int64_t width = 64;
    std::int64_t blocks = 2;
    std::int64_t heads = 2;
    std::int64_t hidden = 0;  // of the feed-forward part; 0: twice the width
    std::int64_t history_limit = 50;

    // The optimiser: AdamW; the rate rises over the warm-up, stays, and falls at the end (cooldown_epochs).
    double learning_rate = 6e-3;
    double weight_decay = 0.1;  // decoupled; tables of biases, gains and time rows are exempt
    double dropout = 0.2;
    double gradient_norm_limit = 1.0;
    std::int64_t warmup_steps = 100;
    std::int64_t batch_positions = 1024;
    // Products that compete with the true one at each step. 0: all (full softmax); else so many drawn uniformly beside the
    // targets of the step, corrected for their chance of being there. -1: all up to kFullSoftmaxProducts, else kNegatives.
    std::int64_t negatives = -1;
    // How an epoch looks at its sequences (batches.h).
    double later_decay = 0;      // weight of the targets after the next one, per step; 0: the next one alone
    double reversed_share = 0;   // windows read from the end
    double masked_share = 0;     // input products hidden
    double average_decay = 0.995;  // of the weights' running mean, which is what is judged and kept; 0: the weights themselves
    double id_dropout = 0.2;      // share of products that a step knows by their content alone; no effect without content
    double hazard_weight = 0.1;  // of the time-to-purchase loss beside the product loss; no effect without times

    // When to stop. Without validation targets all epochs run and the last one's weights are kept.
    std::int64_t epochs_limit = 50;
    std::int64_t patience = 3;  // epochs without a better validation NDCG@10
    // At a plateau the learning rate falls linearly to nothing over so many epochs, and training ends. A plateau: an epoch
    // that gains less than kPlateauGain of NDCG@10 over the best one while the validation loss does not fall either, or
    // the end of patience. 0: no fall, the end of patience ends training. Source: warm-up, stable, decay, Hu et al. 2024
    // (MiniCPM).
    std::int64_t cooldown_epochs = 2;
    double seconds_limit = 0;   // 0: none; looked at after every batch
    std::int64_t validation_units_limit = 10'000;

    std::uint64_t seed = 1;
    unsigned threads = 2;
    std::filesystem::path init_weights = {};  // start from this weight file; it may know fewer products (new ones come last)
    CheckpointOptions checkpoints = {};
};

// kInvalid naming the option and its range.
Status check(const TrainOptions& options);

struct EpochReport {
    std::int64_t epoch = 0;  // 1, 2, ...
    double seconds = 0;      // of training so far, validation included
    double train_loss = 0;   // mean -log p of the true next product
    double time_loss = 0;    // mean -log likelihood of the time to the next purchase
    double valid_loss = 0, valid_ndcg10 = 0, valid_recall10 = 0;  // 0 when there is nothing to validate on
};

struct Progress {
    std::int64_t epoch = 0;
    std::int64_t positions = 0, positions_total = 0;  // of this epoch
    double loss = 0;                                  // running mean of this epoch
    const EpochReport* finished = nullptr;            // set once at the end of an epoch
};
using OnProgress = std::function<void(const Progress&)>;

struct TrainSummary {
    std::int64_t best_epoch = 0, epochs = 0;
    double train_seconds = 0, train_seconds_to_best = 0;
    double positions_per_second = 0;  // training targets per second of training proper, validation excluded
    std::int64_t parameters = 0, train_targets = 0, validation_units = 0;
    std::int64_t targets_done = 0;  // over all epochs
    double valid_ndcg10 = 0, valid_recall10 = 0, valid_loss = 0;
    bool stopped_by_time = false;
    std::int64_t checkpoints = 0;   // written since the program started
    double checkpoint_seconds = 0;  // ... and how long that took
};

// Writes out_dir/model.safetensors (the best epoch so far, replaced whole at each better one), curves.csv (a row an epoch)
// and run.json (at the end). Errors: kInvalid (options, or data without any training target; a checkpoint of other data or
// options), kIo, kFull, kCorrupt (init_weights, checkpoint), kUnsupported (what libtorch cannot do here, in its words).
Result<TrainSummary> train(const model::TrainingData& data, const TrainOptions& options, const std::filesystem::path& out_dir,
                           const OnProgress& progress = {});

}  // namespace perennial::train
