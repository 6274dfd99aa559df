// An event's canonical bytes, as the journal and the timelines keep them (docs/formats/event.md).
// The same event always gives the same bytes; a field at its default takes none.
#pragma once

#include <string>
#include <string_view>

#include "base/result.h"
#include "event/event.h"

namespace perennial::event {

inline constexpr std::uint8_t kCodecVersion = 1;

void encode(const Event& event, std::string& out);  // appends

// Errors: kCorrupt naming what is wrong; kUnsupported for a version or a field that this program does not know.
Result<Event> decode(std::string_view bytes);

// One JSON object on one line, for people and for quarantine files. Only fields that are set.
std::string to_json(const Event& event);

}  // namespace perennial::event
