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

std::optional<Step> StepReader::read(const event::Event& event, const Vocabulary& vocabulary) {
    if (!tells_about_behaviour(event)) return std::nullopt;
    const bool purchase = event.kind == event::Kind::kOrderCompleted;
    const bool same_order = purchase && after_purchase_ && order_ == event.order_id;
    if (!same_order) ++occasion_;
    if (purchase && !same_order) order_ = event.order_id;
    after_purchase_ = purchase;
    return Step{event.product.empty() ? kNoProduct : vocabulary.find(event.product), static_cast<std::uint8_t>(event.kind), quantity_bucket(event.quantity),
                event.time.ms, occasion_};
}

std::vector<Step> steps_of(std::span<const event::Event> timeline, const Vocabulary& vocabulary) {
    std::vector<Step> steps;
    steps.reserve(timeline.size());
    StepReader reader;
    for (const auto& event : timeline)
        if (const auto step = reader.read(event, vocabulary)) steps.push_back(*step);
    return steps;
}

std::span<const Step> before(std::span<const Step> steps, std::int64_t time_ms) {
    const auto end = std::ranges::lower_bound(steps, time_ms, {}, &Step::time_ms);
    return steps.first(static_cast<std::size_t>(end - steps.begin()));
}

}  // namespace perennial::sequence
