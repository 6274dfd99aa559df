#include "predict/explanation.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "model/random_network.h"

namespace perennial::predict {
namespace {

constexpr std::int64_t kStart = 1'300'000'000'000, kDay = 86'400'000;
constexpr std::size_t kProducts = 40;

NetworkRecommender random_recommender() {
    model::Config config;
    config.products = kProducts;
    config.width = 16;
    config.hidden = 24;
    config.history_limit = 12;
    config.has_time = true;
    return NetworkRecommender(model::random_network(config, 3, 0.3f));
}

std::vector<Step> random_history(std::uint64_t seed, std::size_t count) {
    Rng rng(seed);
    std::vector<Step> steps;
    for (std::size_t i = 0; i < count; ++i)
        steps.push_back({static_cast<std::int32_t>(rng.below(kProducts)), static_cast<std::uint8_t>(event::Kind::kOrderCompleted), 1,
                         kStart + static_cast<std::int64_t>(i) * 3 * kDay, static_cast<std::int32_t>(i)});
    return steps;
}

TEST(Explanation, effects_stand_at_their_events_and_sum_to_what_the_products_are_worth) {
    const auto network = random_recommender();
    auto history = random_history(1, 150);  // longer than the network looks back
    history[145].product = sequence::kNoProduct;
    const std::int64_t now = history.back().time_ms + 2 * kDay;
    std::vector<float> shares(kProducts);
    network.score(history, now, shares);
    const std::vector<std::int32_t> products{4, 17};
    const auto got = explain(network, history, now, products, shares, 64);
    ASSERT_EQ(got.size(), 2u);
    double mean = 0;  // of log shares: the contrast's value without knowing how it is worked out
    for (const float share : shares) mean += static_cast<double>(share) * std::log(static_cast<double>(share));
    for (std::size_t p = 0; p < products.size(); ++p) {
        ASSERT_EQ(got[p].effects.size(), history.size());
        EXPECT_NEAR(got[p].value, std::log(static_cast<double>(shares[static_cast<std::size_t>(products[p])])) - mean, 1e-4);
        EXPECT_NEAR(std::accumulate(got[p].effects.begin(), got[p].effects.end(), 0.0), got[p].value - got[p].baseline, 1e-3);
        for (std::size_t i = 0; i < history.size() - 12; ++i) EXPECT_EQ(got[p].effects[i], 0) << i;
        EXPECT_EQ(got[p].effects[145], 0);
        EXPECT_NE(got[p].effects[149], 0);
    }
    const auto greatest = greatest_events(network, history, now, products, shares);
    for (std::size_t p = 0; p < products.size(); ++p) {
        EXPECT_EQ(greatest[p].step, static_cast<std::size_t>(std::ranges::max_element(got[p].effects) - got[p].effects.begin()));
        EXPECT_NEAR(greatest[p].effect, got[p].effects[greatest[p].step], 0.05 * (1 + greatest[p].effect));
    }
    EXPECT_TRUE(explain(network, {}, now, products, shares)[0].effects.empty());
}

TEST(Explanation, of_a_return_sums_to_the_change_of_the_forecast) {
    const auto network = random_recommender();
    const auto history = random_history(2, 9);
    const std::int64_t now = history.back().time_ms + 5 * kDay;
    const auto got = explain_return(network, history, now, 60, 64);
    EXPECT_NEAR(std::exp(-got.value), network.silence(network.session(history), history.back().time_ms, now, 60), 1e-5);
    EXPECT_NEAR(std::accumulate(got.effects.begin(), got.effects.end(), 0.0), got.value - got.baseline, 1e-3);
}

TEST(Explanation, events_it_names_move_the_product_more_than_random_ones_and_for_any_number_of_threads) {
    const auto network = random_recommender();
    std::vector<sequence::Sequence> sequences;
    for (std::uint64_t s = 0; s < 60; ++s) sequences.push_back({"u:" + std::to_string(s), random_history(s, 4 + s % 20)});
    const std::int64_t now = kStart + 100 * kDay;
    const auto ask = [&](bool new_products, unsigned threads) {
        return check_by_deletion(network, sequences, now, {.customers = 40, .new_products = new_products, .threads = threads});
    };
    for (const bool new_products : {false, true}) {
        const auto one = ask(new_products, 1), three = ask(new_products, 3);
        EXPECT_EQ(one.customers, 40u);
        EXPECT_GE(one.events, 8);
        ASSERT_EQ(one.rows.size(), 5u);
        EXPECT_GT(one.rows[0].removed_less_random.low, 0);
        EXPECT_GT(one.rows[0].hidden.value, one.rows.back().hidden.high);
        EXPECT_EQ(one.rows.back().removed_less_random.value, 0);
        for (std::size_t m = 0; m < one.rows.size(); ++m) EXPECT_EQ(one.rows[m].removed.value, three.rows[m].removed.value);
    }
    EXPECT_EQ(check_by_deletion(network, std::span(sequences).first(2), now, {}).customers, 0u);  // too short, all of them
}

}  // namespace
}  // namespace perennial::predict
