// Arbitrary bytes as a safetensors file: refused or read, never a crash.
#include <cstdint>
#include <string>
#include <string_view>

#include "model/safetensors.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    using namespace perennial::model;
    auto file = Safetensors::parse(std::string(reinterpret_cast<const char*>(bytes), size), "fuzz");
    if (!file) return 0;
    for (const auto& [name, info] : file->tensors()) {
        (void)file->floats(name, info.shape).ok();
        (void)file->bytes(name, info.shape).ok();
    }
    return 0;
}
