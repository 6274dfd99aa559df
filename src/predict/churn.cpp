#include "predict/churn.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <unordered_set>

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
    const auto signed_log = [](double x) { return std::copysign(std::log1p(std::abs(x)), x); };
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
        within(30), within(90), within(180), signed_log(spend), signed_log(spend_90), signed_log(order_value),
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

double ChurnModel::combine(double time_head_silence, double trees_probability) const noexcept {
    const double z = combined[0] + combined[1] * log_odds(time_head_silence) + combined[2] * log_odds(trees_probability);
    return 1 / (1 + std::exp(-z));
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
