#include "profile/profile.h"

#include <gtest/gtest.h>

#include <cmath>

#include "base/rng.h"
#include "profile/lifecycle.h"
#include "profile/rfm.h"

namespace perennial::profile {
namespace {

event::Event line(double day, const char* order, std::int64_t amount, event::Kind kind = event::Kind::kOrderCompleted) {
    event::Event e;
    e.kind = kind;
    e.time = after_days({1'300'000'000'000}, day);
    e.order_id = order;
    e.quantity = 1;
    e.amount = {amount};
    e.currency = Currency{{'G', 'B', 'P'}};
    return e;
}

std::vector<UtcTime> days(std::initializer_list<double> offsets) {
    std::vector<UtcTime> times;
    for (const double offset : offsets) times.push_back(after_days({1'300'000'000'000}, offset));
    return times;
}

TEST(Profile, groups_lines_into_orders_and_keeps_refunds_and_charges_apart) {
    const std::vector<event::Event> timeline{line(0, "1", 500), line(0, "1", 250), line(3, "1", -250, event::Kind::kOrderRefunded),
                                             line(9, "2", 1000), line(9, "2", 300, event::Kind::kOrderCharge)};
    const Profile p = fold(timeline);
    ASSERT_EQ(p.orders.size(), 2u);
    EXPECT_EQ(p.orders[0].amount.minor, 750);
    EXPECT_EQ(p.orders[0].lines, 2);
    EXPECT_EQ(p.spend.minor, 1750);
    EXPECT_EQ(p.refunds.minor, 250);
    EXPECT_EQ(p.charges.minor, 300);
    EXPECT_EQ(purchase_gaps_days(p.orders), (std::vector<double>{9}));
    const auto bytes = encode(p);
    EXPECT_EQ(decode_profile(bytes).value(), p);
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) EXPECT_FALSE(decode_profile(std::string_view(bytes).substr(0, cut)).ok());
}

// Every stage once, in a shop where customers typically return after 30 days, give or take a factor e^0.5.
TEST(Lifecycle, stages_follow_the_definitions) {
    const ShopRhythm shop{30, 0.5, 1000};
    const auto stage = [&](std::initializer_list<double> bought, double now) { return stage_at(days(bought), after_days({1'300'000'000'000}, now), shop); };
    EXPECT_EQ(stage({}, 10), Stage::kVisitor);
    EXPECT_EQ(stage({20}, 10), Stage::kVisitor);  // the purchase is still to come
    EXPECT_EQ(stage({0}, 10), Stage::kFirstTime);
    EXPECT_EQ(stage({0, 30}, 40), Stage::kActive);
    EXPECT_EQ(stage({0, 30, 60}, 70), Stage::kRepeat);
    EXPECT_EQ(stage({0, 30, 60, 90, 120, 150}, 160), Stage::kLoyal);
    EXPECT_EQ(stage({0}, 45), Stage::kCooling);
    EXPECT_EQ(stage({0}, 60), Stage::kAtRisk);
    EXPECT_EQ(stage({0}, 90), Stage::kLapsed);
    EXPECT_EQ(stage({0, 30, 200}, 205), Stage::kWonBack);
}

TEST(Lifecycle, the_same_silence_means_more_for_a_frequent_buyer) {
    const ShopRhythm shop{30, 0.5, 1000};
    const auto weekly = days({0, 7, 14, 21, 28, 35, 42, 49});
    const auto quarterly = days({-500, -410, -320, -230, -140, -41, 49});
    const auto now = after_days({1'300'000'000'000}, 49 + 40);
    EXPECT_EQ(stage_at(weekly, now, shop), Stage::kLapsed);
    EXPECT_EQ(stage_at(quarterly, now, shop), Stage::kLoyal);
}

TEST(Lifecycle, silence_only_ever_makes_the_stage_worse) {
    const ShopRhythm shop{40, 0.8, 1000};
    Rng rng(5);
    for (int i = 0; i < 200; ++i) {
        std::vector<UtcTime> bought;
        double day = 0;
        for (std::uint64_t n = rng.below(9) + 1; n > 0; --n) bought.push_back(after_days({1'300'000'000'000}, day += 1 + rng.exponential(40)));
        int worst = -1;
        for (double silence = 0; silence < 1000; silence += 5) {
            const Stage stage = stage_at(bought, after_days(bought.back(), silence), shop);
            const int rank = stage == Stage::kLapsed ? 3 : stage == Stage::kAtRisk ? 2 : stage == Stage::kCooling ? 1 : 0;
            ASSERT_GE(rank, worst);
            worst = rank;
        }
        ASSERT_EQ(worst, 3);
    }
}

TEST(Lifecycle, rhythm_is_learned_from_simulated_gaps) {
    Rng rng(3);
    std::vector<std::vector<double>> gaps(2000);
    for (auto& own : gaps) {
        const double centre = std::log(30) + 0.6 * rng.normal();
        for (std::uint64_t n = 2 + rng.below(8); n > 0; --n) own.push_back(std::exp(centre + 0.5 * rng.normal()));
    }
    const auto shop = learn_rhythm(gaps);
    EXPECT_NEAR(shop.typical_gap_days, 30, 2);   // median of 2000 customers, standard error about 0.5
    EXPECT_NEAR(shop.log_spread, 0.5, 0.02);
    EXPECT_EQ(learn_rhythm({}).gaps, 0u);
}

TEST(Rfm, fifths_are_equal_without_ties_and_never_split_ties) {
    std::vector<double> values;
    for (int i = 1; i <= 100; ++i) values.push_back(i);
    const auto edges = quintile_edges(values);
    std::array<int, 6> counts{};
    for (const double v : values) ++counts[static_cast<std::size_t>(quintile(v, edges))];
    EXPECT_EQ(counts, (std::array<int, 6>{0, 20, 20, 20, 20, 20}));
    const auto tied = quintile_edges(std::vector<double>(50, 1.0));
    EXPECT_EQ(quintile(1.0, tied), 1);
    EXPECT_EQ(quintile(2.0, tied), 5);
}

}  // namespace
}  // namespace perennial::profile
