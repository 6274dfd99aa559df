#include "train/batches.h"

#include <algorithm>
#include <cassert>
#include <limits>
#include <numeric>

#include "model/buckets.h"

namespace perennial::train {
namespace {

using model::TrainingData;

// Where times are known, this share of the requests is asked without one, so that the row for "unknown" learns too.
constexpr double kUnknownRequestShare = 0.1;
constexpr std::int64_t kNever = std::numeric_limits<std::int64_t>::max();
constexpr double kMsPerDay = 86'400'000;

std::size_t index(std::int64_t position) noexcept { return static_cast<std::size_t>(position); }

// Row of the gap tables for an event after the one before it. Times stay in their slots when an occasion is shuffled.
std::size_t gap_row(const TrainingData& data, std::size_t sequence, std::int64_t position) {
    if (position == data.offsets[sequence]) return model::kUnknownGap;
    if (data.occasion[index(position)] == data.occasion[index(position - 1)]) return model::kSameOccasionGap;
    return data.has_time ? model::timed_gap(data.time_ms[index(position)] - data.time_ms[index(position - 1)]) : model::kUnknownGap;
}

std::int64_t occasion_end(const TrainingData& data, std::int64_t position, std::int64_t sequence_end) {
    auto end = position + 1;
    while (end < sequence_end && data.occasion[index(end)] == data.occasion[index(position)]) ++end;
    return end;
}

// `event` is the row of the data that stands in slot `position`.
void append_input(const TrainingData& data, std::size_t sequence, std::int64_t position, std::int64_t event, Batch& batch) {
    batch.product.push_back(data.product[index(event)]);
    batch.kind.push_back(data.kind[index(event)]);
    batch.quantity.push_back(data.quantity[index(event)]);
    batch.gap.push_back(static_cast<std::int64_t>(gap_row(data, sequence, position)));
    batch.stamps.push_back(data.time_ms[index(position)]);
}

}  // namespace

std::vector<std::span<const Window>> runs(std::span<const Window> windows, std::int64_t positions) {
    std::vector<std::span<const Window>> out;
    std::size_t begin = 0;
    std::int64_t held = 0;
    for (std::size_t w = 0; w < windows.size(); ++w) {
        held += windows[w].end - windows[w].begin;
        if (held < positions && w + 1 < windows.size()) continue;
        out.push_back(windows.subspan(begin, w + 1 - begin));
        begin = w + 1;
        held = 0;
    }
    return out;
}

std::int64_t positions_of(std::span<const Window> windows) {
    std::int64_t sum = 0;
    for (const auto& window : windows) sum += window.end - window.begin;
    return sum;
}

Curriculum::Curriculum(const TrainingData& data, std::int64_t history_limit, std::vector<float> hazard_edges, const Views& views)
    : data_(data), window_length_(2 * history_limit), hazard_edges_(std::move(hazard_edges)), views_(views) {
    const bool timed = !hazard_edges_.empty();
    if (timed) next_purchase_ms_.assign(data.events(), kNever);
    for (std::size_t s = 0; s < data.sequences(); ++s) {
        const auto begin = data.offsets[s], end = data.offsets[s + 1];
        std::int64_t useful = begin;
        for (auto i = begin; i < end; ++i)
            if (data.role[index(i)] == model::kTrainTarget) {
                ++train_targets_;
                useful = occasion_end(data, i, end);
            }
        targets_end_.push_back(useful);
        useful_end_.push_back(timed ? end : useful);
        if (!timed) continue;
        std::int64_t next = kNever, later = kNever;  // next purchase of a later occasion; that of this occasion or later
        for (auto i = end - 1; i >= begin; --i) {
            if (i + 1 < end && data.occasion[index(i)] != data.occasion[index(i + 1)]) next = later;
            if (data.purchase[index(i)] != 0) later = data.time_ms[index(i)];
            next_purchase_ms_[index(i)] = next;
        }
    }
}

std::vector<Window> Curriculum::windows(Rng& rng) const {
    std::vector<Window> out;
    for (std::size_t s = 0; s < data_.sequences(); ++s) {
        const auto begin = data_.offsets[s], end = useful_end_[s];
        if (begin == end) continue;
        // The first window of a long sequence is cut short at random, the others follow at full length.
        auto cut = end;
        if (end - begin > window_length_) cut = begin + 1 + static_cast<std::int64_t>(rng.below(static_cast<std::uint64_t>(window_length_)));
        for (auto from = begin; from < end; from = cut, cut = std::min(cut + window_length_, end)) out.push_back({s, from, cut});
    }
    rng.shuffle(out);
    return out;
}

Batch Curriculum::pack(std::span<const Window> windows, Rng& rng) const {
    Batch batch;
    std::vector<std::int64_t> order;
    for (const auto& window : windows) {
        order.resize(index(window.end - window.begin));
        std::iota(order.begin(), order.end(), window.begin);
        for (auto i = window.begin; i < window.end;) {
            const auto end = occasion_end(data_, i, window.end);
            std::span<std::int64_t> lines(order.data() + (i - window.begin), index(end - i));
            rng.shuffle(lines);
            i = end;
        }
        const auto first_row = batch.positions();
        if (views_.reversed > 0 && rng.chance(views_.reversed)) pack_reversed(window, order, batch);
        else pack_forward(window, order, rng, batch);
        if (views_.masked > 0)
            for (auto row = first_row; row < batch.positions(); ++row)
                if (rng.chance(views_.masked)) batch.product[index(row)] = -1;
        if (batch.positions() > first_row) batch.offsets.push_back(batch.positions());
    }
    return batch;
}

void Curriculum::pack_forward(const Window& window, std::span<const std::int64_t> order, Rng& rng, Batch& batch) const {
    const auto sequence_begin = data_.offsets[window.sequence], sequence_end = data_.offsets[window.sequence + 1];
    const auto first_row = batch.positions();
    for (auto i = window.begin; i < window.end; ++i) {
        const auto event = order[index(i - window.begin)];
        const auto row = first_row + (i - window.begin);
        if (data_.role[index(event)] == model::kTrainTarget && (i > window.begin || i == sequence_begin)) {
            const bool unknown = data_.has_time && rng.chance(kUnknownRequestShare);
            const auto gap = gap_row(data_, window.sequence, i);
            batch.target_row.push_back(i == sequence_begin ? -1 : row - 1);
            batch.target_gap.push_back(static_cast<std::int64_t>(unknown && gap != model::kSameOccasionGap ? model::kUnknownGap : gap));
            batch.target_product.push_back(data_.product[index(event)]);
            if (i > sequence_begin) add_later_targets(order.subspan(index(i - window.begin + 1)), batch);
        }
        // Without time targets the last position of a window teaches nothing unless the sequence goes on behind it.
        if (hazard_edges_.empty() && i + 1 == window.end) break;
        append_input(data_, window.sequence, i, event, batch);
        if (!hazard_edges_.empty() && occasion_end(data_, i, sequence_end) == i + 1) add_time_target(i, row, window.sequence, batch);
    }
}

// From the end to the beginning, as if time ran back: what was bought before says as much of two products as what was
// bought after. Stamps are negated, so that differences stay positive.
void Curriculum::pack_reversed(const Window& window, std::span<const std::int64_t> order, Batch& batch) const {
    const auto end = std::min(window.end, targets_end_[window.sequence]);  // what validates is not seen
    std::vector<std::int64_t> back(order.begin(), order.begin() + std::max<std::int64_t>(end - window.begin, 0));
    std::ranges::reverse(back);
    for (std::size_t k = 0; k < back.size(); ++k) {
        const auto event = index(back[k]), before = k > 0 ? index(back[k - 1]) : event;
        const bool same = k > 0 && data_.occasion[event] == data_.occasion[before];
        const auto gap = k == 0 ? model::kUnknownGap : same ? model::kSameOccasionGap : data_.has_time ? model::timed_gap(data_.time_ms[before] - data_.time_ms[event]) : model::kUnknownGap;
        if (k > 0 && data_.role[event] == model::kTrainTarget) {
            batch.target_row.push_back(batch.positions() - 1);
            batch.target_gap.push_back(static_cast<std::int64_t>(gap));
            batch.target_product.push_back(data_.product[event]);
            add_later_targets(std::span(back).subspan(k + 1), batch);
        }
        if (k + 1 == back.size()) break;
        batch.backwards.push_back(batch.positions());
        batch.product.push_back(data_.product[event]);
        batch.kind.push_back(data_.kind[event]);
        batch.quantity.push_back(data_.quantity[event]);
        batch.gap.push_back(static_cast<std::int64_t>(gap));
        batch.stamps.push_back(-data_.time_ms[event]);
    }
}

void Curriculum::add_later_targets(std::span<const std::int64_t> following, Batch& batch) const {
    if (views_.later <= 0) return;
    const auto first = batch.later.size();
    const auto row = static_cast<std::int32_t>(batch.target_product.size()) - 1;
    double weight = 1, total = 1;
    for (std::size_t k = 0; k < following.size() && batch.later.size() - first < kLaterLimit; ++k) {
        const auto event = index(following[k]);
        if (data_.role[event] != model::kTrainTarget) continue;
        weight *= views_.later;
        total += weight;
        batch.later.push_back({row, data_.product[event], static_cast<float>(weight)});
    }
    for (auto k = first; k < batch.later.size(); ++k) batch.later[k].weight /= static_cast<float>(total);
}

void Curriculum::add_time_target(std::int64_t position, std::int64_t row, std::size_t sequence, Batch& batch) const {
    const auto now = data_.time_ms[index(position)], next = next_purchase_ms_[index(position)];
    const bool purchased = next != kNever;
    const double days = static_cast<double>((purchased ? next : data_.end_ms[sequence]) - now) / kMsPerDay;
    if (!purchased && days <= 0) return;  // nothing was observed after it
    batch.time_row.push_back(row);
    append_outcome(hazard_edges_, days, purchased, batch.exposure, batch.event);
}

void append_outcome(std::span<const float> edges, double days, bool purchased, std::vector<float>& exposure, std::vector<float>& event) {
    for (std::size_t k = 0; k + 1 < edges.size(); ++k) {
        const double begin = edges[k], end = edges[k + 1];
        const bool here = purchased && days >= begin && days < end;
        event.push_back(here ? 1.0f : 0.0f);
        exposure.push_back(here ? 0.0f : static_cast<float>(std::clamp((days - begin) / (end - begin), 0.0, 1.0)));
    }
}

std::vector<Unit> validation_units(const TrainingData& data, std::int64_t limit, Rng rng) {
    std::vector<Unit> units;
    for (std::size_t s = 0; s < data.sequences(); ++s) {
        const auto sequence_end = data.offsets[s + 1];
        for (auto i = data.offsets[s]; i < sequence_end;) {
            const auto end = occasion_end(data, i, sequence_end);
            const bool wanted = std::any_of(data.role.begin() + i, data.role.begin() + end, [](auto role) { return role == model::kValidationTarget; });
            if (wanted) units.push_back({s, i, end, {}, {}, 0});
            i = end;
        }
    }
    if (static_cast<std::int64_t>(units.size()) > limit) {
        rng.shuffle(units);
        units.resize(index(limit));
        std::ranges::sort(units, std::ranges::less{}, &Unit::begin);
    }
    const auto make_distinct = [](std::vector<std::int32_t>& values) {
        std::ranges::sort(values);
        values.erase(std::unique(values.begin(), values.end()), values.end());
    };
    for (auto& unit : units) {
        for (auto i = unit.begin; i < unit.end; ++i)
            if (data.role[index(i)] == model::kValidationTarget) unit.relevant.push_back(data.product[index(i)]);
        make_distinct(unit.relevant);
        unit.gap = gap_row(data, unit.sequence, unit.begin);
        if (!data.exclude_seen) continue;
        for (auto i = data.offsets[unit.sequence]; i < unit.begin; ++i)
            if (data.product[index(i)] >= 0) unit.seen.push_back(data.product[index(i)]);
        make_distinct(unit.seen);
        std::erase_if(unit.relevant, [&](auto product) { return std::ranges::binary_search(unit.seen, product); });
    }
    std::erase_if(units, [](const Unit& unit) { return unit.relevant.empty(); });
    return units;
}

void append_history(const TrainingData& data, const Window& window, Batch& batch) {
    for (auto i = window.begin; i < window.end; ++i) append_input(data, window.sequence, i, i, batch);
    batch.offsets.push_back(batch.positions());
}

}  // namespace perennial::train
