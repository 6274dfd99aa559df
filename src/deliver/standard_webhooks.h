// The signature of outgoing webhooks, as the Standard Webhooks specification 1.0 has it: "v1," and the base64
// HMAC-SHA256 of "id.timestamp.body". Secrets are "whsec_" and the base64 of 24 to 64 bytes. Pure functions, but for
// new_webhook_secret.
#pragma once

#include <chrono>
#include <span>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/time.h"

namespace perennial::deliver {

// How far the sender's clock may be from the receiver's: bounds how long a caught request can be played again.
inline constexpr std::chrono::seconds kWebhookTolerance{300};

std::string new_webhook_secret();
// The secret's bytes. Errors: kInvalid.
Result<std::string> webhook_key(std::string_view secret);

// The value of webhook-signature. `key` as from webhook_key; `id` without a dot.
std::string webhook_signature(std::string_view key, std::string_view id, std::int64_t timestamp_seconds, std::string_view body);

struct SignedWebhook { std::string_view id, timestamp, signature, body; };  // of the headers webhook-id, -timestamp, -signature

// For receivers: done when any of the signatures, which blanks separate, is right under any of the keys.
// Errors: kInvalid (a header missing or malformed, a time beyond the tolerance), kDenied (no signature is right).
Status verify_webhook(std::span<const std::string> keys, const SignedWebhook& webhook, UtcTime now);

}  // namespace perennial::deliver
