// Any bytes as a mapping file, and what can be read of it bound to a header.
#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "ingest/mapping.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace perennial::ingest;
    const auto mapping = parse_mapping(std::string_view(reinterpret_cast<const char*>(data), size), "fuzz");
    if (!mapping) return 0;
    static const std::vector<std::string> header{"time", "user_id", "product", "price"};
    (void)bind_columns(*mapping, header).ok();
    return 0;
}
