#include "predict/training_set.h"

#include <algorithm>

#include "base/rng.h"
#include "base/time.h"

namespace perennial::predict {
namespace {

using model::Role;

bool is_target(const Step& step) noexcept { return step.purchase() && step.product >= 0; }

void append_step(model::TrainingData& data, const Step& step, std::int32_t occasion, Role role) {
    data.product.push_back(step.product);
    data.kind.push_back(step.kind);
    data.time_ms.push_back(step.time_ms);
    data.quantity.push_back(step.quantity);
    data.occasion.push_back(occasion);
    data.role.push_back(role);
    data.purchase.push_back(step.purchase() ? 1 : 0);
}

void end_sequence(model::TrainingData& data, std::int64_t end_ms) {
    data.offsets.push_back(static_cast<std::int64_t>(data.product.size()));
    data.end_ms.push_back(end_ms);
}

model::TrainingData empty_data(std::size_t products, bool has_time) {
    model::TrainingData data;
    data.products = static_cast<std::int32_t>(products);
    data.kinds = static_cast<std::int32_t>(event::kKindCount);
    data.has_time = has_time;
    return data;
}

std::vector<std::int32_t> distinct_products(std::span<const Step> steps) {
    std::vector<std::int32_t> products;
    for (const auto& step : steps)
        if (step.product >= 0) products.push_back(step.product);
    std::ranges::sort(products);
    products.erase(std::unique(products.begin(), products.end()), products.end());
    return products;
}

// The first order at or after place `from`: its lines. Empty when there is none.
std::span<const Step> first_order(std::span<const Step> steps, std::size_t from) {
    while (from < steps.size() && !steps[from].purchase()) ++from;
    std::size_t last = from;
    while (last < steps.size() && steps[last].occasion == steps[from].occasion) ++last;
    return steps.subspan(from, last - from);
}

std::vector<sequence::Sequence> sequences_before(std::span<const sequence::Sequence> sequences, std::int64_t cut_ms) {
    std::vector<sequence::Sequence> cut;
    for (const auto& sequence : sequences) {
        const auto steps = sequence::before(sequence.steps, cut_ms);
        if (!steps.empty()) cut.push_back({sequence.customer, {steps.begin(), steps.end()}});
    }
    return cut;
}

}  // namespace

TrainingSplit split_by_time(std::span<const sequence::Sequence> sequences, std::size_t products, std::int64_t cut_ms, double validation_days,
                            const CutOfCustomer& own_cut) {
    TrainingSplit split;
    split.data = empty_data(products, true);
    const std::int64_t border_ms = after_days({cut_ms}, -validation_days).ms;
    split.fit = sequences_before(sequences, border_ms);
    split.full = sequences_before(sequences, cut_ms);
    for (const auto& sequence : sequences) {
        const std::int64_t end_ms = own_cut ? std::min(cut_ms, own_cut(sequence)) : cut_ms;
        const auto steps = sequence::before(sequence.steps, end_ms);
        if (steps.empty()) continue;
        const bool customer = profile::is_customer(sequence.customer);
        const auto history = sequence::before(steps, border_ms);
        if (!customer && history.empty()) continue;
        for (const auto& step : history) append_step(split.data, step, step.occasion, is_target(step) ? Role::kTrainTarget : Role::kNoTarget);
        // As in the test, what validates is the first order after the border, asked of the history before it: what the
        // customer looked at on the way to that order must not tell.
        const auto order = first_order(steps, history.size());
        if (customer && !history.empty() && !order.empty()) {
            for (const auto& step : order) append_step(split.data, step, step.occasion, is_target(step) ? Role::kValidationTarget : Role::kNoTarget);
            if (auto relevant = distinct_products(order); !relevant.empty())
                split.validation.push_back({history, order.front().time_ms, std::move(relevant), {}});
        }
        if (split.data.product.size() == static_cast<std::size_t>(split.data.offsets.back())) continue;  // only just arrived
        // The time head learns nothing from an order without a customer: nobody is watched after it.
        end_sequence(split.data, customer ? end_ms : steps.back().time_ms);
    }
    return split;
}

model::TrainingData only_later(const model::TrainingData& data, std::int64_t since_ms, double replay_share, std::size_t context, std::uint64_t seed) {
    model::TrainingData later;
    later.products = data.products;
    later.kinds = data.kinds;
    later.has_time = data.has_time;
    later.exclude_seen = data.exclude_seen;
    later.content = data.content;
    const Rng rng(seed);
    for (std::size_t s = 0; s < data.sequences(); ++s) {
        const auto begin = static_cast<std::size_t>(data.offsets[s]), end = static_cast<std::size_t>(data.offsets[s + 1]);
        auto fresh = begin;
        while (fresh < end && data.time_ms[fresh] < since_ms) ++fresh;
        const bool replayed = rng.fork(s).chance(replay_share);
        if (fresh == end && !replayed) continue;
        const auto from = replayed ? begin : fresh - std::min(context, fresh - begin);
        for (auto i = from; i < end; ++i) {
            later.product.push_back(data.product[i]);
            later.kind.push_back(data.kind[i]);
            later.time_ms.push_back(data.time_ms[i]);
            later.quantity.push_back(data.quantity[i]);
            later.occasion.push_back(data.occasion[i]);
            later.role.push_back(i < fresh && !replayed ? std::uint8_t{Role::kNoTarget} : data.role[i]);
            later.purchase.push_back(data.purchase[i]);
        }
        end_sequence(later, data.end_ms[s]);
    }
    return later;
}

LeaveOneOut leave_one_out(std::span<const sequence::Sequence> sequences, std::size_t products, bool has_time, bool exclude_seen) {
    LeaveOneOut result;
    auto& data = result.training.data = empty_data(products, has_time);
    data.exclude_seen = exclude_seen;
    for (const auto& sequence : sequences) {
        const auto& steps = sequence.steps;
        std::vector<std::size_t> targets;
        for (std::size_t i = 0; i < steps.size(); ++i)
            if (is_target(steps[i])) targets.push_back(i);
        if (steps.empty()) continue;
        const bool held_out = targets.size() >= 3 && profile::is_customer(sequence.customer);
        const std::size_t test = held_out ? targets[targets.size() - 1] : steps.size();
        const std::size_t validation = held_out ? targets[targets.size() - 2] : steps.size();
        // The history of a held-out purchase ends with the purchase before it: views and carts on the way there would tell.
        const std::size_t known = held_out ? targets[targets.size() - 3] + 1 : steps.size();
        const auto unit = [&](std::size_t at, std::size_t history) {
            Unit made{std::span(steps).first(history), has_time ? steps[at].time_ms : 0, {steps[at].product}, {}};
            if (exclude_seen) {
                made.excluded = distinct_products(made.history);
                std::erase(made.excluded, steps[at].product);  // a repeat in the protocol's own data stays answerable
            }
            return made;
        };
        // An occasion of its own for the held-out line: the trainer may shuffle lines within an occasion, and a line
        // that came before must not see it.
        for (std::size_t i = 0; i < known; ++i) append_step(data, steps[i], 2 * steps[i].occasion, is_target(steps[i]) ? Role::kTrainTarget : Role::kNoTarget);
        if (held_out) append_step(data, steps[validation], 2 * steps[validation].occasion + 1, Role::kValidationTarget);
        end_sequence(data, data.time_ms.back());
        const auto first = [&](std::size_t count) { return sequence::Sequence{sequence.customer, {steps.begin(), steps.begin() + static_cast<std::ptrdiff_t>(std::min(count, steps.size()))}}; };
        result.training.fit.push_back(first(known));
        result.training.full.push_back(first(held_out ? validation + 1 : steps.size()));
        if (held_out) {
            result.training.validation.push_back(unit(validation, known));
            result.test.push_back(unit(test, validation + 1));
        }
    }
    return result;
}

std::vector<Unit> next_order_units(std::span<const sequence::Sequence> sequences, std::int64_t cut_ms, double horizon_days) {
    std::vector<Unit> units;
    const std::int64_t end_ms = after_days({cut_ms}, horizon_days).ms;
    for (const auto& sequence : sequences) {
        const auto history = sequence::before(sequence.steps, cut_ms);
        if (history.empty() || !profile::is_customer(sequence.customer)) continue;
        const auto order = first_order(sequence.steps, history.size());
        if (order.empty() || order.front().time_ms >= end_ms) continue;
        if (auto relevant = distinct_products(order); !relevant.empty()) units.push_back({history, order.front().time_ms, std::move(relevant), {}});
    }
    return units;
}

}  // namespace perennial::predict
