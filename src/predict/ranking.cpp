#include "predict/ranking.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <numeric>

namespace perennial::predict {

RankingMetrics rank_metrics(std::span<const float> scores, std::span<const std::int32_t> relevant,
                            std::span<const std::int32_t> excluded) {
    std::vector<std::size_t> ranks;
    for (const auto product : relevant) {
        if (product < 0 || std::ranges::find(excluded, product) != excluded.end()) continue;
        const auto own = static_cast<std::size_t>(product);
        const float score = scores[own];
        const auto beats = [&](std::size_t j) { return scores[j] > score || (scores[j] == score && j < own); };
        std::size_t better = 0;
        for (std::size_t j = 0; j < scores.size(); ++j) better += beats(j);
        for (const auto j : excluded) better -= beats(static_cast<std::size_t>(j));
        ranks.push_back(better);
    }
    RankingMetrics metrics;
    if (relevant.empty()) return metrics;
    for (std::size_t c = 0; c < kCutoffs.size(); ++c) {
        double hits = 0, gain = 0, ideal = 0;
        for (const auto rank : ranks)
            if (rank < kCutoffs[c]) hits += 1, gain += 1 / std::log2(2.0 + static_cast<double>(rank));
        for (std::size_t i = 0; i < std::min(kCutoffs[c], relevant.size()); ++i) ideal += 1 / std::log2(2.0 + static_cast<double>(i));
        metrics.recall[c] = hits / static_cast<double>(relevant.size());
        metrics.ndcg[c] = gain / ideal;
    }
    return metrics;
}

std::vector<std::int32_t> top_n(std::span<const float> scores, std::size_t n) {
    std::vector<std::int32_t> numbers;
    numbers.reserve(scores.size());
    for (std::size_t i = 0; i < scores.size(); ++i)
        if (scores[i] > -std::numeric_limits<float>::infinity()) numbers.push_back(static_cast<std::int32_t>(i));
    n = std::min(n, numbers.size());
    const auto score = [&](std::int32_t i) { return scores[static_cast<std::size_t>(i)]; };
    std::ranges::partial_sort(numbers, numbers.begin() + static_cast<std::ptrdiff_t>(n), [&](std::int32_t a, std::int32_t b) {
        return score(a) != score(b) ? score(a) > score(b) : a < b;
    });
    numbers.resize(n);
    return numbers;
}

}  // namespace perennial::predict
