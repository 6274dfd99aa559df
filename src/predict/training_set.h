// Which steps of which customers a network may learn from, and which it is judged by. Nothing at or after a cut is seen.
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

#include "model/training_data.h"
#include "predict/recommender.h"
#include "sequence/sequence.h"

namespace perennial::predict {

struct TrainingSplit {
    model::TrainingData data;             // what perennial-train reads
    std::vector<Unit> validation;         // for the counting memories and the mixture; views into the sequences
    std::vector<sequence::Sequence> fit;  // what counting memories may count while they are tuned on `validation`
    std::vector<sequence::Sequence> full; // ... and once they are: validation included
};

// An earlier cut for some customers, who are then watched from there on as if the model had never seen them.
using CutOfCustomer = std::function<std::int64_t(const sequence::Sequence&)>;

// Everything before `cut_ms`. Validation is the test in small: each customer's first order of the last `validation_days`,
// asked of what was known before them; what happened up to there trains, the rest of those days is left out.
TrainingSplit split_by_time(std::span<const sequence::Sequence> sequences, std::size_t products, std::int64_t cut_ms, double validation_days,
                            const CutOfCustomer& own_cut = {});

// What a model that has learned from everything before `since_ms` still has to learn from `data`: of each sequence the later
// targets, behind up to `context` earlier events that teach nothing; and, so that it does not forget, all of the targets of
// a share of the sequences, drawn by seed. Sequences with neither are left out.
model::TrainingData only_later(const model::TrainingData& data, std::int64_t since_ms, double replay_share, std::size_t context, std::uint64_t seed);

// Leave one out: each customer's last purchased product is the test, the one before it validates, the rest trains.
// Customers with fewer than three purchases only train. A history ends with the purchase before the one that is asked for.
struct LeaveOneOut {
    TrainingSplit training;
    std::vector<Unit> test;
};
// `exclude_seen`: rank only products that are not yet in the history (the public protocol); shops allow repeats.
LeaveOneOut leave_one_out(std::span<const sequence::Sequence> sequences, std::size_t products, bool has_time, bool exclude_seen);

// The next order after `cut_ms` (within `horizon_days`) of everyone with a history before it. The history ends at the
// cut; the request comes when the customer does.
std::vector<Unit> next_order_units(std::span<const sequence::Sequence> sequences, std::int64_t cut_ms, double horizon_days);

}  // namespace perennial::predict
