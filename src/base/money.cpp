#include "base/money.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>

namespace perennial {

int Currency::minor_digits() const noexcept {
    static constexpr std::string_view kNone[] = {"JPY", "KRW", "VND", "CLP", "ISK", "XAF", "XOF", "PYG", "UGX"};
    static constexpr std::string_view kThree[] = {"KWD", "BHD", "OMR", "JOD", "TND", "IQD", "LYD"};
    if (std::ranges::find(kNone, text()) != std::end(kNone)) return 0;
    if (std::ranges::find(kThree, text()) != std::end(kThree)) return 3;
    return 2;
}

Result<Currency> parse_currency(std::string_view text) {
    Currency currency;
    const bool letters = std::ranges::all_of(text, [](char c) { return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z'); });
    if (text.size() != 3 || !letters)
        return Error{Code::kInvalid, fmt::format("currency: want three letters (ISO 4217), got '{}'", text.substr(0, 20))};
    std::ranges::transform(text, currency.code.begin(), [](char c) { return static_cast<char>(c & ~0x20); });
    return currency;
}

Result<Money> parse_money(std::string_view text, Currency currency) {
    const auto refuse = [&] { return Error{Code::kInvalid, fmt::format("amount: want a number like 12.50, got '{}'", text.substr(0, 40))}; };
    std::string_view rest = text;
    const bool negative = !rest.empty() && rest.front() == '-';
    if (negative || (!rest.empty() && rest.front() == '+')) rest.remove_prefix(1);
    for (const std::string_view sign : {"$", "£", "€", "¥", "￥"})
        if (rest.starts_with(sign)) { rest.remove_prefix(sign.size()); break; }
    int digits_left = currency.minor_digits();
    bool point = false, digit_seen = false, rounded = false;
    std::int64_t value = 0;
    constexpr std::int64_t kLimit = std::numeric_limits<std::int64_t>::max() / 10 - 1;
    for (const char c : rest) {
        if (c == ',' && !point && digit_seen) continue;
        if (c == '.' && !point) { point = true; continue; }
        if (c < '0' || c > '9') return refuse();
        digit_seen = true;
        if (point && digits_left == 0) {
            if (!rounded) value += c >= '5' ? 1 : 0;
            rounded = true;
            continue;
        }
        if (value > kLimit) return refuse();
        value = value * 10 + (c - '0');
        if (point) --digits_left;
    }
    if (!digit_seen) return refuse();
    for (; digits_left > 0; --digits_left) {
        if (value > kLimit) return refuse();
        value *= 10;
    }
    return Money{negative ? -value : value};
}

Money money_from_double(double major, Currency currency) noexcept {
    if (std::isnan(major)) return {};
    return {static_cast<std::int64_t>(std::llround(std::clamp(major * std::pow(10.0, currency.minor_digits()), -9e18, 9e18)))};
}

double major_units(Money money, Currency currency) noexcept {
    return static_cast<double>(money.minor) / std::pow(10.0, currency.minor_digits());
}

std::string format_money(Money money, Currency currency) {
    const int digits = currency.minor_digits();
    std::string number = fmt::format("{:.{}f}", std::abs(major_units(money, currency)), digits);
    auto position = static_cast<std::ptrdiff_t>(digits > 0 ? number.size() - static_cast<std::size_t>(digits) - 1 : number.size());
    for (position -= 3; position > 0; position -= 3) number.insert(static_cast<std::size_t>(position), ",");
    if (money.minor < 0) number.insert(0, "-");
    return currency.text().empty() ? number : number + " " + std::string(currency.text());
}

}  // namespace perennial
