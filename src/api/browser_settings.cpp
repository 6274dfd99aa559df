#include "api/browser_settings.h"

#include <fmt/format.h>

#include <boost/json.hpp>

#include "base/text.h"

namespace perennial::api {

Response browser_settings(const Request& request, std::string_view write_key) {
    const std::string_view scheme = equal_ignoring_case(request.header("x-forwarded-proto"), "https") ? "https" : "http";
    boost::json::object delivery{{"apiKey", write_key}, {"apiHost", to_utf8(request.header("host")) + "/v1"}, {"protocol", scheme}};
    // metrics: the library would else send counters of its own to its maker.
    const boost::json::object settings{{"integrations", {{"Segment.io", std::move(delivery)}}}, {"metrics", {{"sampleRate", 0}}}};
    return {.body = boost::json::serialize(settings),
            .headers = {{"Cache-Control", fmt::format("private, max-age={}", kSettingsSecondsFresh)}, {"Vary", "Host, X-Forwarded-Proto"}}};
}

}  // namespace perennial::api
