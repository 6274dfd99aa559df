// The network as libtorch tensors: the same tensors and the same arithmetic as model/network.h, differentiable.
// Include a torch header before using this. Threads: const functions from any thread, also differentiating at once.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/rng.h"
#include "model/config.h"
#include "train/batches.h"
#include "train/optimizer.h"

namespace at {
class Tensor;
}

namespace perennial::train {

class TorchNetwork {
public:
    TorchNetwork(const model::Config& config, Rng rng);  // random weights

    const model::Config& config() const noexcept { return config_; }
    // In the order of model::tensors(config), without hazard.edges_days, which is no parameter.
    const std::vector<at::Tensor>& parameters() const noexcept { return parameters_; }
    std::vector<Parameter> trainable() const;
    std::int64_t parameter_count() const;

    // h [N, D] after every position. `dropout_share` > 0 in training only.
    at::Tensor hidden(const Batch& batch, double dropout_share, Rng& rng) const;
    // h' [R, D] of rows (positions; -1: the start vector) asked with these rows of the request tables.
    at::Tensor requested(const at::Tensor& hidden, const std::vector<std::int64_t>& rows, const std::vector<std::int64_t>& gaps) const;
    at::Tensor hazard_logits(const at::Tensor& hidden, const std::vector<std::int64_t>& rows) const;
    const at::Tensor& product_table() const;
    const at::Tensor& product_bias() const;

    struct Losses {
        double product = 0, time = 0;  // sums over the batch's targets
    };
    // Sums of the losses and the gradients of product_scale * product + time_scale * time, one per parameter (undefined: none).
    Losses differentiate(const Batch& batch, double product_scale, double time_scale, double dropout_share, Rng& rng,
                         std::vector<at::Tensor>& gradients) const;

    std::string weights() const;  // the bytes of a weight file (docs/formats/weights.md)
    // Takes over weights of the same shape; the file may know fewer products, whose rows come first.
    Status load(const std::filesystem::path& path);

private:
    const at::Tensor& get(std::size_t block, std::size_t part) const;
    at::Tensor& named(std::string_view name);

    model::Config config_;
    std::vector<float> hazard_edges_;
    std::vector<at::Tensor> parameters_;
};

}  // namespace perennial::train
