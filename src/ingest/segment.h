// Segment-spec messages (identify, track, page, screen, group, alias, batch) to events: shared by the HTTP API and the
// import of JSON lines. Names of the e-commerce spec v2 become our kinds whatever their case, blanks or underscores; an
// order of three products becomes three events "<id>#0" .. "<id>#2". A message that cannot be read becomes a reject
// beside the others and never fails its batch. A product's "line_total" counts as its amount where there is one, else price times quantity. Nulls are not errors. E-mail addresses and telephone numbers are hashed
// here and go no further. Threads: one SegmentParser per thread.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/money.h"
#include "base/result.h"
#include "base/time.h"
#include "event/event.h"

namespace perennial::ingest {

// Segment's own limits.
inline constexpr std::size_t kMessageBytesLimit = 32 * 1024;
inline constexpr std::size_t kBatchBytesLimit = 500 * 1024;
inline constexpr std::size_t kBatchMessagesLimit = 2500;

struct Reject {
    std::string reason;  // "no_user_anon_id: want userId or anonymousId, got neither"
    std::string raw;     // the message as it came, minified
};

struct Parsed {
    std::vector<event::Event> events;
    std::vector<Reject> rejects;
    std::size_t messages = 0;  // read or rejected
    std::string write_key;     // of the body; empty when it has none
};

struct SegmentContext {
    UtcTime received;
    Currency currency;          // where a message names none
    bool needs_time = false;    // a file: a message without any time is rejected instead of dated at its receipt
    event::Channel channel = event::Channel::kUnknown;  // where a message does not tell
    std::size_t message_bytes_limit = kMessageBytesLimit;
};

class SegmentParser {
public:
    SegmentParser();
    SegmentParser(SegmentParser&&) noexcept;
    SegmentParser& operator=(SegmentParser&&) noexcept;
    ~SegmentParser();

    // One message. `type` is the endpoint's ("track"); empty: the message must say it. A body {"batch":[...]} is read
    // as a batch when no type is given. Errors (of the whole body, HTTP 400): kInvalid (not a JSON object), kFull (too large).
    Result<Parsed> parse_message(std::string_view body, std::string_view type, const SegmentContext& context);
    // {"batch":[...], "context":{...}, "sentAt":...}; the batch's context is merged below each message's own.
    Result<Parsed> parse_batch(std::string_view body, const SegmentContext& context);

private:
    struct State;
    std::unique_ptr<State> state_;
};

// The kind that a track event's name stands for; kCustom when we have no word for it.
event::Kind kind_of_track_name(std::string_view name);

// Hex of the 128-bit XXH3 hash of the trimmed, lower-cased text: what stands for an e-mail address or telephone number.
std::string personal_hash(std::string_view text);

}  // namespace perennial::ingest
