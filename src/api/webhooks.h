// The doors for shop webhooks: is it signed with the shop's secret, and what does it say? Signatures are compared in
// constant time over the body as it came. Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <variant>

#include "api/http.h"
#include "ingest/segment.h"

namespace perennial::api {

// Several secrets may stand in each, with blanks between them: while a platform changes over from one to the next, it
// signs with either. Empty: the platform's webhooks are refused.
struct WebhookSecrets { std::string shopify, woocommerce; };

// What to take in, or the answer where there is nothing to take in.
using DoorAnswer = std::variant<Response, ingest::Parsed>;

DoorAnswer shopify_webhook(const Request& request, std::string_view secrets, const ingest::SegmentContext& context);
DoorAnswer woocommerce_webhook(const Request& request, std::string_view secrets, const ingest::SegmentContext& context);

}  // namespace perennial::api
