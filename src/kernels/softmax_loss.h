// A linear layer over all classes, its softmax and the cross-entropy of the true class in one piece, forward and backward:
//   loss = - sum over r of log p[r, target_r],   p[r] = softmax(h[r] E^T + b).
// Nothing of size R x P is stored: rows are taken in tiles whose probabilities fit a bounded buffer.
// Shapes: R rows, P classes, D width. Row-major float32. Cost: 6 R P D operations with gradients, 2 R P D without.
// Sources: the online shift of a softmax, Milakov and Gimelshein 2018 (arXiv:1805.02867); how the three products share one
// tile, Wijmans et al. 2024 (arXiv:2411.09009). docs/design/fused-loss.md says what was measured.
// Threads: each call starts up to `threads` - 1 helpers. Tasks and the order of sums depend on the shapes alone, so every
// number of threads gives the same bits. Calls on disjoint outputs may run at once.
#pragma once

#include <cstdint>
#include <span>

namespace perennial::kernels {

// No logit may be NaN or +inf; a bias of -inf takes its class out, where it is nobody's target. R > 0 and P > 0.
struct SoftmaxLoss {
    std::span<const float> h;               // [R, D]
    std::span<const float> table;           // [P, D], one row a class
    std::span<const float> bias;            // [P]
    std::span<const std::int32_t> targets;  // [R], each in [0, P)
    std::size_t width = 0;                  // D > 0; multiples of 16 are taken as they lie, others are copied and padded
    double scale = 1;                       // of the gradients only
};

// All overwritten with scale * d loss; none may overlap an input.
struct SoftmaxLossGradient {
    std::span<float> h;      // [R, D]
    std::span<float> table;  // [P, D]
    std::span<float> bias;   // [P]
};

// The loss, summed in double. Exact to float rounding of the logits also where the true class's probability underflows.
// Memory, freed before returning: 24 MiB, or 384 P bytes where that is more (kLossTileFloats, kLossRows); for a width that is
// no multiple of 16 also two padded copies of h and table.
double softmax_loss(const SoftmaxLoss& input, const SoftmaxLossGradient& gradient, unsigned threads);

// The same loss without gradients.
double softmax_loss(const SoftmaxLoss& input, unsigned threads);

}  // namespace perennial::kernels
