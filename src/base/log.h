// Log lines on standard error, one format for the whole program: "12:30:01 info  text".
// PERENNIAL_LOG=debug|info|warn|error|off sets the level. Threads: any.
#pragma once

#include <fmt/format.h>

#include <string_view>
#include <utility>

namespace perennial::log {

enum class Level { kDebug, kInfo, kWarn, kError };
void write(Level level, std::string_view text);

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) { write(Level::kDebug, fmt::format(format, std::forward<Args>(args)...)); }
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) { write(Level::kInfo, fmt::format(format, std::forward<Args>(args)...)); }
template <class... Args>
void warn(fmt::format_string<Args...> format, Args&&... args) { write(Level::kWarn, fmt::format(format, std::forward<Args>(args)...)); }
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) { write(Level::kError, fmt::format(format, std::forward<Args>(args)...)); }

}  // namespace perennial::log
