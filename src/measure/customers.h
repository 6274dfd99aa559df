// Pictures of the customer base: lifecycle stages by month and the flow between them, retention cohorts, RFM grid.
// Threads: pure functions.
#pragma once

#include <array>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "profile/lifecycle.h"
#include "profile/profile.h"
#include "profile/rfm.h"

namespace perennial::measure {

using StageCounts = std::array<std::size_t, profile::kStageCount>;

struct LifecycleMonths {
    std::vector<std::string> months;             // "2011-03", rising
    std::vector<StageCounts> counts;             // beside `months`: stages at the end of the month
    struct Flow { std::string month; std::optional<profile::Stage> from; profile::Stage to; std::size_t customers; };
    std::vector<Flow> flows;                     // from nothing: first seen in that month
};

// Stage of every customer at the end of each month up to `now`; the last month ends at `now`. O(customers x months).
LifecycleMonths lifecycle_by_month(std::span<const profile::Profile> profiles, const profile::ShopRhythm& shop, UtcTime now);

struct Cohort {
    std::string month;
    std::size_t size = 0;
    std::vector<double> retained;   // share with an order in the k-th month after the first; [0] is 1
};
std::vector<Cohort> retention_cohorts(std::span<const profile::Profile> profiles, UtcTime now);

struct RfmCell { std::size_t customers = 0; double spend_minor = 0; };
struct RfmGrid {
    std::array<std::array<RfmCell, 5>, 5> cells{};  // [recency - 1][frequency - 1]
    profile::RfmScale scale;
};
RfmGrid rfm_grid(std::span<const profile::Profile> profiles, UtcTime now);

}  // namespace perennial::measure
