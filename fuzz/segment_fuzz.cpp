// Any bytes as a Segment-spec body: what is handed on must be fit for the journal and survive its codec.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>

#include "event/codec.h"
#include "ingest/segment.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace perennial;
    static ingest::SegmentParser parser;
    const std::string_view body(reinterpret_cast<const char*>(data), size);
    const ingest::SegmentContext context{.received = UtcTime{1'700'000'000'000}, .currency = {}};
    for (const std::string_view type : {"", "track", "identify", "page", "group", "alias"}) {
        auto parsed = parser.parse_message(body, type, context);
        if (!parsed) continue;
        for (const auto& made : parsed->events) {
            if (!event::validate(made)) __builtin_trap();
            std::string bytes;
            event::encode(made, bytes);
            auto back = event::decode(bytes);
            if (!back || !(*back == made)) __builtin_trap();
        }
    }
    return 0;
}
