// The n best of P scores, some ids left out: what is left of ranking when the scores are there.
// Order: the higher score first; of equal scores the lower id first. A score that is NaN or -inf never ranks (-inf is how
// a caller masks), +inf does. Threads: pure functions.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "kernels/isa.h"

namespace perennial::kernels {

struct Ranked {
    float score = 0;
    std::int32_t id = 0;
    bool operator==(const Ranked&) const = default;
};

// True when `a` ranks before `b`.
inline bool ranks_before(const Ranked& a, const Ranked& b) noexcept { return a.score != b.score ? a.score > b.score : a.id < b.id; }

// Keeps the n best of what is offered in ascending order of id. Memory O(n), offer() O(log n) when it enters.
class BestN {
public:
    explicit BestN(std::size_t n) : n_(n) { heap_.reserve(n); }
    // Only a score above this one can still enter: as ids ascend, an equal score has lost already.
    float threshold() const noexcept;
    void offer(const Ranked& candidate);       // one whose score is not above the threshold is ignored
    std::span<const Ranked> sort();            // best first; nothing may be offered afterwards

private:
    std::size_t n_;
    std::vector<Ranked> heap_;  // the worst first
};

// Writes the best of `scores` [P], ids 0..P-1, to `out` and returns how many: less than out.size() when fewer may rank.
// `excluded` ascending; repeats and ids outside the range do no harm. P < 2^31. Reads the scores once: O(P + excluded +
// entries log n), where random order makes about n ln(P / n) entries, and ascending scores P.
std::size_t top_n(std::span<const float> scores, std::span<const std::int32_t> excluded, std::span<Ranked> out);

}  // namespace perennial::kernels
