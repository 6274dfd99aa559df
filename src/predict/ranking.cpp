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
    struct Scored { float score; std::int32_t number; };
    std::vector<Scored> all;
    all.reserve(scores.size());
    for (std::size_t i = 0; i < scores.size(); ++i)
        if (scores[i] > -std::numeric_limits<float>::infinity()) all.push_back({scores[i], static_cast<std::int32_t>(i)});
    const auto better = [](const Scored& a, const Scored& b) { return a.score != b.score ? a.score > b.score : a.number < b.number; };
    const auto end = all.begin() + static_cast<std::ptrdiff_t>(std::min(n, all.size()));
    if (end != all.end()) std::nth_element(all.begin(), end, all.end(), better);
    std::sort(all.begin(), end, better);
    std::vector<std::int32_t> numbers;
    for (auto best = all.begin(); best != end; ++best) numbers.push_back(best->number);
    return numbers;
}

}  // namespace perennial::predict
