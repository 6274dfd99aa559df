// The network as libtorch tensors: the same tensors and the same arithmetic as model/network.h, differentiable.
// Include <ATen/ATen.h> before this. Threads: const functions from any thread, also differentiating at once.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/rng.h"
#include "model/config.h"
#include "train/batches.h"
#include "train/optimizer.h"

namespace perennial::train {

class TorchNetwork {
public:
    TorchNetwork(const model::Config& config, Rng rng);  // random weights

    const model::Config& config() const noexcept { return config_; }
    // In the order of model::tensors(config), without hazard.edges_days, which is no parameter.
    const std::vector<at::Tensor>& parameters() const noexcept { return parameters_; }
    // The parameters in that order, then the direction vector of reversed windows, which no weight file holds.
    std::vector<Parameter> trainable() const;
    std::int64_t parameter_count() const;

    // h [N, D] after every position. `dropout_share` > 0 in training only.
    at::Tensor hidden(const Batch& batch, double dropout_share, Rng& rng) const;
    // The same from given product vectors [N, D] of the positions.
    at::Tensor hidden(const at::Tensor& products, const Batch& batch, double dropout_share, Rng& rng) const;
    // h' [R, D] of rows (positions; -1: the start vector) asked with these rows of the request tables.
    at::Tensor requested(const at::Tensor& hidden, const std::vector<std::int64_t>& rows, const std::vector<std::int64_t>& gaps) const;
    at::Tensor hazard_logits(const at::Tensor& hidden, const std::vector<std::int64_t>& rows) const;
    const at::Tensor& product_table() const;
    const at::Tensor& product_bias() const;

    // Training in two passes around the catalogue's softmax (catalog_loss.h), which takes the queries of all shards at once.
    struct Pass {
        at::Tensor inputs;   // [N, D] product vectors of the positions, a leaf
        at::Tensor queries;  // [R, D]; undefined without product targets
        at::Tensor time;     // sum of the hazard losses; undefined without time targets
    };
    Pass forward(const Batch& batch, double dropout_share, Rng& rng) const;
    // Gradients of <d_queries, queries> + time_scale * time: of pass.inputs, then of each trainable() after the product
    // table and its bias. Undefined: none.
    std::vector<at::Tensor> backward(const Pass& pass, const at::Tensor& d_queries, double time_scale) const;

    std::string weights() const;  // the bytes of a weight file (docs/formats/weights.md)
    // Takes over weights of the same shape; the file may know fewer products, whose rows come first.
    Status load(const std::filesystem::path& path);

private:
    const at::Tensor& get(std::size_t block, std::size_t part) const;
    at::Tensor& named(std::string_view name);

    model::Config config_;
    std::vector<float> hazard_edges_;
    std::vector<at::Tensor> parameters_;
    at::Tensor direction_;  // [1, D]
};

}  // namespace perennial::train
