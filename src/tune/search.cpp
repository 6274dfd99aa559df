#include "tune/search.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <numeric>

namespace perennial::tune {
namespace {

constexpr double kFailed = -std::numeric_limits<double>::infinity();

double worth(const TrialResult& result) noexcept { return result.value.value_or(kFailed); }

// The last result of each trial, by trial number; `results` is in order.
std::vector<const TrialResult*> latest(std::span<const TrialResult> results) {
    std::vector<const TrialResult*> last;
    for (const auto& result : results) {
        const auto trial = static_cast<std::size_t>(result.trial);
        if (trial >= last.size()) last.resize(trial + 1, nullptr);
        last[trial] = &result;
    }
    return last;
}

std::vector<const TrialResult*> on_rung(std::span<const TrialResult> results, std::size_t rung) {
    std::vector<const TrialResult*> found;
    for (const auto& result : results)
        if (static_cast<std::size_t>(result.rung) == rung) found.push_back(&result);
    std::ranges::stable_sort(found, [](const auto* a, const auto* b) { return worth(*a) > worth(*b); });
    return found;
}

std::vector<double> ranks_of(std::span<const double> values) {  // equal values share their mean rank
    std::vector<std::size_t> order(values.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::sort(order, std::ranges::less{}, [&](std::size_t i) { return values[i]; });
    std::vector<double> ranks(values.size());
    for (std::size_t i = 0; i < order.size();) {
        auto end = i;
        while (end < order.size() && values[order[end]] == values[order[i]]) ++end;
        for (auto k = i; k < end; ++k) ranks[order[k]] = 0.5 * static_cast<double>(i + end - 1);
        i = end;
    }
    return ranks;
}

double correlation(std::span<const double> a, std::span<const double> b) {
    const double n = static_cast<double>(a.size());
    const double mean_a = std::accumulate(a.begin(), a.end(), 0.0) / n, mean_b = std::accumulate(b.begin(), b.end(), 0.0) / n;
    double ab = 0, aa = 0, bb = 0;
    for (std::size_t i = 0; i < a.size(); ++i) {
        ab += (a[i] - mean_a) * (b[i] - mean_b);
        aa += (a[i] - mean_a) * (a[i] - mean_a);
        bb += (b[i] - mean_b) * (b[i] - mean_b);
    }
    return aa > 0 && bb > 0 ? ab / std::sqrt(aa * bb) : 0;
}

// Between-group share of the variance (correlation ratio).
double between_share(std::span<const double> groups, std::span<const double> values) {
    const double mean = std::accumulate(values.begin(), values.end(), 0.0) / static_cast<double>(values.size());
    std::map<double, std::pair<double, double>> sums;  // count, sum
    double total = 0, between = 0;
    for (std::size_t i = 0; i < values.size(); ++i) {
        auto& [count, sum] = sums[groups[i]];
        count += 1;
        sum += values[i];
        total += (values[i] - mean) * (values[i] - mean);
    }
    for (const auto& [group, sum] : sums) between += sum.first * (sum.second / sum.first - mean) * (sum.second / sum.first - mean);
    return total > 0 ? between / total : 0;
}

}  // namespace

Status check(const Plan& plan) {
    if (plan.rungs.empty() || plan.rungs.size() > kRungsLimit) return Error{Code::kInvalid, fmt::format("rungs: want 1 to {}, got {}", kRungsLimit, plan.rungs.size())};
    for (std::size_t r = 0; r < plan.rungs.size(); ++r)
        if (plan.rungs[r] < 1 || (r > 0 && plan.rungs[r] <= plan.rungs[r - 1])) return Error{Code::kInvalid, "rungs: want budgets that rise, from 1"};
    if (plan.reduction < 2 || plan.reduction > 100) return Error{Code::kInvalid, fmt::format("reduction: want 2 to 100, got {}", plan.reduction)};
    return Done{};
}

std::vector<std::int64_t> rungs_up_to(std::int64_t limit, std::int64_t reduction, std::size_t count) {
    std::vector<std::int64_t> rungs;
    for (auto budget = limit; budget >= 1 && rungs.size() < count; budget /= reduction) rungs.push_back(budget);
    std::ranges::reverse(rungs);
    return rungs;
}

std::optional<Job> next_job(const Space& space, const Plan& plan, std::span<const TrialResult> results, std::int32_t trials) {
    const auto last = latest(results);
    const auto top = static_cast<std::int32_t>(plan.rungs.size()) - 1;
    const auto promoted = [&](const TrialResult& result) { return Job{result.trial, result.rung + 1, result.values}; };
    // Promotions first, on the highest rung first: results that decide come early.
    for (auto rung = top - 1; rung >= 0; --rung) {
        const auto ranked = on_rung(results, static_cast<std::size_t>(rung));
        const auto keep = ranked.size() / static_cast<std::size_t>(plan.reduction);
        for (std::size_t i = 0; i < keep; ++i) {
            const auto& candidate = *ranked[i];
            if (candidate.value && last[static_cast<std::size_t>(candidate.trial)]->rung == rung) return promoted(candidate);
        }
    }
    if (static_cast<std::int32_t>(last.size()) < trials) {
        const auto trial = static_cast<std::int32_t>(last.size());
        if (trial == 0) return Job{0, 0, defaults(space)};
        std::vector<Observation> observations;
        for (auto rung = top; rung >= 0; --rung) {
            observations.clear();
            for (const auto* result : on_rung(results, static_cast<std::size_t>(rung))) observations.push_back({point_of(space, result->values), worth(*result)});
            if (observations.size() >= space.size() + 3) break;
        }
        return Job{trial, 0, values_of(space, propose(space, observations, Rng(plan.seed).fork(static_cast<std::uint64_t>(trial)), plan.tpe))};
    }
    // The end: who leads a rung goes on from it, and the defaults go all the way. Leaders are compared on their own rung:
    // the defaults with their full budget would outshine a better trial that has had less.
    for (auto rung = top - 1; rung >= 0; --rung) {
        const auto ranked = on_rung(results, static_cast<std::size_t>(rung));
        if (ranked.empty()) continue;
        const auto& leader = *ranked.front();
        if (leader.value && last[static_cast<std::size_t>(leader.trial)]->rung == rung) return promoted(leader);
    }
    if (!last.empty() && last[0]->value && last[0]->rung < top) return promoted(*last[0]);
    return std::nullopt;
}

Status check(const Space& space, const Plan& plan, std::span<const TrialResult> before, const TrialResult& next) {
    const auto last = latest(before);
    const auto wrong = [&](std::string_view why) { return Error{Code::kInvalid, fmt::format("trial {}, rung {}: {}", next.trial, next.rung, why)}; };
    PERENNIAL_TRY(check(space, next.values));
    if (next.value && !std::isfinite(*next.value)) return wrong("want a finite result");
    if (!(next.seconds >= 0 && next.seconds < 1e9) || next.epochs < 0) return wrong("want seconds and epochs of zero or more");
    if (next.rung < 0 || next.rung >= static_cast<std::int32_t>(plan.rungs.size())) return wrong(fmt::format("there are {} rungs", plan.rungs.size()));
    if (next.trial < 0 || next.trial >= kTrialsLimit || static_cast<std::size_t>(next.trial) > last.size()) return wrong(fmt::format("want a trial of 0 to {}", last.size()));
    if (static_cast<std::size_t>(next.trial) == last.size()) {
        if (next.rung != 0) return wrong("a new trial starts on rung 0");
        return Done{};
    }
    const auto& known = *last[static_cast<std::size_t>(next.trial)];
    if (next.rung != known.rung + 1 || !known.value) return wrong("the rung before it has no result");
    if (next.values != known.values) return wrong("its values have changed");
    return Done{};
}

const TrialResult* best(std::span<const TrialResult> results) {
    const TrialResult* found = nullptr;
    for (const auto& result : results)
        if (result.value && (!found || *result.value > *found->value || (*result.value == *found->value && result.rung > found->rung))) found = &result;
    return found;
}

std::vector<Importance> importances(const Space& space, std::span<const TrialResult> results) {
    std::vector<Importance> found;
    const auto first = on_rung(results, 0);
    if (first.size() < 5) return found;
    std::vector<double> worths;
    for (const auto* result : first) worths.push_back(worth(*result));
    const auto ranks = ranks_of(worths);
    for (std::size_t j = 0; j < space.size(); ++j) {
        std::vector<double> values;
        for (const auto* result : first) values.push_back(result->values[j]);
        if (space[j].kind == Parameter::Kind::kCategory) {
            found.push_back({space[j].name, 0, between_share(values, ranks)});
        } else {
            const double rho = correlation(ranks_of(values), ranks);
            found.push_back({space[j].name, rho, rho * rho});
        }
    }
    std::ranges::stable_sort(found, std::ranges::greater{}, &Importance::effect);
    return found;
}

}  // namespace perennial::tune
