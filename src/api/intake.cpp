#include "api/intake.h"

#include <algorithm>
#include <iterator>
#include <utility>

#include "base/log.h"

namespace perennial::api {

Intake::Intake(const IntakeOptions& options, Append append, Quarantine quarantine, Metrics& metrics)
    : options_(options), append_(std::move(append)), quarantine_(std::move(quarantine)), metrics_(metrics), writer_([this] { run(); }) {}

Intake::~Intake() { stop(); }

Intake::Answer Intake::submit(Delivery delivery) {
    const std::lock_guard lock(mutex_);
    if (closed_) return Answer::kClosed;
    if (queue_.size() >= options_.queue_requests_limit || queue_bytes_ + delivery.body_bytes > options_.queue_bytes_limit) {
        metrics_.intake_full();
        return Answer::kFull;
    }
    queue_bytes_ += delivery.body_bytes;
    queue_.push_back(std::move(delivery));
    metrics_.intake_queue(queue_.size());
    ready_.notify_one();
    return Answer::kTaken;
}

void Intake::stop() {
    {
        const std::lock_guard lock(mutex_);
        closed_ = true;
        ready_.notify_one();
    }
    if (writer_.joinable()) writer_.join();
}

std::vector<Delivery> Intake::take_group() {
    std::unique_lock lock(mutex_);
    ready_.wait(lock, [&] { return closed_ || !queue_.empty(); });
    std::vector<Delivery> group;
    for (std::size_t events = 0; !queue_.empty() && events < options_.group_events_limit;) {
        events += queue_.front().events.size();
        queue_bytes_ -= queue_.front().body_bytes;
        group.push_back(std::move(queue_.front()));
        queue_.pop_front();
    }
    metrics_.intake_queue(queue_.size());
    return group;
}

void Intake::run() {
    for (;;) {
        auto group = take_group();
        if (group.empty()) return;
        const Status written = write(group);
        if (!written && !failing_) log::error("events are refused (503) until they can be stored again: {}", written.error().message);
        if (written && failing_) log::info("events can be stored again");
        failing_ = !written;
        for (const auto& delivery : group) {
            if (!written) metrics_.intake_failed();
            delivery.done(written);
        }
    }
}

// Events first: a client that has to send again after a failed quarantine finds them known, while rejects written
// twice would stand twice.
Status Intake::write(std::vector<Delivery>& group) {
    std::vector<event::Event> events;
    std::vector<ingest::Reject> rejects;
    for (auto& delivery : group) {
        std::ranges::move(delivery.events, std::back_inserter(events));
        std::ranges::move(delivery.rejects, std::back_inserter(rejects));
    }
    if (!events.empty()) {
        const auto receipt = append_(std::move(events));
        if (!receipt) return receipt.error();
        metrics_.events(receipt.value().accepted, receipt.value().already_known);
    }
    if (rejects.empty()) return Done{};
    const std::size_t count = rejects.size();
    PERENNIAL_TRY(quarantine_(std::move(rejects)));
    metrics_.rejected(count);
    return Done{};
}

}  // namespace perennial::api
