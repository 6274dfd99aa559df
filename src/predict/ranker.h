// The last stage of a recommendation: boosted trees look at the best candidates of every method together, and at how each
// method came to its view (lambda rank; Burges 2010). What the network, the counts and the customer's own habits say
// depends on each other; a weighted sum cannot express that.
// Threads: const members from any thread.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <vector>

#include "predict/boosted_trees.h"
#include "predict/next_purchase.h"

namespace perennial::predict {

// What the trees see. Own columns per candidate; the same order in every model file.
enum RankFeature : std::size_t {
    kNetworkShare, kNetworkToBest, kNetworkPlace, kPairShare, kPairToBest, kPairPlace, kMixtureShare, kMixtureToBest, kMixturePlace,
    kPairSlow, kPairLast, kPairBackward, kPairPlain, kPopularity, kPopularityOfLast, kHistoryLength,
    kLikeLast, kLikeMost, kLikeMean, kNetworkBest, kPairBest,
    kBoughtTimes, kOccasionsSinceBought, kDaysSinceBought, kBoughtRhythm, kSeenSinceBought, kDaysSinceSeen, kRankFeatures
};

struct Candidates {
    std::vector<std::int32_t> products;  // ascending, distinct
    std::vector<float> features;         // [products, kRankFeatures], NaN: does not apply
    std::vector<float> mixture;          // [P] shares of the mixture, from which the rest is ranked
};

class Ranker : public Recommender {
public:
    // `methods` must hold a mixture. `allow_repeats` false: what is in the history is no candidate.
    Ranker(const NextPurchaseMethods& methods, TreeSum trees, bool allow_repeats);

    std::string_view name() const override { return "ranker"; }
    // Candidates in the order of the trees, before everything else in the order of the mixture.
    // O(mixture + candidates (history log row + trees)).
    void score(std::span<const Step> history, std::int64_t now_ms, std::span<float> shares) const override;
    void score_with(const model::Session& session, std::span<const Step> history, std::int64_t now_ms, std::span<float> shares) const override;
    const TreeSum& trees() const noexcept { return trees_; }

private:
    void order(const Candidates& c, std::span<float> shares) const;

    NextPurchaseMethods methods_;
    TreeSum trees_;
    bool allow_repeats_;
};

// `session`: the network's state after `history`, null when nobody kept it.
Candidates candidates(const NextPurchaseMethods& methods, const model::Session* session, std::span<const Step> history, std::int64_t now_ms, bool allow_repeats);

inline constexpr std::size_t kRankerUnitsLimit = 25'000;  // validation questions that are learned from
inline constexpr std::size_t kRankerAnswersMin = 150;     // questions with an answer among the candidates; fewer teach nothing

struct RankerFit {
    TreeSum trees;
    int rounds = 0;
    double ndcg10 = 0, mixture_ndcg10 = 0;  // on the half of the questions that the trees had not seen
};
// Learns from `units`, answered by `methods` that have not seen the answers. Rounds are chosen on one half of the
// questions by trees of the other; then all teach. Nothing when there are too few answers, or when the trees do not beat
// the mixture on the half they have not seen. The same for any number of threads.
Result<std::optional<RankerFit>> fit_ranker(const NextPurchaseMethods& methods, std::span<const Unit> units, bool allow_repeats, std::uint64_t seed,
                                            unsigned threads);

}  // namespace perennial::predict
