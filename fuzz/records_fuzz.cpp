// Any bytes as a stored profile or product: refused or read.
#include <cstdint>
#include <string_view>

#include "catalog/product.h"
#include "profile/profile.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    (void)perennial::profile::decode_profile(bytes).ok();
    (void)perennial::catalog::decode_product(bytes).ok();
    return 0;
}
