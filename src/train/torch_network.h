// The network as libtorch tensors: the same tensors and the same arithmetic as model/network.h, differentiable.
// Include <ATen/ATen.h> before this. Threads: const functions from any thread, also differentiating at once.
#pragma once

#include <filesystem>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/rng.h"
#include "model/config.h"
#include "model/safetensors.h"
#include "train/batches.h"
#include "train/optimizer.h"

namespace perennial::train {

// Where M trained positions (Li and Liang 2021) stand before every sequence of a batch. No tensors in it.
struct PrefixLayout {
    PrefixLayout() = default;
    PrefixLayout(std::int64_t length, const Batch& batch);
    std::int64_t length = 0;                // M
    Batch attended;                         // offsets and stamps of M + n positions a sequence, the prefix at its first stamp
    std::vector<std::int64_t> gather, own;  // [N + S M] rows of (prefix, positions); [N] where the positions are among them
};
struct Prefix {
    std::vector<at::Tensor> rows;  // per block [M, 2D]: key, value
    const PrefixLayout* layout;    // outlives the backward pass
};

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
    // The same from given product vectors [N, D] of the positions; `prefix` may be null.
    at::Tensor hidden(const at::Tensor& products, const Batch& batch, double dropout_share, Rng& rng, const Prefix* prefix = nullptr) const;
    at::Tensor product_vectors(const Batch& batch) const;  // [N, D], zeros where there is no product
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

    // The same network with other tensors in place of its own, one for each: W + B A, say. They may have a gradient's history.
    TorchNetwork with(std::vector<at::Tensor> parameters) const;

    std::string weights() const;  // the bytes of a weight file (docs/formats/weights.md)
    Status save(const std::filesystem::path& path) const;  // the same, written without a copy
    // Takes over weights of the same shape; the file may know fewer products, whose rows come first.
    Status load(const std::filesystem::path& path);

private:
    model::SafetensorsWriter weight_file() const;  // looks at the parameters
    at::Tensor attend(std::size_t block, const at::Tensor& qkv, const Batch& batch, const Prefix* prefix) const;
    const at::Tensor& get(std::size_t block, std::size_t part) const;
    at::Tensor& named(std::string_view name);

    model::Config config_;
    std::vector<float> hazard_edges_;
    std::vector<at::Tensor> parameters_;
    at::Tensor direction_;  // [1, D]
};

}  // namespace perennial::train
