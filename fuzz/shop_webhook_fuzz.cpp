// Any bytes as a webhook's body, under every topic: what is handed on must be fit for the journal, and nothing is dropped
// without a reason.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "event/codec.h"
#include "ingest/shop_webhook.h"

namespace {

void check(const perennial::Result<perennial::ingest::Parsed>& parsed) {
    using namespace perennial;
    if (!parsed) return;
    for (const auto& made : parsed->events) {
        if (!event::validate(made)) __builtin_trap();
        std::string bytes;
        event::encode(made, bytes);
        const auto back = event::decode(bytes);
        if (!back || !(*back == made)) __builtin_trap();
    }
    for (const auto& reject : parsed->rejects)
        if (reject.reason.empty() || reject.raw.empty()) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace perennial;
    const std::string_view body(reinterpret_cast<const char*>(data), size);
    const ingest::SegmentContext context{.received = UtcTime{1'700'000'000'000}, .currency = {}};
    for (const std::string_view topic : {"orders/create", "orders/cancelled", "refunds/create", "customers/update", "products/update", "checkouts/update", "carts/update", "customers/redact", "other"})
        check(ingest::read_shopify({.topic = topic, .id = "d", .body = body}, context));
    for (const std::string_view topic : {"order.updated", "customer.updated", "product.updated", "order.deleted"})
        check(ingest::read_woocommerce({.topic = topic, .id = "d", .body = body}, context));
    return 0;
}
