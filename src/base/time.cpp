#include "base/time.h"

#include <fmt/format.h>

#include <array>
#include <chrono>

namespace perennial {

CivilDate civil_date(UtcTime time) noexcept {
    const std::chrono::sys_time<std::chrono::milliseconds> instant{std::chrono::milliseconds{time.ms}};
    const std::chrono::year_month_day date{std::chrono::floor<std::chrono::days>(instant)};
    return {int{date.year()}, unsigned{date.month()}, unsigned{date.day()}};
}

UtcTime utc_time(CivilDate date, std::int64_t ms_of_day) noexcept {
    const std::chrono::sys_days day = std::chrono::year_month_day{
        std::chrono::year{date.year}, std::chrono::month{date.month}, std::chrono::day{date.day}};
    return {static_cast<std::int64_t>(day.time_since_epoch().count()) * kMsPerDay + ms_of_day};
}

UtcTime wall_clock_now() noexcept {
    const auto now = std::chrono::system_clock::now().time_since_epoch();
    return {std::chrono::duration_cast<std::chrono::milliseconds>(now).count()};
}

double monotonic_seconds() noexcept {
    return std::chrono::duration<double>(std::chrono::steady_clock::now().time_since_epoch()).count();
}

std::string iso8601(UtcTime time) {
    const auto date = civil_date(time);
    const std::int64_t ms = time.ms - utc_time(date).ms;
    return fmt::format("{:04}-{:02}-{:02}T{:02}:{:02}:{:02}.{:03}Z", date.year, date.month, date.day, ms / kMsPerHour,
                       ms / kMsPerMinute % 60, ms / 1000 % 60, ms % 1000);
}

std::string iso_date(UtcTime time) { return iso8601(time).substr(0, 10); }

namespace {

// Reads between `low` and `high` digits; -1 when there are too few.
int take_number(std::string_view& text, std::size_t low, std::size_t high) noexcept {
    std::size_t count = 0;
    int value = 0;
    while (count < high && count < text.size() && text[count] >= '0' && text[count] <= '9')
        value = value * 10 + (text[count++] - '0');
    if (count < low) return -1;
    text.remove_prefix(count);
    return value;
}

bool take(std::string_view& text, char wanted) noexcept {
    if (text.empty() || text.front() != wanted) return false;
    text.remove_prefix(1);
    return true;
}

struct Fields { int year = -1, month = 1, day = 1, hour = 0, minute = 0, second = 0, ms = 0; };

bool assemble(const Fields& f, std::int64_t zone_ms, UtcTime& out) noexcept {
    if (f.year < 1900 || f.year > 2200 || f.month < 1 || f.month > 12 || f.day < 1) return false;
    const std::chrono::year_month_day date{std::chrono::year{f.year}, std::chrono::month{static_cast<unsigned>(f.month)},
                                           std::chrono::day{static_cast<unsigned>(f.day)}};
    if (!date.ok() || f.hour < 0 || f.hour > 23 || f.minute < 0 || f.minute > 59 || f.second < 0 || f.second > 60) return false;
    out = utc_time({f.year, static_cast<unsigned>(f.month), static_cast<unsigned>(f.day)},
                   f.hour * kMsPerHour + f.minute * kMsPerMinute + f.second * 1000 + f.ms - zone_ms);
    return true;
}

bool read_iso(std::string_view text, UtcTime& out) noexcept {
    Fields f;
    std::int64_t zone_ms = 0;
    f.year = take_number(text, 4, 4);
    if (!take(text, '-')) return false;
    f.month = take_number(text, 1, 2);
    if (!take(text, '-')) return false;
    f.day = take_number(text, 1, 2);
    if (text.empty()) return assemble(f, 0, out);
    if (!take(text, 'T') && !take(text, ' ') && !take(text, 't')) return false;
    f.hour = take_number(text, 1, 2);
    if (!take(text, ':')) return false;
    f.minute = take_number(text, 2, 2);
    if (take(text, ':')) {
        f.second = take_number(text, 2, 2);
        if (take(text, '.') || take(text, ',')) {
            const auto before = text;
            const int milli = take_number(text, 1, 3);
            if (milli < 0) return false;
            static constexpr std::array<int, 4> kScale{0, 100, 10, 1};
            f.ms = milli * kScale[before.size() - text.size()];
            take_number(text, 0, 9);  // finer than we keep
        }
    }
    if (take(text, 'Z') || take(text, 'z')) return text.empty() && assemble(f, 0, out);
    if (!text.empty()) {
        const int sign = text.front() == '-' ? -1 : 1;
        if (!take(text, '+') && !take(text, '-')) return false;
        const int hours = take_number(text, 2, 2);
        take(text, ':');
        const int minutes = text.empty() ? 0 : take_number(text, 2, 2);
        if (hours < 0 || hours > 18 || minutes < 0 || minutes > 59) return false;
        zone_ms = sign * (hours * kMsPerHour + minutes * kMsPerMinute);
    }
    return text.empty() && assemble(f, zone_ms, out);
}

bool read_pattern(std::string_view text, std::string_view pattern, UtcTime& out) noexcept {
    Fields f;
    for (std::size_t i = 0; i < pattern.size(); ++i) {
        if (pattern[i] != '%' || i + 1 == pattern.size()) {
            if (!take(text, pattern[i])) return false;
            continue;
        }
        switch (pattern[++i]) {
            case 'Y': f.year = take_number(text, 4, 4); break;
            case 'y': f.year = take_number(text, 2, 2); f.year += f.year < 0 ? 0 : f.year < 70 ? 2000 : 1900; break;
            case 'm': f.month = take_number(text, 1, 2); break;
            case 'd': f.day = take_number(text, 1, 2); break;
            case 'H': f.hour = take_number(text, 1, 2); break;
            case 'M': f.minute = take_number(text, 2, 2); break;
            case 'S': f.second = take_number(text, 2, 2); break;
            default: return false;
        }
    }
    return text.empty() && assemble(f, 0, out);
}

}  // namespace

Result<UtcTime> parse_iso8601(std::string_view text) {
    UtcTime time;
    if (read_iso(text, time)) return time;
    return Error{Code::kInvalid, fmt::format("time: want ISO 8601 like 2010-12-01T08:26:00Z, got '{}'", text.substr(0, 40))};
}

Result<UtcTime> parse_time(std::string_view text, std::string_view pattern) {
    UtcTime time;
    if (read_pattern(text, pattern, time)) return time;
    return Error{Code::kInvalid, fmt::format("time: want the form '{}', got '{}'", pattern, text.substr(0, 40))};
}

}  // namespace perennial
