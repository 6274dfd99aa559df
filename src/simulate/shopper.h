// One simulated customer: a hidden nature, and the messages that the shop's tracking would send about what they do.
// Pure functions of the shelf, the campaigns' days and the customer's own random stream.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/rng.h"
#include "base/time.h"
#include "simulate/shelf.h"

namespace perennial::simulate {

// The truth about a customer. Days are counted from the start of the simulation, with a fraction.
struct Nature {
    std::string id;
    double acquired_day = 0, churn_day = 0;
    std::vector<double> taste;      // share of each category, adds up to 1
    double rhythm_days = 30;        // mean time between two orders of their own accord
    double price_sensitivity = 1;   // weight of a product falls by this power of its price
    double coupon_uplift = 0;       // probability of one more order in the 7 days after a coupon; below 0: of one order fewer
    double message_uplift = 0;      // the same for a message without a coupon
    double open_rate = 0.3, click_rate = 0.2;
    std::uint32_t staple = 0;       // product that is bought at its own regular interval...
    double staple_days = 0;         // ...of this many days; 0: there is none
    bool uses_app = false;
};

inline constexpr double kRhythmShape = 4;       // of the gamma distribution of gaps: more regular than chance, less than a clock
inline constexpr double kCampaignDays = 30;     // between two campaigns
inline constexpr double kCouponShare = 0.4, kMessageShare = 0.3;  // of customers, drawn anew for each campaign; the rest is control
inline constexpr double kCouponDays = 7;        // a coupon is good for this long, and works for this long
inline constexpr double kCouponDiscount = 0.1;

struct Message { std::int64_t time_ms = 0; std::string json; };
struct Treatment { std::int64_t time_ms = 0; std::uint32_t campaign = 0; std::string_view arm; double propensity = 0; int orders_caused = 0; };
struct Sale { std::int64_t time_ms = 0; std::uint32_t product = 0; std::int64_t units = 0; };

struct Life {
    std::vector<Message> messages;      // not sorted
    std::vector<Treatment> treatments;
    std::vector<Sale> sales;
    std::uint64_t orders = 0, refunds = 0;
    std::int64_t revenue_minor = 0;
};

Nature make_nature(std::uint32_t number, const Shelf& shelf, double days, Rng& rng);
Life live(const Nature& nature, const Shelf& shelf, double days, UtcTime start, Rng& rng);

}  // namespace perennial::simulate
