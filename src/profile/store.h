// A shop's memory: the journal, and what is folded from it (timelines, profiles, products, identity links, known message
// ids) in RocksDB. The journal offset that the fold has reached is written in the same atomic batch as the fold itself,
// so after a crash the fold resumes at exactly the next event; and the whole fold can be deleted and rebuilt.
// Threads: append() from one thread; every const member from any thread beside it. With fold_behind_events the store has
// a thread of its own that folds.
#pragma once

#include <chrono>
#include <filesystem>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "catalog/catalog.h"
#include "event/event.h"
#include "journal/journal.h"
#include "profile/identity.h"
#include "profile/merges.h"
#include "profile/profile.h"

namespace perennial::profile {

// Some 0.1 s of folding, 30 MB of events.
inline constexpr std::size_t kFoldBehindEvents = 16'384;

struct StoreOptions {
    bool read_only = false;          // beside a running server; sees everything folded so far, which may be some 0.1 s behind, and
                                     // after a kill until the next opening for writing
    journal::Options journal = {};
    std::size_t fold_events = 32'768;  // events folded per atomic batch when catching up: bounds memory
    // 0: append() folds before it returns. Else it returns once the events are durable, and a thread folds them behind it;
    // append() waits while more events than this are not folded yet.
    std::size_t fold_behind_events = 0;
};

struct Receipt {
    std::size_t accepted = 0, already_known = 0;
};

// Hears of every timeline that changes, on the thread that folds: append()'s, or the store's own. What it keeps of timelines can so stay true without
// reading them again: what a reader finds in the store between the two calls may be old or new.
class TimelineWatcher {
public:
    virtual ~TimelineWatcher() = default;
    virtual void changing(const CustomerKey& key) = 0;  // before readers can see it
    // After readers can see it; before append() returns where that folds. `added`: the new events' bytes, for decode_timeline. `anew`: the
    // timeline was emptied by a sign-in or the change failed half way; it must be read again.
    virtual void changed(const CustomerKey& key, std::string_view added, bool anew) = 0;
};

// Events in time order; equal times keep the order of arrival. Errors: kCorrupt.
Result<std::vector<event::Event>> decode_timeline(std::string_view bytes);

class Store {
public:
    // Opens DIR/journal and DIR/state, creating them unless read_only; folds what the journal holds beyond the fold.
    // Errors: kBusy, kNotFound (read_only and nothing there), kCorrupt (the fold is ahead of the journal: records were
    // lost; restore the journal), kIo.
    static Result<Store> open(const std::filesystem::path& directory, const StoreOptions& options = {});
    Store(Store&&) noexcept;
    Store& operator=(Store&&) noexcept;
    ~Store();

    // Drops events whose message_id is known (also within `events`), appends the rest to the journal, folds them.
    // Durable on return, and visible to readers unless the fold is behind (StoreOptions). Events must have passed event::validate. After an error nothing was
    // acknowledged: send the same events again, and what did reach the journal is known by then and not doubled.
    Result<Receipt> append(std::vector<event::Event> events);

    // Waits until all that append() has returned for is folded. From any thread. Errors: kBusy (not within `limit`), and
    // the error of a fold that keeps failing; it is tried again every kFoldRetry.
    Status settle(std::chrono::milliseconds limit = std::chrono::minutes(10)) const;

    // `watcher` hears of all later appends; null ends it. Waits for the fold under way.
    void watch(TimelineWatcher* watcher) noexcept;

    // The key that `key` leads to after sign-ins, aliases and merges; itself when it was never joined.
    CustomerKey resolve(const CustomerKey& key) const;
    // The same before merges: under which key the journal's events of `key` are kept.
    CustomerKey own_key(const CustomerKey& key) const;
    // All keys of the person, in key order; empty when it was never merged.
    std::vector<CustomerKey> merged_with(const CustomerKey& key) const;
    // What was last decided of each pair of keys, in order of the pairs.
    Result<std::vector<MergeDecision>> merge_decisions() const;
    Result<std::optional<Profile>> profile(const CustomerKey& key) const;
    // In time order; equal times keep the order of arrival. Empty when unknown.
    Result<std::vector<event::Event>> timeline(const CustomerKey& key) const;

    // In key order, a person of several merged keys once, under the one that speaks for it. A callback that returns false
    // ends the walk.
    Status for_each_profile(const std::function<bool(const CustomerKey&, const Profile&)>& visit) const;
    // Also the anonymous orders ("o:" keys) when asked for.
    Status for_each_timeline(bool with_anonymous_orders,
                             const std::function<bool(const CustomerKey&, const std::vector<event::Event>&)>& visit) const;

    Result<std::vector<catalog::Product>> products() const;
    journal::Offset folded() const noexcept;
    UtcTime last_event_time() const noexcept;  // latest event time folded, not counting the future

    // All folded records in key order, for comparing two folds bit by bit.
    Result<std::string> dump() const;
    Status flush();

    struct State;  // in store.cpp

private:
    explicit Store(std::unique_ptr<State> state) noexcept;
    std::unique_ptr<State> state_;
};

}  // namespace perennial::profile
