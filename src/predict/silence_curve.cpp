#include "predict/silence_curve.h"

#include <algorithm>
#include <cmath>

namespace perennial::predict {
namespace {

constexpr double kRidge = 1;           // nats, see the header
constexpr double kHazardMin = 1e-6;    // of a cumulative hazard: a chance of a purchase of one in a million
constexpr double kHazardMax = 12;      // and a chance of none of six in a million

double log_hazard(double silence) noexcept { return std::log(std::clamp(-std::log(silence), kHazardMin, kHazardMax)); }

// What the three parameters are multiplied with, and what stands before them.
struct Terms { double level, growth_by, shape_by; };

Terms terms_of(double forecast, double forecast_days, double network_at_forecast, double days, double network_at) noexcept {
    return {log_hazard(forecast), std::log(days / forecast_days), log_hazard(network_at) - log_hazard(network_at_forecast)};
}

double slope(const SilenceCurve& curve, double level) noexcept { return std::max(0.0, curve.growth + curve.level * level); }

double log_hazard_at(const SilenceCurve& curve, const Terms& t) noexcept { return t.level + slope(curve, t.level) * t.growth_by + curve.shape * t.shape_by; }

}  // namespace

double SilenceCurve::operator()(double forecast, double forecast_days, double network_at_forecast, double days, double network_at) const noexcept {
    const auto t = terms_of(forecast, forecast_days, network_at_forecast, days, network_at);
    return std::exp(-std::exp(log_hazard_at(*this, t)));
}

SilenceCurve fit_silence_curve(std::span<const SilenceOutcome> rows, double weight) {
    using Numbers = std::array<double, 3>;
    const auto curve_of = [](const Numbers& x) { return SilenceCurve{x[0], x[1], x[2]}; };
    const Numbers towards{0, 0, 1};
    const auto loss = [&](const Numbers& x) {
        double sum = 0;
        for (std::size_t i = 0; i < 3; ++i) sum += kRidge / 2 * std::pow(x[i] - towards[i], 2);
        for (const auto& row : rows) {
            const double hazard = std::exp(log_hazard_at(curve_of(x), terms_of(row.forecast, row.forecast_days, row.network_at_forecast, row.days, row.network_at)));
            sum += weight * (row.stayed_away ? hazard : -std::log(std::max(-std::expm1(-hazard), 1e-12)));
        }
        return sum;
    };
    Numbers x{0.1, 0, 1};  // at a growth of 0 none of its own would be seen
    double reached = loss(x);
    for (int step = 0; step < 50; ++step) {
        Numbers gradient{};
        std::array<Numbers, 3> hessian{};
        for (std::size_t i = 0; i < 3; ++i) gradient[i] = kRidge * (x[i] - towards[i]), hessian[i][i] = kRidge;
        for (const auto& row : rows) {
            const auto t = terms_of(row.forecast, row.forecast_days, row.network_at_forecast, row.days, row.network_at);
            const bool grows = x[0] + x[1] * t.level > 0;
            const Numbers by{grows ? t.growth_by : 0, grows ? t.level * t.growth_by : 0, t.shape_by};
            const double hazard = std::exp(log_hazard_at(curve_of(x), t)), bought = std::max(-std::expm1(-hazard), 1e-12);
            const double slope_of_loss = row.stayed_away ? hazard : -hazard * std::exp(-hazard) / bought;
            const double information = hazard * hazard * std::exp(-hazard) / bought;  // expected second derivative
            for (std::size_t i = 0; i < 3; ++i) {
                gradient[i] += weight * slope_of_loss * by[i];
                for (std::size_t j = 0; j < 3; ++j) hessian[i][j] += weight * information * by[i] * by[j];
            }
        }
        // The shape must not fall below 0: there the others move alone.
        const bool held = x[2] <= 0 && gradient[2] > 0;
        if (held) hessian[2] = {0, 0, 1}, hessian[0][2] = hessian[1][2] = 0, gradient[2] = 0;
        Numbers move = gradient;
        for (std::size_t a = 0; a < 3; ++a)
            for (std::size_t b = a + 1; b < 3; ++b) {
                const double factor = hessian[b][a] / hessian[a][a];
                for (std::size_t c = a; c < 3; ++c) hessian[b][c] -= factor * hessian[a][c];
                move[b] -= factor * move[a];
            }
        for (std::size_t a = 3; a-- > 0;) {
            for (std::size_t c = a + 1; c < 3; ++c) move[a] -= hessian[a][c] * move[c];
            move[a] /= hessian[a][a];
        }
        double share = 1;
        Numbers next = x;
        double value = reached;
        for (int half = 0; half < 30; ++half, share /= 2) {
            for (std::size_t i = 0; i < 3; ++i) next[i] = x[i] - share * move[i];
            next[2] = std::max(next[2], 0.0);
            value = loss(next);
            if (value <= reached) break;
        }
        if (!(value <= reached)) break;
        const bool settled = reached - value < 1e-10 * (1 + reached);
        x = next, reached = value;
        if (settled) break;
    }
    return curve_of(x);
}

}  // namespace perennial::predict
