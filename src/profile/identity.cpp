#include "profile/identity.h"

namespace perennial::profile {

CustomerKey user_key(std::string_view user_id) { return "u:" + std::string(user_id); }
CustomerKey anonymous_key(std::string_view anonymous_id) { return "a:" + std::string(anonymous_id); }

CustomerKey key_of(const event::Event& event) {
    if (!event.user_id.empty()) return user_key(event.user_id);
    if (!event.anonymous_id.empty()) return anonymous_key(event.anonymous_id);
    if (!event.order_id.empty()) return "o:" + event.order_id;
    return {};
}

bool is_customer(std::string_view key) noexcept { return key.starts_with("u:") || key.starts_with("a:"); }

CustomerKey joined_key(const event::Event& event) {
    if (event.user_id.empty() || event.anonymous_id.empty()) return {};
    return anonymous_key(event.anonymous_id);
}

}  // namespace perennial::profile
