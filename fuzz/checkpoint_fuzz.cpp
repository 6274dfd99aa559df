// Arbitrary bytes as a training's checkpoint: refused or read.
#include <cstdint>
#include <string>

#include "model/checkpoint.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    (void)perennial::model::parse_checkpoint(std::string(reinterpret_cast<const char*>(bytes), size), "fuzz").ok();
    return 0;
}
