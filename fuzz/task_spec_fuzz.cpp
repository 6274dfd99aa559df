// Arbitrary bytes as a task's TOML file: refused or read, never a crash.
#include <cstdint>
#include <string_view>

#include "predict/task_spec.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    (void)perennial::predict::parse_task_spec(std::string_view(reinterpret_cast<const char*>(bytes), size), "fuzz.toml").ok();
    return 0;
}
