// What the models read of a customer, kept up to date event by event, so that an answer need not read the past again.
// It gives the same answers as one made anew from the whole timeline.
// Threads: a value; one thread at a time.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

#include "event/event.h"
#include "model/network.h"
#include "predict/network_recommender.h"
#include "sequence/sequence.h"

namespace perennial::predict {

class CustomerState {
public:
    // Takes further events into account, in time order. False, and nothing changed, when the first of them is older than
    // what was taken last: the timeline must be read anew. `vocabulary` is the same at every call. O(events).
    bool extend(std::span<const event::Event> events, const sequence::Vocabulary& vocabulary);

    // The network's state after all steps; what it has not seen yet it sees now. `network` is the same at every call.
    // O(steps since the last call), at most the network's reach.
    const model::Session& session(const NetworkRecommender& network);

    struct Own {  // of this customer with one product
        std::int32_t steps = 0;
        std::vector<std::int64_t> bought_ms;    // ascending
        std::optional<std::int64_t> viewed_ms;  // the last time
    };
    std::span<const Step> steps() const noexcept { return steps_; }
    const std::unordered_map<std::int32_t, Own>& products() const noexcept { return products_; }
    std::size_t events() const noexcept { return events_; }  // taken, also those that are no step
    std::size_t bytes() const noexcept;                      // of memory, about

private:
    sequence::StepReader reader_;
    std::vector<Step> steps_;
    std::unordered_map<std::int32_t, Own> products_;
    std::size_t events_ = 0;
    std::int64_t last_ms_ = 0;
    std::optional<model::Session> session_;
    std::size_t purchases_ = 0;
    std::size_t session_steps_ = 0;  // of steps_, seen by session_
};

}  // namespace perennial::predict
