// Outgoing webhooks as the API shows them: how each endpoint stands, its dead letters, a test message. Threads: any.
#pragma once

#include <boost/json/value.hpp>

#include <string_view>

#include "base/result.h"
#include "deliver/deliveries.h"

namespace perennial::api {

inline constexpr std::size_t kDeadShown = 100;

Result<boost::json::value> deliveries(deliver::Deliveries& all);
Result<boost::json::value> ping(deliver::Deliveries& all);                        // a message of type "ping" to every endpoint that wants it
Result<boost::json::value> retry(deliver::Deliveries& all, std::string_view id);  // a dead letter, as if it were new

}  // namespace perennial::api
