// identity.toml of a shop: how many customers may share an identifier, what is proposed, and what a rule may apply.
// Without the file, or without its [apply], nothing is ever merged but by a person.
// Threads: plain values.
#pragma once

#include <array>
#include <cstdint>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace perennial::identity {

// What two customers may share. The user id and anonymous id are the customers' keys themselves; a device is an anonymous
// id that several users signed in on.
enum class Identifier : std::uint8_t { kEmail, kPhone, kOrder, kDevice };
inline constexpr std::size_t kIdentifierCount = 4;
std::string_view name(Identifier identifier) noexcept;  // "email"
std::optional<Identifier> identifier_from_name(std::string_view name) noexcept;

struct Settings {
    // An identifier that more customers share links nobody: an office's address, a shop's own number, a tablet on a counter.
    std::array<std::size_t, kIdentifierCount> customers_limit{5, 5, 2, 1};
    std::size_t group_limit = 100;              // keys of one person; a merge beyond it is refused
    double propose_probability = 0.9;           // of a pair proposed by likeness
    std::vector<Identifier> apply_identifiers;  // merged by rule when shared
    std::optional<double> apply_probability;    // merged by rule when at least so likely
};

// `origin` is named in errors. Errors: kInvalid with the line, the key and what was wanted.
Result<Settings> parse_settings(std::string_view text, std::string_view origin);
// DIR/identity.toml; the defaults where there is none.
Result<Settings> read_settings(const std::filesystem::path& shop);

}  // namespace perennial::identity
