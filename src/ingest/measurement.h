// Bodies of Google's measurement protocol (GA4) to events: {"client_id", "user_id", "timestamp_micros", "events":[{"name",
// "params":{..., "items":[...]}}]}. Put into Segment-spec messages, which SegmentParser reads, so the rules for orders, money
// and personal data hold once. Threads: pure functions.
#pragma once

#include <boost/json/array.hpp>

#include <cstddef>
#include <string_view>

#include "base/result.h"
#include "ingest/segment.h"

namespace perennial::ingest {

// The protocol's own limits. What is over them goes to the quarantine.
inline constexpr std::size_t kMeasurementBytesLimit = 130 * 1024;
inline constexpr std::size_t kMeasurementEventsLimit = 25;
inline constexpr std::size_t kMeasurementNameLimit = 40;     // characters of an event's name
inline constexpr std::size_t kMeasurementItemsLimit = 200;   // items of one event

// The protocol has no message ids. A purchase counts once by its transaction_id; an event with a time counts once by its
// content; one without is dated, and told from its like, by its receipt.
// Errors (of the whole body): kInvalid (not a JSON object, no list of events), kFull (too large).
Result<Parsed> read_measurement(std::string_view body, const SegmentContext& context);

// What is wrong with a body, in the form of the protocol's /debug twin: objects of fieldPath, description, validationCode.
// Empty for a body of which read_measurement would take every event.
boost::json::array measurement_messages(std::string_view body, const SegmentContext& context);

}  // namespace perennial::ingest
