// Arbitrary bytes as the JSON of boosted trees: refused, or every walk ends at a leaf, and shapley() ends too.
#include <array>
#include <cstdint>
#include <string_view>

#include "predict/boosted_trees.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
    const std::array<float, 3> row{0.5f, -1.0f, 2.0f};
    const auto sum = perennial::predict::TreeSum::parse(std::string_view(reinterpret_cast<const char*>(bytes), size), row.size());
    if (!sum) return 0;
    (void)(*sum)(row);
    (void)sum->shapley(row, std::array<std::uint8_t, 3>{0, 1, 0}, 2);
    return 0;
}
