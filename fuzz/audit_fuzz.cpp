// Any bytes as an audit log: whole, or an error with its line.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "govern/audit.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    (void)perennial::govern::verify_text({reinterpret_cast<const char*>(data), size}, "log", [](const perennial::govern::AuditEntry&) {});
    return 0;
}
