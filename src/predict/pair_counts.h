// Which products are bought together and after one another: a counting memory that needs no training and matches
// published networks on sparse shops. Formula and figures: docs/design/pair-counts.md.
// Threads: const after construction.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "predict/recommender.h"

namespace perennial::predict {

// Score of product j = sum over history products i of  recall^age * pop(i)^-from * (F[i][j] + back * B[i][j]) * pop(j)^-to.
struct PairOptions {
    double decay = 0.8;    // a pair counts decay^(gap - 1); gap in occasions, same occasion and next both 1
    double back = 0.4;     // weight of pairs in which j came before i
    double from = 0.5;     // popular products in the history say less
    double to = 0.1;       // popular candidates need less of a boost
    double recall = 0.5;   // per step back in the history
    std::size_t window = 60;          // neighbours looked at on each side of a step
    std::size_t history_limit = 50;   // steps of history used in scoring
};

class PairCounts : public Recommender {
public:
    // Counts pairs (any step with a product, purchase) in all sequences. O(steps x window).
    PairCounts(std::span<const sequence::Sequence> sequences, std::size_t products, const PairOptions& options, unsigned threads);

    std::string_view name() const override { return "pair_counts"; }
    void score(std::span<const Step> history, std::int64_t now_ms, std::span<float> shares) const override;

    // What pairs say about chosen products under other exponents than options(), without popularity of the candidate.
    struct Evidence {
        float slow = 0;      // the history fades slowly, both directions
        float last = 0;      // the last occasion alone, forward
        float backward = 0;  // candidate before history
        float plain = 0;     // bare counts, no fading
    };
    // O(products x history_limit x log row).
    std::vector<Evidence> evidence(std::span<const Step> history, std::span<const std::int32_t> products) const;

    // The history product that speaks most for `product`, or kNoProduct.
    std::int32_t strongest_reason(std::span<const Step> history, std::int32_t product) const;

    const PairOptions& options() const noexcept { return options_; }
    // The same counts with other exponents: everything but decay and window may change.
    PairCounts with(const PairOptions& options) const;

private:
    struct Entry { std::int32_t product; float forward, backward; };
    void prepare();
    std::span<const Entry> row(std::int32_t product) const;

    PairOptions options_;
    std::vector<std::size_t> offsets_;      // [P + 1]
    std::vector<Entry> entries_;
    std::vector<double> popularity_;        // purchases + 1
    std::vector<float> from_weight_, to_weight_;
};

// Options with the best NDCG@10 on `units`: one pass of coordinate search from the defaults.
PairCounts tune_pair_counts(std::span<const sequence::Sequence> sequences, std::span<const Unit> units, std::size_t products,
                            std::size_t units_limit, std::uint64_t seed, unsigned threads);

}  // namespace perennial::predict
