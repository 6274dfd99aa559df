#include "train/catalog_loss.h"

#include "kernels/softmax_loss.h"

namespace perennial::train {
namespace {

// What later targets change: the softmax itself is the same, only the true distribution moves.
double move_targets(const CatalogProblem& in, const CatalogGradient& out) {
    const auto row = [&](auto values, std::size_t r) { return values.subspan(r * in.width, in.width); };
    double loss = 0;
    for (const auto& later : in.later) {
        const auto r = static_cast<std::size_t>(later.row), first = static_cast<std::size_t>(in.targets[r]), other = static_cast<std::size_t>(later.product);
        const auto h = row(in.queries, r), e_first = row(in.table, first), e_other = row(in.table, other);
        const auto d_h = row(out.queries, r), d_first = row(out.table, first), d_other = row(out.table, other);
        const auto step = static_cast<float>(in.scale * later.weight);
        double difference = double{in.bias[first]} - in.bias[other];
        for (std::size_t i = 0; i < in.width; ++i) {
            difference += double{h[i]} * (double{e_first[i]} - e_other[i]);
            d_h[i] += step * (e_first[i] - e_other[i]);
            d_first[i] += step * h[i];
            d_other[i] -= step * h[i];
        }
        out.bias[first] += step;
        out.bias[other] -= step;
        loss += later.weight * difference;
    }
    return loss;
}

}  // namespace

double catalog_loss(const CatalogProblem& problem, const CatalogGradient& gradient, unsigned threads) {
    const double loss = kernels::softmax_loss({problem.queries, problem.table, problem.bias, problem.targets, problem.width, problem.scale},
                                              {gradient.queries, gradient.table, gradient.bias}, threads);
    return loss + move_targets(problem, gradient);
}

}  // namespace perennial::train
