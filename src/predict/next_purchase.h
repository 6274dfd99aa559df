// Next purchase: fit every method on the past, judge them on what came next. Whatever is chosen (half life, exponents,
// mixture weights, epochs) is chosen on validation units; test units are looked at once.
// Threads: functions use `threads` helpers and return when done.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "predict/child_training.h"
#include "predict/network_recommender.h"
#include "predict/pair_counts.h"
#include "predict/recommender.h"
#include "predict/statistics.h"
#include "predict/training_set.h"

namespace perennial::predict {

// What tuning found; enough to build the methods again from the sequences and a weight file.
struct NextPurchaseSettings {
    double popularity_half_life_days = 0;
    PairOptions pairs;
    double weight_popular = 0, weight_repeats = 0, weight_pairs = 1, weight_network = 0;
};

class Ranker;

struct NextPurchaseMethods {
    std::shared_ptr<const Popularity> popularity;
    std::shared_ptr<const OwnRepeats> repeats;
    std::shared_ptr<const PairCounts> pairs;
    std::shared_ptr<const NetworkRecommender> network;  // null without a network
    std::shared_ptr<const Mixture> mixture;
    std::shared_ptr<const Ranker> ranker;               // null where the mixture was as good or evidence was thin
    std::vector<std::shared_ptr<const Recommender>> all() const;
    // The mixture's shares from those of its two dear parts, [P] each; `network` empty without one.
    std::vector<float> mix(std::span<const Step> history, std::int64_t now_ms, std::span<const float> network, std::span<const float> pairs) const;
};

NextPurchaseMethods build_methods(std::span<const sequence::Sequence> sequences, std::size_t products, const NextPurchaseSettings& settings,
                                  std::shared_ptr<const NetworkRecommender> network, std::int64_t now_ms, unsigned threads);

// `allow_repeats` false leaves own repeats out (protocols that exclude what the customer already has).
NextPurchaseSettings tune_next_purchase(const TrainingSplit& split, std::size_t products, std::shared_ptr<const NetworkRecommender> network,
                                        bool allow_repeats, std::int64_t now_ms, std::uint64_t seed, unsigned threads);

struct MethodResult {
    std::string name;
    std::array<Interval, kCutoffs.size()> recall, ndcg;
    std::vector<double> ndcg10_of_unit;   // for paired comparisons
};

struct Text { std::string en, zh; };

struct NextPurchaseResult {
    std::string protocol;
    Text description;
    std::size_t customers = 0, items = 0;
    std::int64_t cut_ms = 0;
    std::vector<MethodResult> methods;
    NextPurchaseSettings settings;
    int ranker_rounds = 0;  // trees of the ranker, 0: the mixture serves
    NetworkRun network;
    Text verdict;
};

inline constexpr std::size_t kBootstrapDraws = 1000;
inline constexpr std::size_t kTuningUnitsLimit = 3000;

// What the counting memories know when they answer the test: the training part alone, as public protocols want it, or
// the validation part too, as a shop would.
enum class Known { kTrainingAlone, kAllBeforeTest };

// Trains a network in `directory`, tunes on the split, evaluates on `test`.
Result<NextPurchaseResult> evaluate_next_purchase(const TrainingSplit& split, std::span<const Unit> test, std::size_t products, bool allow_repeats,
                                                  Known known, std::int64_t now_ms, const std::filesystem::path& directory, const NetworkOptions& network);

// "a" against "b" on the same units: mean difference of NDCG@10 with its paired bootstrap interval.
Interval compare(const MethodResult& a, const MethodResult& b, std::uint64_t seed);

}  // namespace perennial::predict
