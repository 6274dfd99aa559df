// What signed requests need: HMAC-SHA256 (RFC 2104, by libcrypto), base64 (RFC 4648), a comparison that does not tell how
// much was right, and unguessable bytes. Pure functions, but for random_bytes; threads: any.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>

namespace perennial {

inline constexpr std::size_t kHmacSha256Bytes = 32;

std::string hmac_sha256(std::string_view key, std::string_view bytes);  // 32 bytes, not text

std::string to_base64(std::string_view bytes);                          // standard alphabet, padded
// Nothing for text that is no base64. The padding may be left out.
std::optional<std::string> from_base64(std::string_view text);

// Takes time by the lengths only.
bool equal_in_constant_time(std::string_view a, std::string_view b) noexcept;

std::string random_bytes(std::size_t count);  // from the operating system; aborts where it has none
std::string random_hex(std::size_t bytes);    // two digits a byte

}  // namespace perennial
