// Group commit: tracking requests lay their events on a bounded queue; one writer thread takes what is queued, appends it
// in one call (one fdatasync for all of them) and then lets every request know. So an answer means "durable", and the
// more requests wait, the fewer syncs each costs.
// Threads: submit() from any; append and quarantine are called from the writer thread only; so is `done`.
#pragma once

#include <condition_variable>
#include <cstddef>
#include <deque>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "api/metrics.h"
#include "base/result.h"
#include "event/event.h"
#include "ingest/segment.h"
#include "profile/store.h"

namespace perennial::api {

struct IntakeOptions {
    std::size_t queue_requests_limit = 8192;
    std::size_t queue_bytes_limit = 64 << 20;  // of request bodies; what was read from them takes two to four times as much
    std::size_t group_events_limit = 16'384;   // a group ends once it has this many: bounds how long the first one waits
};

struct Delivery {
    std::vector<event::Event> events;
    std::vector<ingest::Reject> rejects;
    std::size_t body_bytes = 0;
    std::function<void(const Status&)> done;  // called once: everything is durable, or nothing was acknowledged
};

class Intake {
public:
    using Append = std::function<Result<profile::Receipt>(std::vector<event::Event>)>;
    using Quarantine = std::function<Status(std::vector<ingest::Reject>)>;
    enum class Answer { kTaken, kFull, kClosed };  // `done` is called for kTaken only

    Intake(const IntakeOptions& options, Append append, Quarantine quarantine, Metrics& metrics);
    Intake(const Intake&) = delete;
    Intake& operator=(const Intake&) = delete;
    ~Intake();  // stop()

    Answer submit(Delivery delivery);
    void stop();  // takes nothing more, writes what is queued, ends the writer

private:
    void run();
    std::vector<Delivery> take_group();  // empty: closed and drained
    Status write(std::vector<Delivery>& group);

    const IntakeOptions options_;
    const Append append_;
    const Quarantine quarantine_;
    Metrics& metrics_;

    std::mutex mutex_;
    std::condition_variable ready_;
    std::deque<Delivery> queue_;   // under mutex_, as are the two below
    std::size_t queue_bytes_ = 0;
    bool closed_ = false;

    bool failing_ = false;         // the writer's own: one log line for each run of failures
    std::thread writer_;           // last: starts when the rest is ready
};

}  // namespace perennial::api
