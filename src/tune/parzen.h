// Multivariate Parzen densities over a search space, and the proposals made from two of them.
// Source: Bergstra, Bardenet, Bengio and Kegl 2011 (tree-structured Parzen estimator: model the good and the bad trials,
// try where the ratio is largest, with the prior as one more component); Falkner, Klein and Hutter 2018 (BOHB: one kernel
// over all parameters together, so that what belongs together is learned together; a share of random proposals).
// Coordinates are unit ones (space.h). Threads: const after construction.
#pragma once

#include <cstddef>
#include <span>
#include <vector>

#include "base/rng.h"
#include "tune/space.h"

namespace perennial::tune {

// p(x) = (1 + sum_i prod_j k_j(x_j | x_ij)) / (n + 1): the uniform prior and a kernel a point. Numbers: a normal cut off at
// 0 and 1. Categories (Aitchison and Aitken 1976): 1 - s on the point's own choice, the rest shared out.
class Parzen {
public:
    // `points` [n][d]; `space` must outlive this.
    Parzen(const Space& space, std::vector<std::vector<double>> points);

    double log_density(std::span<const double> x) const;  // O(n d); for a category: log probability of the choice times c
    std::vector<double> sample(Rng& rng) const;

private:
    const Space* space_;
    std::vector<std::vector<double>> points_;
    std::vector<double> widths_;  // [d] standard deviation, or s of a category
};

struct Observation {
    std::vector<double> point;
    double value = 0;  // larger is better; -inf for a trial that failed
};

struct TpeOptions {
    double good_share = 0.15;    // of the observations, but at least two
    std::size_t candidates = 64; // drawn from the good ones' density
    double random_share = 0.05;  // proposals that ignore the model, so that no corner is shut off for good
};

// A point to try next. Fewer than space.size() + 3 observations (BOHB's rule), or the random share: uniform.
// O(candidates n d).
std::vector<double> propose(const Space& space, std::span<const Observation> observations, Rng rng, const TpeOptions& options = {});

}  // namespace perennial::tune
