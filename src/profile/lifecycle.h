// Lifecycle stages that follow the customer's own rhythm: how unusual is today's silence for this customer?
// Definitions, with examples: docs/guide/lifecycle.md. Pure functions of the order times and a moment.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "base/time.h"
#include "profile/profile.h"

namespace perennial::profile {

enum class Stage : std::uint8_t { kVisitor, kFirstTime, kActive, kRepeat, kLoyal, kCooling, kAtRisk, kLapsed, kWonBack };
inline constexpr std::size_t kStageCount = 9;
std::string_view name(Stage stage) noexcept;  // "at_risk"

// How customers of this shop come back, learned from all of them: gaps between purchases are taken as log-normal with a
// typical (median) gap and a spread within one customer.
struct ShopRhythm {
    double typical_gap_days = 60;
    double log_spread = 0.8;       // standard deviation of the natural log of a customer's gaps around their own median
    std::size_t gaps = 0;          // evidence; 0 means the defaults above
};
ShopRhythm learn_rhythm(std::span<const std::vector<double>> gaps_of_customers);

// The customer's own typical gap, drawn towards the shop's when evidence is thin:
// exp((sum of log gaps + kGapPrior * log shop gap) / (n + kGapPrior)).
inline constexpr double kGapPrior = 2;
double typical_gap_days(std::span<const double> gaps_days, const ShopRhythm& shop);

// Share of this customer's usual gaps that are longer than `silence_days`: 1 just after a purchase, near 0 when the
// silence is far outside the rhythm. (Survival function of the log-normal.)
double silence_survival(double silence_days, double typical_gap_days, const ShopRhythm& shop);

// A silence longer than 75, 90, 97 % of the customer's usual gaps.
inline constexpr double kCoolingBelow = 0.25, kAtRiskBelow = 0.10, kLapsedBelow = 0.03;
inline constexpr std::size_t kRepeatDays = 3, kLoyalDays = 6;  // purchase days from which on

// Stage at `now`, looking only at purchase days up to then. `days` rising (purchase_days). O(days).
Stage stage_at(std::span<const UtcTime> days, UtcTime now, const ShopRhythm& shop);

}  // namespace perennial::profile
