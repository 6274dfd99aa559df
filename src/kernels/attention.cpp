// The loops around one query at a time; the arithmetic of a query is in attention_scalar.cpp and attention_lanes.h.
#include "kernels/attention.h"

#include <algorithm>
#include <cassert>
#include <vector>

namespace perennial::kernels {
namespace {

// Calls body(j, bucket of the last stamp minus stamp j). Walks from the newest key back: differences mostly grow, so the
// bucket moves a step at a time. Any order of stamps gives the same answer as a search.
template <class Body>
void for_each_bucket(std::span<const std::int64_t> edges, std::span<const std::int64_t> stamps, Body&& body) noexcept {
    std::size_t bucket = 0;
    for (std::size_t j = stamps.size(); j-- > 0;) {
        const std::int64_t difference = stamps.back() - stamps[j];
        while (bucket < edges.size() && edges[bucket] <= difference) ++bucket;
        while (bucket > 0 && edges[bucket - 1] > difference) --bucket;
        body(j, bucket);
    }
}

std::size_t lag_index(const PairBias& tables, std::size_t count, std::size_t j) noexcept {
    return std::min(count - 1 - j, tables.lags() - 1);
}

// Scratch of one packed call, sized for the widest query.
struct Scratch {
    std::vector<float> bias, weights, d_bias;
    Scratch(std::size_t heads, std::size_t count) : bias(heads * count), weights(heads * count), d_bias(heads * count) {}
};

std::size_t widest_query(const Packed& packed, std::size_t first, std::size_t last) noexcept {
    std::int64_t longest = 0;
    for (std::size_t s = first; s < last; ++s) longest = std::max(longest, packed.offsets[s + 1] - packed.offsets[s]);
    return std::min(static_cast<std::size_t>(longest), packed.window);
}

std::span<const std::int64_t> stamps_of(const Packed& packed, std::size_t oldest, std::size_t count) noexcept {
    return packed.bias.stamp.empty() ? packed.stamps.first(0) : packed.stamps.subspan(oldest, count);
}

// Calls body(i, oldest key, row) for each query position i of the range, its bias filled in.
template <class Body>
void for_each_query(const Packed& packed, std::size_t first, std::size_t last, Scratch& scratch, Body&& body) {
    const std::size_t stride = 3 * packed.width;
    for (std::size_t s = first; s < last; ++s) {
        const auto begin = static_cast<std::size_t>(packed.offsets[s]), end = static_cast<std::size_t>(packed.offsets[s + 1]);
        for (std::size_t i = begin; i < end; ++i) {
            const std::size_t count = std::min(i - begin + 1, packed.window), oldest = i + 1 - count;
            pair_bias(packed.bias, stamps_of(packed, oldest, count), count, {scratch.bias.data(), packed.bias.heads * count});
            const float* qkv = packed.qkv.data();
            body(i, oldest,
                 AttendRow{qkv + i * stride, qkv + oldest * stride + packed.width, qkv + oldest * stride + 2 * packed.width,
                           scratch.bias.data(), scratch.weights.data(), stride, count, packed.bias.heads,
                           packed.width / packed.bias.heads});
        }
    }
}

void check([[maybe_unused]] const Packed& packed, [[maybe_unused]] std::size_t last) noexcept {
    assert(packed.window > 0 && packed.bias.heads > 0 && packed.width % packed.bias.heads == 0);
    assert(last < packed.offsets.size() && packed.bias.lags() > 0);
    assert(packed.qkv.size() >= static_cast<std::size_t>(packed.offsets[last]) * 3 * packed.width);
    assert(packed.bias.stamp.empty() || packed.bias.edges.size() + 1 == packed.bias.buckets());
    assert(packed.bias.stamp.empty() || packed.stamps.size() >= static_cast<std::size_t>(packed.offsets[last]));
}

}  // namespace

void pair_bias(const PairBias& tables, std::span<const std::int64_t> stamps, std::size_t count, std::span<float> bias) noexcept {
    assert(bias.size() == tables.heads * count && (tables.stamp.empty() || stamps.size() == count));
    for (std::size_t h = 0; h < tables.heads; ++h) {
        const float* lag = tables.lag.data() + h * tables.lags();
        for (std::size_t j = 0; j < count; ++j) bias[h * count + j] = lag[lag_index(tables, count, j)];
    }
    if (tables.stamp.empty()) return;
    for_each_bucket(tables.edges, stamps, [&](std::size_t j, std::size_t bucket) {
        for (std::size_t h = 0; h < tables.heads; ++h) bias[h * count + j] += tables.stamp[h * tables.buckets() + bucket];
    });
}

void attend_row(const AttendRow& row, std::span<float> out) noexcept {
    assert(row.count > 0 && out.size() == row.heads * row.head_width);
    table().attend_row(row, out.data());
}

void attend_packed(const Packed& packed, std::size_t first, std::size_t last, std::span<float> out) {
    check(packed, last);
    Scratch scratch(packed.bias.heads, widest_query(packed, first, last));
    for_each_query(packed, first, last, scratch, [&](std::size_t i, std::size_t, const AttendRow& row) {
        table().attend_row(row, out.data() + i * packed.width);
    });
}

void attend_packed_backward(const Packed& packed, std::size_t first, std::size_t last, std::span<const float> d_out,
                            const PackedGradient& gradient) {
    check(packed, last);
    const std::size_t width = packed.width, stride = 3 * width;
    const auto begin = static_cast<std::size_t>(packed.offsets[first]), end = static_cast<std::size_t>(packed.offsets[last]);
    std::fill_n(gradient.d_qkv.data() + begin * stride, (end - begin) * stride, 0.0f);
    Scratch scratch(packed.bias.heads, widest_query(packed, first, last));
    std::vector<float> forward_out(width);
    for_each_query(packed, first, last, scratch, [&](std::size_t i, std::size_t oldest, const AttendRow& row) {
        table().attend_row(row, forward_out.data());
        float* d = gradient.d_qkv.data();
        table().attend_row_backward(row, d_out.data() + i * width, d + i * stride, d + oldest * stride + width,
                                    d + oldest * stride + 2 * width, scratch.d_bias.data());
        const PairBias& tables = packed.bias;
        for (std::size_t h = 0; h < tables.heads; ++h) {
            const float* d_bias = scratch.d_bias.data() + h * row.count;
            float* d_lag = gradient.d_lag.data() + h * tables.lags();
            for (std::size_t j = 0; j < row.count; ++j) d_lag[lag_index(tables, row.count, j)] += d_bias[j];
        }
        if (tables.stamp.empty()) return;
        for_each_bucket(tables.edges, stamps_of(packed, oldest, row.count), [&](std::size_t j, std::size_t bucket) {
            for (std::size_t h = 0; h < tables.heads; ++h)
                gradient.d_stamp[h * tables.buckets() + bucket] += scratch.d_bias[h * row.count + j];
        });
    });
}

}  // namespace perennial::kernels
