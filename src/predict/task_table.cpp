#include "predict/task_table.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <set>

#include "base/hash.h"
#include "base/rng.h"
#include "predict/churn.h"

namespace perennial::predict {
namespace {

using event::Event;
using event::Kind;

constexpr std::uint64_t kHeldOutSeed = 101;  // of the hash that splits customers

profile::ShopRhythm rhythm_before(const ShopData& data, UtcTime cut) {
    std::vector<std::vector<double>> gaps;
    for (const auto& timeline : data.timelines) {
        std::vector<profile::Order> orders;
        for (const auto& e : timeline)
            if (e.kind == Kind::kOrderCompleted && e.time < cut) orders.push_back({e.order_id, e.time, {}, 0});
        gaps.push_back(profile::purchase_gaps_days(orders));
    }
    return profile::learn_rhythm(gaps);
}

std::span<const Event> between(const std::vector<Event>& timeline, UtcTime from, UtcTime to) {
    const auto begin = std::ranges::lower_bound(timeline, from, {}, &Event::time), end = std::ranges::lower_bound(timeline, to, {}, &Event::time);
    return {begin, end};
}

const Event* first_purchase(std::span<const Event> events) {
    const auto found = std::ranges::find(events, Kind::kOrderCompleted, &Event::kind);
    return found == events.end() ? nullptr : &*found;
}

double money_of(std::span<const Event> events, Currency currency) {
    std::int64_t minor = 0;
    for (const auto& e : events)
        if (e.kind == Kind::kOrderCompleted && e.currency == currency) minor += e.amount.minor;
    return major_units({std::max<std::int64_t>(minor, 0)}, currency);
}

std::vector<UtcTime> moments(const ShopData& data, const TaskSpec& spec) {
    if (!spec.as_of.empty()) return spec.as_of;
    std::vector<UtcTime> times;
    for (std::int64_t k = 0; k < spec.as_of_count; ++k) {
        const auto time = after_days(data.last_time, -spec.horizon_days - static_cast<double>(k) * spec.as_of_every_days);
        if (time > data.first_time) times.push_back(time);
    }
    std::ranges::reverse(times);
    return times;
}

}  // namespace

bool held_out(const profile::CustomerKey& customer, double share) {
    return static_cast<double>(hash64(customer, kHeldOutSeed) >> 11) * 0x1.0p-53 < share;
}

std::vector<std::string> feature_names() {
    std::vector<std::string> names;
    for (const auto& feature : kChurnFeatures) names.emplace_back(feature.key);
    return names;
}

std::vector<float> task_features(std::span<const Event> timeline, UtcTime time, const profile::ShopRhythm& rhythm) {
    const auto values = churn_features(timeline, {time.ms - 1}, rhythm);  // it includes its moment, a label does not
    return {values.begin(), values.end()};
}

Result<Labels> builtin_labels(const ShopData& data, const TaskSpec& spec) {
    Labels labels;
    const auto times = moments(data, spec);
    for (const auto time : times)
        if (after_days(time, spec.horizon_days) > after_days(data.last_time, 1))
            return Error{Code::kInvalid, fmt::format("as_of: want moments whose {:.0f} days are over by {}, got {}", spec.horizon_days, iso_date(data.last_time), iso_date(time))};
    if (times.empty())
        return Error{Code::kInvalid, fmt::format("{}: want a history longer than the horizon of {:.0f} days, got {:.0f} days", spec.builtin, spec.horizon_days, data.days())};
    if (spec.builtin == "category") {
        auto categories = find_categories(data, spec.top_level_categories, static_cast<std::size_t>(spec.categories), times.front());
        if (!categories) return categories.error();
        labels.categories = std::move(*categories);
    }
    for (const auto time : times)
        for (std::size_t c = 0; c < data.timelines.size(); ++c) {
            const auto& timeline = data.timelines[c];
            const auto past = between(timeline, {INT64_MIN}, time), ahead = between(timeline, time, after_days(time, spec.horizon_days));
            if (!first_purchase(past)) continue;
            const auto* next = first_purchase(ahead);
            Label label{c, time, 0, 1};
            if (spec.builtin == "churn") {
                if (!active_at(timeline, {time.ms - 1})) continue;
                label.target = next ? 0.0f : 1.0f;
            } else if (spec.builtin == "purchase") {
                label.target = next ? 1.0f : 0.0f;
            } else if (spec.builtin == "refund") {
                label.target = std::ranges::find(ahead, Kind::kOrderRefunded, &Event::kind) != ahead.end() ? 1.0f : 0.0f;
            } else if (spec.builtin == "category") {
                const auto first = labels.targets.size();
                labels.targets.resize(first + labels.categories.size());
                for (const auto& e : ahead) {
                    if (e.kind != Kind::kOrderCompleted) continue;
                    if (const auto category = labels.categories.of(e)) labels.targets[first + *category] = label.target = 1;
                }
            } else {
                label.target = static_cast<float>(money_of(ahead, data.currency));
            }
            labels.rows.push_back(label);
        }
    if (spec.builtin == "category") {
        labels.classes = labels.categories.names;
    } else if (spec.builtin == "high_spend") {
        std::vector<float> spent;
        for (const auto& label : labels.rows)
            if (label.target > 0) spent.push_back(label.target);
        if (spent.empty()) return Error{Code::kInvalid, "high_spend: want purchases within the horizon, got none"};
        std::ranges::nth_element(spent, spent.begin() + static_cast<std::ptrdiff_t>(spent.size() / 2));
        const float median = spent[spent.size() / 2];
        for (auto& label : labels.rows) label.target = label.target > median ? 1.0f : 0.0f;
        labels.classes = {"no", "yes"};
    } else if (spec.builtin != "amount") {
        labels.classes = {"no", "yes"};
    }
    return labels;
}

std::vector<std::int32_t> dealt_again(const TaskTable& table, bool classes, std::uint64_t seed) {
    std::map<std::size_t, std::array<std::uint64_t, 3>> order;  // class of the first row, chance, customer
    Rng rng(seed);
    for (std::size_t r = 0; r < table.rows.size(); ++r) {
        if (table.held_out[r] || order.contains(table.customer[r])) continue;
        const float target = table.rows.target[r];
        order[table.customer[r]] = {classes ? static_cast<std::uint64_t>(target) : static_cast<std::uint64_t>(target > 0), rng.next(), table.customer[r]};
    }
    std::vector<std::array<std::uint64_t, 3>> customers;
    for (const auto& [customer, place] : order) customers.push_back(place);
    std::ranges::sort(customers);
    std::map<std::size_t, std::int32_t> fold;
    for (std::size_t k = 0; k < customers.size(); ++k) fold[customers[k][2]] = static_cast<std::int32_t>(k % static_cast<std::size_t>(table.rows.folds()));
    std::vector<std::int32_t> dealt;
    for (std::size_t r = 0; r < table.rows.size(); ++r) dealt.push_back(table.held_out[r] ? model::kOnlyPredicted : fold.at(table.customer[r]));
    return dealt;
}

Result<TaskTable> make_task_table(const ShopData& data, std::span<const sequence::Sequence> sequences, std::size_t products, const Labels& labels,
                                  const TaskSpec& spec) {
    TaskTable table;
    std::vector<std::size_t> learned, judged;
    for (std::size_t i = 0; i < labels.rows.size(); ++i) (held_out(data.sequences[labels.rows[i].customer].customer, spec.held_out) ? judged : learned).push_back(i);
    if (spec.labels_limit > 0 && learned.size() > static_cast<std::size_t>(spec.labels_limit)) {
        Rng rng = Rng(spec.options.seed).fork(77);
        rng.shuffle(learned);
        learned.resize(static_cast<std::size_t>(spec.labels_limit));
        std::ranges::sort(learned);
    }
    // Folds are dealt in the order of a hash within each class (values: none, and halves of the rest).
    std::map<std::size_t, float> first_target;
    for (const auto i : learned) first_target.emplace(labels.rows[i].customer, labels.rows[i].target);
    if (first_target.size() < 2 || judged.empty())
        return Error{Code::kInvalid, fmt::format("task {}: want labels of at least 2 customers to learn from and 1 to judge by, got {} and {} held-out labels", spec.name, first_target.size(), judged.size())};
    std::vector<std::array<std::uint64_t, 3>> order;  // class, hash, customer
    for (const auto& [customer, target] : first_target)
        order.push_back({labels.classes.empty() || labels.categories.size() > 0 ? static_cast<std::uint64_t>(target > 0) : static_cast<std::uint64_t>(target), hash64(data.sequences[customer].customer, spec.options.seed), customer});
    std::ranges::sort(order);
    std::map<std::size_t, std::int32_t> fold;
    const auto folds = static_cast<std::size_t>(std::min<std::int64_t>(spec.folds, static_cast<std::int64_t>(first_target.size())));
    for (std::size_t k = 0; k < order.size(); ++k) fold[order[k][2]] = static_cast<std::int32_t>(k % folds);

    UtcTime first{INT64_MAX};
    std::map<std::size_t, UtcTime> last;  // label of each customer
    std::vector<std::size_t> all = learned;
    all.insert(all.end(), judged.begin(), judged.end());
    for (const auto i : all) {
        first = std::min(first, labels.rows[i].time);
        auto& latest = last.emplace(labels.rows[i].customer, labels.rows[i].time).first->second;
        latest = std::max(latest, labels.rows[i].time);
    }
    table.rhythm = rhythm_before(data, first);
    table.categories = labels.categories;

    auto& d = table.data;
    d.products = static_cast<std::int32_t>(products);
    d.has_time = true;
    d.kinds = static_cast<std::int32_t>(event::kKindCount);
    std::map<std::size_t, std::int64_t> place;
    for (const auto& [customer, until] : last) {
        const auto known = sequence::before(sequences[customer].steps, until.ms);
        place[customer] = static_cast<std::int64_t>(d.sequences());
        for (const auto& step : known) {
            d.product.push_back(step.product);
            d.kind.push_back(step.kind);
            d.time_ms.push_back(step.time_ms);
            d.quantity.push_back(step.quantity);
            d.occasion.push_back(step.occasion);
            d.role.push_back(model::kNoTarget);
            d.purchase.push_back(step.purchase() ? 1 : 0);
        }
        d.offsets.push_back(static_cast<std::int64_t>(d.product.size()));
        d.end_ms.push_back(until.ms);
    }
    table.rows.feature_names = feature_names();
    for (std::size_t k = 0; k < all.size(); ++k) {
        const auto& label = labels.rows[all[k]];
        const bool judges = k >= learned.size();
        const auto known = sequence::before(sequences[label.customer].steps, label.time.ms);
        table.rows.sequence.push_back(place.at(label.customer));
        table.rows.end.push_back(static_cast<std::int64_t>(known.size()));
        table.rows.gap_days.push_back(known.empty() ? 0.0f : static_cast<float>(std::clamp(days_between({known.back().time_ms}, label.time), 0.0, 1e5)));
        if (labels.categories.size() == 0) table.rows.target.push_back(label.target);
        else {
            const auto several = std::span(labels.targets).subspan(all[k] * labels.categories.size(), labels.categories.size());
            table.rows.target.insert(table.rows.target.end(), several.begin(), several.end());
            const auto own = own_history(labels.categories, data.timelines[label.customer], label.time);
            table.own.insert(table.own.end(), own.begin(), own.end());
        }
        table.rows.weight.push_back(label.weight);
        table.rows.fold.push_back(judges ? model::kOnlyPredicted : fold.at(label.customer));
        const auto features = task_features(data.timelines[label.customer], label.time, table.rhythm);
        table.rows.features.insert(table.rows.features.end(), features.begin(), features.end());
        table.customer.push_back(label.customer);
        table.time.push_back(label.time);
        table.held_out.push_back(judges);
    }
    return table;
}

}  // namespace perennial::predict
