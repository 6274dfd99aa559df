#include "kernels/int8.h"

#include <algorithm>
#include <array>
#include <cassert>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <numeric>
#include <string_view>

#include "kernels/linear.h"
#include "kernels/variants.h"

namespace perennial::kernels {
namespace {

constexpr std::size_t kBlockRows = 16;
constexpr double kWeightMax = 127, kQueryMax = 64;  // see Int8Query::x

// What is computed in double and must not be too small as a float.
float rounded_up(double value) {
    const auto nearest = static_cast<float>(value);
    return std::nextafter(nearest, std::numeric_limits<float>::infinity());
}

bool finite(std::span<const float> values) {
    return std::ranges::all_of(values, [](float value) { return std::isfinite(value); });
}

float largest(std::span<const float> values) {
    float most = 0;
    for (const float value : values) most = std::max(most, std::abs(value));
    return most;
}

// AVX-512 does not imply VNNI, so this one is asked for by itself.
auto bounds_kernel() noexcept {
#if PERENNIAL_KERNELS_VNNI
    static const auto chosen = vnni::wanted() ? vnni::int8_bounds : table().int8_bounds;
    return chosen;
#else
    return table().int8_bounds;
#endif
}

struct Norms { double kept, lost, whole; };  // of s q, of v - s q, and of v

template <typename Put>
Norms quantise(std::span<const float> values, float scale, double most, const Put& put) {
    double kept = 0, lost = 0, whole = 0;
    for (std::size_t k = 0; k < values.size(); ++k) {
        const double exact = scale > 0 ? static_cast<double>(values[k]) / static_cast<double>(scale) : 0;
        const double q = std::clamp(std::nearbyint(exact), -most, most);
        put(k, static_cast<int>(q));
        const double near = q * static_cast<double>(scale), left = static_cast<double>(values[k]) - near;
        kept += near * near, lost += left * left, whole += static_cast<double>(values[k]) * static_cast<double>(values[k]);
    }
    return {std::sqrt(kept), std::sqrt(lost), std::sqrt(whole)};
}

}  // namespace

#if PERENNIAL_KERNELS_VNNI
namespace vnni {
bool supported() noexcept { return __builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512vnni"); }
bool wanted() noexcept {
    const char* forced = std::getenv("PERENNIAL_ISA");
    return supported() && (forced == nullptr || *forced == '\0' || std::string_view(forced) == "avx512");
}
}  // namespace vnni
#endif

std::optional<Int8Table> Int8Table::make(std::span<const float> weight, std::span<const float> bias, std::size_t width) {
    if (width == 0 || width > kInt8WidthLimit || !finite(weight) || !finite(bias)) return std::nullopt;
    assert(weight.size() % width == 0 && (bias.empty() || bias.size() == weight.size() / width));
    Int8Table table;
    table.rows_ = weight.size() / width;
    table.width_ = width;
    table.quads_ = (width + 3) / 4;
    const std::size_t blocks = (table.rows_ + kBlockRows - 1) / kBlockRows;
    Int8Quad zero;
    std::memset(&zero, 128, sizeof zero);
    table.weights_.assign(blocks * table.quads_, zero);
    table.bounds_.assign(blocks, {});
    for (std::size_t i = 0; i < table.rows_; ++i) {
        const auto row = weight.subspan(i * width, width);
        const std::size_t block = i / kBlockRows, r = i % kBlockRows;
        Int8Rows& bounds = table.bounds_[block];
        bounds.scale[r] = static_cast<float>(static_cast<double>(largest(row)) / kWeightMax);
        const auto norms = quantise(row, bounds.scale[r], kWeightMax, [&](std::size_t k, int q) {
            table.weights_[block * table.quads_ + k / 4].weight[r][k % 4] = static_cast<std::uint8_t>(q + 128);
        });
        bounds.bias[r] = bias.empty() ? 0.0f : bias[i];
        bounds.norm[r] = rounded_up(norms.whole);
        bounds.error[r] = rounded_up(norms.lost);
        table.norm_max_ = std::max(table.norm_max_, bounds.norm[r]);
    }
    table.bias_max_ = largest(bias);
    if (!std::isfinite(table.norm_max_)) return std::nullopt;
    return table;
}

std::size_t Int8Table::bytes() const noexcept { return weights_.size() * sizeof(Int8Quad) + bounds_.size() * sizeof(Int8Rows); }

// One query on its way through the table.
class Int8Search {
public:
    Int8Search(const Int8Table& table, TopQuery& query) : query_(query), x_(4 * table.quads_, 0), best_lower_(query.best.size()) {
        assert(query.x.size() == table.width_ && std::ranges::is_sorted(query.excluded));
        if (!finite(query.x)) return;
        const auto scale = static_cast<float>(static_cast<double>(largest(query.x)) / kQueryMax);
        std::int32_t sum = 0;
        const auto norms = quantise(query.x, scale, kQueryMax, [&](std::size_t k, int q) { x_[k] = static_cast<std::int8_t>(q), sum += q; });
        // Rounding: D products and sums of the float32 score, a few more of the bounds themselves; u = 2^-24 each, of
        // |x| |w| + |bias| at most. What underflows is below `kTiny`. See docs/design/exact-int8-ranking.md.
        constexpr double kTiny = 1e-36, kBoundRounding = 1 + 1e-6;
        const double rounding = 1.01 * (static_cast<double>(table.width_) + 16) * 0x1p-24;
        bounds_ = {.x = x_.data(), .start = -128 * sum, .scale = scale,
                   .by_norm = rounded_up(kBoundRounding * (norms.lost + rounding * (norms.whole + norms.kept))),
                   .by_error = rounded_up(kBoundRounding * (1 + rounding) * norms.kept),
                   .more = rounded_up(kBoundRounding * 2 * rounding * static_cast<double>(table.bias_max_) + kTiny),
                   .threshold = -std::numeric_limits<float>::infinity(), .rows = nullptr, .upper = nullptr, .lower = nullptr, .hits = 0};
        const double most = 4 * (norms.whole + norms.lost) * static_cast<double>(table.norm_max_) + 2 * static_cast<double>(table.bias_max_);
        usable_ = most < static_cast<double>(std::numeric_limits<float>::max());
    }

    bool usable() const noexcept { return usable_; }

    // Bounds of the rows of blocks [first, first + count), for several queries at once.
    static void scan(const Int8Table& table, std::size_t first, std::size_t count, std::span<Int8Search*> searches) {
        struct Room { std::array<std::int32_t, kChunkBlocks * kBlockRows> rows; std::array<float, kChunkBlocks * kBlockRows> upper, lower; };
        std::array<Room, 4> room;  // the kernels take four queries at a time
        std::array<Int8Query, 4> queries;
        for (std::size_t begin = 0; begin < searches.size(); begin += room.size()) {
            const std::size_t group = std::min(room.size(), searches.size() - begin);
            for (std::size_t q = 0; q < group; ++q) {
                queries[q] = searches[begin + q]->bounds_;
                queries[q].rows = room[q].rows.data(), queries[q].upper = room[q].upper.data(), queries[q].lower = room[q].lower.data();
            }
            bounds_kernel()(table.weights_.data() + first * table.quads_, table.bounds_.data() + first, count, table.quads_, queries.data(), group);
            for (std::size_t q = 0; q < group; ++q) searches[begin + q]->take(queries[q], first * kBlockRows, table.rows_);
        }
    }

    // The few rows left, scored in float32.
    void finish(std::span<const float> weight, std::span<const float> bias) {
        std::vector<std::int32_t> rows;
        for (const auto& [upper, id] : candidates_)
            if (upper >= bounds_.threshold) rows.push_back(id);
        std::vector<float> scores(rows.size());
        linear_rows(query_.x, weight, bias, rows, scores);
        BestN best(query_.best.size());
        for (std::size_t r = 0; r < rows.size(); ++r) best.offer({scores[r], rows[r]});
        const auto ranked = best.sort();
        std::ranges::copy(ranked, query_.best.begin());
        query_.count = ranked.size();
        query_.rescored = rows.size();
    }

    static constexpr std::size_t kChunkBlocks = 64, kFirstBlocks = 4;  // between two looks at the threshold

private:
    void take(const Int8Query& found, std::size_t first_row, std::size_t rows) {
        for (std::size_t h = 0; h < found.hits; ++h) {
            if (found.upper[h] < bounds_.threshold) continue;
            const std::size_t row = first_row + static_cast<std::size_t>(found.rows[h]);
            if (row >= rows) break;  // filling
            const auto id = static_cast<std::int32_t>(row);
            while (skip_ < query_.excluded.size() && query_.excluded[skip_] < id) ++skip_;
            if (skip_ < query_.excluded.size() && query_.excluded[skip_] == id) continue;
            candidates_.push_back({found.upper[h], id});
            best_lower_.offer({found.lower[h], id});
            bounds_.threshold = best_lower_.threshold();
        }
    }

    TopQuery& query_;
    std::vector<std::int8_t> x_;
    Int8Query bounds_{};
    bool usable_ = false;
    BestN best_lower_;                 // its threshold: n rows score at least this
    std::vector<Ranked> candidates_;   // upper bounds
    std::size_t skip_ = 0;             // excluded ids already passed
};

void top_n_rows(const Int8Table& table, std::span<const float> weight, std::span<const float> bias, std::span<TopQuery> queries) {
    assert(weight.size() == table.rows() * table.width() && (bias.empty() || bias.size() == table.rows()));
    const std::size_t blocks = (table.rows() + kBlockRows - 1) / kBlockRows;
    for (std::size_t begin = 0; begin < queries.size(); begin += kQueriesPerPass) {
        const auto pass = queries.subspan(begin, std::min(kQueriesPerPass, queries.size() - begin));
        std::vector<Int8Search> searches;
        searches.reserve(pass.size());
        std::vector<Int8Search*> scanned;
        for (auto& query : pass)
            if (auto& search = searches.emplace_back(table, query); search.usable()) scanned.push_back(&search);
            else top_n_rows(weight, bias, std::span(&query, 1));
        for (std::size_t first = 0, count = Int8Search::kFirstBlocks; first < blocks; first += count, count = std::min(2 * count, Int8Search::kChunkBlocks)) {
            count = std::min(count, blocks - first);
            Int8Search::scan(table, first, count, scanned);
        }
        for (auto* search : scanned) search->finish(weight, bias);
    }
}

void top_n_rows(std::span<const float> weight, std::span<const float> bias, std::span<TopQuery> queries) {
    constexpr std::size_t kTile = 256;  // rows: 64 KiB at width 64, read from memory once for all queries
    std::vector<BestN> best;
    for (const auto& query : queries) best.emplace_back(query.best.size());
    std::array<std::int32_t, kTile> rows, hits;
    std::array<float, kTile> scores;
    const std::size_t width = queries.empty() ? 1 : queries.front().x.size(), count = weight.size() / width;
    for (std::size_t begin = 0; begin < count; begin += kTile) {
        const auto tile = std::span(rows).first(std::min(kTile, count - begin));
        std::iota(tile.begin(), tile.end(), static_cast<std::int32_t>(begin));
        for (std::size_t q = 0; q < queries.size(); ++q) {
            linear_rows(queries[q].x, weight, bias, tile, std::span(scores).first(tile.size()));
            const std::size_t found = table().above(scores.data(), tile.size(), best[q].threshold(), hits.data());
            for (std::size_t h = 0; h < found; ++h) {
                const auto id = tile[static_cast<std::size_t>(hits[h])];
                if (!std::ranges::binary_search(queries[q].excluded, id)) best[q].offer({scores[static_cast<std::size_t>(hits[h])], id});
            }
        }
    }
    for (std::size_t q = 0; q < queries.size(); ++q) {
        const auto ranked = best[q].sort();
        std::ranges::copy(ranked, queries[q].best.begin());
        queries[q].count = ranked.size();
        queries[q].rescored = count;
    }
}

}  // namespace perennial::kernels
