// Webhook bodies of Shopify and WooCommerce to events. A body is put into Segment-spec messages, which SegmentParser reads:
// so the rules for orders, money and personal data hold once. Message ids are made of the platform's own ids, so that a
// delivery that comes again, and two topics that tell of the same order, count once. docs/formats/shop-webhooks.md has
// every topic. Threads: pure functions.
#pragma once

#include <string_view>

#include "base/result.h"
#include "ingest/segment.h"

namespace perennial::ingest {

inline constexpr std::size_t kVariantsKept = 50;  // of a product's, in the properties of its price

struct WebhookDelivery {
    std::string_view topic;  // "orders/create", "order.updated"
    std::string_view id;     // of the delivery: the message id where the body has no better one
    std::string_view body;
};

// A topic that tells nothing we keep, and a body that breaks a rule, become a reject with the whole body.
// Errors: kInvalid (not a JSON object).
Result<Parsed> read_shopify(const WebhookDelivery& delivery, const SegmentContext& context);
Result<Parsed> read_woocommerce(const WebhookDelivery& delivery, const SegmentContext& context);

}  // namespace perennial::ingest
