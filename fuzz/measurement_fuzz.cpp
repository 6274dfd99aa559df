// Any bytes as a measurement-protocol body: what is handed on must be fit for the journal, and a body of which the debug
// twin has nothing to say is taken whole.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "event/codec.h"
#include "ingest/measurement.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace perennial;
    const std::string_view body(reinterpret_cast<const char*>(data), size);
    const ingest::SegmentContext context{.received = UtcTime{1'700'000'000'000}, .currency = {}};
    const auto parsed = ingest::read_measurement(body, context);
    const auto messages = ingest::measurement_messages(body, context);
    if (!parsed) {
        if (messages.empty()) __builtin_trap();
        return 0;
    }
    for (const auto& made : parsed->events) {
        if (!event::validate(made)) __builtin_trap();
        std::string bytes;
        event::encode(made, bytes);
        const auto back = event::decode(bytes);
        if (!back || !(*back == made)) __builtin_trap();
    }
    if (messages.empty() && !parsed->rejects.empty()) __builtin_trap();
    return 0;
}
