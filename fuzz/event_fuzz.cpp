// Any bytes as an event, a time and an amount: refused or read. What is read encodes to bytes that read the same.
#include <cstdint>
#include <string>
#include <string_view>

#include "event/codec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace perennial;
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    (void)parse_iso8601(bytes).ok();
    (void)parse_money(bytes, Currency{{'G', 'B', 'P'}}).ok();
    const auto decoded = event::decode(bytes);
    if (!decoded) return 0;
    (void)event::validate(*decoded).ok();
    std::string again;
    event::encode(*decoded, again);
    const auto second = event::decode(again);
    if (!second || !(*second == *decoded)) __builtin_trap();
    return 0;
}
