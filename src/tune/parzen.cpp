#include "tune/parzen.h"

#include <algorithm>
#include <cmath>
#include <numbers>
#include <numeric>

namespace perennial::tune {
namespace {

using Kind = Parameter::Kind;

// Widths in units of the range. Below the floor two good points that happen to be neighbours would be all that is ever
// proposed (with 0.03 the search is no better than random draws on Branin and Rosenbrock); above the ceiling a kernel is the prior.
constexpr double kWidthFloor = 0.1, kWidthCeiling = 0.5;
// The normal reference rule is right for one normal hump and too wide for a valley or two humps.
constexpr double kWidthShare = 0.5;

double normal_cdf(double z) noexcept { return 0.5 * std::erfc(-z / std::numbers::sqrt2); }

double log_normal(double x, double mean, double width) noexcept {
    const double z = (x - mean) / width;
    const double inside = normal_cdf((1 - mean) / width) - normal_cdf(-mean / width);  // at least half: the mean is inside
    return -0.5 * z * z - std::log(width * std::sqrt(2 * std::numbers::pi) * inside);
}

}  // namespace

Parzen::Parzen(const Space& space, std::vector<std::vector<double>> points) : space_(&space), points_(std::move(points)) {
    const double n = static_cast<double>(points_.size()), d = static_cast<double>(space.size());
    // The normal reference rule, in which a kernel over d coordinates shrinks as n^(-1/(d+4)).
    const double shrink = std::pow(4 / (d + 2), 1 / (d + 4)) * std::pow(std::max(n, 1.0), -1 / (d + 4));
    for (std::size_t j = 0; j < space.size(); ++j) {
        if (space[j].kind == Kind::kCategory) {
            const double choices = static_cast<double>(space[j].choices.size());
            widths_.push_back((choices - 1) / (choices + n));  // as if each choice had been seen once before
            continue;
        }
        double mean = 0, squares = 0;
        for (const auto& point : points_) mean += point[j] / std::max(n, 1.0);
        for (const auto& point : points_) squares += (point[j] - mean) * (point[j] - mean);
        const double spread = n > 1 ? std::sqrt(squares / (n - 1)) : 1;
        widths_.push_back(std::clamp(kWidthShare * spread * shrink, kWidthFloor, kWidthCeiling));
    }
}

double Parzen::log_density(std::span<const double> x) const {
    std::vector<double> logs{0};  // the prior
    for (const auto& point : points_) {
        double log = 0;
        for (std::size_t j = 0; j < x.size(); ++j) {
            const auto& parameter = (*space_)[j];
            if (parameter.kind != Kind::kCategory) {
                log += log_normal(x[j], point[j], widths_[j]);
            } else {
                const double choices = static_cast<double>(parameter.choices.size());
                log += std::log(choices * (x[j] == point[j] ? 1 - widths_[j] : widths_[j] / (choices - 1)));
            }
        }
        logs.push_back(log);
    }
    const double top = *std::ranges::max_element(logs);
    double sum = 0;
    for (const double log : logs) sum += std::exp(log - top);
    return top + std::log(sum / static_cast<double>(logs.size()));
}

std::vector<double> Parzen::sample(Rng& rng) const {
    const auto component = rng.below(points_.size() + 1);
    if (component == points_.size()) return random_point(*space_, rng);
    auto point = points_[component];
    for (std::size_t j = 0; j < point.size(); ++j) {
        const auto& parameter = (*space_)[j];
        if (parameter.kind == Kind::kCategory) {
            if (!rng.chance(widths_[j])) continue;
            const auto other = static_cast<double>(rng.below(parameter.choices.size() - 1));
            point[j] = other < point[j] ? other : other + 1;
        } else {
            double drawn = 0;
            do drawn = point[j] + widths_[j] * rng.normal();  // half of all draws at least are inside
            while (drawn < 0 || drawn > 1);
            point[j] = drawn;
        }
    }
    return point;
}

std::vector<double> propose(const Space& space, std::span<const Observation> observations, Rng rng, const TpeOptions& options) {
    if (observations.size() < space.size() + 3 || rng.chance(options.random_share)) return random_point(space, rng);
    std::vector<std::size_t> order(observations.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return observations[a].value > observations[b].value; });
    const auto good_count = std::max<std::size_t>(2, static_cast<std::size_t>(std::ceil(options.good_share * static_cast<double>(order.size()))));
    std::vector<std::vector<double>> good, bad;
    for (std::size_t i = 0; i < order.size(); ++i) (i < good_count ? good : bad).push_back(observations[order[i]].point);
    const Parzen better(space, std::move(good)), worse(space, std::move(bad));
    std::vector<double> best;
    double best_ratio = 0;
    for (std::size_t c = 0; c < options.candidates; ++c) {
        auto candidate = better.sample(rng);
        const double ratio = better.log_density(candidate) - worse.log_density(candidate);
        if (best.empty() || ratio > best_ratio) best = std::move(candidate), best_ratio = ratio;
    }
    return best;
}

}  // namespace perennial::tune
