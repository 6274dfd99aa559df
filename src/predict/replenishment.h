// Which products run out and are bought again, and after how long: learned from customers' repeat intervals.
// Threads: const after construction.
#pragma once

#include <cstdint>
#include <span>
#include <unordered_map>
#include <vector>

#include "predict/recommender.h"

namespace perennial::predict {

inline constexpr double kDurableDays = 180;       // a product nobody rebuys is not offered again for so long
inline constexpr std::size_t kRepeatsMin = 5;     // repeat intervals from which a product counts as replenishable
inline constexpr double kRepeatBuyersMin = 0.25;  // ... and share of its buyers who came back for it

class Replenishment {
public:
    Replenishment() = default;
    Replenishment(std::span<const sequence::Sequence> sequences, std::size_t products);

    // Median days after which its buyers buy it again; 0 when it is not replenishable.
    double interval_days(std::int32_t product) const { return intervals_days_[static_cast<std::size_t>(product)]; }
    // False while a purchase is so fresh that offering the product again would look foolish: half its interval, or
    // kDurableDays for what nobody rebuys.
    bool may_offer_again(std::int32_t product, double days_since_purchase) const;

private:
    std::vector<double> intervals_days_;
};

// Days between this customer's own purchases of `product`; empty when bought fewer than twice on different days.
std::vector<double> own_intervals_days(std::span<const Step> history, std::int32_t product);
std::vector<double> own_intervals_days(std::span<const std::int64_t> bought_ms);  // ascending: the product's purchases

}  // namespace perennial::predict
