// Instants in UTC milliseconds, durations in days, and the text forms that exports and clients use.
#pragma once

#include <compare>
#include <cstdint>
#include <string>
#include <string_view>

#include "base/result.h"

namespace perennial {

inline constexpr std::int64_t kMsPerMinute = 60'000;
inline constexpr std::int64_t kMsPerHour = 3'600'000;
inline constexpr std::int64_t kMsPerDay = 86'400'000;

struct UtcTime {
    std::int64_t ms = 0;  // since 1970-01-01T00:00:00Z
    auto operator<=>(const UtcTime&) const = default;
};

inline UtcTime after_days(UtcTime time, double days) noexcept {
    return {time.ms + static_cast<std::int64_t>(days * static_cast<double>(kMsPerDay))};
}
inline double days_between(UtcTime from, UtcTime to) noexcept {
    return static_cast<double>(to.ms - from.ms) / static_cast<double>(kMsPerDay);
}

struct CivilDate { int year = 1970; unsigned month = 1, day = 1; };
CivilDate civil_date(UtcTime time) noexcept;
UtcTime utc_time(CivilDate date, std::int64_t ms_of_day = 0) noexcept;

UtcTime wall_clock_now() noexcept;       // the system clock; pure code takes a UtcTime instead
double monotonic_seconds() noexcept;     // for measuring how long something took

// "2010-12-01T08:26:00.000Z".
std::string iso8601(UtcTime time);
std::string iso_date(UtcTime time);

// ISO 8601 with 'T' or a blank, seconds and fraction optional, zone Z or +hh:mm or absent (taken as UTC);
// also "2010-12-01". Range: years 1900 to 2200.
// Errors: kInvalid with the text.
Result<UtcTime> parse_iso8601(std::string_view text);

// A strptime-like pattern of %Y %m %d %H %M %S %y and literal characters, for exports with their own format
// ("%m/%d/%Y %H:%M"). %m, %d and %H accept one digit or two. Errors: kInvalid with text and pattern.
Result<UtcTime> parse_time(std::string_view text, std::string_view pattern);

}  // namespace perennial
