// Small string helpers that exports and rules share. ASCII case folding only; bytes above 127 pass unchanged.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace perennial {

std::string_view trim(std::string_view text) noexcept;      // blanks, tabs, line ends
std::string lower(std::string_view text);
bool is_valid_utf8(std::string_view text) noexcept;
// A copy in which every byte that is not part of valid UTF-8 is read as Latin-1.
std::string to_utf8(std::string_view text);
// At most `bytes_limit` bytes, cut at a character border.
std::string_view clip(std::string_view text, std::size_t bytes_limit) noexcept;

std::optional<std::int64_t> to_integer(std::string_view text) noexcept;   // "12", "-3", also "12.0"
std::optional<double> to_number(std::string_view text) noexcept;          // finite only

// '*' matches any run of characters, '?' one; ASCII case is ignored.
bool matches_glob(std::string_view text, std::string_view pattern) noexcept;

}  // namespace perennial
