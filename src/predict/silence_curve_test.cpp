// The churn forecast at other horizons: a probability that falls with the horizon, and the forecast itself at its own.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

#include "base/file.h"
#include "base/rng.h"
#include "predict/churn.h"
#include "predict/silence_curve.h"

namespace perennial::predict {
namespace {

// A network's chance of no purchase: constant hazard, here one purchase in `gap_days`.
double network_of(double gap_days, double days) { return std::exp(-days / gap_days); }

TEST(SilenceCurve, falls_with_the_horizon_stays_a_probability_and_is_the_forecast_at_its_own) {
    Rng rng(3);
    for (int trial = 0; trial < 2000; ++trial) {
        const SilenceCurve curve{2 * rng.normal(), 2 * rng.normal(), trial % 5 == 0 ? 0 : rng.exponential(2)};
        // The first two trials: a forecast of certainty, and a network that sees no purchase ever.
        const double forecast = trial == 0 ? 0 : trial == 1 ? 1 : rng.uniform(), gap = trial == 2 ? 1e300 : std::exp(3 + 3 * rng.normal());
        double before = 1;
        for (const double days : {1.0, 2.0, 7.0, 30.0, 60.0, 89.0, 90.0, 91.0, 180.0, 730.0}) {
            const double p = curve(forecast, 90, network_of(gap, 90), days, network_of(gap, days));
            ASSERT_GE(p, 0) << trial;
            ASSERT_LE(p, before) << trial << " at " << days;
            before = p;
            if (days == 90) { ASSERT_NEAR(p, forecast, 1e-5) << trial; }
        }
    }
}

// Customers whose outcomes follow `truth`.
std::vector<SilenceOutcome> outcomes_of(const SilenceCurve& truth, std::size_t customers) {
    Rng rng(8);
    std::vector<SilenceOutcome> rows;
    for (std::size_t c = 0; c < customers; ++c) {
        const double forecast = rng.uniform(), gap = std::exp(4 + rng.normal()), shape = 0.5 + rng.uniform(), luck = rng.uniform();
        const auto network = [&](double days) { return std::exp(-std::pow(days / gap, shape)); };
        for (const double share : kSilenceShares)
            rows.push_back({forecast, 90, network(90), share * 90, network(share * 90), luck < truth(forecast, 90, network(90), share * 90, network(share * 90))});
    }
    return rows;
}

TEST(SilenceCurve, finds_the_curve_that_outcomes_follow) {
    for (const SilenceCurve truth : {SilenceCurve{0.3, 0.1, 0.6}, SilenceCurve{0.8, 0, 0}, SilenceCurve{0.05, -0.2, 1.3}}) {
        const auto fitted = fit_silence_curve(outcomes_of(truth, 30'000), 1);
        double worst = 0;
        for (const auto& row : outcomes_of(truth, 500))
            worst = std::max(worst, std::abs(fitted(row.forecast, 90, row.network_at_forecast, row.days, row.network_at) - truth(row.forecast, 90, row.network_at_forecast, row.days, row.network_at)));
        EXPECT_LT(worst, 0.04) << fitted.growth << " " << fitted.level << " " << fitted.shape;
        EXPECT_GE(fitted.shape, 0);
    }
    const auto none = fit_silence_curve({}, 1);
    EXPECT_NEAR(none.growth, 0, 1e-9);
    EXPECT_NEAR(none.shape, 1, 1e-9) << "without outcomes the network's own shape";
}

ChurnModel small_model() {
    Rng rng(5);
    std::vector<float> features;
    std::vector<std::uint8_t> labels;
    for (std::size_t i = 0; i < 300; ++i) {
        for (std::size_t c = 0; c < kChurnFeatures.size(); ++c) features.push_back(static_cast<float>(rng.exponential(30)));
        labels.push_back(features[i * kChurnFeatures.size()] > 25);
    }
    ChurnModel model;
    model.horizon_days = 80;
    model.trees = BoostedTrees::train(features, kChurnFeatures.size(), labels, {}).value();
    model.time_head = {0.7, -0.2};
    model.combined = {0.1, 0.4, 0.6};
    model.rhythm = {30, 0.5, 100};
    model.chosen = "combined";
    model.curve = SilenceCurve{0.2, 0.1, 0.9};
    model.curve_errors = {{14, 0.01}, {30, 0.02}, {70, 0.05}};
    return model;
}

TEST(SilenceForecast, agrees_with_the_churn_forecast_and_says_where_it_is_calibrated) {
    const auto model = small_model();
    std::vector<event::Event> timeline;
    for (const double day : {0.0, 40.0, 70.0}) {
        event::Event e;
        e.kind = event::Kind::kOrderCompleted;
        e.order_id = std::to_string(day);
        e.product = "p";
        e.time = after_days({1'300'000'000'000}, day);
        e.amount = {1000};
        timeline.push_back(e);
    }
    const auto network = [](double days) { return network_of(50, days); };
    for (const double day : {75.0, 100.0, 400.0}) {
        const auto now = after_days({1'300'000'000'000}, day);
        const bool active = active_at(timeline, now);
        double before = 1;
        for (const double days : {1.0, 30.0, 80.0, 200.0}) {
            const auto answer = forecast_silence(model, timeline, now, days, network).value();
            EXPECT_LT(answer.probability, before);
            EXPECT_EQ(answer.calibrated, active && days >= 5 && days <= 80) << day << " " << days;
            if (answer.calibrated) { EXPECT_EQ(answer.calibration_error, days == 30 ? 0.02 : 0.05); }
            before = answer.probability;
        }
        const double own = active ? forecast_churn(model, timeline, now, network(80)).value().probability.value : model.time_head(log_odds(network(80)));
        EXPECT_NEAR(forecast_silence(model, timeline, now, 80, network)->probability, own, 1e-6);
    }
}

TEST(SilenceForecast, is_kept_with_the_churn_model_and_absent_from_older_files) {
    const auto model = small_model();
    const TempDir scratch;
    ASSERT_TRUE(model.save(scratch.path()).ok());
    const auto loaded = ChurnModel::load(scratch.path()).value();
    ASSERT_TRUE(loaded.curve);
    ASSERT_EQ(loaded.curve_errors.size(), 3u);
    EXPECT_EQ(loaded.curve_errors[2].error, 0.05);
    EXPECT_EQ(loaded.curve->growth, model.curve->growth);
    EXPECT_EQ(loaded.curve->level, model.curve->level);
    EXPECT_EQ(loaded.curve->shape, model.curve->shape);

    const auto file = scratch.path() / "churn.json";
    const auto text = read_file(file).value();
    const auto written = [&](const char* what, const char* instead) {
        auto changed = text;
        const auto at = changed.find(what);
        EXPECT_NE(at, std::string::npos) << what;
        EXPECT_TRUE(write_file(file, changed.replace(at, std::string_view(what).size(), instead)).ok());
        return ChurnModel::load(scratch.path());
    };
    EXPECT_EQ(written("\"version\":2", "\"version\":3").error().code, Code::kUnsupported);
    EXPECT_EQ(written("\"curve\":[2E-1,1E-1,9E-1]", "\"curve\":[2E-1,1E-1,-9E-1]").error().code, Code::kCorrupt);
    const auto older = written("\"curve\"", "\"unread\"");
    ASSERT_TRUE(older.ok());
    EXPECT_FALSE(older->curve);
    EXPECT_EQ(forecast_silence(*older, {}, {0}, 30, [](double) { return 0.5; }).error().code, Code::kInvalid);
}

}  // namespace
}  // namespace perennial::predict
