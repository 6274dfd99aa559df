#include "deliver/standard_webhooks.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/signature.h"
#include "base/text.h"

namespace perennial::deliver {
namespace {

constexpr std::string_view kSecretPrefix = "whsec_", kVersionPrefix = "v1,";
constexpr std::size_t kSecretBytesMin = 24, kSecretBytesMax = 64, kSecretBytesNew = 32;

}  // namespace

std::string new_webhook_secret() { return std::string(kSecretPrefix) + to_base64(random_bytes(kSecretBytesNew)); }

Result<std::string> webhook_key(std::string_view secret) {
    const auto key = secret.starts_with(kSecretPrefix) ? from_base64(secret.substr(kSecretPrefix.size())) : std::nullopt;
    if (!key || key->size() < kSecretBytesMin || key->size() > kSecretBytesMax)
        return Error{Code::kInvalid, fmt::format("secret: want {} and the base64 of {} to {} bytes", kSecretPrefix, kSecretBytesMin, kSecretBytesMax)};
    return *key;
}

std::string webhook_signature(std::string_view key, std::string_view id, std::int64_t timestamp_seconds, std::string_view body) {
    return std::string(kVersionPrefix) + to_base64(hmac_sha256(key, fmt::format("{}.{}.{}", id, timestamp_seconds, body)));
}

Status verify_webhook(std::span<const std::string> keys, const SignedWebhook& webhook, UtcTime now) {
    const auto seconds = to_integer(webhook.timestamp);
    if (webhook.id.empty() || !seconds) return Error{Code::kInvalid, "webhook: want webhook-id and webhook-timestamp, a number of seconds"};
    const auto tolerance = std::chrono::milliseconds(kWebhookTolerance).count();
    // Compared in seconds first: no product that could overflow.
    if (std::abs(static_cast<double>(*seconds) - static_cast<double>(now.ms) / 1000) * 1000 > static_cast<double>(tolerance))
        return Error{Code::kInvalid, fmt::format("webhook-timestamp: want a time within {} s of now, got {}", kWebhookTolerance.count(), *seconds)};
    bool right = false;
    for (const auto& key : keys) {
        const auto wanted = webhook_signature(key, webhook.id, *seconds, webhook.body);
        for (auto rest = trim(webhook.signature); !rest.empty();) {
            const auto one = rest.substr(0, rest.find(' '));
            rest = trim(rest.substr(one.size()));
            right |= equal_in_constant_time(one, wanted);
        }
    }
    if (!right) return Error{Code::kDenied, "webhook-signature: want one that is made with a known secret"};
    return Done{};
}

}  // namespace perennial::deliver
