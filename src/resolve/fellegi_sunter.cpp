#include "resolve/fellegi_sunter.h"

#include <fmt/format.h>

#include <algorithm>
#include <mutex>
#include <numeric>

#include "base/parallel.h"
#include "base/rng.h"

namespace perennial::resolve {
namespace {

constexpr double kFloor = 1e-7;           // of m and u: a level never seen is unlikely, not impossible
constexpr double kPriorCount = 0.5;       // Jeffreys' prior: added to each level's count
constexpr double kFirstShare = 1e-3;      // of matches, before EM
constexpr std::size_t kDrawsAtOnce = 65'536;
constexpr std::size_t kDecontaminations = 20;  // rounds of the fixed point between the share of matches and u

using Table = std::vector<std::vector<double>>;

void normalise(std::vector<double>& levels) {
    const double sum = std::accumulate(levels.begin() + 1, levels.end(), 0.0);
    for (std::size_t l = 1; l < levels.size(); ++l) levels[l] = std::max(levels[l] / sum, kFloor);
    levels[0] = 1;
}

Table empty_table(const Comparator& comparator) {
    Table table(comparator.features());
    for (std::size_t f = 0; f < table.size(); ++f) table[f].assign(comparator.levels(f), 0.0);
    return table;
}

Table frequencies(const Comparator& comparator, std::span<const Blocking::PatternCount> counts) {
    Table table = empty_table(comparator);
    for (auto& levels : table) std::fill(levels.begin() + 1, levels.end(), kPriorCount);
    for (const auto& [pattern, count] : counts)
        for (std::size_t f = 0; f < table.size(); ++f) table[f][comparator.level(pattern, f)] += count;
    for (auto& levels : table) normalise(levels);
    return table;
}

double ratio(const Comparator& comparator, const MatchModel& model, Pattern pattern, const std::vector<bool>& fixed) {
    double ratio = 1;
    for (std::size_t f = 0; f < model.m.size(); ++f) {
        const unsigned level = comparator.level(pattern, f);
        if (!fixed[f] && level > 0) ratio *= model.m[f][level] / model.u[f][level];
    }
    return ratio;
}

// Two records that may be compared, drawn evenly.
std::vector<Blocking::PatternCount> random_patterns(const Comparator& comparator, const FitOptions& options, unsigned threads) {
    const auto& records = comparator.records();
    const Rng root(options.seed);
    std::vector<Pair> drawn(static_cast<std::size_t>(options.random_pairs));
    parallel_for(drawn.size(), kDrawsAtOnce, threads, [&](std::size_t begin, std::size_t end) {
        Rng rng = root.fork(begin);
        for (std::size_t i = begin; i < end; ++i) {
            auto& pair = drawn[i];
            do {
                pair.a = static_cast<std::uint32_t>(rng.below(records.size()));
                pair.b = static_cast<std::uint32_t>(rng.below(records.size()));
            } while (pair.a == pair.b || (records.two_files() && records.file(pair.a) == records.file(pair.b)));
            pair.pattern = comparator.compare(pair.a, pair.b);
        }
    });
    return count_patterns(drawn);
}

double equal_share(const Records& records, std::size_t field) {
    const double present = static_cast<double>(records.present(field));
    if (present < 2) return 0;
    double pairs = 0;
    for (Records::ValueId id = 1; id <= records.distinct(field); ++id) {
        const double n = records.value(field, id).count;
        pairs += n * (n - 1);
    }
    return pairs / (present * (present - 1));
}

}  // namespace

double MatchModel::log2_weight(std::size_t feature, unsigned level) const noexcept { return level == 0 ? 0 : std::log2(m[feature][level] / u[feature][level]); }

MatchModel first_guess(const Comparator& comparator) {
    MatchModel model;
    model.match_share = kFirstShare;
    model.m = model.u = empty_table(comparator);
    for (std::size_t f = 0; f < model.m.size(); ++f) {
        const unsigned top = comparator.equal_level(f);
        const bool order = comparator.is_name_order(f);
        // Names stand as they stand more often than swapped; of all else the equal level is the likely one.
        for (unsigned l = 1; l <= top; ++l) {
            const unsigned steps = order ? l - 1 : top - l;
            model.m[f][l] = steps == 0 ? 0.9 : 0.1 / std::exp2(steps);
            model.u[f][l] = steps == 0 ? 0.1 : 0.9;
        }
        normalise(model.m[f]);
        normalise(model.u[f]);
    }
    return model;
}

MatchModel expectation_maximisation(const Comparator& comparator, std::span<const Blocking::PatternCount> counts, MatchModel model, bool free_u,
                                    const std::vector<bool>& fixed, const FitOptions& options) {
    double total = 0;
    for (const auto& each : counts) total += each.count;
    if (total == 0) return model;
    for (std::size_t round = 0; round < options.rounds_limit; ++round) {
        ++model.rounds;
        Table m = empty_table(comparator), u = empty_table(comparator);
        for (std::size_t f = 0; f < m.size(); ++f)
            for (std::size_t l = 1; l < m[f].size(); ++l) m[f][l] = u[f][l] = kPriorCount;
        double matches = 0;
        for (const auto& [pattern, count] : counts) {
            const double odds = model.match_share / (1 - model.match_share) * ratio(comparator, model, pattern, fixed);
            const double share = odds / (1 + odds);
            matches += share * count;
            for (std::size_t f = 0; f < m.size(); ++f) {
                const unsigned level = comparator.level(pattern, f);
                m[f][level] += share * count;
                u[f][level] += (1 - share) * count;
            }
        }
        double change = std::abs(matches / total - model.match_share);
        model.match_share = std::clamp(matches / total, 1e-12, 1 - 1e-6);
        for (std::size_t f = 0; f < m.size(); ++f) {
            if (fixed[f]) continue;
            normalise(m[f]);
            normalise(u[f]);
            for (std::size_t l = 1; l < m[f].size(); ++l) change = std::max(change, std::abs(m[f][l] - model.m[f][l]));
            model.m[f] = m[f];
            if (free_u) model.u[f] = u[f];
        }
        if (change < options.tolerance) break;
    }
    return model;
}

Result<MatchModel> fit(const Comparator& comparator, const Blocking& blocking, std::span<const Pair> pairs, const FitOptions& options, unsigned threads) {
    const auto& records = comparator.records();
    if (pairs.empty())
        return Error{Code::kInvalid, fmt::format("match model: want pairs to learn from, got none among {} records: no rule's key is shared", records.size())};
    const std::size_t features = comparator.features();
    std::vector<double> equal(features, 0.0);
    for (std::size_t f = 0; f < records.fields().size(); ++f) equal[f] = equal_share(records, f);
    const auto counts = count_patterns(std::vector<Pair>(pairs.begin(), pairs.end()));
    const std::vector<bool> none(features, false);

    if (blocking.compares_all()) {
        MatchModel start = first_guess(comparator);
        start.u = frequencies(comparator, counts);  // nearly all pairs are no matches
        auto model = expectation_maximisation(comparator, counts, std::move(start), true, none, options);
        model.equal_share = std::move(equal);
        return model;
    }

    const Table random = frequencies(comparator, random_patterns(comparator, options, threads));
    MatchModel model = first_guess(comparator);
    model.u = random;
    model.equal_share = std::move(equal);
    // Each rule's m by its expected number of matches.
    Table m = empty_table(comparator);
    std::vector<double> weight(features, 0.0);
    for (std::size_t r = 0; r < blocking.rules().size(); ++r) {
        const auto of_rule = blocking.patterns_of_rule(r, comparator, options.em_pairs_per_rule, threads);
        double total = 0;
        for (const auto& each : of_rule) total += each.count;
        if (total == 0) continue;
        std::vector<bool> fixed(features, false);
        for (std::size_t f = 0; f < records.fields().size(); ++f) fixed[f] = blocking.rules()[r].uses(f);
        // Names found in any order say nothing about their order either.
        if (features > records.fields().size() && blocking.rules()[r].names_in_any_order) fixed.back() = true;
        MatchModel start = model;
        start.match_share = 0.1;  // in a block matches are common
        const auto fitted = expectation_maximisation(comparator, of_rule, std::move(start), false, fixed, options);
        model.rounds = fitted.rounds;
        const double matches = fitted.match_share * total;
        for (std::size_t f = 0; f < features; ++f) {
            if (fixed[f]) continue;
            weight[f] += matches;
            for (std::size_t l = 1; l < m[f].size(); ++l) m[f][l] += matches * fitted.m[f][l];
        }
    }
    for (std::size_t f = 0; f < features; ++f) {
        if (weight[f] <= 0) {
            model.untrained.emplace_back(comparator.feature_name(f));
            continue;
        }
        model.m[f] = m[f];
        normalise(model.m[f]);
    }
    // The share of matches among all possible pairs, those outside the blocks counted as none; and u with the matches among
    // the random pairs taken out, p = share * m + (1 - share) * u.
    const double possible = records.possible_pairs();
    model.match_share = 1 / std::max(2.0, static_cast<double>(records.size()));
    for (std::size_t round = 0; round < kDecontaminations; ++round) {
        double matches = 0;
        for (const auto& [pattern, count] : counts) {
            const double odds = model.match_share / (1 - model.match_share) * ratio(comparator, model, pattern, none);
            matches += count * odds / (1 + odds);
        }
        const double share = std::clamp(matches / possible, 1 / (possible + 1), 0.5);
        for (std::size_t f = 0; f < features; ++f) {
            for (std::size_t l = 1; l < random[f].size(); ++l) {
                // Equal values are counted, not drawn: exact where drawing would find none.
                const bool counted = l == comparator.equal_level(f) && !comparator.is_name_order(f) && !records.two_files();
                const double p = counted ? model.equal_share[f] : random[f][l];
                const double least = 1 / options.random_pairs;
                model.u[f][l] = std::max((p - share * model.m[f][l]) / (1 - share), counted ? std::max(least / 10, kFloor) : least);
            }
            normalise(model.u[f]);
        }
        const bool done = std::abs(share - model.match_share) <= 1e-6 * share;
        model.match_share = share;
        if (done) break;
    }
    return model;
}

Scorer::Scorer(const Comparator& comparator, const MatchModel& model)
    : comparator_(comparator), model_(model), prior_(std::log2(model.match_share / (1 - model.match_share))) {
    for (std::size_t f = 0; f < model.m.size(); ++f) {
        bits_.emplace_back();
        for (unsigned l = 0; l < model.m[f].size(); ++l) bits_.back().push_back(model.log2_weight(f, l));
    }
}

double Scorer::rarity_weight(const Pair& pair, std::size_t feature) const noexcept {
    if (comparator_.is_name_order(feature) || comparator_.level(pair.pattern, feature) != comparator_.equal_level(feature)) return 0;
    const auto& records = comparator_.records();
    const auto kind = records.fields()[feature].kind;
    // What belongs to one person is rare or shared because it is a match; only of common words does rarity tell.
    if (kind == FieldKind::kEmail || kind == FieldKind::kPhone || kind == FieldKind::kDate || kind == FieldKind::kCode) return 0;
    const auto share = [&](std::uint32_t record, std::size_t field) {
        const double present = static_cast<double>(std::max<std::size_t>(records.present(field), 1));
        return std::max<double>(records.value(field, records.id(record, field)).count, 1) / present;
    };
    const double likely = std::max(share(pair.a, feature), share(pair.b, comparator_.partner(pair.pattern, feature)));
    const double average = model_.equal_share[feature];
    return average <= 0 ? 0 : std::clamp(std::log2(average / likely), -kRarityLimit, kRarityLimit);
}

double Scorer::feature_weight(const Pair& pair, std::size_t feature) const noexcept {
    return bits_[feature][comparator_.level(pair.pattern, feature)] + rarity_weight(pair, feature);
}

double Scorer::weight(const Pair& pair) const noexcept {
    double sum = prior_;
    for (std::size_t f = 0; f < bits_.size(); ++f) sum += feature_weight(pair, f);
    return sum;
}

std::vector<Scorer::Reason> Scorer::explain(const Pair& pair) const {
    const auto& records = comparator_.records();
    std::vector<Reason> reasons;
    for (std::size_t f = 0; f < bits_.size(); ++f) {
        const unsigned level = comparator_.level(pair.pattern, f);
        if (level == 0) continue;
        Reason reason{std::string(comparator_.feature_name(f)), {}, {}, std::string(comparator_.level_name(f, level)), feature_weight(pair, f), rarity_weight(pair, f)};
        if (!comparator_.is_name_order(f)) {
            reason.left = records.text_of(pair.a, f);
            reason.right = records.text_of(pair.b, comparator_.partner(pair.pattern, f));
        }
        reasons.push_back(std::move(reason));
    }
    std::ranges::stable_sort(reasons, [](const Reason& x, const Reason& y) { return std::abs(x.weight) > std::abs(y.weight); });
    return reasons;
}

}  // namespace perennial::resolve
