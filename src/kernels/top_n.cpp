#include "kernels/top_n.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <limits>

namespace perennial::kernels {

float BestN::threshold() const noexcept {
    if (n_ == 0) return std::numeric_limits<float>::infinity();
    return heap_.size() < n_ ? -std::numeric_limits<float>::infinity() : heap_.front().score;
}

void BestN::offer(const Ranked& candidate) {
    if (!(candidate.score > threshold())) return;
    if (heap_.size() == n_) {
        std::ranges::pop_heap(heap_, ranks_before);
        heap_.pop_back();
    }
    heap_.push_back(candidate);
    std::ranges::push_heap(heap_, ranks_before);
}

std::span<const Ranked> BestN::sort() {
    std::ranges::sort(heap_, ranks_before);
    return heap_;
}

std::size_t top_n(std::span<const float> scores, std::span<const std::int32_t> excluded, std::span<Ranked> out) {
    assert(std::ranges::is_sorted(excluded) && scores.size() <= static_cast<std::size_t>(std::numeric_limits<std::int32_t>::max()));
    constexpr std::size_t kChunk = 1024;  // scores looked at between two updates of the threshold
    constexpr std::size_t kFirstChunk = 64;  // the first ones all pass: few of them, to learn a threshold
    BestN best(out.size());
    std::array<std::int32_t, kChunk> hits;
    auto skip = excluded.begin();
    for (std::size_t begin = 0, count = kFirstChunk; begin < scores.size(); begin += count, count = std::min(2 * count, kChunk)) {
        count = std::min(count, scores.size() - begin);
        const std::size_t found = table().above(scores.data() + begin, count, best.threshold(), hits.data());
        for (std::size_t h = 0; h < found; ++h) {
            const auto id = static_cast<std::int32_t>(begin) + hits[h];
            while (skip != excluded.end() && *skip < id) ++skip;
            if (skip == excluded.end() || *skip != id) best.offer({scores[static_cast<std::size_t>(id)], id});
        }
    }
    const auto ranked = best.sort();
    std::ranges::copy(ranked, out.begin());
    return ranked.size();
}

}  // namespace perennial::kernels
