// Differentiable pieces that libtorch lacks or does wastefully. Include a torch header before using these.
#pragma once

#include <cstdint>

#include "base/rng.h"
#include "train/batches.h"

namespace at {
class Tensor;
}

namespace perennial::train {

struct AttentionShape {
    std::int64_t heads = 1, window = 1;
    bool stamped = false;  // whether the stamp table counts
};

// kernels::attend_packed: qkv [N, 3D] to [N, D]. `batch` must outlive the backward pass.
at::Tensor packed_attention(const at::Tensor& qkv, const at::Tensor& lag_bias, const at::Tensor& stamp_bias, const Batch& batch,
                            const AttentionShape& shape);

// kernels::rms_norm with its gradient.
at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain);

// silu(wide[:, :W]) * wide[:, W:], wide [N, 2W] to [N, W].
at::Tensor swiglu(const at::Tensor& wide);

// x + sigmoid(gate) * y, all [N, W].
at::Tensor gated_add(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& y);

// Sum over rows of the censored hazard's -log likelihood: sum_k exposure softplus(z) + event softplus(-z). All [T, K].
at::Tensor hazard_loss(const at::Tensor& logits, const std::vector<float>& exposure, const std::vector<float>& event);

// x with each element dropped with chance `share`, the others scaled up. Draws from our own generator: the same numbers
// for every libtorch version.
at::Tensor dropout(const at::Tensor& x, double share, Rng& rng);

}  // namespace perennial::train
