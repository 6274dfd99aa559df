// Measures of a forecast against what happened, with bootstrap intervals. Labels are 0 or 1; higher scores mean "more
// likely 1". All take equally long spans. Threads: pure functions.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace perennial::predict {

struct Interval { double value = 0, low = 0, high = 0; };

// Area under the ROC curve (Mann-Whitney, ties count one half); 0.5 when a class is missing. O(n log n).
double auc(std::span<const double> scores, std::span<const std::uint8_t> labels);
// Average precision: mean precision at each positive, ties taken together. O(n log n).
double average_precision(std::span<const double> scores, std::span<const std::uint8_t> labels);
double brier(std::span<const double> probabilities, std::span<const std::uint8_t> labels);
// Rate of positives among the `share` with the highest scores, over the rate among all. Ties are shared out evenly.
double lift(std::span<const double> scores, std::span<const std::uint8_t> labels, double share);

struct CalibrationBin { double predicted = 0, observed = 0; std::size_t count = 0; };
// Equal-count bins by predicted probability, empty ones left out.
std::vector<CalibrationBin> calibration(std::span<const double> probabilities, std::span<const std::uint8_t> labels, std::size_t bins);

// Mean distance of predicted from observed over such bins, weighted by their rows (expected calibration error; Guo et al. 2017).
double calibration_error(std::span<const double> probabilities, std::span<const std::uint8_t> labels, std::size_t bins);

struct GainPoint { double share = 0, captured = 0; };
std::vector<GainPoint> gain_curve(std::span<const double> scores, std::span<const std::uint8_t> labels, std::size_t points);

// Percentile bootstrap, 95 %: `statistic` gets the drawn row numbers. Source: Efron 1979. Deterministic by seed.
Interval bootstrap(std::size_t rows, std::size_t draws, std::uint64_t seed,
                   const std::function<double(std::span<const std::uint32_t>)>& statistic);
// Of a mean of one value a row. Faster than the general form.
Interval bootstrap_mean(std::span<const double> values, std::size_t draws, std::uint64_t seed);

// Platt scaling: p = 1 / (1 + exp(-(a * x + b))), fitted by Newton's method with Platt's smoothed targets.
// Source: Lin, Lin and Weng 2007 ("A note on Platt's probabilistic outputs").
struct Platt {
    double a = 1, b = 0;
    double operator()(double x) const noexcept;
};
Platt fit_platt(std::span<const double> scores, std::span<const std::uint8_t> labels);

}  // namespace perennial::predict
