// Any bytes as a text: findings lie in it, in order and apart.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "govern/personal.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    std::size_t at = 0;
    for (const auto& finding : perennial::govern::find_personal(text)) {
        if (finding.begin < at || finding.end <= finding.begin || finding.end > size) std::abort();
        at = finding.end;
    }
    (void)perennial::govern::masked(text);
    return 0;
}
