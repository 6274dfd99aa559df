// Sequences to packed batches: positions of many sequences one after another, never padded. No libtorch in here.
// Threads: pure functions; chance comes in as an Rng.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "base/rng.h"
#include "model/training_data.h"

namespace perennial::train {

// Positions begin .. end - 1 of one sequence, counted in the columns of the training data.
struct Window {
    std::size_t sequence = 0;
    std::int64_t begin = 0, end = 0;
};

// `weight` of row `row`'s target goes to `product`; what is left stays with target_product.
struct LaterTarget {
    std::int32_t row = 0, product = 0;
    float weight = 0;
};

// How an epoch looks at its sequences. Neither acts on validation or serving.
struct Views {
    double later = 0;     // < 1: the k-th target after the next weighs later^k beside it (kLaterLimit of them)
    double reversed = 0;  // share of windows read from the end, marked by a direction vector
    double masked = 0;    // share of input products hidden
};
inline constexpr std::int64_t kLaterLimit = 10;

// N positions, R product targets, T time targets.
struct Batch {
    std::vector<std::int64_t> offsets{0};                     // of the sequences, as kernels::Packed wants them
    std::vector<std::int64_t> product, kind, quantity, gap;   // [N] rows of the input tables; product -1: none
    std::vector<std::int64_t> stamps;                         // [N]
    std::vector<std::int64_t> target_row;                     // [R] position that predicts, -1: the start vector
    std::vector<std::int64_t> target_gap;                     // [R] row of the request tables
    std::vector<std::int32_t> target_product;                 // [R] the product that came next
    std::vector<LaterTarget> later;                           // products that came after it share in the target
    std::vector<std::int64_t> time_row;                       // [T] position that predicts
    std::vector<float> exposure, event;                       // [T, K] share of each bucket survived; 1 in the purchase's
    std::vector<std::int64_t> backwards;                      // positions of sequences read from the end, ascending

    std::int64_t positions() const noexcept { return static_cast<std::int64_t>(product.size()); }
};

std::int64_t positions_of(std::span<const Window> windows);
// Cuts windows into runs of about `positions` each.
std::vector<std::span<const Window>> runs(std::span<const Window> windows, std::int64_t positions);

// What an epoch learns from, found once.
class Curriculum {
public:
    // `hazard_edges` empty: no time targets. `history_limit` sets the windows' length: twice as much, so that most
    // positions of a long sequence see a full history.
    Curriculum(const model::TrainingData& data, std::int64_t history_limit, std::vector<float> hazard_edges, const Views& views = {});

    std::int64_t train_targets() const noexcept { return train_targets_; }

    // Windows in random order; a long sequence is cut at a random offset. Only windows that hold something to learn.
    std::vector<Window> windows(Rng& rng) const;

    // Events of one occasion come in random order: the order of lines in an order means nothing.
    Batch pack(std::span<const Window> windows, Rng& rng) const;

private:
    void pack_forward(const Window& window, std::span<const std::int64_t> order, Rng& rng, Batch& batch) const;
    void pack_reversed(const Window& window, std::span<const std::int64_t> order, Batch& batch) const;
    void add_later_targets(std::span<const std::int64_t> following, Batch& batch) const;
    void add_time_target(std::int64_t position, std::int64_t row, std::size_t sequence, Batch& batch) const;

    const model::TrainingData& data_;
    std::int64_t window_length_;
    std::vector<float> hazard_edges_;
    Views views_;
    std::vector<std::int64_t> targets_end_;       // [S] after the last training target's occasion
    std::vector<std::int64_t> useful_end_;        // [S] positions from here on teach nothing
    std::vector<std::int64_t> next_purchase_ms_;  // [N] time of the next purchase in a later occasion
    std::int64_t train_targets_ = 0;
};

// Exposure and event of one outcome `days` after the state, added to the end of the two rows-of-K arrays.
void append_outcome(std::span<const float> edges, double days, bool purchased, std::vector<float>& exposure, std::vector<float>& event);

// One validation question: after everything before `begin`, which products come in the occasion begin .. end - 1?
struct Unit {
    std::size_t sequence = 0;
    std::int64_t begin = 0, end = 0;
    std::vector<std::int32_t> relevant;  // distinct, ascending, without those seen before when data.exclude_seen
    std::vector<std::int32_t> seen;      // distinct, ascending; empty unless data.exclude_seen
    std::size_t gap = 0;                 // row of the request tables
};

// At most `limit`, chosen by `rng`, in the order of the data. An occasion with nothing left to find is no unit.
std::vector<Unit> validation_units(const model::TrainingData& data, std::int64_t limit, Rng rng);

// The inputs of some positions in file order, without targets.
void append_history(const model::TrainingData& data, const Window& window, Batch& batch);

}  // namespace perennial::train
