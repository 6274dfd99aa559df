#include "kernels/top_n.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/rng.h"

namespace perennial::kernels {
namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();

std::vector<Ranked> brute_force(const std::vector<float>& scores, const std::vector<std::int32_t>& excluded, std::size_t n) {
    std::vector<Ranked> all;
    for (std::size_t i = 0; i < scores.size(); ++i)
        if (scores[i] > -kInfinity && std::ranges::find(excluded, static_cast<std::int32_t>(i)) == excluded.end())
            all.push_back({scores[i], static_cast<std::int32_t>(i)});
    std::ranges::stable_sort(all, [](const Ranked& a, const Ranked& b) { return a.score > b.score; });
    all.resize(std::min(n, all.size()));
    return all;
}

void expect_as_brute_force(const std::vector<float>& scores, const std::vector<std::int32_t>& excluded, std::size_t n) {
    std::vector<Ranked> got(n);
    got.resize(top_n(scores, excluded, got));
    const auto want = brute_force(scores, excluded, n);
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i) ASSERT_EQ(got[i], want[i]) << "place " << i << " of " << n;
}

std::vector<std::int32_t> some(std::size_t of, double share, Rng& rng) {
    std::vector<std::int32_t> ids;
    for (std::size_t i = 0; i < of; ++i)
        if (rng.uniform() < share) ids.push_back(static_cast<std::int32_t>(i));
    return ids;
}

TEST(TopN, equals_brute_force_for_random_scores_ties_and_exclusions) {
    Rng rng(3);
    for (const std::size_t count : {0u, 1u, 31u, 32u, 33u, 64u, 65u, 500u, 3001u})
        for (const int distinct : {1, 2, 7, 1 << 20}) {  // few distinct values: many ties
            std::vector<float> scores(count);
            for (auto& score : scores) score = static_cast<float>(rng.below(static_cast<std::uint64_t>(distinct))) - 3;
            for (const double share : {0.0, 0.1, 0.9, 1.0})
                for (const std::size_t n : {0u, 1u, 10u, 100u, 5000u}) expect_as_brute_force(scores, some(count, share, rng), n);
        }
}

TEST(TopN, equals_brute_force_when_every_score_enters_and_when_none_does) {
    std::vector<float> scores(2500);
    std::iota(scores.begin(), scores.end(), -1000.0f);
    expect_as_brute_force(scores, {7, 2400, 2499}, 0);
    expect_as_brute_force(scores, {7, 2400, 2499}, 10);
    std::ranges::reverse(scores);
    expect_as_brute_force(scores, {0, 1, 2499}, 10);
}

TEST(TopN, never_ranks_nan_or_minus_infinity_and_ranks_infinity_first) {
    const float nan = std::nanf("");
    expect_as_brute_force({nan, 1, -kInfinity, kInfinity, nan, 2, kInfinity, -3e38f}, {}, 8);
    expect_as_brute_force({nan, nan, -kInfinity}, {}, 2);
    std::vector<float> many(1000, nan);
    many[777] = 0;
    many[40] = -kInfinity;
    expect_as_brute_force(many, {}, 5);
}

TEST(TopN, ignores_excluded_ids_that_repeat_or_lie_outside) { expect_as_brute_force({5, 4, 3}, {-9, -1, 1, 1, 3, 2000000000}, 3); }

TEST(TopN, finds_the_same_places_above_a_threshold_in_every_variant) {
    Rng rng(4);
    for (std::size_t count = 0; count < 100; ++count) {
        std::vector<float> scores(count);
        for (auto& score : scores) score = rng.below(9) == 0 ? std::nanf("") : static_cast<float>(rng.below(5));
        for (const float threshold : {-kInfinity, 0.0f, 2.0f, 4.0f, kInfinity}) {
            std::vector<std::int32_t> want(count), got(count);
            want.resize(table(Isa::kScalar).above(scores.data(), count, threshold, want.data()));
            got.resize(table().above(scores.data(), count, threshold, got.data()));
            ASSERT_EQ(got, want);
        }
    }
}

}  // namespace
}  // namespace perennial::kernels
