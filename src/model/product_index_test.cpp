#include "model/product_index.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <limits>
#include <numeric>

#include "base/rng.h"
#include "kernels/linear.h"
#include "model/random_network.h"

namespace perennial::model {
namespace {

struct Table {
    std::vector<float> vectors, bias;
    std::size_t width;
    ProductTable view() const { return {vectors, bias, width}; }
};

Table random_table(std::size_t products, std::size_t width, Rng& rng) {
    Table table{std::vector<float>(products * width), std::vector<float>(products), width};
    for (auto& value : table.vectors) value = static_cast<float>(rng.normal());
    for (auto& value : table.bias) value = static_cast<float>(rng.normal());
    return table;
}

std::vector<Ranked> all_scored(const ProductTable& table, const TopQuery& query) {
    std::vector<std::int32_t> products(table.bias.size());
    std::iota(products.begin(), products.end(), 0);
    std::vector<float> scores(products.size());
    kernels::linear_rows(query.x, table.vectors, table.bias, products, scores);
    std::vector<Ranked> best(query.best.size());
    best.resize(kernels::top_n(scores, query.excluded, best));
    return best;
}

TEST(ExactIndex, equals_scoring_every_product_even_where_8_bits_cannot_serve) {
    Rng rng(1);
    for (const bool finite : {true, false}) {
        auto table = random_table(700, 16, rng);
        if (!finite) table.vectors[77] = std::numeric_limits<float>::infinity();
        const auto index = make_exact_index(table.view());
        EXPECT_EQ(index->name(), finite ? "exact int8" : "exact float32");
        const std::vector<std::int32_t> excluded{3, 4, 699};
        std::vector<float> x(16);
        for (auto& value : x) value = static_cast<float>(rng.normal());
        std::vector<Ranked> best(20);
        TopQuery query{x, excluded, best};
        index->top({&query, 1});
        EXPECT_EQ(best, all_scored(table.view(), query));
    }
}

TEST(HnswIndex, finds_nearly_all_of_the_best_and_never_what_is_excluded) {
    Rng rng(2);
    const auto table = random_table(3000, 16, rng);
    const auto index = make_hnsw_index(table.view(), {}).value();
    std::size_t hits = 0, wanted = 0;
    for (int q = 0; q < 50; ++q) {
        std::vector<float> x(16);
        for (auto& value : x) value = static_cast<float>(rng.normal());
        std::vector<Ranked> best(10);
        TopQuery free{x, {}, best};
        const auto seen = all_scored(table.view(), free);
        std::vector<std::int32_t> excluded{seen[0].id, seen[3].id};  // would be found
        std::ranges::sort(excluded);
        TopQuery query{x, excluded, best};
        index->top({&query, 1});
        ASSERT_EQ(query.count, 10u);
        ASSERT_TRUE(std::ranges::is_sorted(best, kernels::ranks_before));
        const auto want = all_scored(table.view(), query);
        for (const auto& ranked : best) {
            ASSERT_FALSE(std::ranges::binary_search(excluded, ranked.id));
            hits += static_cast<std::size_t>(std::ranges::count(want, ranked));  // the score is the exact one, too
        }
        wanted += want.size();
    }
    EXPECT_GE(static_cast<double>(hits), 0.97 * static_cast<double>(wanted));
}

TEST(HnswIndex, serves_tiny_catalogues_and_refuses_what_is_not_finite) {
    Rng rng(3);
    for (const std::size_t products : {0u, 1u, 5u}) {
        const auto table = random_table(products, 4, rng);
        const auto index = make_hnsw_index(table.view(), {}).value();
        std::vector<Ranked> best(10);
        const std::vector<float> x{1, 0, 0, 1};
        const std::vector<std::int32_t> excluded{0};
        TopQuery query{x, excluded, best};
        index->top({&query, 1});
        EXPECT_EQ(query.count, products == 5 ? 4u : 0u);
    }
    auto table = random_table(5, 4, rng);
    table.bias[2] = std::numeric_limits<float>::quiet_NaN();
    EXPECT_EQ(make_hnsw_index(table.view(), {}).error().code, Code::kInvalid);
}

TEST(Network, top_equals_the_scores_sorted_for_one_customer_and_for_many) {
    Config config;
    config.products = 900;
    config.width = 16;
    config.hidden = 8;
    const auto network = random_network(config, 5, 0.3f);
    Rng rng(6);
    std::vector<Session> sessions;
    for (int s = 0; s < 40; ++s) {
        auto& session = sessions.emplace_back(network.start());
        for (int i = 0; i < s; ++i) network.extend(session, {.product = static_cast<std::int32_t>(rng.below(900))});
    }
    const std::vector<std::int32_t> excluded{1, 2, 500, 899};
    std::vector<std::vector<Ranked>> best(sessions.size(), std::vector<Ranked>(10));
    std::vector<TopRequest> requests;
    for (std::size_t s = 0; s < sessions.size(); ++s) requests.push_back({&sessions[s], {}, excluded, best[s]});
    network.top(requests);
    std::vector<std::int32_t> products(900);
    std::iota(products.begin(), products.end(), 0);
    std::vector<float> logits(900);
    for (std::size_t s = 0; s < sessions.size(); ++s) {
        network.scores(sessions[s], {}, products, logits);
        std::vector<Ranked> want(10);
        kernels::top_n(logits, excluded, want);
        EXPECT_EQ(requests[s].count, 10u);
        EXPECT_EQ(best[s], want);
        std::vector<Ranked> alone(10);
        TopRequest one{&sessions[s], {}, excluded, alone};
        network.top({&one, 1});
        EXPECT_EQ(alone, want);
    }
}

}  // namespace
}  // namespace perennial::model
