// Who is leaving? At a moment, for each customer who bought lately: the probability of no purchase in the days that
// follow. Methods from the humblest to the richest stand beside each other (docs/design/churn.md).
// Threads: pure functions and plain values.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "event/event.h"
#include "predict/boosted_trees.h"
#include "predict/network_recommender.h"
#include "predict/silence_curve.h"
#include "predict/statistics.h"
#include "profile/lifecycle.h"
#include "profile/profile.h"

namespace perennial::predict {

inline constexpr double kChurnHorizonDays = 90;
inline constexpr double kHorizonDaysLimit = 730;  // of a silence that is asked about: as far as the network's hazard reaches
inline constexpr double kActiveDays = 180;  // a customer counts as active when the last purchase is at most so old

// What is known of a customer at a moment, as trees read it. Names in English and Chinese for reasons.
struct FeatureName { std::string_view key, en, zh; };
inline constexpr std::array<FeatureName, 20> kChurnFeatures{{
    {"silence_days", "days since the last purchase", "距上次购买天数"},
    {"silence_survival", "how usual this silence is for the customer", "当前沉默在该客户节奏中的常见程度"},
    {"typical_gap_days", "the customer's usual days between purchases", "通常购买间隔（天）"},
    {"purchase_days", "number of purchase days", "购买天数"},
    {"tenure_days", "days since the first purchase", "首购至今天数"},
    {"last_gap_days", "days between the last two purchases", "最近两次购买间隔"},
    {"gap_trend", "last gap compared with the usual one", "最近间隔与通常间隔之比"},
    {"gap_spread", "how regular the gaps are", "间隔规律性"},
    {"orders_30", "purchase days in the last 30 days", "近30天购买天数"},
    {"orders_90", "purchase days in the last 90 days", "近90天购买天数"},
    {"orders_180", "purchase days in the last 180 days", "近180天购买天数"},
    {"spend", "total spend", "累计消费"},
    {"spend_90", "spend in the last 90 days", "近90天消费"},
    {"order_value", "average order value", "平均订单金额"},
    {"last_order_value", "value of the last order compared with the average", "末单金额与均值之比"},
    {"refund_share", "share of spend refunded", "退款占比"},
    {"products", "number of different products bought", "购买过的商品种数"},
    {"repeat_share", "share of lines that repeat an earlier product", "复购行占比"},
    {"views_30", "product views in the last 30 days", "近30天浏览次数"},
    {"views_after", "product views since the last purchase", "上次购买后的浏览次数"},
}};

// Values of kChurnFeatures from the events before `now`. NaN: not defined for this customer.
std::array<float, kChurnFeatures.size()> churn_features(std::span<const event::Event> timeline, UtcTime now, const profile::ShopRhythm& shop);

// True when the customer bought within kActiveDays before `now`.
bool active_at(std::span<const event::Event> timeline, UtcTime now);
// True when no purchase falls into (now, now + horizon].
bool stays_away(std::span<const event::Event> timeline, UtcTime now, double horizon_days);

// The learned parts of a churn forecast, for one horizon.
struct ChurnModel {
    double horizon_days = kChurnHorizonDays;
    BoostedTrees trees;
    Platt time_head;                   // on the log odds of the network's silence
    std::array<double, 3> combined{};  // log odds = c0 + c1 * log odds of the time head + c2 * log odds of the trees
    profile::ShopRhythm rhythm;
    double log_odds_spread = 0;        // standard deviation of the trees' log odds over bootstrap refits
    std::string chosen;                // method that answers: "combined" or "boosted_trees"
    std::optional<SilenceCurve> curve; // to other horizons; none: of a run trained before there was one
    struct CurveError { double days, error; };
    std::vector<CurveError> curve_errors;  // calibration error on the customers that judged, days rising

    Status save(const std::filesystem::path& directory) const;  // churn.json and churn-trees.json
    static Result<ChurnModel> load(const std::filesystem::path& directory);
};

struct ChurnForecast {
    Interval probability;              // 95 %: how much the answer moves when the model is refitted
    struct Reason { std::size_t feature; float value, contribution; };  // contribution to the log odds of leaving
    std::vector<Reason> reasons;       // strongest first
};
// `silence`: the network's P(no purchase within the horizon).
Result<ChurnForecast> forecast_churn(const ChurnModel& model, std::span<const event::Event> timeline, UtcTime now, double silence);

// P(no purchase within `days`), at model.horizon_days the forecast's own; `network`: P(no purchase within so many days) by the network.
// `calibrated`: a customer and a number of days such as those that the curve was fitted on; then `calibration_error` is that of
// the nearest number of days that was judged. Of a customer who has not bought within kActiveDays the calibrated time head stands
// in for the forecast. Errors: kInvalid when the model has no curve.
struct SilenceForecast { double probability = 0; bool calibrated = false; double calibration_error = 0; };
Result<SilenceForecast> forecast_silence(const ChurnModel& model, std::span<const event::Event> timeline, UtcTime now, double days,
                                         const std::function<double(double)>& network);

double log_odds(double probability) noexcept;  // clamped to +-12

// Logistic regression by Newton's method with a small ridge; rows [n, columns] without intercept column, the result has
// the intercept first. O(n columns^2) a step.
std::vector<double> fit_logistic(std::span<const double> rows, std::size_t columns, std::span<const std::uint8_t> labels);

}  // namespace perennial::predict
