#include "sequence/sequence.h"

#include <algorithm>
#include <bit>

namespace perennial::sequence {

std::uint8_t quantity_bucket(std::int64_t units) noexcept {
    if (units <= 0) return 0;
    return static_cast<std::uint8_t>(std::min<std::int64_t>(15, static_cast<std::int64_t>(std::bit_width(static_cast<std::uint64_t>(units)))));
}

bool tells_about_behaviour(const event::Event& event) noexcept {
    using event::Kind;
    switch (event.kind) {
        case Kind::kStockChanged: case Kind::kPriceChanged: case Kind::kIdentify: case Kind::kAlias: case Kind::kOrderCharge:
        case Kind::kDecision: case Kind::kOutcome: case Kind::kCustom: return false;
        case Kind::kPage: return !event.product.empty();
        default: return true;
    }
}

std::vector<Step> steps_of(std::span<const event::Event> timeline, const Vocabulary& vocabulary) {
    std::vector<Step> steps;
    steps.reserve(timeline.size());
    const std::string* order = nullptr;  // of the step before, when that was a purchase
    std::int32_t occasion = -1;
    for (const auto& e : timeline) {
        if (!tells_about_behaviour(e)) continue;
        const bool purchase = e.kind == event::Kind::kOrderCompleted;
        if (!(purchase && order && *order == e.order_id)) ++occasion;
        order = purchase ? &e.order_id : nullptr;
        steps.push_back({e.product.empty() ? kNoProduct : vocabulary.find(e.product), static_cast<std::uint8_t>(e.kind),
                         quantity_bucket(e.quantity), e.time.ms, occasion});
    }
    return steps;
}

std::span<const Step> before(std::span<const Step> steps, std::int64_t time_ms) {
    const auto end = std::ranges::lower_bound(steps, time_ms, {}, &Step::time_ms);
    return steps.first(static_cast<std::size_t>(end - steps.begin()));
}

}  // namespace perennial::sequence
