// A pretrained network with an adapter and a head as libtorch tensors: model/adapter.h's arithmetic, differentiable.
// Methods: LoRA (Hu et al. 2021, arXiv:2106.09685), prefix (Li and Liang 2021, arXiv:2101.00190), full, head only.
// The loss of amounts is the zero-inflated log-normal of Wang, Liu and Miao 2019 (arXiv:1912.07753).
// R rows, D width, E extra inputs, O outputs. Include a torch header before this. Threads: const functions from any thread.
#pragma once

#include <vector>

#include "model/adapter.h"
#include "model/task_data.h"
#include "train/torch_network.h"

namespace perennial::train {

// Some rows of a task, ready for the network.
struct TaskBatch {
    Batch histories;                       // one sequence a row; a row without history has none
    std::vector<std::int64_t> last, gap;   // [R] last position, -1: none; row of the request tables
    std::vector<float> extra;              // [R, E] as the head takes them
    std::vector<float> target, weight;     // [R, T], [R]
    PrefixLayout prefix;                   // made by finish() for method prefix

    std::size_t rows() const noexcept { return last.size(); }
};

// Last of all, once every row is there.
void finish(const model::Adapter& adapter, TaskBatch& batch);

// The last `limit` known steps of a row and the rest of it; no target or weight.
void append_row(const model::TrainingData& data, const model::TaskRows& rows, std::size_t row, std::int64_t limit, const model::Adapter& adapter, TaskBatch& batch);

// Its batches must outlive the backward pass.
class TaskNetwork {
public:
    // `shape` says everything but the trained tensors; of these only input.mean and input.scale are read. `bias` [O] is
    // where the head begins. B of LoRA begins at zero, so the network begins as `base` computes.
    TaskNetwork(const TorchNetwork& base, model::Adapter shape, std::span<const float> bias, Rng rng);

    // h' [R, D]: states at the moments asked about. `products` as TorchNetwork::product_vectors gave them, or undefined.
    at::Tensor states(const TaskBatch& batch, const at::Tensor& products, double dropout_share, Rng& rng) const;
    at::Tensor products(const TaskBatch& batch) const;  // [N, D]
    at::Tensor outputs(const at::Tensor& states, std::span<const float> extra, double dropout_share, Rng& rng) const;  // [R, O]

    const std::vector<at::Tensor>& head() const noexcept { return head_; }
    const std::vector<at::Tensor>& body() const noexcept { return body_; }  // none with method head
    std::vector<Parameter> trainable_head() const;
    std::vector<Parameter> trainable_body() const;
    std::int64_t parameter_count() const;

    model::Adapter adapter() const;  // with the tensors of now

private:
    TorchNetwork base_;
    model::Adapter shape_;
    std::vector<std::string> head_names_, body_names_;
    std::vector<at::Tensor> head_, body_;
    std::vector<std::size_t> lora_places_;  // of base_'s parameters, one for each pair (a, b) of body_
};

// Sum over rows of weight times loss (of several labels their mean); targets of classes are smoothed towards all classes by
// `smoothing`. outputs [R, O], target [R, T], weight [R].
at::Tensor task_loss(const at::Tensor& outputs, model::TaskKind kind, const model::TargetScale& scale, std::span<const float> target,
                     std::span<const float> weight, double smoothing);

}  // namespace perennial::train
