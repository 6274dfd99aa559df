// How much each agreement weighs: the model of Fellegi and Sunter (1969), a mixture of matching and other pairs whose
// fields are independent given which it is, fitted without labels by EM (Dempster, Laird, Rubin 1977; Winkler 1988) on the
// counts of comparison patterns. m: probability of a level among matching pairs; u: among the others. A missing value
// says nothing. The weight of a level is log2(m / u); of equal values it is moved by how rare the value is (Winkler 1989).
// A small table is fitted on all its pairs, m, u and the share of matches together. A large one knows u from random pairs
// and m from each blocking rule's pairs in turn, over the fields that the rule does not use: in its blocks those always agree.
// Threads: the result does not depend on how many there are.
#pragma once

#include <cmath>
#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "resolve/blocking.h"
#include "resolve/comparison.h"

namespace perennial::resolve {

struct MatchModel {
    double match_share = 0;               // of all possible pairs
    std::vector<std::vector<double>> m, u;  // [features][levels]; level 0 stands for missing and is 1 in both
    std::vector<double> equal_share;      // [features]: chance that two records picked at random hold equal values
    std::vector<std::string> untrained;   // features whose m is still the first guess: every rule uses them
    std::size_t rounds = 0;               // of EM, all runs together

    double log2_weight(std::size_t feature, unsigned level) const noexcept;
};

struct FitOptions {
    std::uint64_t seed = 1;
    double random_pairs = 1'000'000;      // drawn to estimate u where not all pairs are compared
    double em_pairs_per_rule = 1'000'000;
    std::size_t rounds_limit = 500;
    double tolerance = 1e-7;              // largest change of a parameter at which EM stops
};

// One run of EM. `free_u`: u is fitted too; else it stays as in `start`. `fixed`: features left out. Pairs of `counts` are
// what `match_share` is a share of. O(patterns * features) a round.
MatchModel expectation_maximisation(const Comparator& comparator, std::span<const Blocking::PatternCount> counts, MatchModel start, bool free_u,
                                    const std::vector<bool>& fixed, const FitOptions& options);

// The first guess: of equal values 0.9 of matches, halving from level to level.
MatchModel first_guess(const Comparator& comparator);

// `pairs`: all of `blocking`, compared. Errors: kInvalid (no pairs, or fewer than two records).
Result<MatchModel> fit(const Comparator& comparator, const Blocking& blocking, std::span<const Pair> pairs, const FitOptions& options, unsigned threads);

// Weights of pairs under a fitted model, in log2 of the odds of being a match.
class Scorer {
public:
    Scorer(const Comparator& comparator, const MatchModel& model);  // keeps references
    double prior() const noexcept { return prior_; }
    double weight(const Pair& pair) const noexcept;  // prior and all features
    // What one feature adds: its level, and how rare the equal value is.
    double feature_weight(const Pair& pair, std::size_t feature) const noexcept;
    double rarity_weight(const Pair& pair, std::size_t feature) const noexcept;

    struct Reason {
        std::string feature, left, right, level;
        double weight = 0, rarity = 0;  // `rarity` is part of `weight`
    };
    // One a feature that was present, most telling first; with prior() they add up to weight().
    std::vector<Reason> explain(const Pair& pair) const;

private:
    const Comparator& comparator_;
    const MatchModel& model_;
    double prior_;
    std::vector<std::vector<double>> bits_;
};

inline double probability_of(double weight) noexcept { return 1 / (1 + std::exp2(-weight)); }

// Adjusting by rarity is capped at so many bits either way: a value seen twice is no proof by itself.
inline constexpr double kRarityLimit = 8;

}  // namespace perennial::resolve
