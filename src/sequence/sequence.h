// A customer as a model reads one: the timeline, event by event, in numbers.
// Threads: plain values and pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "event/event.h"
#include "profile/identity.h"
#include "sequence/vocabulary.h"

namespace perennial::sequence {

struct Step {
    std::int32_t product = kNoProduct;
    std::uint8_t kind = 0;        // event::Kind
    std::uint8_t quantity = 0;    // bucket: 0 none, else number of binary digits of the units, at most 15
    std::int64_t time_ms = 0;
    std::int32_t occasion = 0;    // rises by one; steps of one occasion (lines of one order) are exchangeable
    bool purchase() const noexcept { return kind == static_cast<std::uint8_t>(event::Kind::kOrderCompleted); }
};

struct Sequence {
    profile::CustomerKey customer;
    std::vector<Step> steps;      // in time order
};

std::uint8_t quantity_bucket(std::int64_t units) noexcept;

// True for what a customer does or receives; false for bookkeeping (stock, prices, postage, identify, page without product).
bool tells_about_behaviour(const event::Event& event) noexcept;

// Turns a timeline into steps event by event. A value; reads the vocabulary it is given at each call.
class StepReader {
public:
    // Nothing for an event that says nothing about behaviour. `event` not before the one read last.
    std::optional<Step> read(const event::Event& event, const Vocabulary& vocabulary);

private:
    std::string order_;             // of the last step, when that was a purchase
    bool after_purchase_ = false;
    std::int32_t occasion_ = -1;
};

// `timeline` in time order. Events of products unknown to `vocabulary` keep their kind. O(events).
std::vector<Step> steps_of(std::span<const event::Event> timeline, const Vocabulary& vocabulary);

// Steps before `time`, as a view.
std::span<const Step> before(std::span<const Step> steps, std::int64_t time_ms);

}  // namespace perennial::sequence
