// Continual learning: a trained network goes on with what happened since, instead of being trained again from the start.
// Against forgetting, a share of the customers' earlier behaviour is learned again beside the new (experience replay;
// Rolnick et al. 2019), at a lower learning rate. New products come behind the known ones.
// Threads: as train_network; one at a time in a folder.
#pragma once

#include <filesystem>
#include <functional>
#include <string>
#include <vector>

#include "predict/child_training.h"
#include "predict/shop_data.h"
#include "predict/statistics.h"
#include "predict/training_set.h"

namespace perennial::predict {

struct UpdateOptions {
    NetworkOptions network;
    double replay_share = 0.5;   // of the customers whose earlier behaviour is learned again
    double rate_share = 0.5;     // of the learning rate of a training from the start
};

// Before `now_ms`, what a network that learned until `learned_until_ms` has not seen. `validation_days` as split_by_time.
TrainingSplit update_split(std::span<const sequence::Sequence> sequences, std::size_t products, std::int64_t now_ms, std::int64_t learned_until_ms,
                           double validation_days, const UpdateOptions& options);

// The flags that the network was first trained with, made those of an update of `weights`.
std::vector<std::string> update_flags(std::vector<std::string> flags, const std::filesystem::path& weights, double rate_share);

struct ContinualArm {
    std::string name;                     // full, update, update_alone (without replay), frozen, own_repeats
    Interval next, old;                   // NDCG@10 on next month's orders; on held-out customers' orders of earlier months
    double seconds = 0, train_seconds = 0;// of this month's training, wall clock; the trainer's own
    int epochs = 0;
    std::vector<double> next_of_unit, old_of_unit;
};

struct ContinualMonth {
    std::string learned, judged;  // "2011-03": the last month that was learned, the month that was asked about
    std::size_t products = 0, next_units = 0, old_units = 0;
    std::vector<ContinualArm> arms;
    Interval update_over_full_next, update_over_full_old, update_over_frozen_next, replay_over_alone_old;  // paired, by unit
};

inline constexpr double kHeldOutShare = 0.15;   // of the customers: no arm ever learns from them
inline constexpr int kFirstUpdateMonth = 4;     // the first model has three months to learn from

// Month by month from the fourth: the first three months' network is frozen, updated each month (with and without replay),
// and trained again from the start each month. All are asked for each customer's next order in the month after, and for
// the orders of earlier months of customers whom no arm learned from. Products nobody has bought yet are not asked for;
// one that only an arm does not know counts as missed for it. Weights go to directory/<month>/<arm>.
// Errors: kInvalid for fewer than five months, and train_network's.
Result<std::vector<ContinualMonth>> evaluate_continual(const ShopData& data, const std::filesystem::path& directory, const UpdateOptions& options,
                                                       const std::function<void(const ContinualMonth&)>& on_month = {});

}  // namespace perennial::predict
