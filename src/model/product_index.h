// Which products score best against a customer vector, found without scoring all of them in float32.
// Two ways behind one interface: exact by 8-bit bounds (kernels/int8.h), and approximate by a navigable graph, for
// catalogues so large that reading an eighth of a gigabyte a request is too slow. Neither is stored: both are rebuilt from
// the product table when a network is loaded (figures: docs/results/serving-model.md).
//
// Shapes: P products, D width. Threads: const after construction.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>

#include "base/result.h"
#include "kernels/int8.h"
#include "kernels/top_n.h"

namespace perennial::model {

using kernels::Ranked;
using kernels::TopQuery;

// A view; what it looks at must outlive the index. The score of product p for a vector x is vectors[p] . x + bias[p].
struct ProductTable {
    std::span<const float> vectors;  // [P, D]
    std::span<const float> bias;     // [P]
    std::size_t width = 0;
};

class ProductIndex {
public:
    virtual ~ProductIndex() = default;
    virtual std::string_view name() const = 0;
    // Fills each query's `best` with what it finds, best first, scores as kernels::linear_rows gives them. Several
    // queries in one call share the reading of the table.
    virtual void top(std::span<TopQuery> queries) const = 0;
    virtual std::size_t bytes() const = 0;  // of memory, beside the table itself
};

// The true best, always: equal to scoring all products in float32 and sorting. P (D + 16) bytes; O(P D) to build, about
// 0.1 s a million rows of 64.
std::unique_ptr<ProductIndex> make_exact_index(const ProductTable& table);

// Hierarchical navigable small world graph (Malkov and Yashunin 2016, arXiv:1603.09320; library: hnswlib) for the largest
// inner product: neighbours in the graph are those of the largest inner product too (Morozov and Babenko 2018, ip-NSW).
// The bias is one more column against a constant 1 in the query. Making all rows equally long by yet another column and
// searching by angle (Bachrach et al. 2014) found less at every effort on our data.
struct HnswOptions {
    std::size_t links = 32;            // a row on the upper levels, twice as many on the lowest
    std::size_t build_effort = 200;    // candidates looked at for the links of a new row
    std::size_t search_effort = 200;   // candidates kept while searching; at least n + excluded
    std::uint64_t seed = 1;
    unsigned threads = 1;              // with more than one, the graph depends on who comes first
};
// Excluded products are found and then dropped; scores of what is left are exact, places are not. Seconds to minutes to build.
// Errors: kInvalid for a table with a number that is not finite, kFull without memory.
class GraphIndex : public ProductIndex {
public:
    virtual void set_search_effort(std::size_t effort) = 0;  // not beside top()
};
Result<std::unique_ptr<GraphIndex>> make_hnsw_index(const ProductTable& table, const HnswOptions& options);

}  // namespace perennial::model
