// Arbitrary bytes as an adapter file and as task options: refused or read, never a crash; what was read can be written.
#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "model/adapter.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    using namespace perennial::model;
    const std::string_view text(reinterpret_cast<const char*>(bytes), size);
    if (auto adapter = Adapter::parse(std::string(text), "fuzz"); adapter && !Adapter::parse(adapter->bytes(), "again").ok()) std::abort();
    (void)task_options_from_json(text).ok();
    return 0;
}
