// Attention with an additive bias read from two small tables: one over the lag i - j in positions, one over the
// difference of two stamps in buckets. One query over cached keys, and packed sequences forward and backward.
// score[h, j] = q_h . k_jh / sqrt(d) + lag_bias[h, min(i - j, lags - 1)] + stamp_bias[h, bucket(stamp_i - stamp_j)]
// for the last `window` positions j <= i; weights = softmax over j; out_h = sum of weights * v_jh.
//
// Shapes: N positions of all sequences one after another, H heads, d head width, D = H d. Row-major float32.
// Threads: pure functions; packed calls on disjoint ranges of sequences may run at once.
// Cost: O(N min(length, window) D); nothing of size length x length is stored, the backward pass computes weights anew.
#pragma once

#include <cstdint>
#include <span>

#include "kernels/isa.h"

namespace perennial::kernels {

struct PairBias {
    std::span<const float> lag;           // [H, lags], lags > 0
    std::span<const float> stamp;         // [H, buckets], or empty: stamps do not count
    std::span<const std::int64_t> edges;  // [buckets - 1], ascending; bucket = number of edges <= difference
    std::size_t heads = 1;

    std::size_t lags() const noexcept { return lag.size() / heads; }
    std::size_t buckets() const noexcept { return stamp.size() / heads; }
};

// bias [H, n] for a query at the last of n positions with these stamps (`stamps` may be empty when there is no stamp table).
void pair_bias(const PairBias& tables, std::span<const std::int64_t> stamps, std::size_t count, std::span<float> bias) noexcept;

// One query. row.weights and out [D] are overwritten; count >= 1.
void attend_row(const AttendRow& row, std::span<float> out) noexcept;

struct Packed {
    std::span<const float> qkv;                // [N, 3D]: query, key, value of each position
    std::span<const std::int64_t> offsets;     // [S + 1]: sequence s holds positions offsets[s] .. offsets[s + 1] - 1
    std::span<const std::int64_t> stamps;      // [N], or empty when there is no stamp table
    PairBias bias;
    std::size_t width = 0;                     // D
    std::size_t window = 0;                    // a position sees at most this many, itself included; > 0
};

// Sequences first .. last - 1. Writes their rows of out [N, D].
void attend_packed(const Packed& packed, std::size_t first, std::size_t last, std::span<float> out);

struct PackedGradient {
    std::span<float> d_qkv;    // [N, 3D]: rows of the range are overwritten
    std::span<float> d_lag;    // [H, lags]: added to
    std::span<float> d_stamp;  // [H, buckets]: added to
};
void attend_packed_backward(const Packed& packed, std::size_t first, std::size_t last, std::span<const float> d_out,
                            const PackedGradient& gradient);

}  // namespace perennial::kernels
