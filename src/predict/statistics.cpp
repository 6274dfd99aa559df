#include "predict/statistics.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "base/rng.h"

namespace perennial::predict {
namespace {

std::vector<std::uint32_t> by_falling_score(std::span<const double> scores) {
    std::vector<std::uint32_t> order(scores.size());
    std::iota(order.begin(), order.end(), 0u);
    std::ranges::stable_sort(order, [&](std::uint32_t a, std::uint32_t b) { return scores[a] > scores[b]; });
    return order;
}

// Calls visit(first, last) for each run of equal scores in falling order.
template <class Visit>
void for_each_tie(std::span<const double> scores, std::span<const std::uint32_t> order, Visit&& visit) {
    for (std::size_t i = 0; i < order.size();) {
        std::size_t j = i + 1;
        while (j < order.size() && scores[order[j]] == scores[order[i]]) ++j;
        visit(i, j);
        i = j;
    }
}

}  // namespace

double auc(std::span<const double> scores, std::span<const std::uint8_t> labels) {
    const auto order = by_falling_score(scores);
    double positives = 0, negatives = 0, wins = 0;
    for_each_tie(scores, order, [&](std::size_t first, std::size_t last) {
        double ones = 0;
        for (std::size_t i = first; i < last; ++i) ones += labels[order[i]];
        const double zeros = static_cast<double>(last - first) - ones;
        wins += zeros * (positives + 0.5 * ones);
        positives += ones;
        negatives += zeros;
    });
    return positives == 0 || negatives == 0 ? 0.5 : wins / (positives * negatives);
}

double average_precision(std::span<const double> scores, std::span<const std::uint8_t> labels) {
    const auto order = by_falling_score(scores);
    double found = 0, sum = 0;
    for_each_tie(scores, order, [&](std::size_t first, std::size_t last) {
        double ones = 0;
        for (std::size_t i = first; i < last; ++i) ones += labels[order[i]];
        found += ones;
        sum += ones * found / static_cast<double>(last);
    });
    return found == 0 ? 0 : sum / found;
}

double brier(std::span<const double> probabilities, std::span<const std::uint8_t> labels) {
    double sum = 0;
    for (std::size_t i = 0; i < labels.size(); ++i) sum += (probabilities[i] - labels[i]) * (probabilities[i] - labels[i]);
    return labels.empty() ? 0 : sum / static_cast<double>(labels.size());
}

double lift(std::span<const double> scores, std::span<const std::uint8_t> labels, double share) {
    const auto order = by_falling_score(scores);
    const double all = std::accumulate(labels.begin(), labels.end(), 0.0);
    const double wanted = share * static_cast<double>(labels.size());
    if (all == 0 || wanted <= 0) return 0;
    double taken = 0, found = 0;
    for_each_tie(scores, order, [&](std::size_t first, std::size_t last) {
        double ones = 0;
        for (std::size_t i = first; i < last; ++i) ones += labels[order[i]];
        const double size = static_cast<double>(last - first), part = std::clamp((wanted - taken) / size, 0.0, 1.0);
        found += part * ones;
        taken += part * size;
    });
    return found / wanted / (all / static_cast<double>(labels.size()));
}

std::vector<CalibrationBin> calibration(std::span<const double> probabilities, std::span<const std::uint8_t> labels, std::size_t bins) {
    auto order = by_falling_score(probabilities);
    std::ranges::reverse(order);
    std::vector<CalibrationBin> result;
    for (std::size_t bin = 0; bin < bins; ++bin) {
        const std::size_t first = order.size() * bin / bins, last = order.size() * (bin + 1) / bins;
        if (first == last) continue;
        CalibrationBin made{0, 0, last - first};
        for (std::size_t i = first; i < last; ++i) {
            made.predicted += probabilities[order[i]];
            made.observed += labels[order[i]];
        }
        made.predicted /= static_cast<double>(made.count);
        made.observed /= static_cast<double>(made.count);
        result.push_back(made);
    }
    return result;
}

double calibration_error(std::span<const double> probabilities, std::span<const std::uint8_t> labels, std::size_t bins) {
    double sum = 0;
    for (const auto& bin : calibration(probabilities, labels, bins)) sum += static_cast<double>(bin.count) * std::abs(bin.predicted - bin.observed);
    return labels.empty() ? 0 : sum / static_cast<double>(labels.size());
}

std::vector<GainPoint> gain_curve(std::span<const double> scores, std::span<const std::uint8_t> labels, std::size_t points) {
    const auto order = by_falling_score(scores);
    const double all = std::accumulate(labels.begin(), labels.end(), 0.0);
    std::vector<GainPoint> curve{{0, 0}};
    double found = 0;
    std::size_t at = 0;
    for (std::size_t point = 1; point <= points && all > 0; ++point) {
        const std::size_t upto = order.size() * point / points;
        while (at < upto) found += labels[order[at++]];
        curve.push_back({static_cast<double>(point) / static_cast<double>(points), found / all});
    }
    return curve;
}

Interval bootstrap(std::size_t rows, std::size_t draws, std::uint64_t seed,
                   const std::function<double(std::span<const std::uint32_t>)>& statistic) {
    std::vector<std::uint32_t> drawn(rows);
    std::iota(drawn.begin(), drawn.end(), 0u);
    Interval interval{statistic(drawn), 0, 0};
    interval.low = interval.high = interval.value;
    if (rows < 2 || draws < 2) return interval;
    Rng rng(seed);
    std::vector<double> values(draws);
    for (auto& value : values) {
        for (auto& row : drawn) row = static_cast<std::uint32_t>(rng.below(rows));
        value = statistic(drawn);
    }
    std::ranges::sort(values);
    const auto at = [&](double q) { return values[static_cast<std::size_t>(std::llround(q * static_cast<double>(draws - 1)))]; };
    interval.low = at(0.025);
    interval.high = at(0.975);
    return interval;
}

Interval bootstrap_mean(std::span<const double> values, std::size_t draws, std::uint64_t seed) {
    return bootstrap(values.size(), draws, seed, [&](std::span<const std::uint32_t> rows) {
        double sum = 0;
        for (const auto row : rows) sum += values[row];
        return rows.empty() ? 0 : sum / static_cast<double>(rows.size());
    });
}

double Platt::operator()(double x) const noexcept { return 1 / (1 + std::exp(-(a * x + b))); }

Platt fit_platt(std::span<const double> scores, std::span<const std::uint8_t> labels) {
    const double positives = std::accumulate(labels.begin(), labels.end(), 0.0);
    const double negatives = static_cast<double>(labels.size()) - positives;
    const double high = (positives + 1) / (positives + 2), low = 1 / (negatives + 2);
    Platt platt{0, std::log((positives + 1) / (negatives + 1))};
    const auto loss = [&](const Platt& p) {
        double sum = 0;
        for (std::size_t i = 0; i < labels.size(); ++i) {
            const double t = labels[i] ? high : low, z = p.a * scores[i] + p.b;
            sum += (z > 0 ? std::log1p(std::exp(-z)) : std::log1p(std::exp(z)) - z) + (1 - t) * z;
        }
        return sum;
    };
    double current = loss(platt);
    for (int step = 0; step < 100; ++step) {
        double ga = 0, gb = 0, haa = 1e-9, hab = 0, hbb = 1e-9;
        for (std::size_t i = 0; i < labels.size(); ++i) {
            const double p = platt(scores[i]), d = p - (labels[i] ? high : low), w = p * (1 - p);
            ga += d * scores[i], gb += d;
            haa += w * scores[i] * scores[i], hab += w * scores[i], hbb += w;
        }
        const double det = haa * hbb - hab * hab;
        if (det <= 0 || std::abs(ga) + std::abs(gb) < 1e-8) break;
        const double da = (hbb * ga - hab * gb) / det, db = (haa * gb - hab * ga) / det;
        double length = 1;
        for (; length > 1e-10; length /= 2) {
            const Platt tried{platt.a - length * da, platt.b - length * db};
            if (const double value = loss(tried); value < current) {
                platt = tried;
                current = value;
                break;
            }
        }
        if (length <= 1e-10) break;
    }
    return platt;
}

}  // namespace perennial::predict
