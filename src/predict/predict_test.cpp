#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <numeric>

#include "base/file.h"
#include "base/rng.h"
#include "predict/boosted_trees.h"
#include "predict/churn.h"
#include "predict/continual.h"
#include "predict/pair_counts.h"
#include "predict/recommender.h"
#include "predict/settings_search.h"
#include "predict/statistics.h"
#include "predict/training_set.h"

namespace perennial::predict {
namespace {

using sequence::Sequence;

constexpr auto kBuy = static_cast<std::uint8_t>(event::Kind::kOrderCompleted);

Sequence bought(const char* who, std::initializer_list<std::int32_t> products) {
    Sequence made{who, {}};
    for (const auto product : products) {
        const auto at = static_cast<std::int32_t>(made.steps.size());
        made.steps.push_back({product, kBuy, 1, at * kMsPerDay, at});
    }
    return made;
}

// --- statistics against brute force ---

struct Sample { std::vector<double> scores; std::vector<std::uint8_t> labels; };

Sample random_sample(std::size_t n, int levels, std::uint64_t seed) {
    Rng rng(seed);
    Sample sample;
    for (std::size_t i = 0; i < n; ++i) {
        const double score = levels ? static_cast<double>(rng.below(static_cast<std::uint64_t>(levels))) / levels : rng.uniform();
        sample.scores.push_back(score);
        sample.labels.push_back(rng.chance(0.2 + 0.5 * score));
    }
    return sample;
}

TEST(Statistics, auc_equals_the_share_of_ordered_pairs) {
    for (const int levels : {0, 3, 10}) {
        const auto s = random_sample(200, levels, 1);
        double pairs = 0, wins = 0;
        for (std::size_t i = 0; i < 200; ++i)
            for (std::size_t j = 0; j < 200; ++j)
                if (s.labels[i] && !s.labels[j]) pairs += 1, wins += s.scores[i] > s.scores[j] ? 1 : s.scores[i] == s.scores[j] ? 0.5 : 0;
        EXPECT_NEAR(auc(s.scores, s.labels), wins / pairs, 1e-12);
    }
    EXPECT_EQ(auc(std::vector<double>{1, 2}, std::vector<std::uint8_t>{1, 1}), 0.5);
}

TEST(Statistics, average_precision_and_lift_on_a_case_done_by_hand) {
    const std::vector<double> scores{0.9, 0.8, 0.7, 0.6, 0.5};
    const std::vector<std::uint8_t> labels{1, 0, 1, 0, 0};
    EXPECT_NEAR(average_precision(scores, labels), (1.0 + 2.0 / 3) / 2, 1e-12);
    EXPECT_NEAR(lift(scores, labels, 0.2), 1 / 0.4, 1e-12);
    EXPECT_NEAR(lift(std::vector<double>(5, 1.0), labels, 0.2), 1, 1e-12);
    EXPECT_NEAR(brier(scores, labels), (0.01 + 0.64 + 0.09 + 0.36 + 0.25) / 5, 1e-12);
    const auto curve = gain_curve(scores, labels, 5);
    EXPECT_EQ(curve.front().captured, 0);
    EXPECT_NEAR(curve[1].captured, 0.5, 1e-12);
    EXPECT_EQ(curve.back().captured, 1);
}

TEST(Statistics, the_bootstrap_covers_a_known_mean_about_95_times_in_100) {
    int covered = 0;
    for (std::uint64_t round = 0; round < 200; ++round) {
        Rng rng(round);
        std::vector<double> values(100);
        for (double& v : values) v = rng.exponential(1);
        const auto interval = bootstrap_mean(values, 400, round + 1);
        covered += interval.low <= 1 && 1 <= interval.high;
    }
    EXPECT_GE(covered, 178);  // 0.95 less the small-sample bias of percentiles, less 3 standard errors
}

TEST(Statistics, platt_scaling_recovers_the_curve_that_made_the_labels) {
    Rng rng(4);
    std::vector<double> x;
    std::vector<std::uint8_t> y;
    for (int i = 0; i < 20'000; ++i) {
        x.push_back(2 * rng.normal());
        y.push_back(rng.chance(1 / (1 + std::exp(-(0.7 * x.back() - 1)))));
    }
    const auto platt = fit_platt(x, y);
    EXPECT_NEAR(platt.a, 0.7, 0.04);
    EXPECT_NEAR(platt.b, -1, 0.06);
    const auto beta = fit_logistic(x, 1, y);
    EXPECT_NEAR(beta[0], -1, 0.06);
    EXPECT_NEAR(beta[1], 0.7, 0.04);
}

// --- ranking ---

TEST(Ranking, agrees_with_sorting_everything) {
    Rng rng(2);
    for (int round = 0; round < 200; ++round) {
        std::vector<float> scores(60);
        for (float& s : scores) s = static_cast<float>(rng.below(20));
        const std::vector<std::int32_t> relevant{3, 17, 40}, excluded{5, 6};
        std::vector<std::int32_t> order;
        for (std::int32_t i = 0; i < 60; ++i)
            if (i != 5 && i != 6) order.push_back(i);
        std::ranges::stable_sort(order, [&](auto a, auto b) { return scores[static_cast<std::size_t>(a)] > scores[static_cast<std::size_t>(b)]; });
        double hits = 0, gain = 0;
        for (std::size_t r = 0; r < 10; ++r)
            if (std::ranges::find(relevant, order[r]) != relevant.end()) hits += 1, gain += 1 / std::log2(2.0 + static_cast<double>(r));
        const auto metrics = rank_metrics(scores, relevant, excluded);
        ASSERT_NEAR(metrics.recall[1], hits / 3, 1e-12);
        ASSERT_NEAR(metrics.ndcg[1], gain / (1 + 1 / std::log2(3.0) + 0.5), 1e-12);
        auto masked = scores;
        masked[5] = masked[6] = -INFINITY;
        ASSERT_EQ(top_n(masked, 10), (std::vector<std::int32_t>(order.begin(), order.begin() + 10)));
    }
}

// --- recommenders ---

double total(const Recommender& recommender, std::span<const Step> history, std::size_t products) {
    std::vector<float> shares(products);
    recommender.score(history, 0, shares);
    EXPECT_TRUE(std::ranges::all_of(shares, [](float s) { return s >= 0; }));
    return std::accumulate(shares.begin(), shares.end(), 0.0);
}

TEST(Recommender, every_method_gives_a_distribution_also_for_unknown_customers) {
    const std::vector<Sequence> shop{bought("u:1", {0, 1, 2}), bought("u:2", {0, 1, 3, 0})};
    const auto popularity = std::make_shared<Popularity>(shop, 5, 0.0, 0);
    const auto pairs = std::make_shared<PairCounts>(shop, 5, PairOptions{}, 1);
    const auto repeats = std::make_shared<OwnRepeats>(popularity);
    const Mixture mixture({{popularity, 0.2}, {pairs, 0.5}, {repeats, 0.3}});
    for (const Recommender* recommender : {static_cast<const Recommender*>(popularity.get()), static_cast<const Recommender*>(pairs.get()),
                                           static_cast<const Recommender*>(repeats.get()), static_cast<const Recommender*>(&mixture)}) {
        EXPECT_NEAR(total(*recommender, {}, 5), 1, 1e-5);
        EXPECT_NEAR(total(*recommender, shop[1].steps, 5), 1, 1e-5);
    }
    std::vector<float> shares(5);
    repeats->score(shop[1].steps, 0, shares);
    EXPECT_EQ(top_n(shares, 2), (std::vector<std::int32_t>{0, 3}));  // bought twice; then the newest of those bought once
}

// Straight from the formula in the header, without any index.
TEST(PairCounts, agrees_with_the_formula_done_by_hand) {
    Rng rng(9);
    std::vector<Sequence> shop;
    for (int c = 0; c < 20; ++c) {
        Sequence made{"u:" + std::to_string(c), {}};
        std::int32_t occasion = 0;
        for (int t = 0; t < 12; ++t) {
            occasion += rng.chance(0.6);
            made.steps.push_back({static_cast<std::int32_t>(rng.below(8)), kBuy, 1, 0, occasion});
        }
        shop.push_back(made);
    }
    const PairOptions o;
    const PairCounts pairs(shop, 8, o, 3);
    std::vector<double> pop(8, 1);
    for (const auto& s : shop) for (const auto& step : s.steps) pop[static_cast<std::size_t>(step.product)] += 1;
    const auto& history = shop[0].steps;
    std::vector<double> want(8, 0);
    for (const auto& from : history) {
        const double age = history.back().occasion - from.occasion;
        (void)age;
        std::int32_t changes = 0;  // occasions between the step and the end, as distinct values
        for (std::int32_t at = from.occasion; at < history.back().occasion; ++at)
            changes += std::ranges::any_of(history, [&](const Step& s) { return s.occasion == at + 1; });
        for (const auto& s : shop)
            for (std::size_t a = 0; a < s.steps.size(); ++a)
                for (std::size_t b = 0; b < s.steps.size(); ++b) {
                    const auto &x = s.steps[a], &y = s.steps[b];
                    if (a == b || x.product != from.product || y.product == x.product) continue;
                    const int gap = std::abs(x.occasion - y.occasion);
                    const double side = b < a && gap > 0 ? o.back : 1;
                    want[static_cast<std::size_t>(y.product)] += std::pow(o.recall, changes) * std::pow(pop[static_cast<std::size_t>(x.product)], -o.from) * side *
                        std::pow(o.decay, gap <= 1 ? 0 : gap - 1) * std::pow(pop[static_cast<std::size_t>(y.product)], -o.to);
                }
    }
    const double sum = std::accumulate(want.begin(), want.end(), 0.0), popular = std::accumulate(pop.begin(), pop.end(), 0.0);
    std::vector<float> got(8);
    pairs.score(history, 0, got);
    for (std::size_t j = 0; j < 8; ++j) EXPECT_NEAR(got[j], 0.999 * want[j] / sum + 0.001 * pop[j] / popular, 1e-6) << j;
}

TEST(PairCounts, does_not_depend_on_the_number_of_threads) {
    std::vector<Sequence> shop;
    Rng rng(3);
    for (int c = 0; c < 50; ++c) {
        Sequence made{"u:1", {}};
        for (int t = 0; t < 30; ++t) made.steps.push_back({static_cast<std::int32_t>(rng.below(300)), kBuy, 1, 0, t});
        shop.push_back(made);
    }
    std::vector<float> one(300), four(300);
    PairCounts(shop, 300, {}, 1).score(shop[0].steps, 0, one);
    PairCounts(shop, 300, {}, 4).score(shop[0].steps, 0, four);
    EXPECT_EQ(one, four);
}

TEST(Mixture, weights_go_to_the_part_that_knows) {
    class Constant : public Recommender {
    public:
        explicit Constant(std::size_t best) : best_(best) {}
        std::string_view name() const override { return "constant"; }
        void score(std::span<const Step>, std::int64_t, std::span<float> shares) const override {
            std::ranges::fill(shares, 0.5f / static_cast<float>(shares.size()));
            shares[best_] += 0.5f;
        }
        std::size_t best_;
    };
    const std::vector<std::shared_ptr<const Recommender>> parts{std::make_shared<Constant>(1), std::make_shared<Constant>(2)};
    const std::vector<Unit> units(20, Unit{{}, 0, {2}, {}});
    const auto weights = tune_mixture(parts, units, 30, 100, 1, 2);
    EXPECT_LT(weights[0], weights[1]);
    EXPECT_NEAR(weights[0] + weights[1], 1, 1e-9);
}

// --- splits never look ahead ---

TEST(TrainingSet, leave_one_out_hides_the_last_item_and_validates_on_the_one_before) {
    const std::vector<Sequence> shop{bought("u:1", {0, 1, 2, 3}), bought("u:2", {4, 5})};
    const auto split = leave_one_out(shop, 6, false, true);
    EXPECT_EQ(split.training.data.product, (std::vector<std::int32_t>{0, 1, 2, 4, 5}));
    EXPECT_EQ(split.training.data.role, (std::vector<std::uint8_t>{1, 1, 2, 1, 1}));
    ASSERT_EQ(split.test.size(), 1u);
    EXPECT_EQ(split.test[0].relevant, (std::vector<std::int32_t>{3}));
    EXPECT_EQ(split.test[0].history.size(), 3u);
    EXPECT_EQ(split.test[0].excluded, (std::vector<std::int32_t>{0, 1, 2}));
    EXPECT_EQ(split.training.validation[0].history.size(), 2u);
    EXPECT_TRUE(model::check(split.training.data).ok());
}

TEST(TrainingSet, a_time_split_sees_nothing_from_the_cut_on) {
    const std::vector<Sequence> shop{bought("u:1", {0, 1, 2, 3, 4, 5}), bought("o:9", {0, 1})};
    const std::int64_t cut = 4 * kMsPerDay;
    const auto split = split_by_time(shop, 6, cut, 1.5);
    EXPECT_TRUE(std::ranges::all_of(split.data.time_ms, [&](std::int64_t t) { return t < cut; }));
    EXPECT_EQ(split.data.role, (std::vector<std::uint8_t>{1, 1, 1, 2, 1, 1}));
    ASSERT_EQ(split.validation.size(), 1u);
    EXPECT_EQ(split.validation[0].relevant, (std::vector<std::int32_t>{3}));
    const auto units = next_order_units(shop, cut, 60);
    ASSERT_EQ(units.size(), 1u);
    EXPECT_EQ(units[0].history.size(), 4u);
    EXPECT_EQ(units[0].relevant, (std::vector<std::int32_t>{4}));
    EXPECT_TRUE(model::check(split.data).ok());
}

TEST(TrainingSet, what_was_looked_at_on_the_way_to_a_held_out_purchase_tells_nothing) {
    Sequence shopper{"u:1", {}};
    constexpr auto kLook = static_cast<std::uint8_t>(event::Kind::kProductViewed);
    for (std::int32_t i = 0; i < 6; ++i) {
        shopper.steps.push_back({i, kLook, 0, i * kMsPerDay, 2 * i});
        shopper.steps.push_back({i, kBuy, 1, i * kMsPerDay + 1, 2 * i + 1});
    }
    const std::vector<Sequence> shop{shopper};
    const auto tells = [](const Unit& unit) {
        return std::ranges::any_of(unit.history, [&](const Step& step) { return step.product == unit.relevant[0]; });
    };
    const auto time = split_by_time(shop, 6, 5 * kMsPerDay, 1.5);
    ASSERT_EQ(time.validation.size(), 1u);
    EXPECT_FALSE(tells(time.validation[0]));
    const auto one_out = leave_one_out(shop, 6, true, false);
    EXPECT_FALSE(tells(one_out.training.validation[0]));
    EXPECT_FALSE(tells(one_out.test[0]));
    // Nor do the columns that the trainer reads: no step of a held-out product but the target itself.
    for (const auto* data : {&time.data, &one_out.training.data})
        for (std::size_t i = 0; i < data->events(); ++i) {
            if (data->role[i] != model::kValidationTarget) continue;
            EXPECT_EQ(std::ranges::count(data->product, data->product[i]), 1);
        }
}

// --- trees and churn ---

TEST(TrainingSet, an_update_learns_what_is_later_behind_its_context_and_replays_a_share_whole) {
    std::vector<Sequence> sequences;
    for (int s = 0; s < 400; ++s) {
        Sequence made{profile::user_key("c" + std::to_string(s)), {}};
        for (std::int32_t day = 0; day < 40; day += s % 2 == 0 ? 1 : 2)  // odd ones never come after day 20
            if (s % 2 == 0 || day < 20) made.steps.push_back({day, kBuy, 1, day * kMsPerDay, static_cast<std::int32_t>(made.steps.size())});
        sequences.push_back(std::move(made));
    }
    const auto data = split_by_time(sequences, 40, 40 * kMsPerDay, 5).data;
    const auto targets = [](const model::TrainingData& d, std::size_t s) {
        return std::count(d.role.begin() + d.offsets[s], d.role.begin() + d.offsets[s + 1], model::kTrainTarget);
    };
    const auto none = only_later(data, 30 * kMsPerDay, 0, 4, 1);
    ASSERT_TRUE(model::check(none));
    ASSERT_EQ(none.sequences(), 200u) << "only those who came later";
    for (std::size_t s = 0; s < none.sequences(); ++s) {
        EXPECT_EQ(none.product[static_cast<std::size_t>(none.offsets[s])], 26) << "four events of context";
        EXPECT_EQ(targets(none, s), 5) << "days 30 to 34";
        EXPECT_EQ(none.role[static_cast<std::size_t>(none.offsets[s + 1]) - 1], model::kValidationTarget);
    }
    const auto some = only_later(data, 30 * kMsPerDay, 0.25, 4, 1);
    ASSERT_TRUE(model::check(some));
    int whole = 0;
    for (std::size_t s = 0; s < some.sequences(); ++s) {
        const auto count = targets(some, s);
        EXPECT_TRUE(count == 5 || count == 35 || count == 10) << count;
        whole += count != 5;
    }
    EXPECT_GT(whole, 60);  // 100 of 400 expected; a binomial's five standard deviations are 43
    EXPECT_LT(whole, 143);
    const auto all = only_later(data, 30 * kMsPerDay, 1, 4, 1);
    EXPECT_TRUE(all.product == data.product && all.role == data.role && all.offsets == data.offsets);
    const auto again = only_later(data, 30 * kMsPerDay, 0.25, 4, 1);
    EXPECT_TRUE(again.offsets == some.offsets) << "drawn by seed";
}

TEST(Continual, update_flags_scale_the_rate_that_was_given) {
    EXPECT_EQ(update_flags({"--width=96", "--learning-rate=0.01"}, "w", 0.5), (std::vector<std::string>{"--width=96", "--learning-rate=0.01", "--learning-rate=0.005", "--init-weights=w"}));
    const auto rate = network_space().front();
    ASSERT_EQ(rate.name, "learning-rate");
    EXPECT_EQ(update_flags({}, "w", 0.5).front(), "--learning-rate=" + tune::text(rate, rate.initial / 2)) << "of the trainer's default";
}

TEST(BoostedTrees, learn_a_rule_explain_it_and_come_back_from_disk) {
    Rng rng(8);
    std::vector<float> features;
    std::vector<std::uint8_t> labels;
    for (int i = 0; i < 2000; ++i) {
        const auto a = static_cast<float>(rng.uniform()), b = static_cast<float>(rng.uniform());
        features.insert(features.end(), {a, b, i % 7 ? static_cast<float>(rng.uniform()) : NAN});
        labels.push_back(a > 0.5f);
    }
    auto trees = BoostedTrees::train(features, 3, labels, {.threads = 1});
    ASSERT_TRUE(trees.ok()) << trees.error().message;
    const auto p = trees->probabilities(features, 3).value();
    EXPECT_GT(auc(p, labels), 0.99);
    const auto parts = trees->contributions(features, 3).value();
    for (std::size_t i = 0; i < 50; ++i) {
        double sum = 0;
        for (std::size_t c = 0; c < 4; ++c) sum += parts[i * 4 + c];
        ASSERT_NEAR(1 / (1 + std::exp(-sum)), p[i], 1e-4);
        ASSERT_GT(std::abs(parts[i * 4]), std::abs(parts[i * 4 + 1]));
    }
    TempDir dir;
    ASSERT_TRUE(trees->save(dir.path() / "trees.json").ok());
    EXPECT_EQ(BoostedTrees::load(dir.path() / "trees.json")->probabilities(features, 3).value(), p);
    const auto bytes = read_file(dir.path() / "trees.json").value();
    ASSERT_TRUE(write_file(dir.path() / "cut.json", bytes.substr(0, bytes.size() / 2)).ok());
    EXPECT_EQ(BoostedTrees::load(dir.path() / "cut.json").error().code, Code::kCorrupt);
    EXPECT_FALSE(BoostedTrees::train(features, 4, labels, {}).ok());
}

TEST(Churn, features_and_labels_look_only_at_their_side_of_the_moment) {
    std::vector<event::Event> timeline;
    for (const double day : {0.0, 30.0, 60.0, 200.0}) {
        event::Event e;
        e.kind = event::Kind::kOrderCompleted;
        e.order_id = std::to_string(day);
        e.product = "p";
        e.time = after_days({1'300'000'000'000}, day);
        e.amount = {1000};
        timeline.push_back(e);
    }
    const auto at = [](double day) { return after_days({1'300'000'000'000}, day); };
    const profile::ShopRhythm shop{30, 0.5, 100};
    const auto whole = churn_features(timeline, at(70), shop);
    const std::vector<event::Event> past(timeline.begin(), timeline.begin() + 3);
    const auto cut = churn_features(past, at(70), shop);
    for (std::size_t i = 0; i < whole.size(); ++i) EXPECT_TRUE(whole[i] == cut[i] || (std::isnan(whole[i]) && std::isnan(cut[i]))) << i;
    EXPECT_FLOAT_EQ(whole[0], 10);
    EXPECT_FLOAT_EQ(whole[3], 3);
    EXPECT_TRUE(stays_away(timeline, at(70), 90));
    EXPECT_FALSE(stays_away(timeline, at(120), 90));
    EXPECT_FALSE(stays_away(timeline, at(59), 90));
    EXPECT_TRUE(active_at(timeline, at(70)));
    EXPECT_FALSE(active_at(timeline, at(-1)));
    EXPECT_FALSE(active_at(past, at(60 + 181)));
}

}  // namespace
}  // namespace perennial::predict
