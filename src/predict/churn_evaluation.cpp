#include "predict/churn_evaluation.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/hash.h"
#include "base/rng.h"

namespace perennial::predict {
namespace {

constexpr std::size_t kColumns = kChurnFeatures.size();
constexpr std::size_t kRefits = 8;
constexpr std::size_t kChurnDraws = 500;

struct Rows {
    std::vector<std::size_t> customer;    // index into ShopData
    std::vector<float> features;          // [n, kColumns]
    std::vector<std::uint8_t> labels;
    std::size_t size() const noexcept { return labels.size(); }
};

// A third of the customers, fixed by their key.
bool held_back(const profile::CustomerKey& key) { return hash64(key, 17) % 3 == 0; }

profile::ShopRhythm rhythm_before(const ShopData& data, UtcTime cut) {
    std::vector<std::vector<double>> gaps;
    for (const auto& timeline : data.timelines) {
        std::vector<profile::Order> orders;
        for (const auto& e : timeline)
            if (e.kind == event::Kind::kOrderCompleted && e.time < cut) orders.push_back({e.order_id, e.time, {}, 0});
        gaps.push_back(profile::purchase_gaps_days(orders));
    }
    return profile::learn_rhythm(gaps);
}

void add_rows(Rows& rows, const ShopData& data, UtcTime now, double horizon_days, const profile::ShopRhythm& rhythm) {
    for (std::size_t i = 0; i < data.timelines.size(); ++i) {
        const auto& timeline = data.timelines[i];
        if (timeline.empty() || !active_at(timeline, now)) continue;
        const auto features = churn_features(timeline, now, rhythm);
        rows.customer.push_back(i);
        rows.features.insert(rows.features.end(), features.begin(), features.end());
        rows.labels.push_back(stays_away(timeline, now, horizon_days));
    }
}

Rows only(const Rows& rows, const std::vector<std::size_t>& chosen) {
    Rows picked;
    for (const auto r : chosen) {
        picked.customer.push_back(rows.customer[r]);
        picked.features.insert(picked.features.end(), rows.features.begin() + static_cast<std::ptrdiff_t>(r * kColumns),
                               rows.features.begin() + static_cast<std::ptrdiff_t>((r + 1) * kColumns));
        picked.labels.push_back(rows.labels[r]);
    }
    return picked;
}

std::vector<double> silences(const Rows& rows, const ShopData& data, const NetworkRecommender& network, UtcTime now, double horizon_days) {
    std::vector<double> result;
    for (const auto customer : rows.customer) {
        const auto history = sequence::before(data.sequences[customer].steps, now.ms + 1);
        const auto session = network.session(history);
        result.push_back(network.silence(session, history.empty() ? now.ms : history.back().time_ms, now.ms, horizon_days));
    }
    return result;
}

std::vector<std::uint8_t> outcomes(const Rows& rows, const ShopData& data, UtcTime now, double horizon_days) {
    std::vector<std::uint8_t> labels;
    for (const auto customer : rows.customer) labels.push_back(stays_away(data.timelines[customer], now, horizon_days));
    return labels;
}

std::vector<double> feature_column(const Rows& rows, std::size_t column) {
    std::vector<double> values;
    for (std::size_t r = 0; r < rows.size(); ++r) values.push_back(static_cast<double>(rows.features[r * kColumns + column]));
    return values;
}

std::vector<double> calibrated(std::span<const double> scores, const Platt& platt) {
    std::vector<double> p(scores.size());
    std::ranges::transform(scores, p.begin(), platt);
    return p;
}

template <class Map>
std::vector<double> mapped(std::vector<double> values, Map map) {
    std::ranges::transform(values, values.begin(), map);
    return values;
}

// The drawn rows' measure of `p`, with its interval.
template <class Measure>
Interval interval_of(std::span<const double> p, std::span<const std::uint8_t> labels, std::uint64_t seed, Measure measure) {
    std::vector<double> scores(labels.size());
    std::vector<std::uint8_t> drawn(labels.size());
    return bootstrap(labels.size(), kChurnDraws, seed, [&](std::span<const std::uint32_t> draw) {
        for (std::size_t i = 0; i < draw.size(); ++i) scores[i] = p[draw[i]], drawn[i] = labels[draw[i]];
        return measure(scores, drawn);
    });
}

SilenceResult::Measures silence_measures(std::span<const double> p, std::span<const std::uint8_t> labels, std::uint64_t seed) {
    return {interval_of(p, labels, seed, [](auto& s, auto& l) { return auc(s, l); }), interval_of(p, labels, seed, [](auto& s, auto& l) { return brier(s, l); }),
            interval_of(p, labels, seed, [](auto& s, auto& l) { return calibration_error(s, l, 10); })};
}

ChurnMethodResult judged(std::string name, std::vector<double> p, const Rows& rows, std::uint64_t seed) {
    const std::span<const std::uint8_t> labels = rows.labels;
    const auto interval = [&](auto measure) { return interval_of(p, labels, seed, measure); };
    ChurnMethodResult result{std::move(name), {}, {}, {}, {}, {}, {}, {}};
    result.auc = interval([](auto& s, auto& l) { return auc(s, l); });
    result.pr_auc = interval([](auto& s, auto& l) { return average_precision(s, l); });
    result.brier = interval([](auto& s, auto& l) { return brier(s, l); });
    result.lift10 = interval([](auto& s, auto& l) { return lift(s, l, 0.1); });
    result.calibration = calibration(p, labels, 10);
    result.gain = gain_curve(p, labels, 50);
    result.probabilities = std::move(p);
    return result;
}

Text words_for(std::string_view method) {
    if (method == "recency") return {"recency", "最近购买时间"};
    if (method == "rhythm_rule") return {"the customer's own rhythm", "客户自身节奏规则"};
    if (method == "time_head") return {"the model's time head", "模型的时间预测头"};
    if (method == "boosted_trees") return {"boosted trees", "提升树"};
    return {"time head and trees combined", "时间头与提升树组合"};
}

ChurnComparison compared(const ChurnMethodResult& a, const ChurnMethodResult& b, const Rows& rows, std::uint64_t seed) {
    std::vector<double> sa(rows.size()), sb(rows.size());
    std::vector<std::uint8_t> labels(rows.size());
    const auto gap = bootstrap(rows.size(), kChurnDraws, seed, [&](std::span<const std::uint32_t> draw) {
        for (std::size_t i = 0; i < draw.size(); ++i) sa[i] = a.probabilities[draw[i]], sb[i] = b.probabilities[draw[i]], labels[i] = rows.labels[draw[i]];
        return auc(sa, labels) - auc(sb, labels);
    });
    const auto wa = words_for(a.name), wb = words_for(b.name);
    ChurnComparison result{a.name, b.name, gap, {}};
    if (gap.low > 0) result.verdict = {fmt::format("better ranking: {}, ahead of {}", wa.en, wb.en), fmt::format("{}排序优于{}", wa.zh, wb.zh)};
    else if (gap.high < 0) result.verdict = {fmt::format("better ranking: {}, ahead of {}", wb.en, wa.en), fmt::format("{}排序优于{}", wb.zh, wa.zh)};
    else result.verdict = {fmt::format("no clear difference between {} and {}", wa.en, wb.en), fmt::format("{}与{}之间没有明显差异", wa.zh, wb.zh)};
    return result;
}

// How far a customer's log odds move when the trees are refitted on resampled rows.
Result<double> refit_spread(const Rows& rows, const Rows& asked, const TreeOptions& options) {
    Rng rng(options.seed);
    std::vector<std::vector<double>> odds;
    for (std::size_t refit = 0; refit < kRefits; ++refit) {
        std::vector<std::size_t> drawn(rows.size());
        for (auto& r : drawn) r = static_cast<std::size_t>(rng.below(rows.size()));
        const auto sample = only(rows, drawn);
        auto trees = BoostedTrees::train(sample.features, kColumns, sample.labels, options);
        if (!trees) return trees.error();
        auto p = trees->probabilities(asked.features, kColumns);
        if (!p) return p.error();
        odds.push_back(mapped(std::move(*p), log_odds));
    }
    double variance = 0;
    for (std::size_t i = 0; i < asked.size(); ++i) {
        double mean = 0, squares = 0;
        for (const auto& o : odds) mean += o[i] / kRefits;
        for (const auto& o : odds) squares += (o[i] - mean) * (o[i] - mean) / (kRefits - 1);
        variance += squares;
    }
    return asked.size() > 0 ? std::sqrt(variance / static_cast<double>(asked.size())) : 0;
}

}  // namespace

Result<ChurnFit> fit_churn(const ShopData& data, const std::filesystem::path& directory, const NetworkOptions& options) {
    ChurnFit fit;
    auto& evaluation = fit.evaluation;
    // Short histories get a shorter horizon rather than no answer.
    const double horizon = std::min(kChurnHorizonDays, std::floor(data.days() / 4));
    if (horizon < 14) return Error{Code::kInvalid, fmt::format("churn needs at least 56 days of purchases, this shop has {:.0f}", data.days())};
    const UtcTime c2 = after_days(data.last_time, -horizon), c1 = after_days(c2, -horizon);
    evaluation.cut = c2;
    evaluation.horizon_days = horizon;

    const auto rhythm = rhythm_before(data, c2);
    Rows at_c1, past, judge;
    add_rows(at_c1, data, c1, horizon, rhythm);
    for (const double back : {0.0, 30.0, 60.0})
        if (after_days(c1, -back) > after_days(data.first_time, 14)) add_rows(past, data, after_days(c1, -back), horizon, rhythm);
    add_rows(judge, data, c2, horizon, rhythm);
    evaluation.customers = judge.size();
    evaluation.churned = static_cast<std::size_t>(std::accumulate(judge.labels.begin(), judge.labels.end(), 0));
    const auto kinds = [](const Rows& rows) { const auto ones = static_cast<std::size_t>(std::accumulate(rows.labels.begin(), rows.labels.end(), 0)); return std::min(ones, rows.size() - ones); };
    if (judge.size() < kChurnCustomersMin || at_c1.size() < kChurnCustomersMin || kinds(judge) < 10 || kinds(at_c1) < 10)
        return Error{Code::kInvalid, fmt::format("churn needs at least {} active customers with 10 of each outcome at two moments; this shop has {} and {}",
                                                 kChurnCustomersMin, at_c1.size(), judge.size())};

    auto split = split_by_time(data.sequences, data.products(), c2.ms, std::min(14.0, horizon / 4),
                               [&](const sequence::Sequence& s) { return held_back(s.customer) ? c1.ms : c2.ms; });
    auto run = train_network(split.data, directory / "churn", options);
    if (!run) return run.error();
    evaluation.network = *run;
    auto network = NetworkRecommender::load(run->weights);
    if (!network) return network.error();

    std::vector<std::size_t> kept, back;
    for (std::size_t r = 0; r < at_c1.size(); ++r)
        if (held_back(data.sequences[at_c1.customer[r]].customer)) back.push_back(r);
    for (std::size_t r = 0; r < past.size(); ++r)
        if (!held_back(data.sequences[past.customer[r]].customer)) kept.push_back(r);
    const Rows calibration_rows = only(at_c1, back), stacking_rows = only(past, kept);
    TreeOptions tree_options;
    tree_options.seed = options.seed;
    tree_options.threads = options.threads;
    auto stacking_trees = BoostedTrees::train(stacking_rows.features, kColumns, stacking_rows.labels, tree_options);
    if (!stacking_trees) return stacking_trees.error();
    auto trees = BoostedTrees::train(past.features, kColumns, past.labels, tree_options);
    if (!trees) return trees.error();

    const auto silence_c1 = mapped(silences(calibration_rows, data, *network, c1, horizon), log_odds);
    auto trees_c1 = stacking_trees->probabilities(calibration_rows.features, kColumns);
    if (!trees_c1) return trees_c1.error();
    std::vector<double> stacked;
    for (std::size_t i = 0; i < calibration_rows.size(); ++i) stacked.insert(stacked.end(), {silence_c1[i], log_odds((*trees_c1)[i])});
    const auto beta = fit_logistic(stacked, 2, calibration_rows.labels);
    fit.model.combined = {beta[0], beta[1], beta[2]};
    fit.model.time_head = fit_platt(silence_c1, calibration_rows.labels);

    const auto log_days = [](double days) { return std::log1p(days); };
    const auto odds_of_silence = [](double survival) { return log_odds(1 - survival); };
    const auto recency = fit_platt(mapped(feature_column(at_c1, 0), log_days), at_c1.labels);
    const auto rule = fit_platt(mapped(feature_column(at_c1, 1), odds_of_silence), at_c1.labels);
    const auto silence_c2 = mapped(silences(judge, data, *network, c2, horizon), log_odds);
    auto trees_c2 = trees->probabilities(judge.features, kColumns);
    if (!trees_c2) return trees_c2.error();
    std::vector<double> combined;
    for (std::size_t i = 0; i < judge.size(); ++i)
        combined.push_back(1 / (1 + std::exp(-(beta[0] + beta[1] * silence_c2[i] + beta[2] * log_odds((*trees_c2)[i])))));

    auto& methods = evaluation.methods;
    methods.push_back(judged("recency", calibrated(mapped(feature_column(judge, 0), log_days), recency), judge, options.seed));
    methods.push_back(judged("rhythm_rule", calibrated(mapped(feature_column(judge, 1), odds_of_silence), rule), judge, options.seed));
    methods.push_back(judged("time_head", calibrated(silence_c2, fit.model.time_head), judge, options.seed));
    methods.push_back(judged("boosted_trees", *trees_c2, judge, options.seed));
    methods.push_back(judged("combined", combined, judge, options.seed));
    for (const auto& [a, b] : {std::pair{4, 3}, {4, 2}, {3, 2}, {4, 1}, {3, 1}, {2, 1}, {1, 0}})
        evaluation.comparisons.push_back(compared(methods[static_cast<std::size_t>(a)], methods[static_cast<std::size_t>(b)], judge, options.seed));

    // Leader by AUC, and everyone whom the data cannot tell from the leader.
    const auto leader = std::ranges::max_element(methods, {}, [](const auto& m) { return m.auc.value; });
    std::string same_en, same_zh;
    for (const auto& method : methods) {
        if (method.name == leader->name) continue;
        const auto gap = compared(*leader, method, judge, options.seed).auc_difference;
        if (gap.low > 0) continue;
        same_en += (same_en.empty() ? "" : ", ") + words_for(method.name).en;
        same_zh += (same_zh.empty() ? "" : "、") + words_for(method.name).zh;
    }
    const auto leading = words_for(leader->name);
    // A back-test chooses who serves: the smaller error of the probabilities, since that is what is shown and acted on.
    const auto& serving = methods[4].brier.value <= methods[3].brier.value ? methods[4] : methods[3];
    fit.model.chosen = serving.name;
    const auto used = words_for(serving.name);
    const double predicted = 100 * std::accumulate(serving.probabilities.begin(), serving.probabilities.end(), 0.0) / static_cast<double>(judge.size());
    const double observed = 100 * static_cast<double>(evaluation.churned) / static_cast<double>(judge.size());
    evaluation.verdict = {fmt::format("Best ranking: {} (AUC {:.3f}, {:.3f} to {:.3f}). {} In use, for the smaller error of its probabilities: {}. It predicted {:.0f} % leaving on average, {:.0f} % left.",
                                      leading.en, leader->auc.value, leader->auc.low, leader->auc.high,
                                      same_en.empty() ? "Every other method is clearly behind." : "The data cannot tell it from: " + same_en + ".", used.en, predicted, observed),
                          fmt::format("排序最佳：{}（AUC {:.3f}，{:.3f} 至 {:.3f}）。{}当前使用概率误差较小的方法：{}；其平均预测流失率 {:.0f}%，实际 {:.0f}%。",
                                      leading.zh, leader->auc.value, leader->auc.low, leader->auc.high,
                                      same_zh.empty() ? "其余方法明显落后。" : "数据无法将其与以下方法区分：" + same_zh + "。", used.zh, predicted, observed)};

    // The curve to other horizons, from the forecast that serves.
    const auto network_c1 = silences(calibration_rows, data, *network, c1, horizon), network_c2 = silences(judge, data, *network, c2, horizon);
    std::vector<SilenceOutcome> learned;
    for (const double share : kSilenceShares) {
        const auto at = silences(calibration_rows, data, *network, c1, share * horizon);
        const auto stayed = outcomes(calibration_rows, data, c1, share * horizon);
        for (std::size_t i = 0; i < at.size(); ++i) {
            const double z = log_odds((*trees_c1)[i]), forecast = serving.name == "combined" ? beta[0] + beta[1] * silence_c1[i] + beta[2] * z : z;
            learned.push_back({1 / (1 + std::exp(-forecast)), horizon, network_c1[i], share * horizon, at[i], stayed[i] != 0});
        }
    }
    fit.model.curve = fit_silence_curve(learned, 1.0 / kSilenceShares.size());
    for (const double days : kSilenceDays) {
        if (days > horizon) break;
        const auto at = silences(judge, data, *network, c2, days);
        const auto stayed = outcomes(judge, data, c2, days);
        std::vector<double> p;
        for (std::size_t i = 0; i < at.size(); ++i) p.push_back((*fit.model.curve)(serving.probabilities[i], horizon, network_c2[i], days, at[i]));
        evaluation.silences.push_back({days, static_cast<std::size_t>(std::accumulate(stayed.begin(), stayed.end(), 0)), silence_measures(at, stayed, options.seed), silence_measures(p, stayed, options.seed)});
        fit.model.curve_errors.push_back({days, evaluation.silences.back().forecast.calibration_error.value});
    }

    // What serves from now on learns up to the last event; how it is calibrated and combined stays as judged.
    fit.model.horizon_days = horizon;
    fit.model.rhythm = data.rhythm;
    Rows recent;
    for (const double days : {0.0, 30.0, 60.0}) add_rows(recent, data, after_days(c2, -days), horizon, data.rhythm);
    auto final_trees = BoostedTrees::train(recent.features, kColumns, recent.labels, tree_options);
    if (!final_trees) return final_trees.error();
    fit.model.trees = std::move(*final_trees);
    auto spread = refit_spread(recent, judge, tree_options);
    if (!spread) return spread.error();
    fit.model.log_odds_spread = *spread;
    return fit;
}

}  // namespace perennial::predict
