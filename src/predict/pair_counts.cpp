#include "predict/pair_counts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/parallel.h"
#include "base/rng.h"

namespace perennial::predict {

using sequence::kNoProduct;

PairCounts::PairCounts(std::span<const sequence::Sequence> sequences, std::size_t products, const PairOptions& options, unsigned threads)
    : options_(options), popularity_(products, 1.0) {
    struct Place { std::uint32_t sequence, step; };
    std::vector<std::vector<Place>> places(products);
    for (std::size_t s = 0; s < sequences.size(); ++s)
        for (std::size_t t = 0; t < sequences[s].steps.size(); ++t) {
            const auto& step = sequences[s].steps[t];
            if (step.product < 0) continue;
            places[static_cast<std::size_t>(step.product)].push_back({static_cast<std::uint32_t>(s), static_cast<std::uint32_t>(t)});
            if (step.purchase()) popularity_[static_cast<std::size_t>(step.product)] += 1;
        }
    std::vector<float> powers(512);
    for (std::size_t gap = 0; gap < powers.size(); ++gap) powers[gap] = static_cast<float>(std::pow(options.decay, gap <= 1 ? 0.0 : static_cast<double>(gap) - 1));
    const auto power = [&](std::int32_t gap) { return powers[std::min<std::size_t>(static_cast<std::size_t>(gap), powers.size() - 1)]; };

    std::vector<std::vector<Entry>> rows(products);
    parallel_for(products, 64, threads, [&](std::size_t begin, std::size_t end) {
        std::vector<float> forward(products, 0.0f), backward(products, 0.0f);
        std::vector<std::int32_t> touched;
        const auto add = [&](std::vector<float>& side, std::int32_t j, float weight) {
            const auto at = static_cast<std::size_t>(j);
            if (forward[at] == 0 && backward[at] == 0) touched.push_back(j);
            side[at] += weight;
        };
        for (std::size_t i = begin; i < end; ++i) {
            touched.clear();
            for (const auto [s, t] : places[i]) {
                const auto& steps = sequences[s].steps;
                const std::size_t first = t > options.window ? t - options.window : 0, last = std::min(steps.size(), t + options.window + 1);
                for (std::size_t u = first; u < last; ++u) {
                    const auto& other = steps[u];
                    if (!other.purchase() || other.product < 0 || other.product == static_cast<std::int32_t>(i)) continue;
                    const float weight = power(std::abs(other.occasion - steps[t].occasion));
                    // Lines of one order have no order among themselves: they count as coming after.
                    add(u < t && other.occasion != steps[t].occasion ? backward : forward, other.product, weight);
                }
            }
            std::ranges::sort(touched);
            for (const auto j : touched) {
                const auto at = static_cast<std::size_t>(j);
                rows[i].push_back({j, forward[at], backward[at]});
                forward[at] = backward[at] = 0;
            }
        }
    });
    offsets_.assign(1, 0);
    for (auto& made : rows) {
        entries_.insert(entries_.end(), made.begin(), made.end());
        offsets_.push_back(entries_.size());
        std::vector<Entry>().swap(made);
    }
    prepare();
}

void PairCounts::prepare() {
    from_weight_.resize(popularity_.size());
    to_weight_.resize(popularity_.size());
    for (std::size_t i = 0; i < popularity_.size(); ++i) {
        from_weight_[i] = static_cast<float>(std::pow(popularity_[i], -options_.from));
        to_weight_[i] = static_cast<float>(std::pow(popularity_[i], -options_.to));
    }
}

PairCounts PairCounts::with(const PairOptions& options) const {
    PairCounts changed = *this;
    changed.options_ = options;
    changed.prepare();
    return changed;
}

std::span<const PairCounts::Entry> PairCounts::row(std::int32_t product) const {
    const auto i = static_cast<std::size_t>(product);
    return std::span(entries_).subspan(offsets_[i], offsets_[i + 1] - offsets_[i]);
}

void PairCounts::score(std::span<const Step> history, std::int64_t, std::span<float> shares) const {
    std::ranges::fill(shares, 0.0f);
    const auto back = static_cast<float>(options_.back);
    float weight = 1;
    std::size_t used = 0;
    std::int32_t occasion = history.empty() ? 0 : history.back().occasion;
    for (auto step = history.rbegin(); step != history.rend() && used < options_.history_limit; ++step) {
        if (step->occasion != occasion) {
            weight *= static_cast<float>(options_.recall);  // lines of one order are equally fresh
            occasion = step->occasion;
            if (weight < 1e-6f) break;
        }
        if (step->product < 0) continue;
        ++used;
        const float from = weight * from_weight_[static_cast<std::size_t>(step->product)];
        for (const auto& [product, f, b] : row(step->product)) shares[static_cast<std::size_t>(product)] += from * (f + back * b);
    }
    double sum = 0;
    for (std::size_t j = 0; j < shares.size(); ++j) sum += shares[j] *= to_weight_[j];
    // A little popularity everywhere: ranks what no pair speaks for, and is all there is for an empty history.
    double popular = 0;
    for (const double p : popularity_) popular += p;
    const double pairs = sum > 0 ? 0.999 / sum : 0, rest = (sum > 0 ? 0.001 : 1) / popular;
    for (std::size_t j = 0; j < shares.size(); ++j) shares[j] = static_cast<float>(shares[j] * pairs + popularity_[j] * rest);
}

std::vector<PairCounts::Evidence> PairCounts::evidence(std::span<const Step> history, std::span<const std::int32_t> products) const {
    constexpr float kSlowRecall = 0.8f, kSlowBack = 0.8f, kBackwardRecall = 0.5f;
    std::vector<Evidence> out(products.size());
    float slow = 1, quick = 1;
    std::size_t used = 0;
    const std::int32_t newest = history.empty() ? 0 : history.back().occasion;
    auto occasion = newest;
    for (auto step = history.rbegin(); step != history.rend() && used < options_.history_limit; ++step) {
        if (step->occasion != occasion) {
            slow *= kSlowRecall;
            quick *= kBackwardRecall;
            occasion = step->occasion;
        }
        if (step->product < 0) continue;
        ++used;
        const auto entries = row(step->product);
        const float from = from_weight_[static_cast<std::size_t>(step->product)];
        for (std::size_t k = 0; k < products.size(); ++k) {
            const auto found = std::ranges::lower_bound(entries, products[k], {}, &Entry::product);
            if (found == entries.end() || found->product != products[k]) continue;
            out[k].slow += slow * from * (found->forward + kSlowBack * found->backward);
            out[k].backward += quick * from * found->backward;
            out[k].plain += found->forward + found->backward;
            if (occasion == newest) out[k].last += from * found->forward;
        }
    }
    return out;
}

std::int32_t PairCounts::strongest_reason(std::span<const Step> history, std::int32_t product) const {
    float best = 0, weight = 1;
    std::int32_t reason = kNoProduct, occasion = history.empty() ? 0 : history.back().occasion;
    for (auto step = history.rbegin(); step != history.rend() && weight >= 1e-6f; ++step) {
        if (step->occasion != occasion) weight *= static_cast<float>(options_.recall), occasion = step->occasion;
        if (step->product < 0) continue;
        const auto entries = row(step->product);
        const auto found = std::ranges::lower_bound(entries, product, {}, &Entry::product);
        if (found == entries.end() || found->product != product) continue;
        const float score = weight * from_weight_[static_cast<std::size_t>(step->product)] * (found->forward + static_cast<float>(options_.back) * found->backward);
        if (score > best) best = score, reason = step->product;
    }
    return reason;
}

PairCounts tune_pair_counts(std::span<const sequence::Sequence> sequences, std::span<const Unit> units, std::size_t products,
                            std::size_t units_limit, std::uint64_t seed, unsigned threads) {
    std::vector<std::uint32_t> order(units.size());
    std::iota(order.begin(), order.end(), 0u);
    Rng rng(seed);
    rng.shuffle(order);
    order.resize(std::min(order.size(), units_limit));
    std::vector<Unit> sample;
    for (const auto u : order) sample.push_back(units[u]);

    PairCounts best(sequences, products, {}, threads);
    if (sample.empty()) return best;
    double best_score = mean_ndcg10(evaluate(best, sample, products, threads));
    const auto try_values = [&](double PairOptions::*field, auto values) {
        for (const double value : values) {
            PairOptions options = best.options();
            if (options.*field == value) continue;
            options.*field = value;
            PairCounts candidate = best.with(options);
            if (const double score = mean_ndcg10(evaluate(candidate, sample, products, threads)); score > best_score) {
                best = std::move(candidate);
                best_score = score;
            }
        }
    };
    try_values(&PairOptions::recall, std::array{0.3, 0.5, 0.7, 0.8, 0.9, 0.97});
    try_values(&PairOptions::to, std::array{0.0, 0.1, 0.3, 0.5});
    try_values(&PairOptions::from, std::array{0.3, 0.5, 0.7});
    try_values(&PairOptions::back, std::array{0.2, 0.4, 0.7, 1.0});
    return best;
}

}  // namespace perennial::predict
