#include "model/buckets.h"

#include <algorithm>
#include <cmath>

namespace perennial::model {
namespace {

constexpr double kMsPerMinute = 60'000, kMsPerDay = 86'400'000;
constexpr double kFirstHazardDays = 0.5, kLastHazardDays = 730;

}  // namespace

std::span<const std::int64_t> stamp_edges() noexcept {
    static const auto edges = [] {
        std::array<std::int64_t, kStampEdges> values{};
        for (std::size_t k = 0; k < kStampEdges; ++k)
            values[k] = static_cast<std::int64_t>(std::llround((std::exp2(static_cast<double>(k + 1) / 2) - 1) * kMsPerMinute));
        return values;
    }();
    return edges;
}

std::size_t timed_gap(std::int64_t gap_ms) noexcept {
    const auto edges = stamp_edges();
    return kFirstTimedGap + static_cast<std::size_t>(std::ranges::upper_bound(edges, gap_ms) - edges.begin());
}

std::size_t timed_gap_days(double days) noexcept {
    if (std::isnan(days)) return kUnknownGap;
    return timed_gap(static_cast<std::int64_t>(std::clamp(days, 0.0, 1e6) * kMsPerDay));
}

std::vector<float> hazard_edges(std::size_t buckets) {
    std::vector<float> edges{0};
    const double last = buckets > 1 ? static_cast<double>(buckets - 1) : 1;
    for (std::size_t k = 0; k < buckets; ++k)
        edges.push_back(static_cast<float>(kFirstHazardDays * std::pow(kLastHazardDays / kFirstHazardDays, static_cast<double>(k) / last)));
    return edges;
}

}  // namespace perennial::model
