// Fits the churn forecast on the past and judges it, beside humbler rules, on the last stretch of time.
//
//        train, validate             calibrate               judge
//   |----------------------- c1 ------------------- c2 -----------------| last event
//                                    horizon              horizon
//
// Trees learn at c1 (and 30 and 60 days before) what happened by c2. The network learns everything before c2, except that a third of
// the customers end for it at c1: on them its time head is calibrated and combined with the trees. Nothing after c2 is
// used but to judge. On that third of the customers and at c1 the curve to other horizons is fitted too. Threads: as train_network.
#pragma once

#include <array>
#include <filesystem>
#include <string>
#include <vector>

#include "predict/child_training.h"
#include "predict/churn.h"
#include "predict/next_purchase.h"
#include "predict/shop_data.h"

namespace perennial::predict {

struct ChurnMethodResult {
    std::string name;
    Interval auc, pr_auc, brier, lift10;
    std::vector<CalibrationBin> calibration;
    std::vector<GainPoint> gain;
    std::vector<double> probabilities;
};

struct ChurnComparison {
    std::string a, b;
    Interval auc_difference;
    Text verdict;
};

// No purchase within another number of days, of the same customers: the network's time head as it was pretrained, and the
// forecast carried there (silence_curve.h).
struct SilenceResult {
    double days = 0;
    std::size_t stayed_away = 0;
    struct Measures { Interval auc, brier, calibration_error; } time_head, forecast;
};

struct ChurnEvaluation {
    UtcTime cut;
    double horizon_days = 0;
    std::size_t customers = 0, churned = 0;
    std::vector<ChurnMethodResult> methods;
    std::vector<ChurnComparison> comparisons;
    std::vector<SilenceResult> silences;  // at those of kSilenceDays that are no longer than the horizon
    Text verdict;
    NetworkRun network;
};

inline constexpr std::array<double, 4> kSilenceDays{14, 30, 60, 90};
inline constexpr std::size_t kChurnCustomersMin = 100;  // fewer active customers, or fewer than 10 of a kind: no verdict

struct ChurnFit {
    ChurnModel model;        // refitted up to the last event
    ChurnEvaluation evaluation;
};

// Errors: kInvalid when history or customers are too few (the message says how many there are), the trainer's.
Result<ChurnFit> fit_churn(const ShopData& data, const std::filesystem::path& directory, const NetworkOptions& options);

}  // namespace perennial::predict
