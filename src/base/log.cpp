#include "base/log.h"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <cstdlib>

#include "base/progress.h"

namespace perennial::log {
namespace {

spdlog::logger& logger() {
    static spdlog::logger instance = [] {
        spdlog::logger made("perennial", std::make_shared<spdlog::sinks::stderr_sink_mt>());
        made.set_pattern("%H:%M:%S %-5l %v");
        const char* level = std::getenv("PERENNIAL_LOG");
        made.set_level(level ? spdlog::level::from_str(level) : spdlog::level::info);
        return made;
    }();
    return instance;
}

spdlog::level::level_enum to_spdlog(Level level) {
    switch (level) {
        case Level::kDebug: return spdlog::level::debug;
        case Level::kInfo: return spdlog::level::info;
        case Level::kWarn: return spdlog::level::warn;
        case Level::kError: break;
    }
    return spdlog::level::err;
}

}  // namespace

void write(Level level, std::string_view text) {
    Progress::clear_line();
    logger().log(to_spdlog(level), "{}", text);
}

}  // namespace perennial::log
