// The network in training: one optimiser step at a time, and all that a step changes. What is looped over, judged and
// kept is train.cpp's.
// Include <ATen/ATen.h> before this. Threads: one call at a time; a step starts options.threads - 1 helpers, and its result
// does not depend on their number.
#pragma once

#include <exception>
#include <mutex>
#include <optional>
#include <span>
#include <vector>

#include "base/parallel.h"
#include "model/checkpoint.h"
#include "train/batches.h"
#include "train/optimizer.h"
#include "train/product_table.h"
#include "train/torch_network.h"
#include "train/train.h"

namespace perennial::train {

model::Config network_config(const model::TrainingData& data, const TrainOptions& options);

struct BatchLoss {
    double product = 0, time = 0;  // sums
    std::int64_t products = 0, times = 0;
};

class Trainer {
public:
    Trainer(const model::TrainingData& data, const TrainOptions& options);

    Status load(const std::filesystem::path& weights);
    Status save(const std::filesystem::path& directory);  // model.safetensors, and the vectors of named content
    // What is judged and kept.
    const TorchNetwork& network();
    const Curriculum& curriculum() const { return curriculum_; }

    // All that the next step reads and changes, and how many there were.
    std::vector<std::span<float>> state();
    std::int64_t steps() const { return steps_; }
    // kCorrupt when the values are not those of this network.
    Status restore(const model::Checkpoint& checkpoint);

    // One optimiser step at this share, 0 to 1, of the options' learning rate. Throws what libtorch throws.
    BatchLoss step(std::span<const Window> windows, double rate_share, Rng rng);

private:
    struct Shard {
        Batch batch;
        TorchNetwork::Pass pass;
        at::Tensor d_queries;
        std::vector<at::Tensor> gradients;  // of pass.inputs, then of trainable() from the third on
    };

    template <class Body>
    void for_each(std::vector<Shard>& shards, Body&& body) {
        std::exception_ptr failure;
        std::mutex failure_mutex;
        parallel_for(shards.size(), 1, options_.threads, [&](std::size_t s, std::size_t) {
            try {
                at::set_num_threads(1);  // of this thread: the shards are the parallelism
                body(s);
            } catch (...) {
                const std::lock_guard lock(failure_mutex);
                failure = std::current_exception();
            }
        });
        if (failure) std::rethrow_exception(failure);
    }

    // A sampled step touches few rows of the table; a mean of all of them at each step would cost more than the step.
    bool averages() const { return options_.average_decay > 0 && negatives_ == 0; }

    // The queries of all shards meet the catalogue, or a sample of it, at once. Fills the shards' d_queries and the
    // gradient of the table: of every row, or of rows_.
    double product_loss(std::vector<Shard>& shards, std::int64_t rows, Rng rng);

    // Logarithm of the chance that a product is among a step's candidates, as one of `rows` targets or drawn (logQ
    // correction; Bengio and Senecal 2008, for mixed samples Yang et al. 2020).
    float log_chance(std::size_t product, std::int64_t rows) const;

    // The log share of each product among the targets: popularity need not be learned first.
    void set_first_bias(const model::TrainingData& data);
    void find_target_shares(const model::TrainingData& data);

    static std::int64_t negatives(const model::TrainingData& data, const TrainOptions& options);

    static void make_distinct(std::vector<std::int32_t>& values);

    // Where the gradient of a product's row lies.
    std::size_t row_of(std::int64_t product) const;

    std::vector<std::vector<const float*>> gradients_of(const std::vector<Shard>& shards);

    // Running mean of the weights.
    void average(float keep);

    static std::span<float> floats(const at::Tensor& tensor) { return {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())}; }

    static std::optional<ProductTable> product_table(const model::TrainingData& data, const TorchNetwork& network, Rng rng);

    // With content the table itself is no parameter: its two parts are, in its place and at the end.
    static std::vector<Parameter> trainable(const TorchNetwork& network, std::optional<ProductTable>& table);

    static std::vector<float> time_edges(const model::TrainingData& data, const TrainOptions& options);

    const TrainOptions& options_;
    Rng rng_;
    TorchNetwork network_;
    std::optional<TorchNetwork> averaged_;  // where it differs from network_
    Curriculum curriculum_;
    std::optional<ProductTable> table_;  // with content only
    AdamW optimizer_;
    std::size_t shards_;
    std::int64_t steps_ = 0;
    std::int64_t negatives_;            // 0: full softmax
    std::vector<float> target_share_;   // [P] of the training targets, when sampling
    std::vector<std::int32_t> rows_;    // touched by this step, when sampling
    std::vector<float> d_table_, d_bias_, d_queries_;
};

}  // namespace perennial::train
