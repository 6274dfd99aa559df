#include "profile/fold_queue.h"

#include <pthread.h>

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/log.h"

namespace perennial::profile {

FoldQueue::FoldQueue(std::size_t events_limit, std::size_t group_limit, Fold fold)
    : events_limit_(events_limit), group_limit_(group_limit), fold_(std::move(fold)), thread_([this](const std::stop_token& stop) { run(stop); }) {}

bool FoldQueue::knows(const Hash128& id) const {
    const std::lock_guard lock(mutex_);
    return ids_.contains(id);
}

Status FoldQueue::make_room() {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [&] { return events_ < events_limit_ || !failure_.ok(); });
    return events_ < events_limit_ ? Status(Done{}) : failure_;
}

void FoldQueue::push(std::vector<event::Event> events, journal::Offset next, std::span<const Hash128> ids) {
    const std::lock_guard lock(mutex_);
    events_ += events.size();
    ids_.insert(ids.begin(), ids.end());
    groups_.push_back({std::move(events), next});
    pushed_ = next;
    changed_.notify_all();
}

Status FoldQueue::wait_until_folded(std::chrono::milliseconds limit) const {
    std::unique_lock lock(mutex_);
    const auto wanted = pushed_;
    changed_.wait_for(lock, limit, [&] { return folded_ >= wanted || !failure_.ok(); });
    if (folded_ >= wanted) return Done{};
    return failure_.ok() ? Status(Error{Code::kBusy, "the newest events are not folded yet"}) : failure_;
}

FoldQueue::Group FoldQueue::take() {
    Group group = std::move(groups_.front());
    groups_.pop_front();
    while (!groups_.empty() && group.events.size() < group_limit_) {
        std::ranges::move(groups_.front().events, std::back_inserter(group.events));
        group.next = groups_.front().next;
        groups_.pop_front();
    }
    return group;
}

void FoldQueue::run(const std::stop_token& stop) {
    ::pthread_setname_np(::pthread_self(), "fold");
    for (;;) {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, stop, [&] { return !groups_.empty(); });
        if (groups_.empty() || (stop.stop_requested() && !failure_.ok())) return;
        Group group = take();
        lock.unlock();
        const auto status = fold_(group.events, group.next);
        std::vector<Hash128> ids;
        for (const auto& event : group.events) ids.push_back(hash128(event.message_id));
        lock.lock();
        if (status && !failure_.ok()) log::info("events can be folded again");
        if (!status && failure_.ok()) log::error("events are in the journal but not yet in the profiles: {}", status.error().message);
        failure_ = status;
        if (status) {
            folded_ = group.next;
            events_ -= group.events.size();
            for (const auto& id : ids) ids_.erase(id);
        } else {
            groups_.push_front(std::move(group));
        }
        changed_.notify_all();
        if (!status) changed_.wait_for(lock, stop, kFoldRetry, [] { return false; });
    }
}

}  // namespace perennial::profile
