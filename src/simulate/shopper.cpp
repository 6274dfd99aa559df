#include "simulate/shopper.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>
#include <queue>
#include <utility>

#include "base/hash.h"
#include "base/text.h"

namespace perennial::simulate {
namespace {

constexpr std::size_t kBasketLimit = 8;

// Shares of the hours of a day in which people shop: little at night, most in the evening.
constexpr std::array<double, 24> kHours{1, .5, .3, .2, .2, .4, 1, 2, 3, 4, 5, 5, 6, 5, 4, 4, 5, 6, 7, 9, 10, 9, 6, 3};

constexpr std::array<std::string_view, 5> kReviews{"Broke after a week, I want my money back.", "Not what I expected from the picture.",
                                                   "It is all right for the price.", "Good quality and quick delivery.", "Wonderful, I would buy it again any time."};

template <class Weights>
std::size_t pick(const Weights& weights, Rng& rng) {
    double rest = rng.uniform() * std::accumulate(std::begin(weights), std::end(weights), 0.0);
    for (std::size_t i = 0; i + 1 < std::size(weights); ++i)
        if ((rest -= weights[i]) < 0) return i;
    return std::size(weights) - 1;
}

std::string euros(std::int64_t minor) { return fmt::format("{}.{:02}", minor / 100, minor % 100); }

class Shopper {
public:
    Shopper(const Nature& nature, const Shelf& shelf, double days, UtcTime start, Rng& rng)
        : nature_(nature), shelf_(shelf), days_(days), start_(start), rng_(rng), weights_(shelf.products.size()) {}

    Life run() {
        const double end = std::min(nature_.churn_day, days_);
        push(nature_.acquired_day, Step::kOwnOrder);
        push(nature_.acquired_day + rng_.exponential(nature_.rhythm_days), Step::kBrowse);
        if (nature_.staple_days > 0) push(nature_.acquired_day + nature_.staple_days * rng_.uniform(0.2, 1), Step::kStaple);
        for (std::uint32_t campaign = 1; campaign * kCampaignDays < days_; ++campaign)
            if (campaign * kCampaignDays > nature_.acquired_day + 1) push(campaign * kCampaignDays + rng_.uniform(0.3, 0.5), Step::kCampaign, campaign);
        while (!agenda_.empty()) {
            const Item item = agenda_.top();
            agenda_.pop();
            if (item.day >= days_) continue;
            if (item.step == Step::kCampaign) {
                treat(item.day, item.campaign);
                continue;
            }
            if (item.day >= end) continue;  // they have left: nothing more of their own accord
            act(item);
        }
        return std::move(life_);
    }

private:
    enum class Step { kOwnOrder, kStaple, kCausedOrder, kBrowse, kCampaign };
    struct Item {
        double day = 0;
        std::uint64_t number = 0;  // breaks ties the same way everywhere
        Step step = Step::kBrowse;
        std::uint32_t campaign = 0;
        bool operator<(const Item& other) const noexcept { return day != other.day ? day > other.day : number > other.number; }
    };

    void push(double day, Step step, std::uint32_t campaign = 0) { agenda_.push({day, ++items_, step, campaign}); }

    void act(const Item& item) {
        switch (item.step) {
            case Step::kOwnOrder: {
                push(item.day + rng_.gamma(kRhythmShape, nature_.rhythm_days / kRhythmShape), Step::kOwnOrder);
                if (item.day < skip_own_order_until_) skip_own_order_until_ = 0;
                else order(at_shopping_hour(item.day), false);
                break;
            }
            case Step::kStaple:
                push(item.day + nature_.staple_days * rng_.uniform(0.92, 1.08), Step::kStaple);
                order(at_shopping_hour(item.day), true);
                break;
            case Step::kCausedOrder: order(item.day, false); break;
            case Step::kBrowse:
                push(item.day + rng_.exponential(nature_.rhythm_days), Step::kBrowse);
                browse(at_shopping_hour(item.day));
                break;
            case Step::kCampaign: break;
        }
    }

    double at_shopping_hour(double day) {
        if (day == nature_.acquired_day) return day;
        return std::max(std::floor(day) + (static_cast<double>(pick(kHours, rng_)) + rng_.uniform()) / 24, last_order_day_ + 0.01);
    }

    std::int64_t ms_of(double day) const { return after_days(start_, day).ms; }
    std::uint32_t whole_day(double day) const { return static_cast<std::uint32_t>(std::clamp(day, 0.0, days_ - 1)); }

    // One tracking message, in the shape of the Segment spec.
    void say(std::int64_t time_ms, std::string_view event, std::string_view properties, bool known, std::string_view channel = {}) {
        if (time_ms >= ms_of(days_)) return;
        const auto library = !channel.empty() ? "analytics-node" : nature_.uses_app ? "analytics-ios" : "analytics.js";
        std::string json = fmt::format(R"({{"type":"track","messageId":"{}-{}",)", nature_.id, ++messages_);
        if (known) json += fmt::format(R"("userId":"{}",)", nature_.id);
        if (channel.empty()) json += fmt::format(R"("anonymousId":"d-{}",)", nature_.id);
        json += fmt::format(R"("event":"{}","timestamp":"{}","context":{{"library":{{"name":"{}"}}}},"properties":{{{}}}}})", event, iso8601({time_ms}), library, properties);
        life_.messages.push_back({time_ms, std::move(json)});
    }

    void identify(std::int64_t time_ms) {
        life_.messages.push_back({time_ms, fmt::format(
            R"({{"type":"identify","messageId":"{}-{}","userId":"{}","anonymousId":"d-{}","timestamp":"{}","traits":{{"email":"{}@example.com","language":"en"}}}})",
            nature_.id, ++messages_, nature_.id, nature_.id, iso8601({time_ms}), lower(nature_.id))});
        identified_ = true;
    }

    std::string described(std::uint32_t index, std::uint32_t day) const {
        const auto& product = shelf_.products[index];
        return fmt::format(R"("product_id":"{}","name":"{}","category":"{}","price":{},"currency":"EUR")", product.id, product.title,
                           category_name(product.category), euros(product.price_on(day)));
    }

    std::int64_t pause_ms() { return static_cast<std::int64_t>(rng_.uniform(5'000, 90'000)); }

    // A product that this customer would take on that day: taste, season, popularity, their own fondness, price, stock.
    std::uint32_t choose(std::uint32_t day) {
        const std::uint32_t day_of_year = static_cast<std::uint32_t>(days_between(utc_time({civil_date(after_days(start_, day)).year, 1, 1}), after_days(start_, day)));
        for (int attempt = 0; attempt < 8; ++attempt) {
            const auto& group = shelf_.by_category[pick(nature_.taste, rng_)];
            if (group.empty()) continue;
            weights_.clear();
            for (const auto index : group) {
                const auto& product = shelf_.products[index];
                weights_.push_back(product.in_stock(day) ? product.popularity * (0.2 + 3 * fondness_of(index)) * product.season(day_of_year) *
                                                               std::pow(1 - product.cut(day), -2 * nature_.price_sensitivity)
                                                         : 0);
            }
            const auto chosen = group[pick(weights_, rng_)];
            if (shelf_.products[chosen].in_stock(day)) return chosen;
        }
        return static_cast<std::uint32_t>(rng_.below(shelf_.products.size()));
    }

    // [0, 1), fixed for a customer and product: most are indifferent to them, a few are loved.
    double fondness_of(std::uint32_t index) const {
        const double draw = static_cast<double>(hash64(shelf_.products[index].id, hash64(nature_.id)) >> 11) * 0x1.0p-53;
        return draw * draw * draw;
    }

    void browse(double day) {
        std::int64_t time = ms_of(day);
        const bool known = identified_ && rng_.chance(0.8);
        if (rng_.chance(0.3)) search(time, choose(whole_day(day)), known);
        const auto views = 1 + rng_.poisson(1.2);
        for (unsigned i = 0; i < views; ++i) {
            const auto product = choose(whole_day(day));
            say(time += pause_ms(), "Product Viewed", described(product, whole_day(day)), known);
            if (rng_.chance(0.12)) say(time += pause_ms(), "Product Added", described(product, whole_day(day)) + R"(,"quantity":1)", known);
        }
    }

    void search(std::int64_t& time, std::uint32_t product, bool known) {
        const std::string title = lower(shelf_.products[product].title);
        const auto words = rng_.chance(0.6) ? title.substr(0, title.find(' ')) : title;
        say(time += pause_ms(), "Products Searched", fmt::format(R"("query":"{}")", words), known);
    }

    std::vector<std::uint32_t> fill_basket(std::uint32_t day, bool staple_only) {
        std::vector<std::uint32_t> basket;
        const auto put = [&](std::uint32_t product) {
            if (shelf_.products[product].in_stock(day) && std::ranges::find(basket, product) == basket.end()) basket.push_back(product);
        };
        if (staple_only) {
            put(nature_.staple);
            return basket;
        }
        // What belongs to the last order's products comes first.
        for (const auto wanted : std::exchange(wanted_next_, {}))
            if (rng_.chance(0.5)) put(wanted);
        const auto more = 1 + rng_.poisson(1.1);
        for (unsigned i = 0; i < more && basket.size() < kBasketLimit; ++i) put(choose(day));
        return basket;
    }

    void order(double day, bool staple_only) {
        const std::uint32_t today = whole_day(day);
        const auto basket = fill_basket(today, staple_only);
        if (basket.empty()) return;
        last_order_day_ = day;
        std::int64_t time = ms_of(day);
        if (!staple_only && rng_.chance(0.4)) search(time, basket.front(), identified_);
        std::string lines;
        std::int64_t total = 0;
        const std::string order_id = fmt::format("O-{}-{}", nature_.id, life_.orders + 1);
        std::vector<std::pair<std::uint32_t, std::int64_t>> bought;
        for (const auto product : basket) {
            const std::string what = described(product, today);
            for (auto others = staple_only ? 0u : rng_.poisson(0.6); others > 0; --others)
                say(time += pause_ms(), "Product Viewed", described(choose(today), today), identified_);
            say(time += pause_ms(), "Product Viewed", what, identified_);
            const auto units = static_cast<std::int64_t>(rng_.chance(0.8) ? 1 : 2 + rng_.below(3));
            say(time += pause_ms(), "Product Added", fmt::format(R"({},"quantity":{})", what, units), identified_);
            lines += fmt::format(R"({}{{{},"quantity":{}}})", lines.empty() ? "" : ",", what, units);
            total += shelf_.products[product].price_on(today) * units;
            bought.emplace_back(product, units);
        }
        if (!identified_) identify(time += pause_ms());
        say(time += pause_ms(), "Checkout Started", fmt::format(R"("order_id":"{}","value":{},"currency":"EUR")", order_id, euros(total)), true);
        std::string discount;
        if (day < coupon_until_) {
            say(time += pause_ms(), "Coupon Applied", fmt::format(R"("order_id":"{}","coupon_id":"{}","campaign":"{}")", order_id, coupon_, campaign_), true);
            discount = fmt::format(R"("discount":{},"coupon":"{}",)", euros(std::llround(static_cast<double>(total) * kCouponDiscount)), coupon_);
            coupon_until_ = 0;
        }
        time += pause_ms();
        if (time >= ms_of(days_)) return;
        say(time, "Order Completed", fmt::format(R"("order_id":"{}","total":{},{}"currency":"EUR","products":[{}])", order_id, euros(total), discount, lines), true);
        ++life_.orders;
        life_.revenue_minor += total;
        for (const auto& [product, units] : bought) after_sale(time, today, order_id, product, units, staple_only);
    }

    void after_sale(std::int64_t time, std::uint32_t day, const std::string& order_id, std::uint32_t index, std::int64_t units, bool staple_only) {
        const auto& product = shelf_.products[index];
        life_.sales.push_back({time, index, units});
        if (product.complement != index && !staple_only) wanted_next_.push_back(product.complement);
        const bool refunded = rng_.chance(0.04 + 0.05 * (4.8 - product.quality) / 1.6);
        if (refunded) {
            const auto later = time + static_cast<std::int64_t>(rng_.uniform(3, 20) * static_cast<double>(kMsPerDay));
            say(later, "Order Refunded", fmt::format(R"("order_id":"{}","currency":"EUR","products":[{{{},"quantity":{}}}])", order_id, described(index, day), units), true);
            life_.refunds += later < ms_of(days_);
        }
        if (rng_.chance(0.08)) {
            const auto rating = static_cast<int>(std::clamp(std::lround(product.quality + rng_.normal() - (refunded ? 1.5 : 0)), 1L, 5L));
            say(time + static_cast<std::int64_t>(rng_.uniform(5, 30) * static_cast<double>(kMsPerDay)), "Product Reviewed",
                fmt::format(R"("product_id":"{}","rating":{},"review_body":"{}")", product.id, rating, kReviews[static_cast<std::size_t>(rating - 1)]), true);
        }
    }

    // A campaign reaches everybody who has ever bought: the shop does not know who has left.
    void treat(double day, std::uint32_t campaign) {
        const double draw = rng_.uniform();
        const bool coupon = draw < kCouponShare, message = !coupon && draw < kCouponShare + kMessageShare;
        Treatment treatment{.time_ms = ms_of(day), .campaign = campaign, .arm = coupon ? "coupon" : message ? "message" : "control",
                            .propensity = coupon ? kCouponShare : message ? kMessageShare : 1 - kCouponShare - kMessageShare};
        const bool here = day < nature_.churn_day;
        const double uplift = coupon ? nature_.coupon_uplift : message ? nature_.message_uplift : 0;
        double caused_day = 0;
        if (here && uplift > 0 && rng_.chance(uplift)) {
            caused_day = day + rng_.uniform(0.1, kCouponDays - 0.5);
            if (caused_day < std::min(nature_.churn_day, days_)) {
                treatment.orders_caused = 1;
                push(caused_day, Step::kCausedOrder);
            }
        } else if (here && uplift < 0 && rng_.chance(-uplift)) {
            treatment.orders_caused = -1;
            skip_own_order_until_ = day + kCouponDays;
        }
        life_.treatments.push_back(treatment);
        if (!coupon && !message) return;
        campaign_ = fmt::format("campaign-{:02}", campaign);
        coupon_ = fmt::format("SAVE10-{:02}", campaign);
        // Without an order caused, some who would have ordered anyway use the coupon too.
        if (coupon && (treatment.orders_caused == 1 || rng_.chance(0.6))) coupon_until_ = day + kCouponDays;
        const std::string what = fmt::format(R"("campaign":"{}","channel":"email"{})", campaign_, coupon ? fmt::format(R"(,"coupon":"{}")", coupon_) : "");
        std::int64_t time = treatment.time_ms;
        say(time, "Message Sent", what, true, "email");
        if (treatment.orders_caused != 1 && !rng_.chance(nature_.open_rate * (here ? 1 : 0.15))) return;
        const double before_order = treatment.orders_caused == 1 ? caused_day - day : 2;
        say(time += static_cast<std::int64_t>(rng_.uniform(0.01, 0.4) * before_order * static_cast<double>(kMsPerDay)), "Message Opened", what, true, "email");
        if (treatment.orders_caused == 1 || rng_.chance(nature_.click_rate)) say(time + pause_ms(), "Message Clicked", what, true, "email");
    }

    const Nature& nature_;
    const Shelf& shelf_;
    const double days_;
    const UtcTime start_;
    Rng& rng_;
    Life life_;
    std::priority_queue<Item> agenda_;
    std::uint64_t items_ = 0, messages_ = 0;
    std::vector<double> weights_;
    std::vector<std::uint32_t> wanted_next_;
    std::string campaign_, coupon_;
    double coupon_until_ = 0, skip_own_order_until_ = 0, last_order_day_ = -1;
    bool identified_ = false;
};

}  // namespace

Nature make_nature(std::uint32_t number, const Shelf& shelf, double days, Rng& rng) {
    Nature nature;
    nature.id = fmt::format("C{:06}", number + 1);
    // Two fifths are there from the first month; the others come over the first four fifths of the time.
    nature.acquired_day = rng.chance(0.4) ? rng.uniform(0, std::min(30.0, days)) : rng.uniform(0, days * 0.8);
    nature.churn_day = nature.acquired_day + rng.exponential(365);
    nature.taste.resize(category_count());
    for (std::size_t i = 0; i < nature.taste.size(); ++i) nature.taste[i] = shelf.by_category[i].empty() ? 0 : rng.gamma(0.35, 1) + 1e-6;
    const double whole = std::accumulate(nature.taste.begin(), nature.taste.end(), 0.0);
    for (auto& share : nature.taste) share /= whole;
    nature.rhythm_days = std::clamp(50 * std::exp(0.6 * rng.normal()), 10.0, 180.0);
    nature.price_sensitivity = rng.gamma(2, 0.75);
    const double type = rng.uniform();  // a quarter can be persuaded, a tenth is put off, the others do what they would do anyway
    nature.coupon_uplift = type < 0.25 ? rng.uniform(0.15, 0.4) : type < 0.35 ? -rng.uniform(0.05, 0.25) : type < 0.6 ? rng.uniform(0, 0.05) : 0;
    nature.message_uplift = nature.coupon_uplift > 0 ? nature.coupon_uplift * rng.uniform(0.1, 0.5) : 0;
    nature.open_rate = rng.uniform(0.1, 0.6);
    nature.click_rate = rng.uniform(0.05, 0.4);
    nature.uses_app = rng.chance(0.4);
    if (rng.chance(0.3)) {
        std::vector<std::uint32_t> used_up;
        std::vector<double> weights;
        for (std::uint32_t i = 0; i < shelf.products.size(); ++i) {
            if (shelf.products[i].replenishment_days == 0) continue;
            used_up.push_back(i);
            weights.push_back(nature.taste[shelf.products[i].category] * shelf.products[i].popularity);
        }
        if (!used_up.empty()) {
            nature.staple = used_up[pick(weights, rng)];
            nature.staple_days = shelf.products[nature.staple].replenishment_days;
        }
    }
    return nature;
}

Life live(const Nature& nature, const Shelf& shelf, double days, UtcTime start, Rng& rng) { return Shopper(nature, shelf, days, start, rng).run(); }

}  // namespace perennial::simulate
