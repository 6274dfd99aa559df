#include "predict/next_purchase.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <numeric>

#include "base/rng.h"
#include "predict/ranker.h"

namespace perennial::predict {

std::vector<std::shared_ptr<const Recommender>> NextPurchaseMethods::all() const {
    std::vector<std::shared_ptr<const Recommender>> methods{popularity};
    if (repeats) methods.push_back(repeats);
    methods.push_back(pairs);
    if (network) methods.push_back(network);
    methods.push_back(mixture);
    if (ranker) methods.push_back(ranker);
    return methods;
}

std::vector<float> NextPurchaseMethods::mix(std::span<const Step> history, std::int64_t now_ms, std::span<const float> of_network, std::span<const float> of_pairs) const {
    std::vector<float> mixed(of_pairs.size(), 0.0f), own;
    for (const auto& [recommender, weight] : mixture->parts()) {
        if (weight == 0) continue;
        auto shares = recommender == network ? of_network : recommender == pairs ? of_pairs : std::span<const float>();
        if (shares.empty()) {
            own.resize(mixed.size());
            recommender->score(history, now_ms, own);
            shares = own;
        }
        for (std::size_t j = 0; j < mixed.size(); ++j) mixed[j] += static_cast<float>(weight) * shares[j];
    }
    return mixed;
}

NextPurchaseMethods build_methods(std::span<const sequence::Sequence> sequences, std::size_t products, const NextPurchaseSettings& settings,
                                  std::shared_ptr<const NetworkRecommender> network, std::int64_t now_ms, unsigned threads) {
    NextPurchaseMethods m;
    m.popularity = std::make_shared<Popularity>(sequences, products, settings.popularity_half_life_days, now_ms);
    m.repeats = std::make_shared<OwnRepeats>(m.popularity);
    m.pairs = std::make_shared<PairCounts>(sequences, products, settings.pairs, threads);
    m.network = std::move(network);
    std::vector<Mixture::Part> parts{{m.popularity, settings.weight_popular}, {m.repeats, settings.weight_repeats}, {m.pairs, settings.weight_pairs}};
    if (m.network) parts.push_back({m.network, settings.weight_network});
    m.mixture = std::make_shared<Mixture>(std::move(parts));
    return m;
}

NextPurchaseSettings tune_next_purchase(const TrainingSplit& split, std::size_t products, std::shared_ptr<const NetworkRecommender> network,
                                        bool allow_repeats, std::int64_t now_ms, std::uint64_t seed, unsigned threads) {
    NextPurchaseSettings settings;
    std::vector<std::uint32_t> order(split.validation.size());
    std::iota(order.begin(), order.end(), 0u);
    Rng rng(seed);
    rng.shuffle(order);
    std::vector<Unit> sample;
    for (std::size_t i = 0; i < std::min(kTuningUnitsLimit, order.size()); ++i) sample.push_back(split.validation[order[i]]);

    double best = -1;
    std::shared_ptr<const Popularity> popularity;
    for (const double half_life : {0.0, 180.0, 60.0, 20.0}) {
        if (half_life > 0 && now_ms == 0) continue;  // no times
        const auto tried = std::make_shared<Popularity>(split.fit, products, half_life, now_ms);
        if (const double score = mean_ndcg10(evaluate(*tried, sample, products, threads)); score > best) {
            best = score;
            popularity = tried;
            settings.popularity_half_life_days = half_life;
        }
    }
    const auto pairs = std::make_shared<PairCounts>(tune_pair_counts(split.fit, sample, products, kTuningUnitsLimit, seed, threads));
    settings.pairs = pairs->options();
    std::vector<std::shared_ptr<const Recommender>> parts{pairs};
    std::vector<double*> weights{&settings.weight_pairs};
    if (allow_repeats) {
        parts.push_back(std::make_shared<OwnRepeats>(popularity));
        weights.push_back(&settings.weight_repeats);
    }
    if (network) {
        parts.push_back(network);
        weights.push_back(&settings.weight_network);
    }
    const auto found = tune_mixture(parts, sample, products, kTuningUnitsLimit, seed, threads);
    for (std::size_t i = 0; i < found.size(); ++i) *weights[i] = found[i];
    return settings;
}

Interval compare(const MethodResult& a, const MethodResult& b, std::uint64_t seed) {
    std::vector<double> difference(a.ndcg10_of_unit.size());
    for (std::size_t i = 0; i < difference.size(); ++i) difference[i] = a.ndcg10_of_unit[i] - b.ndcg10_of_unit[i];
    return bootstrap_mean(difference, kBootstrapDraws, seed);
}

namespace {

MethodResult judged(const Recommender& method, std::span<const Unit> units, std::size_t products, std::uint64_t seed, unsigned threads) {
    MethodResult result{std::string(method.name()), {}, {}, {}};
    const auto metrics = evaluate(method, units, products, threads);
    for (std::size_t c = 0; c < kCutoffs.size(); ++c) {
        std::vector<double> recall, ndcg;
        for (const auto& m : metrics) recall.push_back(m.recall[c]), ndcg.push_back(m.ndcg[c]);
        // Leave-one-out sets have tens of thousands of units: a few hundred draws settle the second digit of the interval.
        const std::size_t draws = metrics.size() > 10'000 ? 200 : kBootstrapDraws;
        result.recall[c] = bootstrap_mean(recall, draws, seed);
        result.ndcg[c] = bootstrap_mean(ndcg, draws, seed);
        if (kCutoffs[c] == 10) result.ndcg10_of_unit = std::move(ndcg);
    }
    return result;
}

Text words_for(std::string_view method) {
    if (method == "popular") return {"most popular", "最畅销"};
    if (method == "own_repeats") return {"the customer's own repeats", "客户自身复购"};
    if (method == "pair_counts") return {"pair counts", "共购计数"};
    if (method == "network") return {"the behaviour model", "行为模型"};
    if (method == "ranker") return {"learned ranking", "学习排序"};
    return {"the mixture", "混合模型"};
}

// The richest method against the best simple rule, in one sentence.
Text verdict_on(const std::vector<MethodResult>& methods, std::uint64_t seed) {
    const auto find = [&](std::string_view name) { return std::ranges::find(methods, name, &MethodResult::name); };
    const MethodResult* rule = nullptr;
    for (const char* name : {"popular", "own_repeats", "pair_counts"})
        if (const auto at = find(name); at != methods.end() && (!rule || at->ndcg[1].value > rule->ndcg[1].value)) rule = &*at;
    const auto ranked = find("ranker"), mixture = ranked != methods.end() ? ranked : find("mixture");
    const Text best = ranked != methods.end() ? Text{"Learned ranking", "学习排序"} : Text{"The mixture", "混合模型"};
    if (!rule || mixture == methods.end() || mixture->ndcg10_of_unit.size() < 30) return {"Not enough customers to compare the methods.", "客户数量不足，无法比较各方法。"};
    const auto gap = compare(*mixture, *rule, seed);
    const auto words = words_for(rule->name);
    const auto interval = fmt::format("{:+.4f} ({:+.4f} … {:+.4f})", gap.value, gap.low, gap.high);
    if (gap.low == 0 && gap.high == 0) return {fmt::format("On validation data the best mixture was one simple rule alone, {}; it serves.", words.en), fmt::format("在验证数据上，最好的混合就是单独使用简单规则（{}），因此采用该规则。", words.zh)};
    if (gap.low > 0) return {fmt::format("{} beats the best simple rule, {}: NDCG@10 {}.", best.en, words.en, interval), fmt::format("{}优于最好的简单规则（{}）：NDCG@10 差 {}。", best.zh, words.zh, interval)};
    if (gap.high < 0) return {fmt::format("The best simple rule, {}, beats {}: NDCG@10 {}. Use the rule.", words.en, words_for(mixture->name).en, interval), fmt::format("最好的简单规则（{}）优于{}：NDCG@10 差 {}。建议使用该规则。", words.zh, best.zh, interval)};
    return {fmt::format("No clear difference between {} and the best simple rule, {}: NDCG@10 {}.", words_for(mixture->name).en, words.en, interval), fmt::format("{}与最好的简单规则（{}）之间没有明显差异：NDCG@10 差 {}。", best.zh, words.zh, interval)};
}

}  // namespace

Result<NextPurchaseResult> evaluate_next_purchase(const TrainingSplit& split, std::span<const Unit> test, std::size_t products, bool allow_repeats,
                                                  Known known, std::int64_t now_ms, const std::filesystem::path& directory, const NetworkOptions& options) {
    NextPurchaseResult result;
    auto run = train_network(split.data, directory, options);
    if (!run) return run.error();
    result.network = *run;
    auto loaded = NetworkRecommender::load(run->weights);
    if (!loaded) return loaded.error();
    auto network = std::make_shared<const NetworkRecommender>(std::move(*loaded));
    result.settings = tune_next_purchase(split, products, network, allow_repeats, now_ms, options.seed, options.threads);
    auto methods = build_methods(split.fit, products, result.settings, network, now_ms, options.threads);
    auto ranker = fit_ranker(methods, split.validation, allow_repeats, options.seed, options.threads);
    if (!ranker) return ranker.error();
    if (known == Known::kAllBeforeTest) methods = build_methods(split.full, products, result.settings, network, now_ms, options.threads);
    if (*ranker) {
        result.ranker_rounds = (*ranker)->rounds;
        methods.ranker = std::make_shared<const Ranker>(methods, std::move((*ranker)->trees), allow_repeats);
    }
    if (!allow_repeats) methods.repeats = nullptr;
    for (const auto& method : methods.all()) result.methods.push_back(judged(*method, test, products, options.seed, options.threads));
    result.customers = test.size();
    result.items = products;
    result.verdict = verdict_on(result.methods, options.seed);
    return result;
}

}  // namespace perennial::predict
