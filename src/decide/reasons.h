// How much an answer says about why. Threads: plain values.
#pragma once

#include <algorithm>
#include <cstdint>
#include <iterator>
#include <optional>
#include <string_view>

namespace perennial::decide {

// Beside the products: nothing, a sentence each, or also what the sentence rests on.
enum class Reasons : std::uint8_t { kNone, kShort, kFull };
inline constexpr std::string_view kReasonsNames[] = {"none", "short", "full"};

inline std::optional<Reasons> reasons_from(std::string_view name) noexcept {
    const auto found = std::ranges::find(kReasonsNames, name);
    if (found == std::end(kReasonsNames)) return std::nullopt;
    return static_cast<Reasons>(found - std::begin(kReasonsNames));
}

}  // namespace perennial::decide
