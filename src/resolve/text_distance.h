// How alike two short texts are: Jaro (1989), Jaro-Winkler (Winkler 1990), Levenshtein (1966) and its form with swaps of
// neighbours. Letters are Unicode code points of valid UTF-8; case counts, so fold it first.
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <string_view>

namespace perennial::resolve {

// Longer texts are compared by their first so many letters.
inline constexpr std::size_t kLettersLimit = 64;

// [0, 1]; 1 for equal texts, 0 for no letter in common. Two empty texts are equal. O(n * m).
double jaro(std::string_view a, std::string_view b) noexcept;
// Jaro raised by a common beginning of up to four letters, 0.1 each, as in Winkler's strcmp95 without its letter tables.
double jaro_winkler(std::string_view a, std::string_view b) noexcept;
// Letters inserted, removed or replaced; O(n * m).
std::size_t levenshtein(std::string_view a, std::string_view b) noexcept;
// As levenshtein, and a swap of two neighbours costs one; no letter takes part twice ("optimal string alignment").
std::size_t damerau(std::string_view a, std::string_view b) noexcept;
// damerau(a, b) where it is at most `limit`, limit + 1 where it is more. O(n * limit), and soon done with texts that differ.
std::size_t damerau_within(std::string_view a, std::string_view b, std::size_t limit) noexcept;

}  // namespace perennial::resolve
