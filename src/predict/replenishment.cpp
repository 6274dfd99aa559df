#include "predict/replenishment.h"

#include <algorithm>
#include <map>

#include "base/time.h"

namespace perennial::predict {
namespace {

constexpr double kSameDay = 0.75;

double median(std::vector<double> values) {
    const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
    std::ranges::nth_element(values, middle);
    return *middle;
}

}  // namespace

Replenishment::Replenishment(std::span<const sequence::Sequence> sequences, std::size_t products) : intervals_days_(products, 0.0) {
    std::vector<std::vector<double>> gaps(products);
    std::vector<std::size_t> buyers(products), repeaters(products);
    for (const auto& sequence : sequences) {
        if (!profile::is_customer(sequence.customer)) continue;
        struct Bought { std::int64_t last_ms; bool again; };
        std::map<std::int32_t, Bought> bought;
        for (const auto& step : sequence.steps) {
            if (!step.purchase() || step.product < 0) continue;
            const auto product = static_cast<std::size_t>(step.product);
            const auto [at, first] = bought.try_emplace(step.product, Bought{step.time_ms, false});
            if (first) {
                ++buyers[product];
                continue;
            }
            const double gap_days = days_between({at->second.last_ms}, {step.time_ms});
            if (gap_days < kSameDay) continue;
            gaps[product].push_back(gap_days);
            if (!std::exchange(at->second.again, true)) ++repeaters[product];
            at->second.last_ms = step.time_ms;
        }
    }
    for (std::size_t p = 0; p < products; ++p)
        if (gaps[p].size() >= kRepeatsMin && static_cast<double>(repeaters[p]) >= kRepeatBuyersMin * static_cast<double>(buyers[p]))
            intervals_days_[p] = median(std::move(gaps[p]));
}

bool Replenishment::may_offer_again(std::int32_t product, double days_since_purchase) const {
    const double interval = interval_days(product);
    return days_since_purchase >= (interval > 0 ? 0.5 * interval : kDurableDays);
}

std::vector<double> own_intervals_days(std::span<const Step> history, std::int32_t product) {
    std::vector<std::int64_t> bought_ms;
    for (const auto& step : history)
        if (step.purchase() && step.product == product) bought_ms.push_back(step.time_ms);
    return own_intervals_days(bought_ms);
}

std::vector<double> own_intervals_days(std::span<const std::int64_t> bought_ms) {
    std::vector<double> gaps;
    std::int64_t last_ms = -1;
    for (const auto time_ms : bought_ms) {
        const double gap_days = last_ms < 0 ? 0 : days_between({last_ms}, {time_ms});
        if (last_ms >= 0 && gap_days < kSameDay) continue;
        if (last_ms >= 0) gaps.push_back(gap_days);
        last_ms = time_ms;
    }
    return gaps;
}

}  // namespace perennial::predict
