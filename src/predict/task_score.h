// Scores of a task's rows by one method, and what makes predictions of them: a calibration fitted on out-of-fold scores.
// Z columns of a score: C for classes more than two and for labels, else 1. Threads: pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "model/task.h"

namespace perennial::predict {

// What a task is in numbers, for all the helpers.
struct Frame {
    model::TaskKind kind;
    std::size_t columns;           // Z = C for classes more than two and for labels, else 1
    std::vector<float> target, weight;  // [R, C] of labels, else [R]; [R]
    std::vector<std::size_t> learned, judged;
    std::vector<std::vector<std::int32_t>> deals;  // [repeats][R] folds of the learned rows; a row is predicted out of fold once a deal
    double mean = 1, variance = 1; // of the targets that are learned, where they are values
};

// [R, Z]: log odds, log shares, or values. Out of fold [repeats, R, Z], judged rows unused.
using Scores = std::vector<double>;

// The frame of out-of-fold scores: the rows of every deal, all deals together weighing as much as one.
Frame of_all_deals(const Frame& f);

// Labels as questions of two classes, each a row of its own: scores [R, C] are then [R C, 1]. What calibrates and mixes them is the
// same for all. A row's labels weigh as much as the row.
Frame flattened(const Frame& f);

bool is_class(model::TaskKind kind) noexcept;  // two or more

// What calibrates a score: probabilities (a z + b for log odds, a z for classes' log shares), values (a x + b).
struct Calibration { double a = 1, b = 0; };

// Calibrated predictions [Z] of a row from its score [Z].
void calibrated(const Frame& f, const Calibration& c, std::span<const double> z, std::span<double> p);
// The same for the judged rows, [judged, Z], of scores [R, Z].
std::vector<double> judged_predictions(const Frame& f, const Calibration& c, std::span<const double> z);

// Weighted negative log likelihood of the learned rows; of values half the squared error in variances; of amounts the Tweedie
// deviance of power 1.5 up to a constant (Jorgensen 1987), which a few customers who spend most do not decide alone.
double total_loss(const Frame& f, const Calibration& c, std::span<const double> z);
// Held to a = slope, b = 0 by one nat. Newton for log odds, a search for classes, least squares for
// values, the deviance's best scale for amounts.
Calibration calibrate(const Frame& f, std::span<const double> z, double slope = 1);
// a z + b, without b for classes.
Scores rescaled(const Frame& f, const Calibration& c, Scores z);

// Scores of raw outputs of a head [R, output_count].
Scores network_scores(const Frame& f, const model::TargetScale& scale, std::span<const float> outputs);
// Probabilities or values to scores, in place.
void to_score(model::TaskKind kind, std::span<double> p);

}  // namespace perennial::predict
