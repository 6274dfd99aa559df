#include "predict/categories.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>

#include "base/text.h"
#include "predict/churn.h"

namespace perennial::predict {
namespace {

constexpr std::int64_t kDayMs = 86'400'000;

std::string_view level_of(std::string_view category, bool top_level) { return trim(top_level ? category.substr(0, category.find_first_of(">/|")) : category); }

bool named(std::string_view category) { return !category.empty() && category != "other"; }

// Calls visit(category or none, new day) for each purchase before `time`, in order.
template <class Visit>
void for_each_purchase(const Categories& categories, std::span<const event::Event> timeline, UtcTime time, Visit&& visit) {
    std::int64_t day = std::numeric_limits<std::int64_t>::min();
    for (const auto& e : timeline) {
        if (e.time >= time) break;
        if (e.kind != event::Kind::kOrderCompleted) continue;
        const auto today = e.time.ms / kDayMs;
        visit(categories.of(e), today != day, today, e.time);
        day = today;
    }
}

}  // namespace

std::optional<std::uint32_t> Categories::of(const event::Event& e) const {
    if (!e.category.empty()) {
        const auto found = std::ranges::find(names, level_of(e.category, top_level));
        if (found == names.end()) return std::nullopt;
        return static_cast<std::uint32_t>(found - names.begin());
    }
    const auto found = of_product.find(e.product);
    if (found == of_product.end()) return std::nullopt;
    return found->second;
}

Result<Categories> find_categories(const ShopData& data, bool top_level, std::size_t limit, UtcTime until) {
    std::map<std::string, std::size_t, std::less<>> lines;
    std::size_t all = 0;
    for (const auto& timeline : data.timelines)
        for (const auto& e : timeline) {
            if (e.kind != event::Kind::kOrderCompleted) continue;
            ++all;
            const auto product = e.category.empty() ? data.catalog.find(e.product) : std::nullopt;
            const auto category = level_of(product ? std::string_view(data.catalog[*product].category) : e.category, top_level);
            if (named(category)) ++lines.try_emplace(std::string(category)).first->second;
        }
    std::vector<std::pair<std::size_t, std::string>> order;
    for (const auto& [name, count] : lines) order.emplace_back(count, name);
    std::ranges::stable_sort(order, std::ranges::greater{}, &std::pair<std::size_t, std::string>::first);
    if (order.size() < 2) return Error{Code::kInvalid, fmt::format("category: want products of at least 2 categories that were bought, got {}", order.size())};

    Categories c;
    c.top_level = top_level;
    std::size_t listed = 0;
    for (const auto& [count, name] : order)
        if (c.names.size() < limit) c.names.push_back(name), listed += count;
    c.left_out = order.size() - c.names.size();
    c.left_out_share = 1 - static_cast<double>(listed) / static_cast<double>(all);
    for (const auto& product : data.catalog.products()) {
        const auto found = std::ranges::find(c.names, level_of(product.category, top_level));
        if (found != c.names.end()) c.of_product.emplace(product.id, static_cast<std::uint32_t>(found - c.names.begin()));
    }
    double days = 1;
    std::vector<double> with(c.size(), 0.5);
    for (const auto& timeline : data.timelines) {
        std::set<std::uint32_t> today;
        for_each_purchase(c, timeline, until, [&](auto category, bool new_day, std::int64_t, UtcTime) {
            if (new_day) today.clear(), days += 1;
            if (category && today.insert(*category).second) with[*category] += 1;
        });
    }
    for (const double count : with) c.popularity.push_back(count / days);
    return c;
}

std::vector<float> own_history(const Categories& categories, std::span<const event::Event> timeline, UtcTime time) {
    const std::size_t count = categories.size();
    std::vector<double> days(count, 0);
    std::vector<std::int64_t> last_day(count, std::numeric_limits<std::int64_t>::min());
    std::vector<UtcTime> last(count);
    double all = 0;
    for_each_purchase(categories, timeline, time, [&](auto category, bool new_day, std::int64_t day, UtcTime at) {
        if (new_day) all += 1;
        if (!category) return;
        if (last_day[*category] != day) days[*category] += 1;
        last_day[*category] = day;
        last[*category] = at;
    });
    std::vector<float> out;
    out.reserve(count * kOwnColumns);
    for (std::size_t k = 0; k < count; ++k) {
        const double share = (days[k] + kOwnSharePrior * categories.popularity[k]) / (all + kOwnSharePrior);
        out.push_back(static_cast<float>(log_odds(share)));
        out.push_back(static_cast<float>(days[k]));
        out.push_back(days[k] > 0 ? static_cast<float>(days_between(last[k], time)) : std::numeric_limits<float>::quiet_NaN());
    }
    return out;
}

}  // namespace perennial::predict
