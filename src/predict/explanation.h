// Why the network would offer a product: the customer's own events by their effect on it (model/attribution.h), and the
// check that these are the events that count: take them away and see what happens to the product.
// Threads: pure functions; the check uses `threads` helpers and returns when done.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "predict/network_recommender.h"
#include "predict/ranker.h"
#include "predict/statistics.h"

namespace perennial::predict {

// Eight points leave less than 1 % of the effects unaccounted for, on shops and on sparse sequences, and name the same first
// event as 64 points (docs/results/explanations.md).
inline constexpr std::size_t kPathSteps = 8;
// Where a norm turns sharply eight are too few: what leaves more than this share of the effects unaccounted for is worked out
// again with four times the points, up to the limit.
inline constexpr double kMissingMax = 0.05;
inline constexpr std::size_t kPathStepsLimit = 128;
// To name the first event needs no better: it is that of 64 points for 96 products in 100 and more.
inline constexpr std::size_t kGreatestPathSteps = 4;

struct Explanation {
    // Log-odds of the product against what the network would show this customer otherwise; with the customer's products,
    // and with all of them hidden.
    double value = 0, baseline = 0;
    std::vector<double> effects;  // [history], of `value`; 0 for events without a product, and for those before the
                                  // latest history_limit, which act through later ones only and stay as they are
};

// One a product. `shares` [P]: the network's own for this history and moment. `path_steps`: at first. Cost: Explainer::attribute,
// again for those that kMissingMax asks for.
std::vector<Explanation> explain(const NetworkRecommender& network, std::span<const Step> history, std::int64_t now_ms,
                                 std::span<const std::int32_t> products, std::span<const float> shares, std::size_t path_steps = kPathSteps);

// The event of a history, not empty, that raises a product most. At a third of the cost of explain().
struct GreatestEvent { std::size_t step = 0; double effect = 0; };
std::vector<GreatestEvent> greatest_events(const NetworkRecommender& network, std::span<const Step> history, std::int64_t now_ms,
                                           std::span<const std::int32_t> products, std::span<const float> shares);

struct ForecastExplanation {
    double value = 0, baseline = 0;  // -log P(no purchase within the days asked about): greater is sooner
    std::vector<double> effects;     // [history]; positive: the event makes a purchase more likely
};
// Why the network expects a purchase within `days` after now, or none: effects of whole events, their gap and quantity
// too, not of their product alone (model::Absent::kDetails).
ForecastExplanation explain_return(const NetworkRecommender& network, std::span<const Step> history, std::int64_t now_ms, double days,
                                   std::size_t path_steps = kPathSteps);

struct DeletionOptions {
    std::size_t removed = 3;         // events taken away
    std::size_t events_min = 8;      // with a product and in sight; customers with fewer are left out
    std::size_t customers = 500;     // at most, drawn by seed
    std::size_t path_steps = kPathSteps;
    bool new_products = false;       // explain the best product that the customer never had, not the best of all
    std::uint64_t seed = 1;
    unsigned threads = 2;
};

// Mean fall of the log-probability of the network's best product when the events are taken out of the history, and when
// their products alone are hidden.
struct DeletionRow { std::string method; Interval removed, hidden, removed_less_random; };
struct PathRow { std::size_t path_steps; double missing, same_first; };  // against kFinePath: |missing| / sum |effects|; same first event

struct DeletionResult {
    std::size_t customers = 0;
    double events = 0;               // in sight, mean
    std::vector<DeletionRow> rows;   // integrated gradients, gradient x input, each left out in turn, latest, random
    std::vector<PathRow> path;
};
inline constexpr std::size_t kFinePath = 64, kRandomDraws = 10;

// Of the sequences, each asked at `now_ms` (0: times unknown). "Each left out in turn" asks the network once an event: the
// costly direct answer that gradients stand for. The same for any number of threads.
DeletionResult check_by_deletion(const NetworkRecommender& network, std::span<const sequence::Sequence> sequences, std::int64_t now_ms,
                                 const DeletionOptions& options);

// The same for the trees: mean fall of their sum for the best candidate when a group's features become those of another
// candidate of the same customer (mean over reference_rows). `removed`, `path_steps` and `new_products` do not count.
struct GroupDeletionResult {
    std::size_t customers = 0;
    Interval first, random, first_less_random;  // the group with the largest effect (Ranker::effects); any group
    Interval greatest;                          // the group whose loss counts most, found by trying each
    std::vector<std::pair<RankGroup, double>> named;  // how often a group came first, as a share of customers
};
GroupDeletionResult check_groups_by_deletion(const Ranker& ranker, std::span<const sequence::Sequence> sequences, std::int64_t now_ms, const DeletionOptions& options);

}  // namespace perennial::predict
