#include "event/event.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"

namespace perennial::event {
namespace {

constexpr std::array<std::string_view, kKindCount> kKindNames{
    "custom", "product_viewed", "product_list_viewed", "products_searched", "product_added", "product_removed", "cart_viewed",
    "checkout_started", "order_completed", "order_refunded", "product_reviewed", "coupon_entered", "coupon_applied",
    "promotion_viewed", "promotion_clicked", "message_sent", "message_opened", "message_clicked", "support_opened",
    "support_message", "page", "identify", "alias", "stock_changed", "price_changed", "decision", "outcome", "order_charge"};

constexpr std::array<std::string_view, 9> kChannelNames{"unknown", "web", "app", "store", "email", "sms", "server", "support", "import"};

Error invalid(std::string_view field, std::string_view want, std::string_view got) {
    return {Code::kInvalid, fmt::format("{}: want {}, got {}", field, want, got)};
}

bool has_control(std::string_view text) noexcept {
    return std::ranges::any_of(text, [](char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; });
}

Status check_text(std::string_view field, std::string_view value, std::size_t bytes_limit) {
    if (value.size() > bytes_limit)
        return invalid(field, fmt::format("at most {} bytes", bytes_limit), fmt::format("{}", value.size()));
    if (!is_valid_utf8(value)) return invalid(field, "UTF-8 text", "other bytes");
    return Done{};
}

// Ids are keys and stand on lines of their own in files: no line ends, no control characters.
Status check_id(std::string_view field, std::string_view value) {
    if (has_control(value)) return invalid(field, "an id without control characters", "one with");
    return check_text(field, value, kIdBytesLimit);
}

}  // namespace

std::string_view name(Kind kind) noexcept { return kKindNames[static_cast<std::size_t>(kind)]; }

std::optional<Kind> kind_from_name(std::string_view name) noexcept {
    for (std::size_t i = 0; i < kKindCount; ++i)
        if (kKindNames[i] == name) return static_cast<Kind>(i);
    return std::nullopt;
}

std::string_view name(Channel channel) noexcept { return kChannelNames[static_cast<std::size_t>(channel)]; }

std::optional<Channel> channel_from_name(std::string_view name) noexcept {
    for (std::size_t i = 0; i < kChannelNames.size(); ++i)
        if (kChannelNames[i] == name) return static_cast<Channel>(i);
    return std::nullopt;
}

Status validate(const Event& event) {
    if (event.message_id.empty()) return invalid("message_id", "a unique id", "nothing");
    for (const auto& [field, value] : {std::pair{"message_id", &event.message_id}, {"user_id", &event.user_id},
                                       {"anonymous_id", &event.anonymous_id}, {"product", &event.product},
                                       {"order_id", &event.order_id}, {"email_hash", &event.email_hash},
                                       {"phone_hash", &event.phone_hash}, {"campaign", &event.campaign},
                                       {"coupon", &event.coupon}, {"category", &event.category}})
        PERENNIAL_TRY(check_id(field, *value));
    for (const auto& [field, value] : {std::pair{"title", &event.title}, {"query", &event.query}, {"text", &event.text},
                                       {"name", &event.name}, {"properties", &event.properties}})
        PERENNIAL_TRY(check_text(field, *value, kTextBytesLimit));
    const bool about_someone = !event.user_id.empty() || !event.anonymous_id.empty() || !event.order_id.empty();
    if (!about_someone && event.product.empty())
        return invalid("customer", "user_id or anonymous_id (or an order or product it is about)", "none of them");
    if (event.time < kEarliestTime) return invalid("time", "1950 or later", iso8601(event.time));
    if (days_between(event.received, event.time) > kFutureDaysLimit)
        return invalid("time", fmt::format("at most {} days after its receipt", kFutureDaysLimit), iso8601(event.time));
    if (event.rating < 0 || event.rating > 5) return invalid("rating", "1 to 5", fmt::format("{}", event.rating));
    if (event.quantity < 0) return invalid("quantity", "0 or more", fmt::format("{}", event.quantity));
    const bool line = event.kind == Kind::kOrderCompleted || event.kind == Kind::kOrderRefunded;
    if (line && event.order_id.empty()) return invalid("order_id", fmt::format("an order id on {}", name(event.kind)), "nothing");
    return Done{};
}

}  // namespace perennial::event
