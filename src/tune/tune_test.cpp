#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <fstream>
#include <functional>
#include <limits>
#include <numbers>

#include "base/file.h"
#include "tune/journal.h"
#include "tune/parzen.h"
#include "tune/search.h"
#include "tune/space.h"

namespace perennial::tune {
namespace {

using Kind = Parameter::Kind;

const Space kMixed{{"rate", Kind::kLog, 1e-5, 1, 1e-3},
                   {"layers", Kind::kInteger, 1, 20, 3},
                   {"kind", Kind::kCategory, 0, 0, 0, {"a", "b", "c", "d"}},
                   {"gate", Kind::kCategory, 0, 0, 0, {"x", "y", "z"}},
                   {"share", Kind::kLinear, 0, 1, 0.5}};

TEST(Space, values_survive_the_way_to_unit_coordinates_and_back) {
    Rng rng(1);
    for (int i = 0; i < 1000; ++i) {
        const auto values = values_of(kMixed, random_point(kMixed, rng));
        ASSERT_TRUE(check(kMixed, values));
        ASSERT_EQ(values_of(kMixed, point_of(kMixed, values)), values);
        for (std::size_t j = 0; j < kMixed.size(); ++j)
            if (kMixed[j].kind != Kind::kCategory) {
                ASSERT_EQ(std::stod(text(kMixed[j], values[j])), values[j]) << "a flag must say the value exactly";
            }
    }
}

TEST(Space, refuses_what_it_cannot_search_and_names_it) {
    const auto refused = [](const Space& space) {
        const auto status = check(space);
        return status.ok() ? std::string() : status.error().message;
    };
    EXPECT_EQ(refused(kMixed), "");
    EXPECT_NE(refused({}), "");
    EXPECT_NE(refused({{"rate", Kind::kLog, 0, 1, 0.5}}).find("rate"), std::string::npos);
    EXPECT_NE(refused({{"n", Kind::kInteger, 1, 4, 2.5}}).find("n"), std::string::npos);
    EXPECT_NE(refused({{"x", Kind::kLinear, 1, 0, 0.5}}).find("x"), std::string::npos);
    EXPECT_NE(refused({{"x", Kind::kLinear, 0, 1, 2}}).find("x"), std::string::npos);
    EXPECT_NE(refused({{"x", Kind::kLinear, 0, 1, 0}, {"x", Kind::kLinear, 0, 1, 0}}).find("distinct"), std::string::npos);
    EXPECT_NE(refused({{"c", Kind::kCategory, 0, 0, 0, {"one"}}}).find("c"), std::string::npos);
}

// The density written down as the paper has it, product by product, without logarithms.
double plain_density(const Space& space, const std::vector<std::vector<double>>& points, std::span<const double> x) {
    const double n = static_cast<double>(points.size()), d = static_cast<double>(space.size());
    double sum = 1;
    for (const auto& point : points) {
        double product = 1;
        for (std::size_t j = 0; j < space.size(); ++j) {
            if (space[j].kind == Kind::kCategory) {
                const double c = static_cast<double>(space[j].choices.size()), s = (c - 1) / (c + n);
                product *= x[j] == point[j] ? c * (1 - s) : c * s / (c - 1);
                continue;
            }
            double mean = 0, variance = 0;
            for (const auto& other : points) mean += other[j] / n;
            for (const auto& other : points) variance += (other[j] - mean) * (other[j] - mean) / (n - 1);
            const double width = std::clamp(0.5 * std::sqrt(variance) * std::pow(4 / (d + 2), 1 / (d + 4)) * std::pow(n, -1 / (d + 4)), 0.1, 0.5);
            const auto normal = [&](double at) { return std::exp(-0.5 * (at - point[j]) * (at - point[j]) / (width * width)); };
            double mass = 0;  // trapezoids over what the cut leaves
            constexpr int kSteps = 20'000;
            for (int k = 0; k < kSteps; ++k) mass += 0.5 * (normal(double(k) / kSteps) + normal(double(k + 1) / kSteps)) / kSteps;
            product *= normal(x[j]) / mass;
        }
        sum += product;
    }
    return sum / (n + 1);
}

TEST(Parzen, density_is_the_sum_over_the_points_and_integrates_to_one) {
    Rng rng(7);
    std::vector<std::vector<double>> points;
    for (int i = 0; i < 6; ++i) points.push_back(random_point(kMixed, rng));
    const Parzen parzen(kMixed, points);
    for (int i = 0; i < 20; ++i) {
        const auto x = random_point(kMixed, rng);
        const double wanted = plain_density(kMixed, points, x);
        EXPECT_NEAR(std::exp(parzen.log_density(x)), wanted, 1e-6 * wanted);
    }
    // Midpoint sums over a number and a category (whose choices each carry 1 / c of the base measure).
    const Space plane{{"x", Kind::kLinear, 0, 1, 0.5}, {"c", Kind::kCategory, 0, 0, 0, {"a", "b", "c"}}, {"y", Kind::kLinear, 0, 1, 0.5}};
    points.clear();
    for (int i = 0; i < 5; ++i) points.push_back(random_point(plane, rng));
    points.push_back({0, 2, 1});  // on the border
    const Parzen flat(plane, points);
    double mass = 0;
    constexpr int kSteps = 100;
    for (int i = 0; i < kSteps; ++i)
        for (int k = 0; k < kSteps; ++k)
            for (int c = 0; c < 3; ++c) mass += std::exp(flat.log_density(std::vector<double>{(i + 0.5) / kSteps, double(c), (k + 0.5) / kSteps})) / (3.0 * kSteps * kSteps);
    EXPECT_NEAR(mass, 1, 1e-3);
}

TEST(Parzen, samples_follow_the_density) {
    const Space line{{"x", Kind::kLinear, 0, 1, 0.5}, {"c", Kind::kCategory, 0, 0, 0, {"a", "b", "c"}}};
    const Parzen parzen(line, {{0.05, 0}, {0.1, 0}, {0.9, 2}});
    constexpr int kDraws = 200'000, kBins = 10;
    std::vector<double> seen(kBins * 3), wanted(kBins * 3);
    Rng rng(3);
    for (int i = 0; i < kDraws; ++i) {
        const auto x = parzen.sample(rng);
        ++seen[static_cast<std::size_t>(std::min(kBins - 1, int(x[0] * kBins)) * 3 + int(x[1]))];
    }
    for (int b = 0; b < kBins; ++b)
        for (int c = 0; c < 3; ++c)
            for (int k = 0; k < 100; ++k)
                wanted[static_cast<std::size_t>(b * 3 + c)] += kDraws * std::exp(parzen.log_density(std::vector<double>{(b + (k + 0.5) / 100) / kBins, double(c)})) / (3.0 * kBins * 100);
    // Counts are binomial: five standard deviations for each of thirty cells.
    for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_NEAR(seen[i], wanted[i], 5 * std::sqrt(wanted[i]) + 1) << i;
}

using Function = std::function<double(const Values&)>;  // larger is better

double branin(const Values& v) {
    constexpr double pi = std::numbers::pi;
    const double x = v[0], y = v[1];
    return -(std::pow(y - 5.1 / (4 * pi * pi) * x * x + 5 / pi * x - 6, 2) + 10 * (1 - 1 / (8 * pi)) * std::cos(x) + 10);
}
double rosenbrock(const Values& v) {
    double sum = 0;
    for (std::size_t i = 0; i + 1 < v.size(); ++i) sum += 100 * std::pow(v[i + 1] - v[i] * v[i], 2) + std::pow(1 - v[i], 2);
    return -sum;
}
// The best rate depends on the kind: only a kernel over both learns it.
double mixed(const Values& v) {
    const double rate = v[2] == 2 ? -2.5 : -3.5;
    return -(std::pow(std::log10(v[0]) - rate, 2) + 0.01 * std::pow(v[1] - 14, 2) + (v[2] == 2 ? 0 : 1) + (v[3] == 1 ? 0 : 0.5) + 2 * std::pow(v[4] - 0.3, 2));
}

TEST(Propose, finds_better_values_in_sixty_trials_than_random_draws_do) {
    Space square{{"x", Kind::kLinear, -5, 10, 0}, {"y", Kind::kLinear, 0, 15, 5}}, four;
    for (const char* name : {"a", "b", "c", "d"}) four.push_back({name, Kind::kLinear, -2, 2, 0});
    const struct { const char* name; Space space; Function function; } cases[] = {{"Branin", square, branin}, {"Rosenbrock", four, rosenbrock}, {"mixed", kMixed, mixed}};
    constexpr int kSeeds = 101, kTrials = 60;
    for (const auto& c : cases) {
        std::vector<double> searched, random;
        int wins = 0;
        for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
            const Rng rng(seed);
            std::vector<Observation> observations;
            double best = -std::numeric_limits<double>::infinity(), luck = best;
            for (std::uint64_t trial = 0; trial < kTrials; ++trial) {
                const auto values = values_of(c.space, propose(c.space, observations, rng.fork(trial)));
                observations.push_back({point_of(c.space, values), c.function(values)});
                best = std::max(best, observations.back().value);
                Rng other = rng.fork(1000 + trial);
                luck = std::max(luck, c.function(values_of(c.space, random_point(c.space, other))));
            }
            searched.push_back(best);
            random.push_back(luck);
            wins += best > luck;
        }
        std::ranges::sort(searched);
        std::ranges::sort(random);
        EXPECT_GT(searched[kSeeds / 2], random[kSeeds / 2]) << c.name;
        // Were the two equal, 66 wins of 101 would come once in a thousand times.
        EXPECT_GE(wins, 66) << c.name;
        RecordProperty(c.name, wins);
    }
}

// A trial that gets better with its budget, the faster the better its values are.
double learned(const Values& values, std::int64_t budget) { return mixed(values) - 2.0 / static_cast<double>(budget); }

struct Finished {
    std::vector<TrialResult> results;
    std::int64_t epochs = 0;
};

Finished run(const Space& space, const Plan& plan, std::int32_t trials, std::vector<TrialResult> results = {}, std::size_t stop_after = 1'000'000) {
    Finished out{std::move(results), 0};
    while (out.results.size() < stop_after) {
        const auto job = next_job(space, plan, out.results, trials);
        if (!job) break;
        const auto budget = plan.rungs[static_cast<std::size_t>(job->rung)];
        out.epochs += budget - (job->rung > 0 ? plan.rungs[static_cast<std::size_t>(job->rung) - 1] : 0);
        TrialResult result{job->trial, job->rung, job->values, learned(job->values, budget), 1, budget, {}};
        if (job->trial % 7 == 5) result.value.reset(), result.problem = "diverged";
        EXPECT_TRUE(check(space, plan, out.results, result));
        out.results.push_back(std::move(result));
    }
    return out;
}

TEST(NextJob, halving_gives_most_trials_little_and_the_best_and_the_defaults_everything) {
    const Plan plan{.rungs = rungs_up_to(18, 3, 3)};
    ASSERT_EQ(plan.rungs, (std::vector<std::int64_t>{2, 6, 18}));
    const auto [results, epochs] = run(kMixed, plan, 60);
    std::vector<int> on_rung(3);
    for (const auto& result : results) ++on_rung[static_cast<std::size_t>(result.rung)];
    EXPECT_EQ(on_rung[0], 60);
    EXPECT_GE(on_rung[1], 20);
    EXPECT_LE(on_rung[1], 30);  // asynchronous: some were among the best when they came
    EXPECT_GE(on_rung[2], 5);
    EXPECT_LE(on_rung[2], 15);
    EXPECT_LT(epochs, 60 * 18 / 2);
    EXPECT_TRUE(results.front().trial == 0 && results.front().values == defaults(kMixed));
    EXPECT_TRUE(std::ranges::any_of(results, [](const auto& r) { return r.trial == 0 && r.rung == 2; })) << "the defaults get the full budget";
    const auto* winner = best(results);
    EXPECT_EQ(winner->rung, 2);
    EXPECT_GT(*winner->value, learned(defaults(kMixed), 18));
}

TEST(NextJob, a_search_of_any_size_ends_with_its_winner_on_the_top_rung) {
    for (const std::int32_t trials : {1, 2, 3, 4, 6, 9}) {
        const auto [results, epochs] = run(kMixed, {.rungs = {1, 3, 9}}, trials);
        EXPECT_EQ(best(results)->rung, 2) << trials;
        EXPECT_EQ(std::ranges::count(results, 0, &TrialResult::rung), trials);
    }
    EXPECT_FALSE(next_job(kMixed, {}, {}, 0));
}

TEST(NextJob, the_defaults_full_budget_does_not_outshine_a_better_trial_that_had_less) {
    const Plan plan{.rungs = {1, 3}};
    const Values low = defaults(kMixed);
    Values high = low;
    high[4] = 0.3;
    const std::vector<TrialResult> results{{0, 0, low, 0.1, 1, 1, {}}, {1, 0, high, 0.2, 1, 1, {}}, {0, 1, low, 0.7, 1, 3, {}}};
    const auto job = next_job(kMixed, plan, results, 2);
    ASSERT_TRUE(job);
    EXPECT_EQ(job->trial, 1);
    EXPECT_EQ(job->rung, 1);
}

TEST(NextJob, depends_on_the_results_so_far_and_nothing_else) {
    const Plan plan{.rungs = {2, 6, 18}, .seed = 5};
    const auto whole = run(kMixed, plan, 30).results;
    for (std::size_t cut = 0; cut <= whole.size(); cut += 3) {
        const auto again = run(kMixed, plan, 30, run(kMixed, plan, 30, {}, cut).results).results;
        ASSERT_EQ(again.size(), whole.size());
        for (std::size_t i = 0; i < whole.size(); ++i) ASSERT_TRUE(again[i].values == whole[i].values && again[i].rung == whole[i].rung && again[i].trial == whole[i].trial);
    }
}

TEST(Importances, put_first_what_decides) {
    Rng rng(2);
    std::vector<TrialResult> results;
    for (std::int32_t t = 0; t < 40; ++t) {
        const auto values = values_of(kMixed, random_point(kMixed, rng));
        results.push_back({t, 0, values, -3 * values[4] + (values[3] == 1 ? 0.5 : 0), 1, 1, {}});
    }
    const auto found = importances(kMixed, results);
    ASSERT_EQ(found.size(), kMixed.size());
    EXPECT_EQ(found[0].name, "share");
    EXPECT_LT(found[0].correlation, -0.8);
    EXPECT_TRUE(importances(kMixed, std::span(results).first(4)).empty());
}

std::string slurp(const std::filesystem::path& path) { return read_file(path).value(); }
void spill(const std::filesystem::path& path, std::string_view bytes) { std::ofstream(path, std::ios::binary) << bytes; }

TEST(Journal, gives_back_what_was_appended_however_the_file_is_cut) {
    const TempDir scratch("perennial-tune");
    const auto path = scratch.path() / "search.jsonl";
    const Plan plan{.rungs = {2, 6, 18}};
    const auto results = run(kMixed, plan, 12).results;
    {
        auto journal = Journal::open(path, kMixed, plan, "data");
        ASSERT_TRUE(journal.ok()) << journal.error().message;
        for (const auto& result : results) ASSERT_TRUE(journal->append(result));
        const auto second = Journal::open(path, kMixed, plan, "data");
        ASSERT_FALSE(second.ok()) << "two searches in one folder";
        EXPECT_EQ(second.error().code, Code::kBusy);
    }
    const auto bytes = slurp(path);
    const auto expect_first = [&](std::span<const TrialResult> known) {
        ASSERT_LE(known.size(), results.size());
        for (std::size_t i = 0; i < known.size(); ++i) {
            ASSERT_EQ(known[i].values, results[i].values);
            ASSERT_EQ(known[i].value, results[i].value) << "to the last digit: the next proposals depend on it";
            ASSERT_EQ(known[i].rung, results[i].rung);
        }
    };
    for (std::size_t cut = 0; cut <= bytes.size(); ++cut) {
        const auto read = read_journal(std::string_view(bytes).substr(0, cut), kMixed, plan, "data", "x");
        ASSERT_TRUE(read.ok()) << cut << ": " << read.error().message;
        expect_first(read->results);
    }
    for (std::size_t cut = 0; cut < bytes.size(); cut += 61) {  // on disk, where every step is synced
        spill(path, bytes.substr(0, cut));
        auto journal = Journal::open(path, kMixed, plan, "data");
        ASSERT_TRUE(journal.ok()) << cut << ": " << journal.error().message;
        expect_first(journal->results());
        const auto next = journal->results().size();
        ASSERT_TRUE(journal->append(results[next])) << "goes on behind the last whole line";
        const auto again = read_journal(slurp(path), kMixed, plan, "data", "x");
        ASSERT_TRUE(again.ok()) << again.error().message;
        expect_first(again->results);
        ASSERT_EQ(again->results.size(), next + 1);
    }
}

TEST(Journal, refuses_another_search_and_damaged_lines) {
    const TempDir scratch("perennial-tune");
    const auto path = scratch.path() / "search.jsonl";
    const Plan plan{.rungs = {2, 6}};
    { ASSERT_TRUE(Journal::open(path, kMixed, plan, "data").ok()); }
    const auto message = [&](const Space& space, const Plan& other, std::string_view data) {
        const auto journal = Journal::open(path, space, other, data);
        return journal.ok() ? std::string() : journal.error().message;
    };
    EXPECT_EQ(message(kMixed, plan, "data"), "");
    EXPECT_NE(message(kMixed, plan, "other").find("another data"), std::string::npos);
    EXPECT_NE(message(kMixed, {.rungs = {2, 6}, .seed = 2}, "data").find("another seed"), std::string::npos);
    EXPECT_NE(message(kMixed, {.rungs = {2, 8}}, "data").find("another rungs"), std::string::npos);
    auto narrower = kMixed;
    narrower[0].high = 0.5;
    EXPECT_NE(message(narrower, plan, "data").find("another space"), std::string::npos);

    const auto header = slurp(path);
    for (const char* line : {"{}", "7", "not json", R"({"trial":0,"rung":1,"values":{},"value":1,"seconds":1,"epochs":1})",
                             R"({"trial":0,"rung":0,"values":{"rate":9,"layers":1,"kind":"a","gate":"x","share":0},"value":1,"seconds":1,"epochs":1})",
                             R"({"trial":0,"rung":0,"values":{"rate":0.1,"layers":1,"kind":"no","gate":"x","share":0},"value":1,"seconds":1,"epochs":1})",
                             R"({"trial":3,"rung":0,"values":{"rate":0.1,"layers":1,"kind":"a","gate":"x","share":0},"value":1,"seconds":1,"epochs":1})",
                             R"({"trial":0,"rung":0,"values":{"rate":0.1,"layers":1.5,"kind":"a","gate":"x","share":0},"value":1,"seconds":1,"epochs":1})"}) {
        const auto read = read_journal(header + line + "\n", kMixed, plan, "data", "file");
        ASSERT_FALSE(read.ok()) << line;
        EXPECT_EQ(read.error().code, Code::kCorrupt);
        EXPECT_NE(read.error().message.find("file:2"), std::string::npos) << read.error().message;
    }
    EXPECT_EQ(read_journal("{}\n", kMixed, plan, "data", "file").error().code, Code::kUnsupported);
}

}  // namespace
}  // namespace perennial::tune
