// No purchase within any number of days: the churn forecast carried from its own horizon to others along the network's time head.
//
//     log H(t) = log H(t0) + max(0, growth + level log H(t0)) (log t - log t0) + shape (log N(t) - log N(t0)),   P(t) = exp(-H(t))
//
// H is a customer's cumulative hazard, N the network's, t0 the forecast's horizon. At t0 the answer is the forecast; shape >= 0 makes
// it fall with t for every customer. The parameters are fitted by maximum likelihood on outcomes of several horizons, all
// at most t0, as a complementary log-log regression (Prentice and Gloeckler 1978), held to the network's own shape.
// Threads: plain values and pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <span>

namespace perennial::predict {

struct SilenceCurve {
    double growth = 0, level = 0, shape = 1;

    // P(no purchase within `days`) where `forecast` is the answer at `forecast_days`; `network_*` are the network's
    // probabilities for either. Within 0 .. 1; falls with `days` if network_at does. Days above 0.
    double operator()(double forecast, double forecast_days, double network_at_forecast, double days, double network_at) const noexcept;
};

// One customer and horizon, with what came true.
struct SilenceOutcome {
    double forecast = 0, forecast_days = 0, network_at_forecast = 0;  // as above
    double days = 0, network_at = 0;
    bool stayed_away = false;
};

// Each row counts `weight`. Newton with a ridge of one nat towards the network's own shape. O(rows) a step.
SilenceCurve fit_silence_curve(std::span<const SilenceOutcome> rows, double weight);

// Horizons, as shares of the forecast's, at which a curve is fitted.
inline constexpr std::array<double, 8> kSilenceShares{1.0 / 16, 1.0 / 8, 1.0 / 4, 3.0 / 8, 1.0 / 2, 5.0 / 8, 3.0 / 4, 7.0 / 8};

}  // namespace perennial::predict
