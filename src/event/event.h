// What happened: one flat record, the only thing the journal holds. Names follow the Segment e-commerce spec v2,
// normalised to snake_case. An order of three products is three order_completed events with the same order_id.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/money.h"
#include "base/result.h"
#include "base/time.h"

namespace perennial::event {

// Written to disk: append only, never renumber.
enum class Kind : std::uint8_t {
    kCustom = 0,
    kProductViewed, kProductListViewed, kProductsSearched, kProductAdded, kProductRemoved, kCartViewed, kCheckoutStarted,
    kOrderCompleted, kOrderRefunded, kProductReviewed, kCouponEntered, kCouponApplied, kPromotionViewed, kPromotionClicked,
    kMessageSent, kMessageOpened, kMessageClicked, kSupportOpened, kSupportMessage, kPage, kIdentify, kAlias,
    kStockChanged, kPriceChanged, kDecision, kOutcome,
    kOrderCharge,  // postage, fees, discounts, adjustments: money on an order that buys no product
};
inline constexpr std::size_t kKindCount = 28;

std::string_view name(Kind kind) noexcept;                     // "order_completed"
std::optional<Kind> kind_from_name(std::string_view name) noexcept;

enum class Channel : std::uint8_t { kUnknown = 0, kWeb, kApp, kStore, kEmail, kSms, kServer, kSupport, kImport };
std::string_view name(Channel channel) noexcept;
std::optional<Channel> channel_from_name(std::string_view name) noexcept;

struct Event {
    Kind kind = Kind::kCustom;
    Channel channel = Channel::kUnknown;
    Currency currency;
    UtcTime time;               // when it happened, corrected for the client's clock
    UtcTime received;           // when we took it in
    std::string message_id;     // unique within a shop: de-duplication key
    std::string user_id;        // the shop's own id; empty when unknown
    std::string anonymous_id;   // device or session id; empty when unknown
    std::string email_hash, phone_hash;  // hex, hashed before they reach us or on the way in
    std::string product, title, category;
    std::int64_t quantity = 0;  // units, positive; a refund's units are positive too
    Money price;                // one unit
    Money amount;               // the whole line; positive for money coming in, negative for money going back
    std::string order_id;
    std::string query, text;    // search words; review, message or support text
    std::string campaign, coupon;
    std::int32_t position = 0;  // place in a list, from 1; 0 unknown
    std::int32_t rating = 0;    // 1 to 5; 0 none
    std::string name;           // original name of a custom event, page name
    std::string properties;     // JSON object with everything else; empty for none

    bool operator==(const Event&) const = default;
};

inline constexpr std::size_t kIdBytesLimit = 256;          // message, customer, product, order ids
inline constexpr std::size_t kTextBytesLimit = 32 * 1024;  // text, properties
inline constexpr UtcTime kEarliestTime{-631'152'000'000};  // 1950-01-01
inline constexpr double kFutureDaysLimit = 366;            // an event may claim to be at most this far after its receipt

// Every rule that an event must meet to enter the journal: an id, somebody or some product it is about, sane time,
// sizes within the limits, valid UTF-8. Errors: kInvalid naming the field. O(size).
Status validate(const Event& event);

}  // namespace perennial::event
