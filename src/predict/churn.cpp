#include "predict/churn.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_set>

#include <boost/json.hpp>

#include "base/file.h"

namespace perennial::predict {
namespace {

constexpr float kMissing = std::numeric_limits<float>::quiet_NaN();

std::span<const event::Event> until(std::span<const event::Event> timeline, UtcTime now) {
    const auto end = std::ranges::upper_bound(timeline, now, {}, &event::Event::time);
    return timeline.first(static_cast<std::size_t>(end - timeline.begin()));
}

}  // namespace

bool active_at(std::span<const event::Event> timeline, UtcTime now) {
    const auto past = until(timeline, now);
    return std::ranges::any_of(past, [&](const event::Event& e) {
        return e.kind == event::Kind::kOrderCompleted && days_between(e.time, now) <= kActiveDays;
    });
}

bool stays_away(std::span<const event::Event> timeline, UtcTime now, double horizon_days) {
    const UtcTime end = after_days(now, horizon_days);
    return std::ranges::none_of(timeline, [&](const event::Event& e) {
        return e.kind == event::Kind::kOrderCompleted && e.time > now && e.time <= end;
    });
}

std::array<float, kChurnFeatures.size()> churn_features(std::span<const event::Event> timeline, UtcTime now, const profile::ShopRhythm& shop) {
    const auto past = until(timeline, now);
    const auto profile = profile::fold(past);
    std::array<float, kChurnFeatures.size()> features;
    features.fill(kMissing);
    const auto days = profile::purchase_days(profile.orders);
    if (days.empty()) return features;
    const auto gaps = profile::purchase_gaps_days(profile.orders);
    const double silence = days_between(profile.orders.back().time, now);
    const double typical = profile::typical_gap_days(gaps, shop);
    const auto within = [&](double limit) { return static_cast<double>(std::ranges::count_if(days, [&](UtcTime day) { return days_between(day, now) <= limit; })); };

    double spend_90 = 0, views_30 = 0, views_after = 0, lines = 0, repeats = 0;
    std::unordered_set<std::string_view> products;
    for (const auto& e : past) {
        const double age = days_between(e.time, now);
        if (e.kind == event::Kind::kOrderCompleted) {
            if (age <= 90) spend_90 += static_cast<double>(e.amount.minor);
            lines += 1;
            repeats += products.insert(e.product).second ? 0 : 1;
        } else if (e.kind == event::Kind::kProductViewed) {
            if (age <= 30) views_30 += 1;
            if (e.time > profile.orders.back().time) views_after += 1;
        }
    }
    const double spend = static_cast<double>(profile.spend.minor), order_value = spend / static_cast<double>(profile.orders.size());
    const auto major = [&](double minor) { return major_units({static_cast<std::int64_t>(minor)}, profile.currency); };
    double spread = kMissing;
    if (gaps.size() >= 2) {
        double mean = 0, squares = 0;
        for (const double gap : gaps) mean += std::log(std::max(gap, 0.5));
        mean /= static_cast<double>(gaps.size());
        for (const double gap : gaps) squares += std::pow(std::log(std::max(gap, 0.5)) - mean, 2);
        spread = std::sqrt(squares / static_cast<double>(gaps.size() - 1));
    }
    const std::array<double, kChurnFeatures.size()> values{
        silence, profile::silence_survival(silence, typical, shop), gaps.empty() ? kMissing : typical, static_cast<double>(days.size()),
        days_between(days.front(), now), gaps.empty() ? kMissing : gaps.back(), gaps.empty() ? kMissing : gaps.back() / typical, spread,
        within(30), within(90), within(180), major(spend), major(spend_90), major(order_value),
        order_value > 0 ? static_cast<double>(profile.orders.back().amount.minor) / order_value : kMissing,
        spend > 0 ? static_cast<double>(profile.refunds.minor) / spend : kMissing, static_cast<double>(products.size()),
        lines > 0 ? repeats / lines : kMissing, views_30, views_after};
    std::ranges::transform(values, features.begin(), [](double value) { return static_cast<float>(value); });
    return features;
}

double log_odds(double probability) noexcept {
    if (std::isnan(probability)) return 0;
    const double p = std::clamp(probability, 6e-6, 1 - 6e-6);
    return std::log(p / (1 - p));
}

Status ChurnModel::save(const std::filesystem::path& directory) const {
    PERENNIAL_TRY(trees.save(directory / "churn-trees.json"));
    boost::json::object object{{"format", "perennial.churn"}, {"version", 2}, {"horizon_days", horizon_days},
        {"time_head", {time_head.a, time_head.b}}, {"combined", {combined[0], combined[1], combined[2]}},
        {"rhythm", {rhythm.typical_gap_days, rhythm.log_spread, rhythm.gaps}}, {"log_odds_spread", log_odds_spread}, {"chosen", chosen}};
    boost::json::array errors;
    for (const auto& [days, error] : curve_errors) errors.push_back({days, error});
    if (curve) object["curve"] = {curve->growth, curve->level, curve->shape}, object["curve_errors"] = std::move(errors);
    return write_file(directory / "churn.json", boost::json::serialize(object));
}

Result<ChurnModel> ChurnModel::load(const std::filesystem::path& directory) {
    auto text = read_file(directory / "churn.json");
    if (!text) return text.error();
    auto trees = BoostedTrees::load(directory / "churn-trees.json");
    if (!trees) return trees.error();
    ChurnModel model;
    model.trees = std::move(*trees);
    try {
        const auto object = boost::json::parse(*text).as_object();
        if (object.at("format") != "perennial.churn" || (object.at("version") != 1 && object.at("version") != 2)) return Error{Code::kUnsupported, "churn.json: want perennial.churn version 1 or 2"};
        const auto number = [](const boost::json::value& value) { return value.to_number<double>(); };
        model.horizon_days = number(object.at("horizon_days"));
        model.time_head = {number(object.at("time_head").at(0)), number(object.at("time_head").at(1))};
        for (std::size_t i = 0; i < 3; ++i) model.combined[i] = number(object.at("combined").at(i));
        model.rhythm = {number(object.at("rhythm").at(0)), number(object.at("rhythm").at(1)), object.at("rhythm").at(2).to_number<std::size_t>()};
        model.log_odds_spread = number(object.at("log_odds_spread"));
        model.chosen = object.at("chosen").as_string();
        if (const auto* curve = object.if_contains("curve")) {
            model.curve = SilenceCurve{number(curve->at(0)), number(curve->at(1)), number(curve->at(2))};
            for (const auto& error : object.at("curve_errors").as_array()) model.curve_errors.push_back({number(error.at(0)), number(error.at(1))});
            if (!(model.curve->shape >= 0)) return Error{Code::kCorrupt, fmt::format("{}: curve: want a shape of 0 or more, got {}", (directory / "churn.json").string(), model.curve->shape)};
        }
    } catch (const std::exception& problem) {
        return Error{Code::kCorrupt, fmt::format("{}: {}", (directory / "churn.json").string(), problem.what())};
    }
    return model;
}

Result<ChurnForecast> forecast_churn(const ChurnModel& model, std::span<const event::Event> timeline, UtcTime now, double silence) {
    const auto features = churn_features(timeline, now, model.rhythm);
    auto trees = model.trees.probabilities(features, features.size());
    if (!trees) return trees.error();
    auto parts = model.trees.contributions(features, features.size());
    if (!parts) return parts.error();
    double z = log_odds(trees->front());
    if (model.chosen == "combined") z = model.combined[0] + model.combined[1] * log_odds(silence) + model.combined[2] * z;
    const auto probability = [](double x) { return 1 / (1 + std::exp(-x)); };
    ChurnForecast forecast{{probability(z), probability(z - 1.96 * model.log_odds_spread), probability(z + 1.96 * model.log_odds_spread)}, {}};
    for (std::size_t i = 0; i < features.size(); ++i)
        if (!std::isnan(features[i])) forecast.reasons.push_back({i, features[i], (*parts)[i]});
    std::ranges::stable_sort(forecast.reasons, std::ranges::greater{}, [](const auto& reason) { return std::abs(reason.contribution); });
    return forecast;
}

Result<SilenceForecast> forecast_silence(const ChurnModel& model, std::span<const event::Event> timeline, UtcTime now, double days,
                                         const std::function<double(double)>& network) {
    if (!model.curve) return Error{Code::kInvalid, "the churn forecast was trained before it answered for other horizons: perennial train"};
    const double at_forecast = network(model.horizon_days);
    const bool active = active_at(timeline, now);
    double forecast = model.time_head(log_odds(at_forecast));
    if (active) {
        auto made = forecast_churn(model, timeline, now, at_forecast);
        if (!made) return made.error();
        forecast = made->probability.value;
    }
    SilenceForecast answer{(*model.curve)(forecast, model.horizon_days, at_forecast, days, network(days)), false, 0};
    answer.calibrated = active && days <= model.horizon_days && days >= kSilenceShares.front() * model.horizon_days && !model.curve_errors.empty();
    if (answer.calibrated)
        answer.calibration_error = std::ranges::min_element(model.curve_errors, {}, [&](const auto& judged) { return std::abs(std::log(judged.days / days)); })->error;
    return answer;
}

std::vector<double> fit_logistic(std::span<const double> rows, std::size_t columns, std::span<const std::uint8_t> labels) {
    const std::size_t n = labels.size(), k = columns + 1;
    std::vector<double> beta(k, 0.0), gradient(k), hessian(k * k), x(k);
    for (int step = 0; step < 50 && n > 0; ++step) {
        std::ranges::fill(gradient, 0.0);
        std::ranges::fill(hessian, 0.0);
        for (std::size_t i = 0; i < n; ++i) {
            x[0] = 1;
            std::copy_n(rows.begin() + static_cast<std::ptrdiff_t>(i * columns), columns, x.begin() + 1);
            double z = 0;
            for (std::size_t a = 0; a < k; ++a) z += beta[a] * x[a];
            const double p = 1 / (1 + std::exp(-z)), w = std::max(p * (1 - p), 1e-6);
            for (std::size_t a = 0; a < k; ++a) {
                gradient[a] += (labels[i] - p) * x[a];
                for (std::size_t b = 0; b < k; ++b) hessian[a * k + b] += w * x[a] * x[b];
            }
        }
        for (std::size_t a = 0; a < k; ++a) {  // ridge: a hundredth of a row's weight
            if (a > 0) gradient[a] -= 0.01 * beta[a];
            hessian[a * k + a] += 0.01;
        }
        // Gaussian elimination; the matrix is positive definite by the ridge.
        std::vector<double> move = gradient;
        for (std::size_t a = 0; a < k; ++a)
            for (std::size_t b = a + 1; b < k; ++b) {
                const double factor = hessian[b * k + a] / hessian[a * k + a];
                for (std::size_t c = a; c < k; ++c) hessian[b * k + c] -= factor * hessian[a * k + c];
                move[b] -= factor * move[a];
            }
        double size = 0;
        for (std::size_t a = k; a-- > 0;) {
            for (std::size_t c = a + 1; c < k; ++c) move[a] -= hessian[a * k + c] * move[c];
            move[a] /= hessian[a * k + a];
            size = std::max(size, std::abs(move[a]));
        }
        const double length = std::min(1.0, 3.0 / std::max(size, 1e-12));
        for (std::size_t a = 0; a < k; ++a) beta[a] += length * move[a];
        if (size < 1e-8) break;
    }
    return beta;
}

}  // namespace perennial::predict
