#include "predict/ranker.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <initializer_list>
#include <limits>
#include <numeric>

#include "base/parallel.h"
#include "base/rng.h"
#include "base/time.h"

namespace perennial::predict {
namespace {

constexpr std::size_t kFromNetwork = 50, kFromPairs = 50, kFromMixture = 80, kFromHistory = 60, kFromPopular = 10;
constexpr std::size_t kLikenessSteps = 20;  // steps back over which a candidate is compared with the history
constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();
constexpr float kCandidatesMass = 0.95f;    // of the shares; the rest keeps the mixture's order behind them

// The mixture's places are a group of their own until they are shared out among its parts.
constexpr std::uint8_t kMixtureGroup = kRankGroups;
constexpr auto kGroupOf = [] {
    std::array<std::uint8_t, kRankFeatures> of{};
    const auto set = [&of](RankGroup group, std::initializer_list<RankFeature> features) {
        for (const auto feature : features) of[feature] = static_cast<std::uint8_t>(group);
    };
    set(RankGroup::kNetwork, {kNetworkShare, kNetworkToBest, kNetworkPlace, kNetworkBest});
    set(RankGroup::kAlike, {kLikeLast, kLikeMost, kLikeMean});
    set(RankGroup::kTogether, {kPairShare, kPairToBest, kPairPlace, kPairSlow, kPairLast, kPairBackward, kPairPlain, kPairBest});
    set(RankGroup::kPopularity, {kPopularity, kPopularityOfLast});
    set(RankGroup::kOwnPast, {kBoughtTimes, kSeenSinceBought});
    set(RankGroup::kRecency, {kOccasionsSinceBought, kDaysSinceBought, kBoughtRhythm, kDaysSinceSeen});
    set(RankGroup::kHistory, {kHistoryLength});
    for (const auto feature : {kMixtureShare, kMixtureToBest, kMixturePlace}) of[feature] = kMixtureGroup;
    return of;
}();

float log_share(float share) { return std::log(share + 1e-9f); }

// The n best that are not barred. O(P + n log n).
void take_best(std::span<const float> scores, std::size_t n, const std::vector<char>& barred, std::vector<std::int32_t>& out) {
    std::vector<std::int32_t> order;
    order.reserve(scores.size());
    for (std::size_t j = 0; j < scores.size(); ++j)
        if (!barred[j] && scores[j] > 0) order.push_back(static_cast<std::int32_t>(j));
    const auto better = [&](std::int32_t a, std::int32_t b) {
        const float x = scores[static_cast<std::size_t>(a)], y = scores[static_cast<std::size_t>(b)];
        return x > y || (x == y && a < b);
    };
    n = std::min(n, order.size());
    std::nth_element(order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n), order.end(), better);
    out.insert(out.end(), order.begin(), order.begin() + static_cast<std::ptrdiff_t>(n));
}

class Rows {
public:
    explicit Rows(Candidates& c) : c_(c) { c.features.assign(c.products.size() * kRankFeatures, kMissing); }
    float& at(std::size_t row, RankFeature feature) { return c_.features[row * kRankFeatures + feature]; }
    void fill(RankFeature feature, float value) {
        for (std::size_t row = 0; row < c_.products.size(); ++row) at(row, feature) = value;
    }
    // A method's share of each candidate, relative to the best one, and the place among the candidates.
    void add_method(std::span<const float> shares, RankFeature share, RankFeature to_best, RankFeature place) {
        std::vector<float> values;
        for (const auto product : c_.products) values.push_back(shares[static_cast<std::size_t>(product)]);
        if (values.empty()) return;
        std::vector<std::size_t> order(values.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return values[a] > values[b]; });
        const float best = log_share(values[order[0]]);
        for (std::size_t k = 0; k < order.size(); ++k) at(order[k], place) = std::log1p(static_cast<float>(k));
        for (std::size_t row = 0; row < values.size(); ++row) {
            at(row, share) = log_share(values[row]);
            at(row, to_best) = at(row, share) - best;
        }
    }

private:
    Candidates& c_;
};

float cosine(std::span<const float> a, std::span<const float> b) {
    float product = 0, aa = 0, bb = 0;
    for (std::size_t i = 0; i < a.size(); ++i) product += a[i] * b[i], aa += a[i] * a[i], bb += b[i] * b[i];
    return product / std::sqrt(aa * bb + 1e-12f);
}

// What a candidate is compared with: products of the history's last steps that have one, newest first.
std::vector<std::int32_t> recent_products(std::span<const Step> history) {
    std::vector<std::int32_t> recent;
    for (auto step = history.rbegin(); step != history.rend() && recent.size() < kLikenessSteps; ++step)
        if (step->product >= 0) recent.push_back(step->product);
    return recent;
}

// How close the network holds a candidate to what the customer had.
void add_likeness(const model::Network& network, std::span<const Step> history, const Candidates& c, Rows& rows) {
    const auto recent = recent_products(history);
    if (recent.empty()) return;
    for (std::size_t row = 0; row < c.products.size(); ++row) {
        const auto own = network.product_vector(c.products[row]);
        float most = -1, sum = 0;
        for (std::size_t k = 0; k < recent.size(); ++k) {
            const float like = cosine(own, network.product_vector(recent[k]));
            if (k == 0) rows.at(row, kLikeLast) = like;
            most = std::max(most, like);
            sum += like;
        }
        rows.at(row, kLikeMost) = most;
        rows.at(row, kLikeMean) = sum / static_cast<float>(recent.size());
    }
}

// What this customer did with each candidate before.
void add_own_past(std::span<const Step> history, std::int64_t now_ms, const Candidates& c, Rows& rows) {
    struct Past { int times = 0, seen_since = 0; const Step *first = nullptr, *last = nullptr, *seen = nullptr; };
    std::vector<Past> past(c.products.size());
    for (const auto& step : history) {
        const auto found = std::ranges::lower_bound(c.products, step.product);
        if (found == c.products.end() || *found != step.product) continue;
        auto& own = past[static_cast<std::size_t>(found - c.products.begin())];
        if (step.purchase()) {
            if (own.last == nullptr || own.last->occasion != step.occasion) ++own.times;
            if (own.first == nullptr) own.first = &step;
            own.last = &step;
            own.seen_since = 0;
        } else {
            own.seen = &step;
            ++own.seen_since;
        }
    }
    const auto days = [&](const Step& since) { return static_cast<float>(days_between({since.time_ms}, {now_ms})); };
    for (std::size_t row = 0; row < past.size(); ++row) {
        const auto& own = past[row];
        rows.at(row, kBoughtTimes) = static_cast<float>(own.times);
        rows.at(row, kSeenSinceBought) = static_cast<float>(own.seen_since);
        if (own.last != nullptr) rows.at(row, kOccasionsSinceBought) = static_cast<float>(history.back().occasion - own.last->occasion);
        if (now_ms == 0) continue;
        if (own.last != nullptr) rows.at(row, kDaysSinceBought) = days(*own.last);
        if (own.times > 1)  // 1: due by the customer's own mean interval
            rows.at(row, kBoughtRhythm) = days(*own.last) * static_cast<float>(own.times - 1) / std::max(0.5f, days(*own.first) - days(*own.last));
        if (own.seen != nullptr) rows.at(row, kDaysSinceSeen) = days(*own.seen);
    }
}

}  // namespace

std::int32_t most_alike(const NetworkRecommender& network, std::span<const Step> history, std::int32_t product) {
    const auto recent = recent_products(history);
    if (recent.empty()) return sequence::kNoProduct;
    const auto own = network.network().product_vector(product);
    return *std::ranges::max_element(recent, {}, [&](std::int32_t other) { return cosine(own, network.network().product_vector(other)); });
}

Candidates candidates(const NextPurchaseMethods& methods, const model::Session* session, std::span<const Step> history, std::int64_t now_ms, bool allow_repeats) {
    const auto popular = methods.popularity->shares();
    const std::size_t products = popular.size();
    Candidates c;
    auto& network = c.network;
    auto& pairs = c.pairs;
    pairs.resize(products);
    methods.pairs->score(history, now_ms, pairs);
    if (methods.network) {
        network.resize(products);
        if (session != nullptr) methods.network->score_with(*session, history, now_ms, network);
        else methods.network->score(history, now_ms, network);
    }
    c.mixture = methods.mix(history, now_ms, network, pairs);

    std::vector<char> barred(products, 0);
    std::size_t own = 0;
    for (auto step = history.rbegin(); step != history.rend(); ++step) {
        if (step->product < 0 || barred[static_cast<std::size_t>(step->product)]) continue;
        if (!allow_repeats) barred[static_cast<std::size_t>(step->product)] = 1;
        else if (own < kFromHistory) c.products.push_back(step->product), ++own;
    }
    if (methods.network) take_best(network, kFromNetwork, barred, c.products);
    take_best(pairs, kFromPairs, barred, c.products);
    take_best(c.mixture, kFromMixture, barred, c.products);
    take_best(popular, kFromPopular, barred, c.products);
    std::ranges::sort(c.products);
    c.products.erase(std::unique(c.products.begin(), c.products.end()), c.products.end());

    Rows rows(c);
    if (methods.network) {
        rows.add_method(network, kNetworkShare, kNetworkToBest, kNetworkPlace);
        rows.fill(kNetworkBest, *std::ranges::max_element(network));
        add_likeness(methods.network->network(), history, c, rows);
    }
    rows.add_method(pairs, kPairShare, kPairToBest, kPairPlace);
    rows.add_method(c.mixture, kMixtureShare, kMixtureToBest, kMixturePlace);
    rows.fill(kPairBest, *std::ranges::max_element(pairs));
    rows.fill(kHistoryLength, static_cast<float>(history.size()));
    const auto last = std::ranges::find_if(history.rbegin(), history.rend(), [](const Step& step) { return step.product >= 0; });
    if (last != history.rend()) rows.fill(kPopularityOfLast, log_share(popular[static_cast<std::size_t>(last->product)]));
    const auto evidence = methods.pairs->evidence(history, c.products);
    for (std::size_t row = 0; row < c.products.size(); ++row) {
        rows.at(row, kPopularity) = log_share(popular[static_cast<std::size_t>(c.products[row])]);
        rows.at(row, kPairSlow) = log_share(evidence[row].slow);
        rows.at(row, kPairLast) = log_share(evidence[row].last);
        rows.at(row, kPairBackward) = log_share(evidence[row].backward);
        rows.at(row, kPairPlain) = evidence[row].plain;
    }
    add_own_past(history, now_ms, c, rows);
    return c;
}

Ranker::Ranker(const NextPurchaseMethods& methods, TreeSum trees, bool allow_repeats)
    : methods_(methods), trees_(std::move(trees)), allow_repeats_(allow_repeats) {}

void Ranker::score(std::span<const Step> history, std::int64_t now_ms, std::span<float> shares) const {
    order(candidates(nullptr, history, now_ms), shares);
}

void Ranker::score_with(const model::Session& session, std::span<const Step> history, std::int64_t now_ms, std::span<float> shares) const {
    order(candidates(&session, history, now_ms), shares);
}

Candidates Ranker::candidates(const model::Session* session, std::span<const Step> history, std::int64_t now_ms) const {
    return predict::candidates(methods_, session, history, now_ms, allow_repeats_);
}

void Ranker::order(const Candidates& c, std::span<float> shares) const {
    for (std::size_t j = 0; j < shares.size(); ++j) shares[j] = (1 - kCandidatesMass) * c.mixture[j];
    std::vector<float> sums;
    for (std::size_t row = 0; row < c.products.size(); ++row) sums.push_back(trees_(std::span(c.features).subspan(row * kRankFeatures, kRankFeatures)));
    if (sums.empty()) return std::ranges::copy(c.mixture, shares.begin()), void();
    const float best = std::ranges::max(sums);
    double mass = 0;
    for (float& x : sums) mass += x = std::exp(x - best);
    for (std::size_t row = 0; row < sums.size(); ++row)
        shares[static_cast<std::size_t>(c.products[row])] += kCandidatesMass * static_cast<float>(sums[row] / mass);
}

std::string_view name(RankGroup group) noexcept {
    static constexpr std::array<std::string_view, kRankGroups> kNames{"network", "alike", "together", "popularity", "own_past", "recency", "history"};
    return kNames[static_cast<std::size_t>(group)];
}

std::optional<RankGroup> group_of(RankFeature feature) noexcept {
    if (kGroupOf[feature] == kMixtureGroup) return std::nullopt;
    return static_cast<RankGroup>(kGroupOf[feature]);
}

std::vector<std::size_t> reference_rows(std::size_t candidates) {
    std::vector<std::size_t> rows;
    const auto count = std::min(candidates, kRankReference);
    for (std::size_t k = 0; k < count; ++k) rows.push_back(k * candidates / count);
    return rows;
}

std::array<double, kRankGroups> Ranker::values(const Candidates& c, std::size_t row) const {
    const auto values = trees_.shapley(std::span(c.features).subspan(row * kRankFeatures, kRankFeatures), kGroupOf, kRankGroups + 1);
    std::array<double, kRankGroups> effects{};
    std::copy_n(values.begin(), kRankGroups, effects.begin());
    // The mixture's own group, by what each part adds to this product's share.
    const auto product = static_cast<std::size_t>(c.products[row]);
    const double whole = c.mixture[product];
    double others = 0;
    for (const auto& [part, weight] : methods_.mixture->parts()) {
        const bool network = part == methods_.network, pairs = part == methods_.pairs, popular = part == methods_.popularity;
        if (!(network || pairs || popular)) continue;
        const double own = network ? c.network[product] : pairs ? c.pairs[product] : methods_.popularity->shares()[product];
        const double share = whole > 0 ? weight * own / whole : weight;
        effects[static_cast<std::size_t>(network ? RankGroup::kNetwork : pairs ? RankGroup::kTogether : RankGroup::kPopularity)] += share * values[kMixtureGroup];
        others += share;
    }
    effects[static_cast<std::size_t>(RankGroup::kOwnPast)] += (1 - others) * values[kMixtureGroup];
    return effects;
}

std::vector<std::vector<RankEffect>> Ranker::effects(const Candidates& c, std::span<const std::size_t> rows) const {
    const auto reference = reference_rows(c.products.size());
    std::array<double, kRankGroups> mean{};
    for (const auto row : reference) {
        const auto of = values(c, row);
        for (std::size_t g = 0; g < kRankGroups; ++g) mean[g] += of[g] / static_cast<double>(reference.size());
    }
    std::vector<std::vector<RankEffect>> out;
    for (const auto row : rows) {
        const auto of = values(c, row);
        auto& effects = out.emplace_back();
        for (std::size_t g = 0; g < kRankGroups; ++g) effects.push_back({static_cast<RankGroup>(g), of[g] - mean[g]});
        std::ranges::stable_sort(effects, std::ranges::greater{}, &RankEffect::effect);
    }
    return out;
}

namespace {

struct Lists {
    std::vector<float> features;
    std::vector<std::uint8_t> labels;
    std::vector<std::uint32_t> sizes;

    void add(const Lists& other) {
        features.insert(features.end(), other.features.begin(), other.features.end());
        labels.insert(labels.end(), other.labels.begin(), other.labels.end());
        sizes.insert(sizes.end(), other.sizes.begin(), other.sizes.end());
    }
    std::size_t answered() const {  // lists with an answer
        std::size_t count = 0;
        auto at = labels.begin();
        for (const auto size : sizes) {
            count += std::find(at, at + size, 1) != at + size;
            at += size;
        }
        return count;
    }
};

// Relevant products that are no candidate count as missed.
struct Question {
    Lists list;
    std::size_t relevant = 0;
    double mixture_ndcg10 = 0;
};

double ndcg10(std::span<const float> sums, const Question& question) {
    std::vector<std::size_t> order(sums.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return sums[a] > sums[b]; });
    double gain = 0, ideal = 0;
    for (std::size_t k = 0; k < 10; ++k) {
        const double worth = 1 / std::log2(static_cast<double>(k) + 2);
        if (k < order.size() && question.list.labels[order[k]]) gain += worth;
        if (k < question.relevant) ideal += worth;
    }
    return ideal > 0 ? gain / ideal : 0;
}

// libxgboost draws the pairs it compares on each of its threads: their number must not follow the caller's.
constexpr unsigned kTreeThreads = 2;
constexpr int kRoundsLimit = 240, kRoundsStep = 20;
constexpr TreeOptions kRankTrees{.rounds = kRoundsLimit, .depth = 5, .learning_rate = 0.08, .row_share = 0.7, .column_share = 0.7, .leaf_rows_min = 5};

}  // namespace

Result<std::optional<RankerFit>> fit_ranker(const NextPurchaseMethods& methods, std::span<const Unit> units, bool allow_repeats, std::uint64_t seed,
                                            unsigned threads) {
    std::vector<std::uint32_t> order(units.size());
    std::iota(order.begin(), order.end(), 0u);
    Rng rng(seed);
    rng.shuffle(order);
    order.resize(std::min(order.size(), kRankerUnitsLimit));
    std::vector<Question> questions(order.size());
    parallel_for(order.size(), 16, threads, [&](std::size_t begin, std::size_t end) {
        for (auto q = begin; q < end; ++q) {
            const auto& unit = units[order[q]];
            auto c = candidates(methods, nullptr, unit.history, unit.now_ms, allow_repeats);
            auto& [list, relevant, mixture_ndcg10] = questions[q];
            for (const auto product : c.products) list.labels.push_back(std::ranges::find(unit.relevant, product) != unit.relevant.end());
            list.sizes.push_back(static_cast<std::uint32_t>(c.products.size()));
            list.features = std::move(c.features);
            relevant = unit.relevant.size();
            mixture_ndcg10 = rank_metrics(c.mixture, unit.relevant, unit.excluded).ndcg[1];
        }
    });
    const auto half = questions.size() / 2;
    const std::span judged = std::span(questions).subspan(half);
    Lists first, all;
    for (std::size_t q = 0; q < questions.size(); ++q) {
        if (std::ranges::find(questions[q].list.labels, 1) == questions[q].list.labels.end()) continue;  // teaches nothing
        all.add(questions[q].list);
        if (q < half) first.add(questions[q].list);
    }
    if (all.answered() < kRankerAnswersMin) return std::optional<RankerFit>{};

    auto options = kRankTrees;
    options.seed = seed;
    options.threads = kTreeThreads;
    auto tried = BoostedTrees::train_ranking(first.features, kRankFeatures, first.labels, first.sizes, options);
    if (!tried) return tried.error();
    auto summed = TreeSum::of(*tried);
    if (!summed) return summed.error();
    const std::size_t steps = kRoundsLimit / kRoundsStep;
    std::vector<std::vector<double>> ndcg(judged.size(), std::vector<double>(steps));
    parallel_for(judged.size(), 16, threads, [&](std::size_t begin, std::size_t end) {
        for (auto q = begin; q < end; ++q) {
            const auto& features = judged[q].list.features;
            std::vector<float> sums(judged[q].list.labels.size(), 0.0f);
            for (std::size_t step = 0; step < steps; ++step) {
                for (std::size_t row = 0; row < sums.size(); ++row)
                    sums[row] += summed->part(std::span(features).subspan(row * kRankFeatures, kRankFeatures), step * kRoundsStep, (step + 1) * kRoundsStep);
                ndcg[q][step] = ndcg10(sums, judged[q]);
            }
        }
    });
    std::vector<double> mean(steps, 0.0);
    double mixture = 0;
    for (std::size_t q = 0; q < judged.size(); ++q) {
        for (std::size_t step = 0; step < steps; ++step) mean[step] += ndcg[q][step] / static_cast<double>(judged.size());
        mixture += judged[q].mixture_ndcg10 / static_cast<double>(judged.size());
    }
    const auto best = std::ranges::max_element(mean) - mean.begin();
    if (mean[static_cast<std::size_t>(best)] <= mixture) return std::optional<RankerFit>{};
    options.rounds = static_cast<int>(best + 1) * kRoundsStep;
    auto trees = BoostedTrees::train_ranking(all.features, kRankFeatures, all.labels, all.sizes, options);
    if (!trees) return trees.error();
    auto sum = TreeSum::of(*trees);
    if (!sum) return sum.error();
    return std::optional<RankerFit>{RankerFit{std::move(*sum), options.rounds, mean[static_cast<std::size_t>(best)], mixture}};
}

}  // namespace perennial::predict
