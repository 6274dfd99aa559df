#include "api/gate.h"

#include <fmt/format.h>

#include <algorithm>

#include "api/credentials.h"
#include "base/log.h"

namespace perennial::api {
namespace {

std::string_view words(Need need) noexcept {
    switch (need) {
        case Need::kSend: return "send events";
        case Need::kReport: return "see the report";
        case Need::kPeople: return "see customers";
        default: return "change the shop";
    }
}

}  // namespace

bool allows(govern::Role role, Need need) noexcept {
    using govern::Role;
    switch (role) {
        case Role::kSource: return need == Need::kSend;
        case Role::kViewer: return need == Need::kReport;
        case Role::kAnalyst: return need == Need::kReport || need == Need::kPeople;
        case Role::kOperator:
        case Role::kAdmin: return true;
    }
    return false;
}

std::optional<Response> Gate::refuses(std::span<const std::string> shown, Need need) const {
    const bool by_settings = !keys_.write_key.empty() || !keys_.api_key.empty();
    if (!keys_.always && !by_settings && (!keys_.ring || keys_.ring->empty())) return std::nullopt;
    std::optional<govern::Role> other;  // a key that is known and may not
    for (const auto& key : shown) {
        if (same_key(key, need == Need::kSend ? keys_.write_key : keys_.api_key)) return std::nullopt;
        if (!keys_.ring) continue;
        const auto holder = keys_.ring->holder(key);
        if (!holder && holder.error().code == Code::kBusy) return error_response(429, "busy_keys", holder.error().message, {{"Retry-After", "1"}});
        if (!holder) {
            log::error("keys: {}", holder.error().message);
            return error_response(503, "no_keys", "the keys of this shop cannot be read; its log says why", {{"Retry-After", "5"}});
        }
        if (!*holder) continue;
        if (allows((*holder)->role, need)) return std::nullopt;
        other = (*holder)->role;
    }
    if (other) return error_response(403, "forbidden", fmt::format("a key of role {} may not {}", govern::name(*other), words(need)));
    return error_response(401, "unauthorized", "want a key");
}

}  // namespace perennial::api
