#include "kernels/int8.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/rng.h"
#include "kernels/linear.h"
#include "kernels/variants.h"

namespace perennial::kernels {
namespace {

std::vector<float> random(std::size_t count, Rng& rng, double scale = 1) {
    std::vector<float> values(count);
    for (auto& value : values) value = static_cast<float>(scale * rng.normal());
    return values;
}

// All rows by linear_rows(), then sorted: the float32 ranking that the search promises to equal.
std::vector<Ranked> brute_force(std::span<const float> weight, std::span<const float> bias, const TopQuery& query) {
    const std::size_t rows = weight.size() / query.x.size();
    std::vector<std::int32_t> ids(rows);
    std::iota(ids.begin(), ids.end(), 0);
    std::vector<float> scores(rows);
    linear_rows(query.x, weight, bias, ids, scores);
    std::vector<Ranked> best(query.best.size());
    best.resize(top_n(scores, query.excluded, best));
    return best;
}

struct Problem {
    std::size_t width = 0;
    std::vector<float> weight, bias;
    std::vector<std::vector<float>> queries;
};

// Returns how many rows were scored in float32 in all.
std::size_t expect_exact(const Problem& problem, std::size_t n, const std::vector<std::int32_t>& excluded = {}) {
    const auto table = Int8Table::make(problem.weight, problem.bias, problem.width);
    EXPECT_TRUE(table.has_value());
    if (!table) return 0;
    std::vector<std::vector<Ranked>> best(problem.queries.size(), std::vector<Ranked>(n)), slow = best;
    std::vector<TopQuery> queries, in_float;
    for (std::size_t q = 0; q < problem.queries.size(); ++q) {
        queries.push_back({problem.queries[q], excluded, best[q]});
        in_float.push_back({problem.queries[q], excluded, slow[q]});
    }
    top_n_rows(*table, problem.weight, problem.bias, queries);
    top_n_rows(problem.weight, problem.bias, in_float);
    std::size_t rescored = 0;
    for (std::size_t q = 0; q < queries.size(); ++q) {
        const auto want = brute_force(problem.weight, problem.bias, queries[q]);
        best[q].resize(queries[q].count), slow[q].resize(in_float[q].count);
        EXPECT_EQ(best[q], want) << "query " << q;
        EXPECT_EQ(slow[q], want) << "query " << q << " in float32";
        rescored += queries[q].rescored;
    }
    return rescored;
}

TEST(Int8Search, equals_the_float_ranking_for_odd_shapes_and_batches) {
    Rng rng(11);
    for (const std::size_t width : {1u, 3u, 4u, 17u, 64u, 130u})
        for (const std::size_t rows : {1u, 15u, 16u, 17u, 300u, 2051u})
            for (const std::size_t batch : {1u, 3u, 4u, 9u, 35u}) {
                Problem problem{width, random(rows * width, rng), random(rows, rng), {}};
                for (std::size_t q = 0; q < batch; ++q) problem.queries.push_back(random(width, rng, 0.1));
                if (batch == 3) problem.bias.clear();
                expect_exact(problem, 10, {0, 5, 6, 200});
            }
}

TEST(Int8Search, scores_few_rows_in_float_when_scores_are_spread_as_trained_ones_are) {
    Rng rng(12);
    Problem problem{64, random(12101 * 64, rng), random(12101, rng, 0.1), {random(64, rng), random(64, rng), random(64, rng)}};
    EXPECT_LT(expect_exact(problem, 10), 3 * 200u);
}

TEST(Int8Search, equals_the_float_ranking_when_the_bound_separates_nothing) {
    Rng rng(13);
    // Rows that differ in their last bits only, and rows that are equal: the order is that of float32, then of ids.
    Problem problem{64, {}, std::vector<float>(3000, 0.5f), {random(64, rng)}};
    const auto base = random(64, rng);
    for (std::size_t i = 0; i < 3000; ++i)
        for (const float value : base) problem.weight.push_back(i % 3 == 0 ? value : value * (1 + 1e-7f * static_cast<float>(rng.normal())));
    expect_exact(problem, 10);
    expect_exact(problem, 2999, {17});
}

// The bound is Cauchy-Schwarz: errors in random directions use an eighth of it, these nearly all.
TEST(Int8Search, equals_the_float_ranking_when_all_rounding_errors_point_the_worst_way) {
    constexpr std::size_t kWidth = 64, kRows = 400;
    for (const bool of_rows : {true, false}) {
        Problem problem{kWidth, {}, {}, {}};
        auto& x = problem.queries.emplace_back(kWidth, of_rows ? 64.0f : 10.49f);  // whole units, or just short of half a one
        x[0] = 64;                                                                 // sets the unit to 1
        for (std::size_t i = 0; i < kRows; ++i) {
            const bool good = i % 40 == 39;  // ten rows are better than they look, the others look better than they are
            const float rest = of_rows ? (good ? 20.49f : 20.51f) : (good ? 20.0f : -20.0f);
            problem.weight.push_back(127);   // sets the row's unit to 1
            problem.weight.insert(problem.weight.end(), kWidth - 1, rest);
            const double score = 127.0 * 64 + 63.0 * static_cast<double>(rest) * static_cast<double>(x[1]);
            problem.bias.push_back(static_cast<float>((good ? 50 : 0) - score + static_cast<double>(i) * 0.01));
        }
        expect_exact(problem, 10);
    }
}

TEST(Int8Search, equals_the_float_ranking_for_rows_of_wildly_different_size) {
    Rng rng(14);
    for (const double query_scale : {1e-18, 1.0, 1e12}) {
        Problem problem{32, {}, random(2000, rng, query_scale), {random(32, rng, query_scale), std::vector<float>(32, 0.0f)}};
        for (std::size_t i = 0; i < 2000; ++i) {
            const double size = std::exp(static_cast<double>(rng.below(60)) - 40);
            for (std::size_t k = 0; k < 32; ++k)  // one large column now and then wastes the row's 8 bits on the others
                problem.weight.push_back(static_cast<float>(size * rng.normal() * (rng.below(40) == 0 ? 1000 : 1)));
        }
        for (auto& x : problem.queries[0])
            if (rng.below(3) == 0) x = 0;
        expect_exact(problem, 20);
    }
}

TEST(Int8Search, ranks_all_that_may_rank_when_fewer_than_n_are_left) {
    Rng rng(15);
    Problem problem{8, random(50 * 8, rng), random(50, rng), {random(8, rng)}};
    std::vector<std::int32_t> most(48), all(50);
    std::iota(most.begin(), most.end(), 0);
    std::iota(all.begin(), all.end(), 0);
    expect_exact(problem, 10, most);
    expect_exact(problem, 10, all);
    expect_exact(problem, 1000);
    expect_exact(problem, 0);
    Problem empty{8, {}, {}, {random(8, rng)}};
    expect_exact(empty, 3);
}

TEST(Int8Search, refuses_a_table_with_a_number_that_is_not_finite_and_ranks_such_a_query_in_float) {
    Rng rng(16);
    for (const float bad : {std::nanf(""), std::numeric_limits<float>::infinity()}) {
        auto weight = random(20 * 4, rng);
        const auto good = weight;
        weight[33] = bad;
        EXPECT_FALSE(Int8Table::make(weight, {}, 4));
        EXPECT_FALSE(Int8Table::make(good, std::vector<float>(20, bad), 4));
        Problem problem{4, good, {}, {{1, bad, 0, 0}, {1, 2, 3, 4}, {3e38f, 3e38f, 3e38f, 1}}};
        expect_exact(problem, 5);
    }
}

TEST(Int8Search, bounds_contain_the_score_of_every_row_in_every_variant) {
    using Bounds = void (*)(const Int8Quad*, const Int8Rows*, std::size_t, std::size_t, Int8Query*, std::size_t) noexcept;
    std::vector<Bounds> variants{table(Isa::kScalar).int8_bounds};
    if (supported(Isa::kAvx2)) variants.push_back(table(Isa::kAvx2).int8_bounds);
#ifdef __x86_64__
    if (vnni::supported()) variants.push_back(vnni::int8_bounds);
#endif
    Rng rng(17);
    for (const std::size_t blocks : {1u, 3u, 4u, 9u})
        for (const std::size_t quads : {1u, 5u, 16u})
            for (const std::size_t count : {1u, 4u, 6u}) {
                std::vector<Int8Quad> weights(blocks * quads);
                std::vector<Int8Rows> rows(blocks);
                for (auto& quad : weights)
                    for (auto& row : quad.weight)
                        for (auto& w : row) w = static_cast<std::uint8_t>(rng.below(3) == 0 ? 255 : rng.below(256));  // the extremes too
                for (auto& row : rows)
                    for (std::size_t r = 0; r < 16; ++r)
                        row.scale[r] = 0.01f, row.bias[r] = static_cast<float>(rng.normal()), row.norm[r] = 2, row.error[r] = static_cast<float>(rng.uniform());
                std::vector<std::vector<std::int8_t>> x(count, std::vector<std::int8_t>(4 * quads));
                for (auto& query : x)
                    for (auto& value : query) value = static_cast<std::int8_t>(rng.below(3) == 0 ? 64 : static_cast<std::int64_t>(rng.below(129)) - 64);
                struct Found { std::vector<std::int32_t> rows; std::vector<float> upper, lower; };
                std::vector<std::vector<Found>> found;
                for (const auto bounds : variants) {
                    auto& mine = found.emplace_back(count, Found{std::vector<std::int32_t>(16 * blocks), std::vector<float>(16 * blocks), std::vector<float>(16 * blocks)});
                    std::vector<Int8Query> queries(count);
                    for (std::size_t q = 0; q < count; ++q)
                        queries[q] = {x[q].data(), -128 * std::accumulate(x[q].begin(), x[q].end(), 0), 0.02f, 0.1f, 0.2f, 0.001f, 0.3f,
                                      mine[q].rows.data(), mine[q].upper.data(), mine[q].lower.data(), 99};
                    bounds(weights.data(), rows.data(), blocks, quads, queries.data(), count);
                    for (std::size_t q = 0; q < count; ++q) {
                        mine[q].rows.resize(queries[q].hits);
                        for (std::size_t h = 0; h < queries[q].hits; ++h) {
                            const auto row = static_cast<std::size_t>(mine[q].rows[h]);
                            std::int32_t dot = 0;
                            for (std::size_t k = 0; k < 4 * quads; ++k)
                                dot += (weights[row / 16 * quads + k / 4].weight[row % 16][k % 4] - 128) * x[q][k];
                            const double middle = static_cast<double>(0.02f * 0.01f) * dot + static_cast<double>(rows[row / 16].bias[row % 16]), radius = 0.1 * 2 + 0.2 * static_cast<double>(rows[row / 16].error[row % 16]) + 0.001;
                            ASSERT_NEAR(mine[q].upper[h], middle + radius, 1e-5 * (1 + std::abs(middle)));
                            ASSERT_NEAR(mine[q].lower[h], middle - radius, 1e-5 * (1 + std::abs(middle)));
                        }
                        EXPECT_EQ(mine[q].rows, found.front()[q].rows);
                    }
                }
            }
}

}  // namespace
}  // namespace perennial::kernels
