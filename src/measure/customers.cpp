#include "measure/customers.h"

#include <fmt/format.h>

#include <algorithm>

namespace perennial::measure {
namespace {

// Months as one number, so that differences count months.
int month_number(UtcTime time) {
    const auto date = civil_date(time);
    return date.year * 12 + static_cast<int>(date.month) - 1;
}
UtcTime month_start(int number) { return utc_time({number / 12, static_cast<unsigned>(number % 12) + 1, 1}); }
std::string month_text(int number) { return fmt::format("{:04}-{:02}", number / 12, number % 12 + 1); }

}  // namespace

LifecycleMonths lifecycle_by_month(std::span<const profile::Profile> profiles, const profile::ShopRhythm& shop, UtcTime now) {
    LifecycleMonths result;
    int first = month_number(now);
    const int last = first;
    for (const auto& profile : profiles) first = std::min(first, month_number(profile.first_seen));
    const auto months = static_cast<std::size_t>(last - first + 1);
    result.counts.assign(months, {});
    constexpr std::size_t kNobody = profile::kStageCount;
    std::vector<std::array<std::array<std::size_t, profile::kStageCount>, profile::kStageCount + 1>> flows(months);
    for (std::size_t m = 0; m < months; ++m) result.months.push_back(month_text(first + static_cast<int>(m)));
    for (const auto& profile : profiles) {
        const auto days = profile::purchase_days(profile.orders);
        std::size_t before = kNobody;
        for (std::size_t m = 0; m < months; ++m) {
            const UtcTime end = std::min(now, UtcTime{month_start(first + static_cast<int>(m) + 1).ms - 1});
            if (profile.first_seen > end) continue;
            const auto stage = static_cast<std::size_t>(profile::stage_at(days, end, shop));
            ++result.counts[m][stage];
            ++flows[m][before][stage];
            before = stage;
        }
    }
    for (std::size_t m = 0; m < months; ++m)
        for (std::size_t from = 0; from <= kNobody; ++from)
            for (std::size_t to = 0; to < profile::kStageCount; ++to)
                if (const auto customers = flows[m][from][to])
                    result.flows.push_back({result.months[m], from == kNobody ? std::nullopt : std::optional(static_cast<profile::Stage>(from)),
                                            static_cast<profile::Stage>(to), customers});
    return result;
}

std::vector<Cohort> retention_cohorts(std::span<const profile::Profile> profiles, UtcTime now) {
    std::map<int, Cohort> cohorts;
    const int last = month_number(now);
    for (const auto& profile : profiles) {
        if (profile.orders.empty()) continue;
        const int first = month_number(profile.orders.front().time);
        if (first > last) continue;
        auto& cohort = cohorts[first];
        cohort.month = month_text(first);
        cohort.retained.resize(static_cast<std::size_t>(last - first + 1));
        ++cohort.size;
        std::vector<bool> bought(cohort.retained.size());
        for (const auto& order : profile.orders)
            if (const int month = month_number(order.time); month <= last) bought[static_cast<std::size_t>(month - first)] = true;
        for (std::size_t k = 0; k < bought.size(); ++k) cohort.retained[k] += bought[k];
    }
    std::vector<Cohort> rows;
    for (auto& [month, cohort] : cohorts) {
        for (double& share : cohort.retained) share /= static_cast<double>(cohort.size);
        rows.push_back(std::move(cohort));
    }
    return rows;
}

RfmGrid rfm_grid(std::span<const profile::Profile> profiles, UtcTime now) {
    RfmGrid grid;
    grid.scale = profile::rfm_scale(profiles, now);
    for (const auto& profile : profiles) {
        const auto rfm = profile::rfm_of(profile, now, grid.scale);
        if (rfm.recency == 0) continue;
        auto& cell = grid.cells[static_cast<std::size_t>(rfm.recency - 1)][static_cast<std::size_t>(rfm.frequency - 1)];
        ++cell.customers;
        cell.spend_minor += static_cast<double>(profile.spend.minor - profile.refunds.minor);
    }
    return grid;
}

}  // namespace perennial::measure
