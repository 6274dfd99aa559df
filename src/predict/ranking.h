// Ranked lists against what was bought. Threads: pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace perennial::predict {

inline constexpr std::array<std::size_t, 3> kCutoffs{5, 10, 20};

// recall = hits / relevant; ndcg with gain 1 and the ideal list of min(k, relevant) hits.
// Source: Jarvelin and Kekalainen 2002. One relevant product gives the leave-one-out forms.
struct RankingMetrics {
    std::array<double, kCutoffs.size()> recall{}, ndcg{};
};

// `scores` of all P products; products in `excluded` never rank. A relevant product's rank counts the better ones plus
// the equal ones with a smaller number, so a constant score earns what it deserves. O(P x relevant).
RankingMetrics rank_metrics(std::span<const float> scores, std::span<const std::int32_t> relevant,
                            std::span<const std::int32_t> excluded);

// Numbers of the n best, best first; -inf scores are left out. O(P + n log n).
std::vector<std::int32_t> top_n(std::span<const float> scores, std::size_t n);

}  // namespace perennial::predict
