#include "api/webhooks.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/signature.h"
#include "base/text.h"
#include "ingest/shop_webhook.h"

namespace perennial::api {
namespace {

// All secrets are tried, whichever is right.
bool is_signed(std::string_view body, std::string_view signature, std::string_view secrets) {
    const auto shown = from_base64(trim(signature));
    bool right = false;
    while (!(secrets = trim(secrets)).empty()) {
        const auto secret = secrets.substr(0, std::min(secrets.find_first_of(" \t"), secrets.size()));
        secrets.remove_prefix(secret.size());
        right |= shown && equal_in_constant_time(*shown, hmac_sha256(secret, body));
    }
    return right;
}

Response not_signed(std::string_view platform, std::string_view header, std::string_view secrets) {
    if (trim(secrets).empty()) return error_response(401, "no_secret", fmt::format("want {}_secret in perennial.toml, to check signatures with; there is none", platform));
    return error_response(401, "unauthorized", fmt::format("{}: want the base64 HMAC-SHA256 of the body by the shop's secret", header));
}

DoorAnswer door_answer(Result<ingest::Parsed> parsed) {
    if (!parsed) return error_response(400, "invalid_json", parsed.error().message);
    return std::move(*parsed);
}

}  // namespace

DoorAnswer shopify_webhook(const Request& request, std::string_view secrets, const ingest::SegmentContext& context) {
    if (!is_signed(request.body, request.header("x-shopify-hmac-sha256"), secrets)) return not_signed("shopify", "X-Shopify-Hmac-Sha256", secrets);
    const auto topic = request.header("x-shopify-topic");
    if (topic.empty()) return error_response(400, "no_topic", "X-Shopify-Topic: want the topic, got nothing");
    return door_answer(ingest::read_shopify({.topic = topic, .id = request.header("x-shopify-webhook-id"), .body = request.body}, context));
}

DoorAnswer woocommerce_webhook(const Request& request, std::string_view secrets, const ingest::SegmentContext& context) {
    // When a webhook is set up, an unsigned form with its number comes first and wants 200. It says nothing and does nothing.
    const auto topic = request.header("x-wc-webhook-topic");
    if (topic.empty() && request.body.starts_with("webhook_id=") && request.body.size() < 64) return Response{.body = R"({"success":true})"};
    if (!is_signed(request.body, request.header("x-wc-webhook-signature"), secrets)) return not_signed("woocommerce", "X-WC-Webhook-Signature", secrets);
    if (topic.empty()) return error_response(400, "no_topic", "X-WC-Webhook-Topic: want the topic, got nothing");
    return door_answer(ingest::read_woocommerce({.topic = topic, .id = request.header("x-wc-webhook-delivery-id"), .body = request.body}, context));
}

}  // namespace perennial::api
