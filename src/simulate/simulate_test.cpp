#include "simulate/simulate.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <set>

#include "base/file.h"
#include "simulate/shelf.h"
#include "simulate/shopper.h"

namespace perennial::simulate {
namespace {

constexpr double kDays = 540;

SimulationOptions small(std::uint64_t seed) { return {.customers = 60, .products = 80, .days = 200, .seed = seed, .show_progress = false}; }

std::string all_files(const SimulationOptions& options) {
    const TempDir dir;
    const auto summary = simulate(options, dir.path());
    EXPECT_TRUE(summary) << summary.error().message;
    std::string bytes;
    for (const auto& file : summary->files) bytes += *read_file(file);
    return bytes;
}

TEST(Simulate, same_seed_same_bytes_other_seed_other_bytes) {
    const auto first = all_files(small(1));
    EXPECT_EQ(first, all_files(small(1)));
    EXPECT_NE(first, all_files(small(2)));
}

TEST(Simulate, a_customers_life_does_not_depend_on_how_many_others_there_are) {
    const TempDir few_dir, many_dir;
    auto few = small(1), many = small(1);
    many.customers = 90;
    ASSERT_TRUE(simulate(few, few_dir.path()) && simulate(many, many_dir.path()));
    for (const char* file : {"truth.csv", "treatments.csv", "products.csv"})
        EXPECT_TRUE(read_file(many_dir.path() / file)->starts_with(*read_file(few_dir.path() / file))) << file;
}

TEST(Simulate, events_are_in_time_order_and_inside_the_window) {
    const TempDir dir;
    const auto summary = simulate(small(3), dir.path());
    ASSERT_TRUE(summary);
    const auto text = *read_file(dir.path() / "events.jsonl");
    std::string last;
    std::uint64_t lines = 0;
    for (std::size_t at = text.find("\"timestamp\":\""); at != std::string::npos; at = text.find("\"timestamp\":\"", at + 1)) {
        const auto time = text.substr(at + 13, 24);
        EXPECT_LE(last, time);
        last = time;
        ++lines;
    }
    EXPECT_EQ(lines, summary->messages);
    EXPECT_LT(last, iso8601(summary->end));
}

TEST(Simulate, refuses_sizes_it_cannot_hold) {
    const TempDir dir;
    for (const auto& options : {SimulationOptions{.customers = 0}, SimulationOptions{.products = 0}, SimulationOptions{.days = kDaysLimit + 1}}) {
        const auto summary = simulate(options, dir.path());
        ASSERT_FALSE(summary);
        EXPECT_EQ(summary.error().code, Code::kInvalid);
    }
}

struct Crowd {
    Shelf shelf = make_shelf(400, static_cast<std::uint32_t>(kDays), Rng(5).fork(1));
    std::vector<std::pair<Nature, Life>> people;
    Crowd() {
        for (std::uint32_t i = 0; i < 1500; ++i) {
            Rng rng = Rng(5).fork(2).fork(i);
            Nature nature = make_nature(i, shelf, kDays, rng);
            Life life = live(nature, shelf, kDays, UtcTime{0}, rng);
            people.emplace_back(std::move(nature), std::move(life));
        }
    }
};

const Crowd& crowd() {
    static const Crowd made;
    return made;
}

// Times between orders of customers who stay, have no staple and are left alone by campaigns, over their rhythm.
TEST(Simulate, gaps_between_orders_have_the_rhythm_of_the_truth) {
    double sum = 0, weight = 0;
    for (const auto& [nature, life] : crowd().people) {
        if (nature.churn_day < kDays || nature.staple_days > 0 || nature.coupon_uplift != 0 || nature.rhythm_days > 60) continue;
        std::set<std::int64_t> times;
        for (const auto& sale : life.sales) times.insert(sale.time_ms);
        if (times.size() < 3) continue;
        sum += days_between({*times.begin()}, {*times.rbegin()});
        weight += static_cast<double>(times.size() - 1) * nature.rhythm_days;
    }
    ASSERT_GT(weight, 0);
    // Orders whose basket was out of stock are lost, and the window ends before the last gap does.
    EXPECT_NEAR(sum / weight, 1.0, 0.05);
}

TEST(Simulate, nobody_orders_after_they_have_left) {
    for (const auto& [nature, life] : crowd().people)
        for (const auto& sale : life.sales) EXPECT_LT(sale.time_ms, after_days({0}, nature.churn_day + 1.1).ms);
}

TEST(Simulate, arms_are_drawn_with_the_propensity_they_state_and_cause_what_the_truth_says) {
    double coupons = 0, all = 0, caused = 0, expected = 0;
    for (const auto& [nature, life] : crowd().people) {
        for (const auto& treatment : life.treatments) {
            ++all;
            if (treatment.arm != "coupon") continue;
            ++coupons;
            if (treatment.time_ms >= after_days({0}, std::min(nature.churn_day, kDays) - kCouponDays).ms) continue;
            caused += treatment.orders_caused;
            expected += nature.coupon_uplift;
        }
    }
    EXPECT_NEAR(coupons / all, kCouponShare, 4 * std::sqrt(kCouponShare * (1 - kCouponShare) / all));
    EXPECT_NEAR(caused / expected, 1.0, 0.1);
}

TEST(Simulate, nothing_is_sold_while_it_is_out_of_stock) {
    for (const auto& [nature, life] : crowd().people)
        for (const auto& sale : life.sales) {
            const auto& product = crowd().shelf.products[sale.product];
            // A session that begins before midnight may end after it.
            const double day = days_between({0}, {sale.time_ms});
            EXPECT_TRUE(product.in_stock(static_cast<std::uint32_t>(day)) || product.in_stock(static_cast<std::uint32_t>(std::max(0.0, day - 0.05))));
        }
}

TEST(Simulate, people_buy_what_they_like) {
    double liked = 0, all = 0;
    for (const auto& [nature, life] : crowd().people) {
        const auto favourite = static_cast<std::uint32_t>(std::max_element(nature.taste.begin(), nature.taste.end()) - nature.taste.begin());
        for (const auto& sale : life.sales) {
            ++all;
            liked += crowd().shelf.products[sale.product].category == favourite;
        }
    }
    EXPECT_GT(liked / all, 3.0 / static_cast<double>(category_count()));
}

TEST(Simulate, titles_are_unlike_each_other) {
    std::set<std::string> titles;
    for (const auto& product : crowd().shelf.products) titles.insert(product.title);
    EXPECT_EQ(titles.size(), crowd().shelf.products.size());
}

}  // namespace
}  // namespace perennial::simulate
