// The two ends that every import shares: batches on their way to the sink's thread, and rows on their way to quarantine.
// Threads: EventPipe's methods from one thread; the sink runs on the pipe's own.
#pragma once

#include <algorithm>
#include <cstdint>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/bounded_queue.h"
#include "ingest/import.h"

namespace perennial::ingest {

class EventPipe {
public:
    EventPipe(const Sink& sink, std::size_t batch_events)
        : batch_events_(std::max<std::size_t>(batch_events, 1)), queue_(kBatchesInFlight), thread_([this, &sink] { work(sink); }) {}
    ~EventPipe() { queue_.close(); }

    // False when the sink has failed: stop and call finish().
    bool add(event::Event event) {
        ++events_;
        batch_.push_back(std::move(event));
        return batch_.size() < batch_events_ || push();
    }

    // Waits for the sink to take everything.
    Result<SinkReceipt> finish() {
        if (!batch_.empty()) push();
        queue_.close();
        thread_.join();
        if (error_) return *error_;
        return total_;
    }

    std::uint64_t events() const noexcept { return events_; }

private:
    bool push() {
        std::vector<event::Event> full;
        full.reserve(batch_events_);
        full.swap(batch_);
        return queue_.push(std::move(full));
    }

    void work(const Sink& sink) {
        while (auto batch = queue_.pop()) {
            auto receipt = sink(std::move(*batch));
            if (!receipt) {
                error_ = receipt.error();
                queue_.close();
                return;
            }
            total_.accepted += receipt->accepted;
            total_.already_known += receipt->already_known;
        }
    }

    const std::size_t batch_events_;
    std::vector<event::Event> batch_;
    std::uint64_t events_ = 0;
    BoundedQueue<std::vector<event::Event>> queue_;
    std::optional<Error> error_;  // written by thread_, read after it is joined
    SinkReceipt total_;           // likewise
    std::jthread thread_;         // last: it uses all of the above
};

}  // namespace perennial::ingest
