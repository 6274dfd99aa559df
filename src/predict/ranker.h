// The last stage of a recommendation: boosted trees look at the best candidates of every method together, and at how each
// method came to its view (lambda rank; Burges 2010). What the network, the counts and the customer's own habits say
// depends on each other; a weighted sum cannot express that.
// Threads: const members from any thread.
#pragma once

#include <array>
#include <filesystem>
#include <memory>
#include <optional>
#include <string_view>
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

// Features that mean one thing to a shopkeeper: what moved a product to its place.
enum class RankGroup : std::uint8_t { kNetwork, kAlike, kTogether, kPopularity, kOwnPast, kRecency, kHistory };
inline constexpr std::size_t kRankGroups = 7;
std::string_view name(RankGroup group) noexcept;  // "network", "alike", "together", "popularity", "own_past", "recency", "history"

struct RankEffect { RankGroup group; double effect; };  // of the trees' sum; positive: towards the first place

// Candidates to which a product is compared, spread evenly over the list: all of them would cost six times as much.
inline constexpr std::size_t kRankReference = 8;
std::vector<std::size_t> reference_rows(std::size_t candidates);
std::optional<RankGroup> group_of(RankFeature feature) noexcept;  // nothing for the mixture's, which stand for several

struct Candidates {
    std::vector<std::int32_t> products;  // ascending, distinct
    std::vector<float> features;         // [products, kRankFeatures], NaN: does not apply
    std::vector<float> mixture;          // [P] shares of the mixture, from which the rest is ranked
    std::vector<float> network, pairs;   // [P] shares of these two; `network` empty without one
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

    // score() and score_with() in two steps, for who explains the answer too.
    Candidates candidates(const model::Session* session, std::span<const Step> history, std::int64_t now_ms) const;
    void order(const Candidates& c, std::span<float> shares) const;  // shares [P]
    // Why these candidates stand where they stand: of each row the Shapley values of the groups (TreeSum::shapley), less their
    // mean over kRankReference candidates of the same customer, the greatest first. They add up to the trees' sum less its
    // mean over those: what is true of all of them moves nothing. What the places of the mixture give goes to its parts, by
    // what each adds to the product's share. O((rows + kRankReference) x leaves).
    std::vector<std::vector<RankEffect>> effects(const Candidates& c, std::span<const std::size_t> rows) const;

private:
    std::array<double, kRankGroups> values(const Candidates& c, std::size_t row) const;

    NextPurchaseMethods methods_;
    TreeSum trees_;
    bool allow_repeats_;
};

// Of the products that the likeness features look at, the history's last ones, the one most like `product`; kNoProduct without any.
std::int32_t most_alike(const NetworkRecommender& network, std::span<const Step> history, std::int32_t product);

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
