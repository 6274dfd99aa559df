// One customer, folded from the timeline: who they are to the shop, in numbers. A pure function of the events, so a
// replay of the journal gives the same bytes.
// Threads: plain values.
#pragma once

#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/money.h"
#include "base/result.h"
#include "base/time.h"
#include "event/event.h"

namespace perennial::profile {

struct Order {
    std::string id;
    UtcTime time;      // of its first line
    Money amount;      // of its product lines
    std::int32_t lines = 0;
    bool operator==(const Order&) const = default;
};

struct Profile {
    UtcTime first_seen, last_seen;
    Currency currency;
    std::int64_t events = 0, views = 0, units = 0, refund_lines = 0;
    std::vector<Order> orders;   // in time order
    Money spend;                 // product lines bought, before refunds
    Money refunds;               // positive
    Money charges;               // postage, fees, discounts
    bool operator==(const Profile&) const = default;
};

// Takes one more event into account; events must come in time order. O(1), or O(orders) for a line of an old order.
void apply(Profile& profile, const event::Event& event);
// `timeline` in time order. O(events).
Profile fold(std::span<const event::Event> timeline);

// Days between one order and the next; orders on the same day count as one purchase.
std::vector<double> purchase_gaps_days(std::span<const Order> orders);
// Days on which the customer bought, rising, one entry a day.
std::vector<UtcTime> purchase_days(std::span<const Order> orders);

// Names (categories, products) with their number of purchased lines, most first; ties by name.
using Tally = std::vector<std::pair<std::string, std::int64_t>>;
Tally top(const std::map<std::string, std::int64_t>& counts, std::size_t limit);

std::string encode(const Profile& profile);
Result<Profile> decode_profile(std::string_view bytes);

}  // namespace perennial::profile
