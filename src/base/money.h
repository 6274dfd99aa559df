// Money as a whole number of minor units (pence, cents, fen) of an ISO 4217 currency.
#pragma once

#include <array>
#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace perennial {

// Three capital letters, or three blanks where the source named none.
struct Currency {
    std::array<char, 3> code{' ', ' ', ' '};
    auto operator<=>(const Currency&) const = default;
    std::string_view text() const noexcept { return code[0] == ' ' ? std::string_view{} : std::string_view{code.data(), 3}; }
    // Digits after the point: 0 for JPY, 3 for KWD, 2 for nearly all.
    int minor_digits() const noexcept;
};

Result<Currency> parse_currency(std::string_view text);

struct Money {
    std::int64_t minor = 0;
    auto operator<=>(const Money&) const = default;
    Money& operator+=(Money other) noexcept { minor += other.minor; return *this; }
    Money& operator-=(Money other) noexcept { minor -= other.minor; return *this; }
};

// "12.50", "-3", "1,234.5", "£12.50", "12.5e0" is refused. Rounds half away from zero beyond the currency's digits.
// Errors: kInvalid with the text; kInvalid when it does not fit 63 bits.
Result<Money> parse_money(std::string_view text, Currency currency);
Money money_from_double(double major, Currency currency) noexcept;  // clamps at +-9e18; NaN gives 0

double major_units(Money money, Currency currency) noexcept;
std::string format_money(Money money, Currency currency);  // "1,234.50 GBP"

}  // namespace perennial
