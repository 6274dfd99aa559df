#include "predict/explanation.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/parallel.h"
#include "base/rng.h"
#include "base/time.h"
#include "model/attribution.h"

namespace perennial::predict {
namespace {

// Effects of the steps in sight, put at their places in the whole history.
std::vector<double> in_place(std::vector<double> effects, std::size_t history) {
    effects.insert(effects.begin(), history - effects.size(), 0.0);
    return effects;
}

// Events that the last position attends to in the last block.
std::size_t direct(const NetworkRecommender& network) { return static_cast<std::size_t>(network.network().config().history_limit); }

double size_of(const model::Attribution& one) {
    double size = 0;
    for (const double effect : one.effects) size += std::abs(effect);
    return size;
}

// Attributions with as many points of the path as each needs.
std::vector<model::Attribution> complete(const model::Explainer& explainer, std::span<const model::Step> steps, std::span<const model::Readout> readouts,
                                         model::AttributionOptions options) {
    auto got = explainer.attribute(steps, readouts, options);
    std::vector<std::size_t> open(readouts.size());
    std::iota(open.begin(), open.end(), std::size_t{0});
    while (options.path_steps < kPathStepsLimit) {
        std::erase_if(open, [&](std::size_t r) { return std::abs(got[r].missing()) <= kMissingMax * size_of(got[r]); });
        if (open.empty()) break;
        options.path_steps = std::min(4 * options.path_steps, kPathStepsLimit);
        std::vector<model::Readout> again;
        for (const auto r : open) again.push_back(readouts[r]);
        auto finer = explainer.attribute(steps, again, options);
        for (std::size_t k = 0; k < open.size(); ++k) got[open[k]] = std::move(finer[k]);
    }
    return got;
}

// --- the check ---------------------------------------------------------------------------------------------------------

// One customer and product: what happens to its log-probability without some of the events.
class Subject {
public:
    Subject(const NetworkRecommender& network, std::span<const Step> steps, std::int64_t now_ms, bool new_products)
        : network_(network), now_ms_(now_ms), steps_(steps.begin(), steps.end()), shares_(network.network().products()) {
        network_.score(steps_, now_ms_, shares_);
        std::vector<float> allowed = shares_;
        for (std::size_t i = 0; i < steps_.size(); ++i) {
            if (steps_[i].product < 0) continue;
            events_.push_back(i);
            if (new_products) allowed[static_cast<std::size_t>(steps_[i].product)] = -1;
        }
        product_ = static_cast<std::int32_t>(std::ranges::max_element(allowed) - allowed.begin());
    }

    std::span<const std::size_t> events() const { return events_; }  // that have a product

    std::vector<double> effects(std::size_t path_steps, bool integrate, double* missing = nullptr) const {
        const model::Explainer explainer(network_.network());
        const auto readouts = explainer.contrasts(network_.request(steps_, now_ms_), std::span(&product_, 1), shares_);
        auto got = explainer.attribute(network_.in_sight(steps_), readouts, {.path_steps = path_steps, .integrate = integrate}).front();
        if (missing != nullptr) {
            const double size = size_of(got);
            *missing = size > 0 ? std::abs(got.missing()) / size : 0;
        }
        return in_place(std::move(got.effects), steps_.size());
    }

    std::vector<double> left_out_in_turn() const {
        std::vector<double> falls(steps_.size(), 0);
        for (const auto i : events_) falls[i] = fall_without({&i, 1});
        return falls;
    }

    double fall_without(std::span<const std::size_t> gone) const {
        std::vector<Step> left;
        for (std::size_t i = 0; i < steps_.size(); ++i)
            if (std::ranges::find(gone, i) == gone.end()) left.push_back(steps_[i]);
        return fall(left);
    }
    double fall_hiding(std::span<const std::size_t> gone) const {
        auto left = steps_;
        for (const auto i : gone) left[i].product = sequence::kNoProduct;
        return fall(left);
    }

    std::vector<std::size_t> greatest(std::span<const double> effects, std::size_t count) const {
        auto order = events_;
        std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return effects[a] > effects[b]; });
        order.resize(std::min(count, order.size()));
        return order;
    }

private:
    double fall(std::span<const Step> steps) const {
        std::vector<float> shares(shares_.size());
        network_.score(steps, now_ms_, shares);
        const auto at = static_cast<std::size_t>(product_);
        return std::log(static_cast<double>(shares_[at]) + 1e-30) - std::log(static_cast<double>(shares[at]) + 1e-30);
    }

    const NetworkRecommender& network_;
    std::int64_t now_ms_;
    std::vector<Step> steps_;
    std::vector<float> shares_;
    std::vector<std::size_t> events_;
    std::int32_t product_ = 0;
};

enum Method : std::size_t { kIntegrated, kGradient, kLeftOut, kLatest, kRandom, kMethods };
constexpr const char* kMethodNames[kMethods] = {"integrated gradients", "gradient x input", "each left out in turn", "latest", "random"};
constexpr std::size_t kPaths[] = {2, 4, 8, 16};

struct Findings {
    double removed[kMethods] = {}, hidden[kMethods] = {};
    double missing[std::size(kPaths)] = {};
    bool same_first[std::size(kPaths)] = {};
};

Findings examine(const Subject& subject, const DeletionOptions& options, Rng rng) {
    Findings found;
    const auto judge = [&](Method method, std::span<const std::size_t> gone, double share) {
        found.removed[method] += share * subject.fall_without(gone);
        found.hidden[method] += share * subject.fall_hiding(gone);
    };
    judge(kIntegrated, subject.greatest(subject.effects(options.path_steps, true), options.removed), 1);
    judge(kGradient, subject.greatest(subject.effects(1, false), options.removed), 1);
    judge(kLeftOut, subject.greatest(subject.left_out_in_turn(), options.removed), 1);
    judge(kLatest, subject.events().last(options.removed), 1);
    std::vector<std::size_t> order(subject.events().begin(), subject.events().end());
    for (std::size_t draw = 0; draw < kRandomDraws; ++draw) {
        rng.shuffle(order);
        judge(kRandom, std::span(order).first(options.removed), 1.0 / kRandomDraws);
    }
    const auto fine = subject.greatest(subject.effects(kFinePath, true), 1);
    for (std::size_t p = 0; p < std::size(kPaths); ++p) found.same_first[p] = subject.greatest(subject.effects(kPaths[p], true, &found.missing[p]), 1) == fine;
    return found;
}

}  // namespace

std::vector<Explanation> explain(const NetworkRecommender& network, std::span<const Step> history, std::int64_t now_ms,
                                 std::span<const std::int32_t> products, std::span<const float> shares, std::size_t path_steps) {
    std::vector<Explanation> out(products.size());
    if (history.empty()) return out;
    const model::Explainer explainer(network.network());
    auto got = complete(explainer, network.in_sight(history), explainer.contrasts(network.request(history, now_ms), products, shares),
                        {.path_steps = path_steps, .latest = direct(network)});
    for (std::size_t p = 0; p < products.size(); ++p) out[p] = {got[p].value, got[p].baseline, in_place(std::move(got[p].effects), history.size())};
    return out;
}

std::vector<GreatestEvent> greatest_events(const NetworkRecommender& network, std::span<const Step> history, std::int64_t now_ms,
                                           std::span<const std::int32_t> products, std::span<const float> shares) {
    const model::Explainer explainer(network.network());
    const auto steps = network.in_sight(history);
    std::vector<GreatestEvent> out;
    for (const auto& got : explainer.attribute(steps, explainer.contrasts(network.request(history, now_ms), products, shares),
                                               {.path_steps = kGreatestPathSteps, .latest = direct(network), .ends = false})) {
        const auto greatest = std::ranges::max_element(got.effects);
        out.push_back({history.size() - steps.size() + static_cast<std::size_t>(greatest - got.effects.begin()), *greatest});
    }
    return out;
}

ForecastExplanation explain_return(const NetworkRecommender& network, std::span<const Step> history, std::int64_t now_ms, double days, std::size_t path_steps) {
    if (history.empty()) return {};
    const model::Explainer explainer(network.network());
    const double gap = std::max(0.0, days_between({history.back().time_ms}, {now_ms}));
    const model::Readout readout = explainer.hazard(gap, gap + days);
    auto got = complete(explainer, network.in_sight(history), {&readout, 1}, {.absent = model::Absent::kDetails, .path_steps = path_steps, .latest = direct(network)}).front();
    return {got.value, got.baseline, in_place(std::move(got.effects), history.size())};
}

DeletionResult check_by_deletion(const NetworkRecommender& network, std::span<const sequence::Sequence> sequences, std::int64_t now_ms,
                                 const DeletionOptions& options) {
    // What lies further back would come into sight in place of what is removed: it is cut off first.
    const auto seen = [&](const sequence::Sequence& sequence) {
        const std::span<const Step> steps = sequence.steps;
        return steps.last(std::min(steps.size(), direct(network)));
    };
    std::vector<std::uint32_t> order;
    for (std::size_t s = 0; s < sequences.size(); ++s)
        if (static_cast<std::size_t>(std::ranges::count_if(seen(sequences[s]), [](const Step& step) { return step.product >= 0; })) >= std::max(options.events_min, options.removed))
            order.push_back(static_cast<std::uint32_t>(s));
    Rng rng(options.seed);
    rng.shuffle(order);
    order.resize(std::min(order.size(), options.customers));

    std::vector<Findings> found(order.size());
    std::vector<double> events(order.size());
    parallel_for(order.size(), 4, options.threads, [&](std::size_t begin, std::size_t end) {
        for (auto c = begin; c < end; ++c) {
            const Subject subject(network, seen(sequences[order[c]]), now_ms, options.new_products);
            events[c] = static_cast<double>(subject.events().size());
            found[c] = examine(subject, options, rng.fork(c));
        }
    });

    DeletionResult result;
    result.customers = order.size();
    if (order.empty()) return result;
    const auto count = static_cast<double>(order.size());
    result.events = std::accumulate(events.begin(), events.end(), 0.0) / count;
    for (std::size_t m = 0; m < kMethods; ++m) {
        std::vector<double> removed, hidden, more;
        for (const auto& f : found) {
            removed.push_back(f.removed[m]);
            hidden.push_back(f.hidden[m]);
            more.push_back(f.removed[m] - f.removed[kRandom]);
        }
        const auto mean = [&](std::span<const double> values) { return bootstrap_mean(values, 1000, options.seed); };
        result.rows.push_back({kMethodNames[m], mean(removed), mean(hidden), mean(more)});
    }
    for (std::size_t p = 0; p < std::size(kPaths); ++p) {
        PathRow row{kPaths[p], 0, 0};
        for (const auto& f : found) {
            row.missing += f.missing[p] / count;
            row.same_first += f.same_first[p] ? 1 : 0;
        }
        row.same_first /= count;
        result.path.push_back(row);
    }
    return result;
}

GroupDeletionResult check_groups_by_deletion(const Ranker& ranker, std::span<const sequence::Sequence> sequences, std::int64_t now_ms, const DeletionOptions& options) {
    std::vector<std::uint32_t> order;
    for (std::size_t s = 0; s < sequences.size(); ++s)
        if (sequences[s].steps.size() >= options.events_min) order.push_back(static_cast<std::uint32_t>(s));
    Rng rng(options.seed);
    rng.shuffle(order);
    order.resize(std::min(order.size(), options.customers));

    struct Found { double first = 0, random = 0, greatest = 0; RankGroup group{}; };
    std::vector<Found> found(order.size());
    parallel_for(order.size(), 4, options.threads, [&](std::size_t begin, std::size_t end) {
        for (auto k = begin; k < end; ++k) {
            const auto c = ranker.candidates(nullptr, sequences[order[k]].steps, now_ms);
            const auto row_of = [&](std::size_t row) { return std::span(c.features).subspan(row * kRankFeatures, kRankFeatures); };
            std::size_t best = 0;
            for (std::size_t row = 1; row < c.products.size(); ++row)
                if (ranker.trees()(row_of(row)) > ranker.trees()(row_of(best))) best = row;
            const auto reference = reference_rows(c.products.size());
            std::array<double, kRankGroups> falls{};
            for (std::size_t g = 0; g < kRankGroups; ++g)
                for (const auto other : reference) {
                    std::vector<float> changed(row_of(best).begin(), row_of(best).end());
                    for (std::size_t f = 0; f < kRankFeatures; ++f)
                        if (group_of(static_cast<RankFeature>(f)) == static_cast<RankGroup>(g)) changed[f] = row_of(other)[f];
                    falls[g] += static_cast<double>(ranker.trees()(row_of(best)) - ranker.trees()(changed)) / static_cast<double>(reference.size());
                }
            const auto group = ranker.effects(c, {&best, 1}).front().front().group;
            found[k] = {falls[static_cast<std::size_t>(group)], std::accumulate(falls.begin(), falls.end(), 0.0) / kRankGroups, *std::ranges::max_element(falls), group};
        }
    });
    GroupDeletionResult result;
    result.customers = found.size();
    if (found.empty()) return result;
    const auto mean = [&](auto&& of) {
        std::vector<double> values;
        for (const auto& f : found) values.push_back(of(f));
        return bootstrap_mean(values, 1000, options.seed);
    };
    result.first = mean([](const Found& f) { return f.first; });
    result.random = mean([](const Found& f) { return f.random; });
    result.first_less_random = mean([](const Found& f) { return f.first - f.random; });
    result.greatest = mean([](const Found& f) { return f.greatest; });
    for (std::size_t g = 0; g < kRankGroups; ++g) {
        const auto times = std::ranges::count(found, static_cast<RankGroup>(g), &Found::group);
        if (times > 0) result.named.emplace_back(static_cast<RankGroup>(g), static_cast<double>(times) / static_cast<double>(found.size()));
    }
    return result;
}

}  // namespace perennial::predict
