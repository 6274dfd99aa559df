// What will this customer buy next? One interface for the network, the counting memories and their mixture: a
// distribution over all P products of the vocabulary.
// Threads: const members from any thread.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "predict/ranking.h"
#include "sequence/sequence.h"

namespace perennial::model {
class Session;
}

namespace perennial::predict {

using sequence::Step;

class Recommender {
public:
    virtual ~Recommender() = default;
    virtual std::string_view name() const = 0;
    // Writes P non-negative shares that sum to 1. `history` in time order, may be empty; `now_ms` is the moment of the
    // request, 0 when times are unknown.
    virtual void score(std::span<const Step> history, std::int64_t now_ms, std::span<float> shares) const = 0;
    // The same shares, for a caller who kept the network's state after `history`. Whoever asks no network ignores it.
    virtual void score_with(const model::Session&, std::span<const Step> history, std::int64_t now_ms, std::span<float> shares) const {
        score(history, now_ms, shares);
    }
};

// Purchases of all customers, each counted 2^(-age / half life).
class Popularity : public Recommender {
public:
    // `half_life_days` 0: no decay.
    Popularity(std::span<const sequence::Sequence> sequences, std::size_t products, double half_life_days, std::int64_t now_ms);
    std::string_view name() const override { return "popular"; }
    void score(std::span<const Step>, std::int64_t, std::span<float> shares) const override;
    std::span<const float> shares() const noexcept { return shares_; }

private:
    std::vector<float> shares_;
};

// What the customer bought before, most often first, the newest first among equals; the rest by popularity.
class OwnRepeats : public Recommender {
public:
    explicit OwnRepeats(std::shared_ptr<const Popularity> popularity) : popularity_(std::move(popularity)) {}
    std::string_view name() const override { return "own_repeats"; }
    void score(std::span<const Step> history, std::int64_t, std::span<float> shares) const override;

private:
    std::shared_ptr<const Popularity> popularity_;
};

// A distribution that is the weighted sum of others. Weights are not negative and sum to 1.
class Mixture : public Recommender {
public:
    struct Part { std::shared_ptr<const Recommender> recommender; double weight = 0; };
    explicit Mixture(std::vector<Part> parts) : parts_(std::move(parts)) {}
    std::string_view name() const override { return "mixture"; }
    void score(std::span<const Step> history, std::int64_t now_ms, std::span<float> shares) const override;
    void score_with(const model::Session& session, std::span<const Step> history, std::int64_t now_ms, std::span<float> shares) const override;
    std::span<const Part> parts() const noexcept { return parts_; }

private:
    void add(const model::Session* session, std::span<const Step> history, std::int64_t now_ms, std::span<float> shares) const;

    std::vector<Part> parts_;
};

// One question with its answer: what was bought after `history` by a customer asking at `now_ms`.
struct Unit {
    std::span<const Step> history;
    std::int64_t now_ms = 0;
    std::vector<std::int32_t> relevant;  // distinct
    std::vector<std::int32_t> excluded;  // never ranked
};

// Metrics of each unit, in order. O(units x P) and the scoring. The same for any number of threads.
std::vector<RankingMetrics> evaluate(const Recommender& recommender, std::span<const Unit> units, std::size_t products, unsigned threads);
double mean_ndcg10(std::span<const RankingMetrics> metrics);

// Weights on a grid of tenths with the best mean NDCG@10 on `units` (at most `units_limit` of them, drawn by seed).
std::vector<double> tune_mixture(std::span<const std::shared_ptr<const Recommender>> parts, std::span<const Unit> units,
                                 std::size_t products, std::size_t units_limit, std::uint64_t seed, unsigned threads);

}  // namespace perennial::predict
