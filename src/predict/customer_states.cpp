#include "predict/customer_states.h"

#include <utility>

#include "base/hash.h"

namespace perennial::predict {

CustomerStates::CustomerStates(profile::Store& store, std::size_t bytes_limit) : store_(store), bytes_limit_(bytes_limit), watches_(kWatches) {
    store_.watch(this);
}

CustomerStates::~CustomerStates() { store_.watch(nullptr); }

CustomerStates::Watch& CustomerStates::watch(const profile::CustomerKey& key) { return watches_[StringHash{}(key) % kWatches]; }

std::shared_ptr<CustomerStates::Entry> CustomerStates::find(const profile::CustomerKey& key, bool asked) {
    const std::lock_guard lock(mutex_);
    const auto found = places_.find(key);
    if (found == places_.end()) return nullptr;
    if (asked) recent_.splice(recent_.begin(), recent_, found->second);
    return *found->second;
}

Status CustomerStates::with(const profile::CustomerKey& customer, std::uint64_t models, const sequence::Vocabulary& vocabulary,
                            const std::function<void(CustomerState&)>& use) {
    const auto key = store_.resolve(customer);
    if (const auto entry = find(key, true)) {
        if (entry->models == models && use_kept(*entry, vocabulary, use)) {
            const std::lock_guard lock(mutex_);
            ++counts_.hits;
            return Done{};
        }
        drop(*entry, &Counts::overtaken);
    }
    // Not kept when the timeline was written while it was read: nobody could tell which events are in.
    const auto before = watch(key).begun.load();
    const bool quiet = watch(key).writing.load() == 0;  // asked second: a write that had begun by `before` has ended
    auto timeline = store_.timeline(key);
    if (!timeline) return timeline.error();
    const auto entry = std::make_shared<Entry>(key, models);
    const std::lock_guard state_lock(entry->state_mutex);
    entry->state.extend(*timeline, vocabulary);
    if (quiet && entry->state.events() > 0) {  // before the use, so that events that arrive meanwhile find it
        const std::lock_guard lock(mutex_);
        if (watch(key).begun.load() == before && !places_.contains(key)) {
            recent_.push_front(entry);
            places_.emplace(entry->key, recent_.begin());
            entry->kept = true;
        }
    }
    use(entry->state);
    {
        const std::lock_guard lock(mutex_);
        ++counts_.misses;
    }
    count_bytes(*entry, entry->state.bytes());
    return Done{};
}

bool CustomerStates::use_kept(Entry& entry, const sequence::Vocabulary& vocabulary, const std::function<void(CustomerState&)>& use) {
    const std::lock_guard state_lock(entry.state_mutex);
    std::vector<event::Event> fresh;
    {
        const std::lock_guard lock(entry.pending_mutex);
        if (entry.overtaken) return false;
        fresh = std::exchange(entry.pending, {});
    }
    // One by one: each batch is in order, batches need not be.
    for (const auto& event : fresh)
        if (!entry.state.extend({&event, 1}, vocabulary)) {
            const std::lock_guard lock(entry.pending_mutex);
            entry.overtaken = true;
            return false;
        }
    use(entry.state);
    if (!fresh.empty()) count_bytes(entry, entry.state.bytes());
    return true;
}

void CustomerStates::changing(const profile::CustomerKey& key) {
    ++watch(key).writing;
    ++watch(key).begun;
}

void CustomerStates::changed(const profile::CustomerKey& key, std::string_view added, bool anew) {
    if (const auto entry = find(key, false)) {
        std::vector<event::Event> events;
        if (auto decoded = profile::decode_timeline(added); !anew && decoded) events = std::move(*decoded);
        const std::lock_guard lock(entry->pending_mutex);
        if (events.empty() || entry->pending.size() + events.size() > kPendingEventsLimit) {
            entry->overtaken = true;
            entry->pending.clear();
        } else if (!entry->overtaken) {
            entry->pending.insert(entry->pending.end(), std::make_move_iterator(events.begin()), std::make_move_iterator(events.end()));
        }
    }
    --watch(key).writing;
}

void CustomerStates::count_bytes(Entry& entry, std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    if (!entry.kept) return;
    bytes += sizeof(Entry) + entry.key.size();
    counts_.bytes += bytes - entry.bytes;
    entry.bytes = bytes;
    while (counts_.bytes > bytes_limit_ && !recent_.empty()) {
        erase(std::prev(recent_.end()));
        ++counts_.left;
    }
}

void CustomerStates::drop(const Entry& entry, std::uint64_t Counts::*why) {
    const std::lock_guard lock(mutex_);
    if (!entry.kept) return;
    erase(places_.at(entry.key));
    ++(counts_.*why);
}

void CustomerStates::erase(Place place) {
    const auto entry = *place;  // its key is the map's
    counts_.bytes -= entry->bytes;
    entry->bytes = 0;
    entry->kept = false;
    places_.erase(entry->key);
    recent_.erase(place);
}

CustomerStates::Counts CustomerStates::counts() const {
    const std::lock_guard lock(mutex_);
    auto counts = counts_;
    counts.customers = recent_.size();
    return counts;
}

}  // namespace perennial::predict
