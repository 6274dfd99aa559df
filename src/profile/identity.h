// Whose event is it? A customer key is "u:" + user id, or "a:" + anonymous id while nobody has signed in. Lines of an
// order without a customer get "o:" + order id: they teach products, not customers.
#pragma once

#include <string>
#include <string_view>

#include "event/event.h"

namespace perennial::profile {

using CustomerKey = std::string;

// Empty when the event is about a product only (stock, price).
CustomerKey key_of(const event::Event& event);
CustomerKey user_key(std::string_view user_id);
CustomerKey anonymous_key(std::string_view anonymous_id);
bool is_customer(std::string_view key) noexcept;  // true for u: and a:, false for o:

// The key that should from now on lead to key_of(event): its anonymous id when the event names both (a sign-in), the
// previous id of an alias. Empty when the event joins nothing.
CustomerKey joined_key(const event::Event& event);

}  // namespace perennial::profile
