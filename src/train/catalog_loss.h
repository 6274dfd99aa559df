// Softmax cross-entropy over the catalogue: the one place where training meets every product.
// Threads: starts `threads` - 1 helpers; the result has the same bits for any number of them.
#pragma once

#include <cstdint>
#include <span>

#include "train/batches.h"

namespace perennial::train {

// R queries of width D against P products.
struct CatalogProblem {
    std::span<const float> queries;           // [R, D]
    std::span<const float> table, bias;       // [P, D], [P]
    std::span<const std::int32_t> targets;    // [R]
    std::span<const LaterTarget> later;       // share in the targets' weight
    std::size_t width = 0;                    // D
    double scale = 1;
};
struct CatalogGradient {
    std::span<float> queries, table, bias;  // as above, overwritten
};

// Sum over rows of the cross-entropy between the row's targets and softmax(q E^T + b); the gradient is of scale times
// that. 6 R P D operations.
double catalog_loss(const CatalogProblem& problem, const CatalogGradient& gradient, unsigned threads);

}  // namespace perennial::train
