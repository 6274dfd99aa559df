#include "predict/recommender.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <unordered_map>

#include "base/parallel.h"
#include "base/rng.h"
#include "base/time.h"

namespace perennial::predict {
namespace {

void normalise(std::span<float> shares) {
    double sum = 0;
    for (const float x : shares) sum += x;
    const auto scale = sum > 0 ? static_cast<float>(1 / sum) : 0.0f;
    for (float& x : shares) x = sum > 0 ? x * scale : 1.0f / static_cast<float>(shares.size());
}

}  // namespace

Popularity::Popularity(std::span<const sequence::Sequence> sequences, std::size_t products, double half_life_days, std::int64_t now_ms)
    : shares_(products, 0.0f) {
    std::vector<double> counts(products, 0.01);  // a product nobody bought yet is unlikely, not impossible
    for (const auto& sequence : sequences)
        for (const auto& step : sequence.steps) {
            if (!step.purchase() || step.product < 0) continue;
            const double age_days = days_between({step.time_ms}, {now_ms});
            counts[static_cast<std::size_t>(step.product)] += half_life_days > 0 ? std::exp2(-age_days / half_life_days) : 1;
        }
    std::ranges::transform(counts, shares_.begin(), [](double count) { return static_cast<float>(count); });
    normalise(shares_);
}

void Popularity::score(std::span<const Step>, std::int64_t, std::span<float> shares) const { std::ranges::copy(shares_, shares.begin()); }

void OwnRepeats::score(std::span<const Step> history, std::int64_t, std::span<float> shares) const {
    std::ranges::transform(popularity_->shares(), shares.begin(), [](float share) { return share * 1e-3f; });
    float recency = 0;
    for (const auto& step : history) {
        recency += 1e-3f / static_cast<float>(history.size());  // below one purchase, above any popularity
        if (step.purchase() && step.product >= 0) shares[static_cast<std::size_t>(step.product)] += 1 + recency;
    }
    normalise(shares);
}

void Mixture::score(std::span<const Step> history, std::int64_t now_ms, std::span<float> shares) const { add(nullptr, history, now_ms, shares); }

void Mixture::score_with(const model::Session& session, std::span<const Step> history, std::int64_t now_ms, std::span<float> shares) const {
    add(&session, history, now_ms, shares);
}

void Mixture::add(const model::Session* session, std::span<const Step> history, std::int64_t now_ms, std::span<float> shares) const {
    std::ranges::fill(shares, 0.0f);
    std::vector<float> own(shares.size());
    for (const auto& part : parts_) {
        if (part.weight <= 0) continue;
        if (session != nullptr) part.recommender->score_with(*session, history, now_ms, own);
        else part.recommender->score(history, now_ms, own);
        for (std::size_t i = 0; i < shares.size(); ++i) shares[i] += static_cast<float>(part.weight) * own[i];
    }
}

std::vector<RankingMetrics> evaluate(const Recommender& recommender, std::span<const Unit> units, std::size_t products, unsigned threads) {
    std::vector<RankingMetrics> metrics(units.size());
    parallel_for(units.size(), 16, threads, [&](std::size_t begin, std::size_t end) {
        std::vector<float> shares(products);
        for (std::size_t u = begin; u < end; ++u) {
            recommender.score(units[u].history, units[u].now_ms, shares);
            metrics[u] = rank_metrics(shares, units[u].relevant, units[u].excluded);
        }
    });
    return metrics;
}

double mean_ndcg10(std::span<const RankingMetrics> metrics) {
    double sum = 0;
    for (const auto& m : metrics) sum += m.ndcg[1];
    return metrics.empty() ? 0 : sum / static_cast<double>(metrics.size());
}

std::vector<double> tune_mixture(std::span<const std::shared_ptr<const Recommender>> parts, std::span<const Unit> units,
                                 std::size_t products, std::size_t units_limit, std::uint64_t seed, unsigned threads) {
    constexpr int kTenths = 10;
    std::vector<std::vector<double>> grid;  // all weight vectors in tenths that sum to 1
    std::vector<int> tenths(parts.size(), 0);
    const auto fill = [&](auto&& self, std::size_t at, int left) -> void {
        if (at + 1 == parts.size()) {
            tenths[at] = left;
            auto& weights = grid.emplace_back();
            for (const int t : tenths) weights.push_back(t / static_cast<double>(kTenths));
            return;
        }
        for (int t = 0; t <= left; ++t) {
            tenths[at] = t;
            self(self, at + 1, left - t);
        }
    };
    if (parts.empty()) return {};
    fill(fill, 0, kTenths);
    if (units.empty()) return std::vector<double>(parts.size(), 1.0 / static_cast<double>(parts.size()));

    std::vector<std::uint32_t> drawn(units.size());
    std::iota(drawn.begin(), drawn.end(), 0u);
    Rng rng(seed);
    rng.shuffle(drawn);
    drawn.resize(std::min(units_limit, drawn.size()));

    std::vector<std::vector<float>> ndcg(drawn.size(), std::vector<float>(grid.size()));
    parallel_for(drawn.size(), 8, threads, [&](std::size_t begin, std::size_t end) {
        std::vector<float> own(parts.size() * products), mixed(products);
        for (std::size_t u = begin; u < end; ++u) {
            const auto& unit = units[drawn[u]];
            for (std::size_t k = 0; k < parts.size(); ++k)
                parts[k]->score(unit.history, unit.now_ms, std::span(own).subspan(k * products, products));
            for (std::size_t g = 0; g < grid.size(); ++g) {
                std::ranges::fill(mixed, 0.0f);
                for (std::size_t k = 0; k < parts.size(); ++k) {
                    const auto weight = static_cast<float>(grid[g][k]);
                    if (weight == 0) continue;
                    const float* part = own.data() + k * products;
                    for (std::size_t i = 0; i < products; ++i) mixed[i] += weight * part[i];
                }
                ndcg[u][g] = static_cast<float>(rank_metrics(mixed, unit.relevant, unit.excluded).ndcg[1]);
            }
        }
    });
    std::size_t best = 0;
    double best_sum = -1;
    for (std::size_t g = 0; g < grid.size(); ++g) {
        double sum = 0;
        for (const auto& row : ndcg) sum += row[g];
        if (sum > best_sum) best = g, best_sum = sum;
    }
    return grid[best];
}

}  // namespace perennial::predict
