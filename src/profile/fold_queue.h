// Events that are in the journal and wait to be folded, and the thread that folds them (docs/design/fold-behind.md).
// Threads: make_room() and push() from one thread; the rest from any.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <span>
#include <stop_token>
#include <thread>
#include <unordered_set>
#include <vector>

#include "base/hash.h"
#include "base/result.h"
#include "event/event.h"
#include "journal/journal.h"

namespace perennial::profile {

inline constexpr std::chrono::seconds kFoldRetry(1);

class FoldQueue {
public:
    // `next`: the offset after the last of the events. Called from the queue's thread alone, in the order of push().
    using Fold = std::function<Status(std::span<const event::Event> events, journal::Offset next)>;

    // Waits for no more than `events_limit` events plus one push; folds up to about `group_limit` at once, so that neighbours share the
    // cost of a customer's or a product's record.
    FoldQueue(std::size_t events_limit, std::size_t group_limit, Fold fold);
    // Folds what waits, unless folding fails: the journal has it, and the next opening folds it.
    ~FoldQueue() = default;

    // An id of an event that is not folded yet.
    bool knows(const Hash128& id) const;
    // Waits for room. Errors: that of a fold that keeps failing; it is tried again every kFoldRetry.
    Status make_room();
    // `ids`: the hashes of the events' message ids.
    void push(std::vector<event::Event> events, journal::Offset next, std::span<const Hash128> ids);
    // Until everything pushed before is folded. Errors: kBusy (not within `limit`), that of a fold that keeps failing.
    Status wait_until_folded(std::chrono::milliseconds limit) const;

private:
    struct Group {
        std::vector<event::Event> events;
        journal::Offset next;
    };
    void run(const std::stop_token& stop);
    Group take();  // under mutex_

    const std::size_t events_limit_, group_limit_;
    const Fold fold_;
    mutable std::mutex mutex_;
    mutable std::condition_variable_any changed_;
    std::deque<Group> groups_;  // under mutex_, as are all below
    std::unordered_set<Hash128, Hash128Hasher> ids_;
    std::size_t events_ = 0;    // in groups_ and in the fold under way
    journal::Offset pushed_, folded_;
    Status failure_ = Done{};
    std::jthread thread_;       // last: starts when the rest is ready, and is joined first
};

}  // namespace perennial::profile
