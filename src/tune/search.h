// Which trial runs next, and for how long: proposals by parzen.h, budgets by asynchronous successive halving.
// Source: Li, Jamieson, Rostamizadeh et al. 2018 (ASHA): a trial starts on the lowest rung; whenever a rung has a trial
// among its best 1 / reduction that was not promoted yet, that one goes on; else a new trial starts. As in BOHB the model
// learns from the highest rung that has enough results.
// The next job depends on the plan, the seed and the results so far alone, so a search that was cut off goes on as if it had not been.
// Threads: pure functions.
#pragma once

#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "tune/parzen.h"
#include "tune/space.h"

namespace perennial::tune {

inline constexpr std::int32_t kTrialsLimit = 10'000;
inline constexpr std::size_t kRungsLimit = 16;

struct Plan {
    std::vector<std::int64_t> rungs{1};  // budget of each rung, rising (here: epochs)
    std::int64_t reduction = 3;          // one in so many is promoted
    std::uint64_t seed = 1;
    TpeOptions tpe{};
};
Status check(const Plan& plan);
// {limit / reduction^(count-1), ..., limit}, whole and rising; fewer when the limit is small.
std::vector<std::int64_t> rungs_up_to(std::int64_t limit, std::int64_t reduction, std::size_t count);

struct TrialResult {
    std::int32_t trial = 0;   // 0, 1, ...; trial 0 has the defaults
    std::int32_t rung = 0;
    Values values;
    std::optional<double> value;  // larger is better; none: it failed
    double seconds = 0;           // of this rung alone
    std::int64_t epochs = 0;      // run so far, all rungs
    std::string problem;          // why it failed
};

struct Job {
    std::int32_t trial = 0, rung = 0;
    Values values;
};

// The next job, or none: `trials` were started, the leader of each rung has gone on from it, and the defaults have reached
// the highest rung, so that the winner and the defaults are compared on the same budget.
// `results` in the order in which they came, as check() below wants them. O(results^2 + TPE).
std::optional<Job> next_job(const Space& space, const Plan& plan, std::span<const TrialResult> results, std::int32_t trials);

// What may follow `before`: the next rung of a known trial with the same values, or rung 0 of the next new trial. kInvalid else.
Status check(const Space& space, const Plan& plan, std::span<const TrialResult> before, const TrialResult& next);

// The result with the largest value, of the highest rung among equals; null without any.
const TrialResult* best(std::span<const TrialResult> results);

struct Importance {
    std::string name;
    double correlation = 0;  // numbers: Spearman's, of the value with the result
    double effect = 0;       // correlation squared, or for categories the share of the ranks' variance that lies between choices
};
// A hint, not a test: of the results on rung 0, largest effect first. Empty for fewer than five results.
std::vector<Importance> importances(const Space& space, std::span<const TrialResult> results);

}  // namespace perennial::tune
