#include "profile/profile.h"

#include <algorithm>

#include "base/bytes.h"

namespace perennial::profile {
namespace {

constexpr std::uint8_t kVersion = 1;

}  // namespace

void apply(Profile& p, const event::Event& e) {
    if (p.events++ == 0) p.first_seen = e.time;
    p.last_seen = e.time;
    if (!e.currency.text().empty()) p.currency = e.currency;
    switch (e.kind) {
        case event::Kind::kOrderCompleted: {
            auto order = std::find_if(p.orders.rbegin(), p.orders.rend(), [&](const Order& o) { return o.id == e.order_id; });
            if (order == p.orders.rend()) {
                p.orders.push_back({e.order_id, e.time, {}, 0});
                order = p.orders.rbegin();
            }
            order->amount += e.amount;
            ++order->lines;
            p.spend += e.amount;
            p.units += e.quantity;
            break;
        }
        case event::Kind::kOrderRefunded:
            p.refunds -= e.amount;
            ++p.refund_lines;
            break;
        case event::Kind::kOrderCharge: p.charges += e.amount; break;
        case event::Kind::kProductViewed: ++p.views; break;
        default: break;
    }
}

Profile fold(std::span<const event::Event> timeline) {
    Profile profile;
    for (const auto& event : timeline) apply(profile, event);
    return profile;
}

std::vector<UtcTime> purchase_days(std::span<const Order> orders) {
    std::vector<UtcTime> days;
    for (const auto& order : orders) {
        const UtcTime day = utc_time(civil_date(order.time));
        if (days.empty() || days.back() < day) days.push_back(day);
    }
    return days;
}

std::vector<double> purchase_gaps_days(std::span<const Order> orders) {
    const auto days = purchase_days(orders);
    std::vector<double> gaps;
    for (std::size_t i = 1; i < days.size(); ++i) gaps.push_back(days_between(days[i - 1], days[i]));
    return gaps;
}

Tally top(const std::map<std::string, std::int64_t>& counts, std::size_t limit) {
    Tally tally(counts.begin(), counts.end());
    std::ranges::stable_sort(tally, std::ranges::greater{}, &Tally::value_type::second);
    if (tally.size() > limit) tally.resize(limit);
    return tally;
}

std::string encode(const Profile& p) {
    std::string out;
    out.push_back(static_cast<char>(kVersion));
    put_string(out, p.currency.text());
    for (const std::int64_t number : {p.first_seen.ms, p.last_seen.ms, p.events, p.views, p.units, p.refund_lines, p.spend.minor,
                                      p.refunds.minor, p.charges.minor})
        put_varint(out, zigzag(number));
    put_varint(out, p.orders.size());
    for (const auto& order : p.orders) {
        put_string(out, order.id);
        put_varint(out, zigzag(order.time.ms));
        put_varint(out, zigzag(order.amount.minor));
        put_varint(out, static_cast<std::uint64_t>(order.lines));
    }
    return out;
}

Result<Profile> decode_profile(std::string_view bytes) {
    Reader reader(bytes);
    if (reader.fixed<std::uint8_t>() != kVersion) return Error{Code::kUnsupported, "profile record: unknown version"};
    Profile p;
    const auto currency = reader.string();
    if (currency.size() == 3) currency.copy(p.currency.code.data(), 3);
    const auto number = [&reader] { return unzigzag(reader.varint()); };
    p.first_seen.ms = number();
    p.last_seen.ms = number();
    p.events = number();
    p.views = number();
    p.units = number();
    p.refund_lines = number();
    p.spend.minor = number();
    p.refunds.minor = number();
    p.charges.minor = number();
    const auto orders = reader.varint();
    for (std::uint64_t i = 0; i < orders && reader.ok(); ++i) {
        Order order;
        order.id = reader.string();
        order.time.ms = number();
        order.amount.minor = number();
        order.lines = static_cast<std::int32_t>(reader.varint());
        p.orders.push_back(std::move(order));
    }
    if (!reader.ok() || !reader.empty()) return Error{Code::kCorrupt, "profile record: cut short or too long"};
    return p;
}

}  // namespace perennial::profile
