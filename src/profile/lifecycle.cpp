#include "profile/lifecycle.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace perennial::profile {

std::string_view name(Stage stage) noexcept {
    static constexpr std::array<std::string_view, kStageCount> kNames{"visitor", "first_time", "active", "repeat", "loyal",
                                                                      "cooling", "at_risk", "lapsed", "won_back"};
    return kNames[static_cast<std::size_t>(stage)];
}

ShopRhythm learn_rhythm(std::span<const std::vector<double>> gaps_of_customers) {
    std::vector<double> medians;
    double squares = 0;
    std::size_t freedom = 0, gaps = 0;
    for (const auto& gaps_days : gaps_of_customers) {
        if (gaps_days.empty()) continue;
        std::vector<double> logs(gaps_days.size());
        std::ranges::transform(gaps_days, logs.begin(), [](double gap) { return std::log(std::max(gap, 0.5)); });
        double mean = 0;
        for (const double x : logs) mean += x;
        mean /= static_cast<double>(logs.size());
        for (const double x : logs) squares += (x - mean) * (x - mean);
        freedom += logs.size() - 1;
        gaps += logs.size();
        medians.push_back(mean);
    }
    ShopRhythm rhythm;
    rhythm.gaps = gaps;
    if (medians.empty()) return rhythm;
    const auto middle = medians.begin() + static_cast<std::ptrdiff_t>(medians.size() / 2);
    std::ranges::nth_element(medians, middle);
    rhythm.typical_gap_days = std::exp(*middle);
    if (freedom >= 10) rhythm.log_spread = std::clamp(std::sqrt(squares / static_cast<double>(freedom)), 0.2, 2.0);
    return rhythm;
}

double typical_gap_days(std::span<const double> gaps_days, const ShopRhythm& shop) {
    double sum = kGapPrior * std::log(shop.typical_gap_days);
    for (const double gap : gaps_days) sum += std::log(std::max(gap, 0.5));
    return std::exp(sum / (static_cast<double>(gaps_days.size()) + kGapPrior));
}

double silence_survival(double silence_days, double typical_gap_days, const ShopRhythm& shop) {
    if (silence_days <= 0) return 1;
    const double z = (std::log(silence_days) - std::log(typical_gap_days)) / shop.log_spread;
    return 0.5 * std::erfc(z / std::numbers::sqrt2);
}

Stage stage_at(std::span<const UtcTime> days, UtcTime now, const ShopRhythm& shop) {
    days = days.first(static_cast<std::size_t>(std::ranges::upper_bound(days, now) - days.begin()));
    if (days.empty()) return Stage::kVisitor;
    std::vector<double> gaps;
    for (std::size_t i = 1; i < days.size(); ++i) gaps.push_back(days_between(days[i - 1], days[i]));
    const double survival = silence_survival(days_between(days.back(), now), typical_gap_days(gaps, shop), shop);
    if (survival < kLapsedBelow) return Stage::kLapsed;
    if (survival < kAtRiskBelow) return Stage::kAtRisk;
    if (survival < kCoolingBelow) return Stage::kCooling;
    if (!gaps.empty()) {  // was the last purchase a return after a silence that had looked final?
        const auto before = std::span(gaps).first(gaps.size() - 1);
        if (silence_survival(gaps.back(), typical_gap_days(before, shop), shop) < kLapsedBelow) return Stage::kWonBack;
    }
    if (days.size() >= kLoyalDays) return Stage::kLoyal;
    if (days.size() >= kRepeatDays) return Stage::kRepeat;
    return days.size() == 2 ? Stage::kActive : Stage::kFirstTime;
}

}  // namespace perennial::profile
