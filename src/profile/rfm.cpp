#include "profile/rfm.h"

#include <algorithm>

namespace perennial::profile {

QuintileEdges quintile_edges(std::vector<double> values) {
    QuintileEdges edges{};
    if (values.empty()) return edges;
    std::ranges::sort(values);
    for (std::size_t i = 0; i < edges.size(); ++i) edges[i] = values[(values.size() * (i + 1) - 1) / 5];
    return edges;
}

int quintile(double value, const QuintileEdges& edges) noexcept {
    return 1 + static_cast<int>(std::ranges::count_if(edges, [value](double edge) { return value > edge; }));
}

RfmScale rfm_scale(std::span<const Profile> profiles, UtcTime now) {
    std::vector<double> recency, frequency, spend;
    for (const auto& profile : profiles) {
        if (profile.orders.empty()) continue;
        recency.push_back(days_between(profile.orders.back().time, now));
        frequency.push_back(static_cast<double>(purchase_days(profile.orders).size()));
        spend.push_back(static_cast<double>(profile.spend.minor - profile.refunds.minor));
    }
    return {quintile_edges(std::move(recency)), quintile_edges(std::move(frequency)), quintile_edges(std::move(spend))};
}

Rfm rfm_of(const Profile& profile, UtcTime now, const RfmScale& scale) {
    if (profile.orders.empty()) return {};
    return {6 - quintile(days_between(profile.orders.back().time, now), scale.recency_days),
            quintile(static_cast<double>(purchase_days(profile.orders).size()), scale.purchase_days),
            quintile(static_cast<double>(profile.spend.minor - profile.refunds.minor), scale.spend)};
}

}  // namespace perennial::profile
