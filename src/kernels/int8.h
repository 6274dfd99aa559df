// Exact ranking over a table of float rows that reads a quarter of its bytes: every row is first bounded from 8-bit
// numbers, and only the few whose bound reaches into the n best are scored in float32. The result is that of scoring all
// rows with linear_rows() and sorting. Why it is exact: docs/design/exact-int8-ranking.md.
//
// Shapes: P rows, D width, Q queries. Threads: a table is const after construction; the functions are pure.
// Source of the idea of a quantised scan and exact scores of a short list: Jegou, Douze, Schmid 2011 (product
// quantisation with re-ranking); the bound is Cauchy-Schwarz.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "kernels/isa.h"
#include "kernels/top_n.h"

namespace perennial::kernels {

// A row w is stored as round(w / s), -127..127 with s = max|w| / 127, and lies there as a byte with 128 added. Sixteen
// rows make a block [D/4, 16, 4], so that one vector holds four columns of sixteen rows and sums need no last step across
// lanes. Rows and columns that fill up a block are zero.
class Int8Table {
public:
    // `weight` [P, D] and `bias` [P] (or empty) are read, not kept. O(P D). Nothing when a number is not finite, when a
    // norm overflows, or when D > kInt8WidthLimit: then only float32 scores rank them.
    static std::optional<Int8Table> make(std::span<const float> weight, std::span<const float> bias, std::size_t width);

    std::size_t rows() const noexcept { return rows_; }
    std::size_t width() const noexcept { return width_; }
    std::size_t bytes() const noexcept;  // of memory

private:
    friend class Int8Search;
    std::size_t rows_ = 0, width_ = 0, quads_ = 0;
    std::vector<Int8Quad> weights_;  // [blocks, quads]
    std::vector<Int8Rows> bounds_;   // [blocks]: s, bias, |w| and |w - s q|, both rounded up
    float norm_max_ = 0, bias_max_ = 0;
};

// Integer sums stay exact in float32 below it: 2048 columns x 128 x 64 = 2^24.
inline constexpr std::size_t kInt8WidthLimit = 2048;

struct TopQuery {
    std::span<const float> x;                       // [D]
    std::span<const std::int32_t> excluded;         // ascending; never ranked
    std::span<Ranked> best;                         // result, best first
    std::size_t count = 0;                          // result: how many of `best` were written
    std::size_t rescored = 0;                       // result: rows that were scored in float32, of P
};

// Ranks all rows for each query; weight [P, D] and bias [P] or empty are those the table was made of. Rows come in the
// order of ranks_before() by the score that linear_rows() gives. The table is read once for kQueriesPerPass queries.
// A query with a number that is not finite is scored in float32 throughout.
inline constexpr std::size_t kQueriesPerPass = 32;
void top_n_rows(const Int8Table& table, std::span<const float> weight, std::span<const float> bias, std::span<TopQuery> queries);

// The same in float32 throughout: scores a tile of rows, keeps the best, forgets the tile.
void top_n_rows(std::span<const float> weight, std::span<const float> bias, std::span<TopQuery> queries);

}  // namespace perennial::kernels
