// States of the customers who asked last, kept between requests and extended by new events alone. The least recently
// asked leave first when the bytes run out; a state made for other models, or overtaken by a late event or a sign-in, is
// made anew. Answers from here equal answers made from the stored timeline.
// Threads: all members from any; requests of one customer wait for each other.
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>
#include <list>
#include <memory>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/result.h"
#include "predict/customer_state.h"
#include "profile/store.h"

namespace perennial::predict {

inline constexpr std::size_t kCustomerStatesBytes = std::size_t{256} << 20;  // about 2,000 customers of long histories
inline constexpr std::size_t kPendingEventsLimit = 256;                      // new events of a customer who does not ask again

class CustomerStates : public profile::TimelineWatcher {
public:
    // `store` outlives this and is watched until then. Make it before the store is appended to by another thread.
    explicit CustomerStates(profile::Store& store, std::size_t bytes_limit = kCustomerStatesBytes);
    ~CustomerStates() override;
    CustomerStates(const CustomerStates&) = delete;
    CustomerStates& operator=(const CustomerStates&) = delete;

    // Calls `use` with the customer's state as of all events acknowledged before this call. `models` is a number for the
    // vocabulary and network that states are made with: states of another number are not used. Errors: of the store.
    Status with(const profile::CustomerKey& customer, std::uint64_t models, const sequence::Vocabulary& vocabulary,
                const std::function<void(CustomerState&)>& use);

    struct Counts {
        std::uint64_t hits = 0, misses = 0;     // a miss read the whole timeline
        std::uint64_t overtaken = 0, left = 0;  // states dropped for a late event or a sign-in; for want of room
        std::uint64_t customers = 0, bytes = 0;
    };
    Counts counts() const;

    void changing(const profile::CustomerKey& key) override;
    void changed(const profile::CustomerKey& key, std::string_view added, bool anew) override;

private:
    struct Entry {
        explicit Entry(profile::CustomerKey k, std::uint64_t m) : key(std::move(k)), models(m) {}
        const profile::CustomerKey key;
        const std::uint64_t models;
        std::mutex state_mutex;  // taken before pending_mutex
        CustomerState state;     // under state_mutex
        std::mutex pending_mutex;
        std::vector<event::Event> pending;  // under pending_mutex: acknowledged, not yet in `state`
        bool overtaken = false;             // under pending_mutex
        std::size_t bytes = 0;              // under the cache's mutex_: as last counted
        bool kept = false;                  // under the cache's mutex_: still in the list
    };
    using Place = std::list<std::shared_ptr<Entry>>::iterator;

    std::shared_ptr<Entry> find(const profile::CustomerKey& key, bool asked);
    bool use_kept(Entry& entry, const sequence::Vocabulary& vocabulary, const std::function<void(CustomerState&)>& use);
    void drop(const Entry& entry, std::uint64_t Counts::*why);
    void count_bytes(Entry& entry, std::size_t bytes);
    void erase(Place place);  // under mutex_
    // Customers share these: a state is now and then not kept though it could be, never kept though it must not.
    struct Watch { std::atomic<std::uint64_t> begun{0}; std::atomic<std::uint32_t> writing{0}; };
    Watch& watch(const profile::CustomerKey& key);

    profile::Store& store_;
    const std::size_t bytes_limit_;
    static constexpr std::size_t kWatches = 1u << 14;
    std::vector<Watch> watches_;  // by hash of the key: writes of timelines begun, and those not finished

    mutable std::mutex mutex_;
    std::list<std::shared_ptr<Entry>> recent_;  // the one who asked last in front
    std::unordered_map<std::string_view, Place> places_;  // by Entry::key
    Counts counts_;
};

}  // namespace perennial::predict
