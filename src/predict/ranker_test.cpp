#include "predict/ranker.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <numeric>

#include "base/file.h"
#include "base/rng.h"
#include "predict/content.h"
#include "predict/explanation.h"

namespace perennial::predict {
namespace {

using sequence::Sequence;

constexpr auto kBuy = static_cast<std::uint8_t>(event::Kind::kOrderCompleted);

std::vector<float> random_rows(std::size_t rows, std::size_t columns, Rng& rng) {
    std::vector<float> values(rows * columns);
    for (float& x : values) x = rng.chance(0.1) ? NAN : static_cast<float>(rng.normal());
    return values;
}

TEST(TreeSum, adds_up_what_libxgboost_adds_up_missing_values_included) {
    Rng rng(1);
    const std::size_t rows = 600, columns = 5;
    const auto features = random_rows(rows, columns, rng);
    std::vector<std::uint8_t> labels;
    for (std::size_t r = 0; r < rows; ++r) labels.push_back(rng.chance(features[r * columns] > 0 ? 0.8 : 0.2));
    const std::vector<std::uint32_t> lists(rows / 20, 20);
    const auto trees = BoostedTrees::train_ranking(features, columns, labels, lists, {.rounds = 30, .threads = 1}).value();
    const auto sum = TreeSum::of(trees).value();
    EXPECT_EQ(sum.trees(), 30u);
    const auto theirs = trees.probabilities(features, columns).value();  // a ranking's margins
    const float bias = static_cast<float>(theirs[0]) - sum(std::span(features).first(columns));
    for (std::size_t r = 0; r < rows; ++r) {
        const auto row = std::span(features).subspan(r * columns, columns);
        EXPECT_NEAR(sum(row) + bias, theirs[r], 1e-5);
        EXPECT_NEAR(sum.part(row, 0, 12) + sum.part(row, 12, 30), sum(row), 1e-5);
    }
    const TempDir dir;
    ASSERT_TRUE(sum.save(dir.path() / "t.json").ok());
    EXPECT_EQ(TreeSum::load(dir.path() / "t.json", columns).value()(std::span(features).first(columns)), sum(std::span(features).first(columns)));
    EXPECT_EQ(TreeSum::load(dir.path() / "t.json", 1).error().code, Code::kCorrupt);  // a feature beyond the columns
}

TEST(TreeSum, refuses_what_would_walk_for_ever_or_out_of_the_tree) {
    const auto model = [](std::string_view left, std::string_view right) {
        return std::string(R"({"learner":{"gradient_booster":{"model":{"trees":[{"left_children":)") + std::string(left) + R"(,"right_children":)" + std::string(right) +
               R"(,"split_indices":[0,0,0],"split_conditions":[0.5,1,2],"sum_hessian":[5,2,3],"default_left":[1,0,0]}]}}}})";
    };
    const auto good = TreeSum::parse(model("[1,-1,-1]", "[2,-1,-1]"), 1);
    ASSERT_TRUE(good.ok()) << good.error().message;
    EXPECT_EQ((*good)(std::vector<float>{0.4f}), 1);
    EXPECT_EQ((*good)(std::vector<float>{0.5f}), 2);
    EXPECT_EQ((*good)(std::vector<float>{NAN}), 1);
    EXPECT_EQ(TreeSum::parse(model("[0,-1,-1]", "[2,-1,-1]"), 1).error().code, Code::kCorrupt);   // itself
    EXPECT_EQ(TreeSum::parse(model("[1,-1,-1]", "[9,-1,-1]"), 1).error().code, Code::kCorrupt);   // outside
    EXPECT_EQ(TreeSum::parse(model("[1,-1,-1]", "[2]"), 1).error().code, Code::kCorrupt);         // cut short
    EXPECT_EQ(TreeSum::parse(model("[1,-1,-1]", "[1,-1,-1]"), 1).error().code, Code::kCorrupt);   // both ways to one node
    EXPECT_EQ(TreeSum::parse(model("[]", "[]"), 1).error().code, Code::kCorrupt);
    EXPECT_EQ(TreeSum::parse("{", 1).error().code, Code::kCorrupt);
}

// A tree of random shape, as libxgboost writes one, and the game of shapley() by its definition.
struct RandomTree {
    struct Node { int left = -1, right = -1, feature = 0; double value = 0, cover = 1; bool missing_left = false; };
    std::vector<Node> nodes;

    RandomTree(Rng& rng, int depth, std::size_t columns) { grow(rng, depth, columns, 100); }
    int grow(Rng& rng, int depth, std::size_t columns, double cover) {
        const auto at = nodes.size();
        nodes.push_back({.feature = static_cast<int>(rng.below(columns)), .value = rng.normal(), .cover = cover, .missing_left = rng.chance(0.5)});
        if (depth > 0 && rng.chance(0.9)) {
            const double share = rng.uniform();
            const int left = grow(rng, depth - 1, columns, cover * share), right = grow(rng, depth - 1, columns, cover * (1 - share));
            nodes[at].left = left;
            nodes[at].right = right;
        }
        return static_cast<int>(at);
    }
    // Players in `known` (a bit each) follow the row; at others both ways are taken, weighted by the cover.
    double value(std::size_t at, std::span<const float> row, std::span<const std::uint8_t> player_of, unsigned known) const {
        const auto& n = nodes[at];
        if (n.left < 0) return n.value;
        const auto l = static_cast<std::size_t>(n.left), r = static_cast<std::size_t>(n.right), feature = static_cast<std::size_t>(n.feature);
        if (known >> player_of[feature] & 1) {
            const float x = row[feature];
            return value((std::isnan(x) ? n.missing_left : x < static_cast<float>(n.value)) ? l : r, row, player_of, known);
        }
        return (nodes[l].cover * value(l, row, player_of, known) + nodes[r].cover * value(r, row, player_of, known)) / (nodes[l].cover + nodes[r].cover);
    }
    std::string json() const {
        std::string left, right, feature, value, cover, missing;
        for (const auto& n : nodes) {
            const auto add = [](std::string& to, auto x) { to += (to.empty() ? "" : ",") + fmt::format("{}", x); };
            add(left, n.left), add(right, n.right), add(feature, n.feature), add(value, n.value), add(cover, n.cover), add(missing, n.missing_left ? 1 : 0);
        }
        return fmt::format(R"({{"left_children":[{}],"right_children":[{}],"split_indices":[{}],"split_conditions":[{}],"sum_hessian":[{}],"default_left":[{}]}})", left, right, feature,
                           value, cover, missing);
    }
};

TEST(TreeSum, shapley_values_are_those_of_all_coalitions_for_players_of_one_and_of_several_features) {
    constexpr std::size_t kColumns = 6;
    Rng rng(8);
    for (int round = 0; round < 40; ++round) {
        const RandomTree first(rng, 5, kColumns), second(rng, 3, kColumns);
        const auto sum = TreeSum::parse(fmt::format(R"({{"learner":{{"gradient_booster":{{"model":{{"trees":[{},{}]}}}}}}}})", first.json(), second.json()), kColumns);
        ASSERT_TRUE(sum.ok()) << sum.error().message;
        const auto row = random_rows(1, kColumns, rng);
        for (const auto& player_of : {std::vector<std::uint8_t>{0, 1, 2, 3, 4, 5}, std::vector<std::uint8_t>{0, 1, 0, 2, 2, 1}, std::vector<std::uint8_t>(kColumns, 0)}) {
            const auto players = static_cast<std::size_t>(*std::ranges::max_element(player_of)) + 1;
            const auto worth = [&](unsigned known) { return first.value(0, row, player_of, known) + second.value(0, row, player_of, known); };
            const auto got = sum->shapley(row, player_of, players);
            ASSERT_EQ(got.size(), players + 1);
            const auto factorial = [](std::size_t n) { return std::tgamma(static_cast<double>(n) + 1); };
            for (std::size_t p = 0; p < players; ++p) {
                double want = 0;
                for (unsigned others = 0; others < 1u << players; ++others) {
                    if (others >> p & 1) continue;
                    const auto size = static_cast<std::size_t>(std::popcount(others));
                    want += factorial(size) * factorial(players - 1 - size) / factorial(players) * (worth(others | 1u << p) - worth(others));
                }
                EXPECT_NEAR(got[p], want, 1e-6) << "round " << round << " player " << p;
            }
            EXPECT_NEAR(got.back(), worth(0), 1e-6);
            EXPECT_NEAR(std::accumulate(got.begin(), got.end(), 0.0), (*sum)(row), 1e-5);
        }
    }
}

TEST(TreeSum, shapley_values_are_the_contributions_of_libxgboost) {
    Rng rng(2);
    const std::size_t rows = 400, columns = 7;
    const auto features = random_rows(rows, columns, rng);
    std::vector<std::uint8_t> labels, own(columns);
    std::iota(own.begin(), own.end(), std::uint8_t{0});
    for (std::size_t r = 0; r < rows; ++r) labels.push_back(rng.chance(features[r * columns] * features[r * columns + 1] > 0 ? 0.8 : 0.2));
    const auto trees = BoostedTrees::train_ranking(features, columns, labels, std::vector<std::uint32_t>(rows / 20, 20), {.rounds = 40, .depth = 5, .leaf_rows_min = 1, .threads = 1}).value();
    const auto sum = TreeSum::of(trees).value();
    const auto theirs = trees.contributions(features, columns).value();
    for (std::size_t r = 0; r < 50; ++r) {
        const auto got = sum.shapley(std::span(features).subspan(r * columns, columns), own, columns);
        for (std::size_t c = 0; c < columns; ++c) EXPECT_NEAR(got[c], theirs[r * (columns + 1) + c], 1e-4);
    }
}

// Customers of two habits, told apart by their first purchase: one buys what comes next in a ring, the other comes back
// to what it bought three orders ago. No fixed weights of counts and repeats suit both.
std::vector<Sequence> two_habits(int customers, std::int32_t products, std::uint64_t seed) {
    Rng rng(seed);
    std::vector<Sequence> all;
    for (int c = 0; c < customers; ++c) {
        const bool comes_back = c % 2 == 0;
        Sequence made{profile::user_key("c" + std::to_string(c)), {}};
        std::vector<std::int32_t> bought{comes_back ? 0 : 1};
        auto at = static_cast<std::int32_t>(2 + rng.below(static_cast<std::uint64_t>(products - 2)));
        for (int i = 0; i < 12; ++i) {
            if (comes_back && i >= 3) at = bought[bought.size() - 3];
            else if (comes_back) at = static_cast<std::int32_t>(2 + rng.below(static_cast<std::uint64_t>(products - 2)));
            else at = at + 1 < products ? at + 1 : 2;
            bought.push_back(at);
        }
        for (std::size_t i = 0; i < bought.size(); ++i) made.steps.push_back({bought[i], kBuy, 1, static_cast<std::int64_t>(i) * kMsPerDay, static_cast<std::int32_t>(i)});
        all.push_back(std::move(made));
    }
    return all;
}

struct Fitted {
    std::vector<Sequence> sequences = two_habits(600, 60, 3);
    LeaveOneOut split = leave_one_out(sequences, 60, true, false);
    NextPurchaseSettings settings = tune_next_purchase(split.training, 60, nullptr, true, 100 * kMsPerDay, 1, 2);
    NextPurchaseMethods methods = build_methods(split.training.fit, 60, settings, nullptr, 100 * kMsPerDay, 2);
};

TEST(Ranker, learns_which_method_is_right_for_whom) {
    const Fitted f;
    auto fit = fit_ranker(f.methods, f.split.training.validation, true, 1, 2).value();
    ASSERT_TRUE(fit.has_value());
    EXPECT_GT(fit->ndcg10, fit->mixture_ndcg10);
    const Ranker ranker(f.methods, fit->trees, true);
    const double ranked = mean_ndcg10(evaluate(ranker, f.split.test, 60, 2)), mixed = mean_ndcg10(evaluate(*f.methods.mixture, f.split.test, 60, 2));
    EXPECT_GT(ranked, mixed + 0.05);
}

TEST(Ranker, gives_a_distribution_for_everybody_and_the_same_trees_for_any_number_of_threads) {
    const Fitted f;
    auto one = fit_ranker(f.methods, f.split.training.validation, true, 1, 1).value(), three = fit_ranker(f.methods, f.split.training.validation, true, 1, 3).value();
    ASSERT_TRUE(one && three);
    EXPECT_EQ(one->rounds, three->rounds);
    const Ranker a(f.methods, one->trees, true), b(f.methods, three->trees, true);
    for (const std::size_t length : {0u, 1u, 7u}) {
        const auto history = std::span(f.sequences[0].steps).first(length);
        std::vector<float> x(60), y(60);
        a.score(history, 100 * kMsPerDay, x);
        b.score(history, 100 * kMsPerDay, y);
        EXPECT_EQ(x, y);
        EXPECT_NEAR(std::accumulate(x.begin(), x.end(), 0.0), 1, 1e-4);
        EXPECT_GE(*std::ranges::min_element(x), 0);
    }
}

TEST(Ranker, effects_add_up_to_what_the_trees_say_and_the_first_group_counts_more_than_a_random_one) {
    const Fitted f;
    auto fit = fit_ranker(f.methods, f.split.training.validation, true, 1, 2).value();
    ASSERT_TRUE(fit.has_value());
    const Ranker ranker(f.methods, fit->trees, true);
    for (std::size_t s = 0; s < 20; ++s) {
        const auto history = std::span(f.sequences[s].steps).first(10);
        const auto c = ranker.candidates(nullptr, history, 100 * kMsPerDay);
        const auto trees_say = [&](std::size_t row) { return static_cast<double>(fit->trees(std::span(c.features).subspan(row * kRankFeatures, kRankFeatures))); };
        std::vector<std::size_t> rows(c.products.size());
        std::iota(rows.begin(), rows.end(), std::size_t{0});
        double expected = 0;
        const auto reference = reference_rows(rows.size());
        for (const auto row : reference) expected += trees_say(row) / static_cast<double>(reference.size());
        const auto all = ranker.effects(c, rows);
        for (std::size_t row = 0; row < rows.size(); ++row) {
            const auto& effects = all[row];
            ASSERT_EQ(effects.size(), kRankGroups);
            EXPECT_TRUE(std::ranges::is_sorted(effects, std::ranges::greater{}, &RankEffect::effect));
            double sum = 0;
            for (const auto& e : effects) sum += e.effect;
            EXPECT_NEAR(sum, trees_say(row) - expected, 1e-4);
        }
    }
    const auto check = [&](unsigned threads) { return check_groups_by_deletion(ranker, f.sequences, 100 * kMsPerDay, {.events_min = 5, .customers = 100, .threads = threads}); };
    const auto one = check(1), three = check(3);
    EXPECT_EQ(one.customers, 100u);
    EXPECT_GT(one.first_less_random.low, 0);
    EXPECT_GE(one.greatest.value, one.first.value);
    EXPECT_EQ(one.first.value, three.first.value);
}

TEST(Ranker, leaves_thin_evidence_to_the_mixture) {
    const Fitted f;
    EXPECT_FALSE(fit_ranker(f.methods, std::span(f.split.training.validation).first(20), true, 1, 1).value().has_value());
    EXPECT_FALSE(fit_ranker(f.methods, {}, true, 1, 1).value().has_value());
}

TEST(Candidates, hold_no_product_twice_and_nothing_of_the_history_where_repeats_are_barred) {
    const Fitted f;
    const auto& history = f.sequences[0].steps;
    for (const bool repeats : {false, true}) {
        const auto c = candidates(f.methods, nullptr, history, 100 * kMsPerDay, repeats);
        EXPECT_TRUE(std::ranges::is_sorted(c.products));
        EXPECT_EQ(std::ranges::adjacent_find(c.products), c.products.end());
        EXPECT_EQ(c.features.size(), c.products.size() * kRankFeatures);
        for (const auto& step : history) EXPECT_EQ(std::ranges::binary_search(c.products, step.product), repeats);
    }
}

// --- content ---

TEST(Content, keeps_features_that_tell_products_apart) {
    ContentBuilder builder(8);
    for (std::size_t p = 0; p < 8; ++p) {
        builder.add_text(p, p < 2 ? "Red Cup, large" : p < 4 ? "red plate" : "thing");
        builder.add_text(p, "common");
        builder.add_value(p, "brand", p % 4 == 0 ? "Acme" : "");
        builder.add_number(p, "price", p == 5 ? 0 : 100.0 + static_cast<double>(p));
    }
    const auto content = builder.build();
    // Of the words: cup, "red cup", "cup large", large, plate, "red plate"; red and thing are on half of the products or
    // more, common on all; acme as a value and as a word. All prices fall into one bucket, which is too common.
    EXPECT_EQ(content.features, 6 + 2);
    ASSERT_EQ(content.offsets.size(), 9u);
    const auto of = [&](std::size_t p) { return std::vector<std::int32_t>(content.feature.begin() + content.offsets[p], content.feature.begin() + content.offsets[p + 1]); };
    EXPECT_EQ(of(2), of(3));
    EXPECT_NE(of(0), of(1));  // Acme
    EXPECT_TRUE(of(7).empty() || of(7) == of(6));
    EXPECT_EQ(ContentBuilder(3).build().features, 0);
}

TEST(Content, reads_chinese_by_characters_and_pairs) {
    ContentBuilder builder(8);
    builder.add_text(0, "红色茶杯");
    builder.add_text(1, "蓝色茶杯");
    for (std::size_t p = 2; p < 8; ++p) builder.add_text(p, "其他");
    const auto content = builder.build();
    EXPECT_EQ(content.offsets[1], content.offsets[2] - content.offsets[1]);  // 色, 茶, 杯, 色茶, 茶杯 are shared
    EXPECT_EQ(content.offsets[1], 5);
}

TEST(Content, likeness_is_one_to_itself_and_less_to_others) {
    ContentBuilder builder(10);
    for (std::size_t p = 0; p < 10; ++p) builder.add_text(p, p < 2 ? "silver tea spoon" : p < 4 ? "silver ring" : p < 6 ? "garden chair" : "chair");
    const auto content = builder.build();
    const ContentLikeness like(content);
    EXPECT_NEAR(like(0, 1), 1, 1e-6);
    EXPECT_NEAR(like(0, 2), like(2, 0), 1e-7);
    EXPECT_EQ(like(0, 4), 0);
}

}  // namespace
}  // namespace perennial::predict
