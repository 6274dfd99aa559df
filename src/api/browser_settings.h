// What Segment's browser library fetches before it starts (its "CDN settings"): which integrations there are, here only
// the library's own delivery, pointed back at the host that was asked. Pure function.
#pragma once

#include <string_view>

#include "api/http.h"

namespace perennial::api {

inline constexpr int kSettingsSecondsFresh = 300;  // a browser asks again after so long

// `write_key` decoded. X-Forwarded-Proto says which scheme a proxy in front speaks; http without one.
Response browser_settings(const Request& request, std::string_view write_key);

}  // namespace perennial::api
