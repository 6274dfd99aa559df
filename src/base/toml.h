// Reading TOML that a person wrote: toml++ with its sharp edges covered. Include this, never <toml++/toml.h>.
// toml++ 3.3 asserts on some malformed files ("[@x]", "x = [}]") where it should report an error, and without asserts its
// behaviour there is undefined. Here its asserts throw, whatever the build type, and parse_toml turns that into an Error.
// Threads: pure functions.
#pragma once

#include <stdexcept>
#include <string_view>

#include "base/result.h"

namespace perennial {
[[noreturn]] inline void refuse_toml(const char* condition) { throw std::logic_error(condition); }
}  // namespace perennial
#pragma push_macro("NDEBUG")
#undef NDEBUG
#define TOML_ASSERT(condition) ((condition) ? static_cast<void>(0) : perennial::refuse_toml("malformed where this should hold: " #condition))
#include <toml++/toml.h>
#pragma pop_macro("NDEBUG")

namespace perennial {

// `origin` is named in errors. Letters beyond ASCII may stand inside double quotes and in comments only.
// Errors: kInvalid with the line and what is wrong.
Result<toml::table> parse_toml(std::string_view text, std::string_view origin);

}  // namespace perennial
