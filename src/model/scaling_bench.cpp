// Two tools behind scripts/scaling.py, which measures how cost grows with the size of a shop (docs/results/scaling.md).
//
//   bench_scaling data --out FILE [--customers N] [--mean-events M] [--products P] [--seed S]
//   bench_scaling serve [--products P] [--history-limit L] [--events T] [--requests N]
//
// data writes training data with a planted structure. Products are Zipf (exponent 1) by number. A customer's history has a
// geometric number of events, at least 2; with chance 1/2 an event's product follows the one before it round its group of
// eight neighbours, else it is drawn afresh. Gaps are exponential with mean ten days. The last event of every customer with
// a number divisible by ten is to be predicted. It prints as JSON what was written and what popularity (training targets
// counted) and the truth itself (the follower first, then popularity) reach on those events.
//
// serve prints CPU microseconds of a request to a network of random weights, one thread: an event appended to a cached
// session of T events and the ten best of all products; and of rebuilding such a session from its history.
#include <fmt/format.h>
#include <malloc.h>
#include <time.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <cstdio>
#include <fstream>
#include <map>
#include <numeric>
#include <string>

#include "model/random_network.h"
#include "model/training_data.h"

namespace perennial::model {
namespace {

constexpr std::size_t kBest = 10;
constexpr double kFollows = 0.5, kMeanGapMs = 10 * 86'400'000.0;
constexpr std::int32_t kGroup = 8;
constexpr std::int64_t kStartMs = 1'600'000'000'000;
constexpr std::size_t kValidatedEvery = 10;

using Options = std::map<std::string, std::string>;

std::uint64_t number(const Options& options, const std::string& name, std::uint64_t otherwise) {
    const auto found = options.find(name);
    return found == options.end() ? otherwise : std::stoull(found->second);
}

class Zipf {
public:
    explicit Zipf(std::size_t products) : up_to_(products) {
        double sum = 0;
        for (std::size_t p = 0; p < products; ++p) up_to_[p] = sum += 1.0 / static_cast<double>(p + 1);
    }
    std::int32_t draw(Rng& rng) const {
        const auto found = std::ranges::upper_bound(up_to_, rng.uniform() * up_to_.back()) - up_to_.begin();
        return static_cast<std::int32_t>(std::min<std::ptrdiff_t>(found, static_cast<std::ptrdiff_t>(up_to_.size()) - 1));
    }

private:
    std::vector<double> up_to_;
};

std::int32_t follower(std::int32_t product, std::int32_t products) {
    const auto first = product / kGroup * kGroup, size = std::min(kGroup, products - first);
    return first + (product - first + 1) % size;
}

TrainingData shop(std::uint64_t customers, std::uint64_t mean_events, std::int32_t products, std::uint64_t seed) {
    TrainingData data;
    data.products = products;
    data.has_time = true;
    const Zipf zipf(static_cast<std::size_t>(products));
    Rng rng(seed);
    const double stop = 1.0 / static_cast<double>(std::max<std::uint64_t>(mean_events, 3) - 1);  // 2 and a geometric number of mean M - 2
    for (std::uint64_t c = 0; c < customers; ++c) {
        std::int64_t now = kStartMs;
        std::int32_t product = -1;
        std::size_t events = 2;
        while (!rng.chance(stop)) ++events;
        for (std::size_t i = 0; i < events; ++i) {
            product = product >= 0 && rng.chance(kFollows) ? follower(product, products) : zipf.draw(rng);
            now += static_cast<std::int64_t>(-kMeanGapMs * std::log(1 - rng.uniform()));
            data.product.push_back(product);
            data.time_ms.push_back(now);
            data.occasion.push_back(static_cast<std::int32_t>(i));
            data.role.push_back(i + 1 == events && c % kValidatedEvery == 0 ? kValidationTarget : kTrainTarget);
        }
        data.offsets.push_back(static_cast<std::int64_t>(data.product.size()));
        data.end_ms.push_back(now + 1);
    }
    data.kind.assign(data.events(), 0);
    data.quantity.assign(data.events(), 1);
    data.purchase.assign(data.events(), 1);
    return data;
}

struct Floors {
    std::size_t validated = 0;
    double popularity = 0, truth = 0;  // mean NDCG@10
};

Floors floors(const TrainingData& data) {
    std::vector<std::int64_t> counts(static_cast<std::size_t>(data.products));
    for (std::size_t i = 0; i < data.events(); ++i)
        if (data.role[i] == kTrainTarget) ++counts[static_cast<std::size_t>(data.product[i])];
    std::vector<std::int32_t> best(counts.size());
    std::iota(best.begin(), best.end(), 0);
    const auto kept = std::min(kBest, best.size());
    std::ranges::partial_sort(best, best.begin() + static_cast<std::ptrdiff_t>(kept), [&](auto a, auto b) {
        return std::pair(-counts[static_cast<std::size_t>(a)], a) < std::pair(-counts[static_cast<std::size_t>(b)], b);
    });
    best.resize(kept);
    Floors sum;
    const auto gain = [](std::ptrdiff_t rank) { return rank < static_cast<std::ptrdiff_t>(kBest) ? 1 / std::log2(static_cast<double>(rank) + 2) : 0.0; };
    for (std::size_t i = 1; i < data.events(); ++i) {
        if (data.role[i] != kValidationTarget) continue;
        ++sum.validated;
        const auto rank = std::ranges::find(best, data.product[i]) - best.begin();
        const auto next = follower(data.product[i - 1], data.products);
        const auto before = std::ranges::find(best, next) - best.begin() < rank ? 0 : 1;  // the follower moved to the front
        sum.popularity += rank < static_cast<std::ptrdiff_t>(kept) ? gain(rank) : 0;
        sum.truth += next == data.product[i] ? 1 : rank < static_cast<std::ptrdiff_t>(kept) ? gain(rank + before) : 0;
    }
    sum.popularity /= static_cast<double>(std::max<std::size_t>(sum.validated, 1));
    sum.truth /= static_cast<double>(std::max<std::size_t>(sum.validated, 1));
    return sum;
}

int write_data(const Options& options) {
    if (!options.contains("--out")) return fmt::print(stderr, "data: want --out FILE\n"), 2;
    const auto data = shop(number(options, "--customers", 1000), number(options, "--mean-events", 20), static_cast<std::int32_t>(number(options, "--products", 1000)),
                           number(options, "--seed", 1));
    if (const auto status = write_training_data(data, options.at("--out")); !status) return fmt::print(stderr, "{}\n", status.error().message), 1;
    const auto found = floors(data);
    fmt::print("{{\"events\": {}, \"customers\": {}, \"products\": {}, \"validated\": {}, \"ndcg10_popularity\": {:.4f}, \"ndcg10_truth\": {:.4f}}}\n", data.events(),
               data.sequences(), data.products, found.validated, found.popularity, found.truth);
    return 0;
}

double cpu_micros() {
    timespec now{};
    ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return static_cast<double>(now.tv_sec) * 1e6 + static_cast<double>(now.tv_nsec) / 1e3;
}

double median(std::vector<double> values) {
    std::ranges::sort(values);
    return values.empty() ? 0 : values[values.size() / 2];
}

// What making the random weights needed is given back first.
double resident_mb() {
    ::malloc_trim(0);
    std::ifstream pages("/proc/self/statm");
    double all = 0, resident = 0;
    pages >> all >> resident;
    return resident * static_cast<double>(::sysconf(_SC_PAGESIZE)) / 1e6;
}

int serve(const Options& options) {
    Config config;
    config.products = static_cast<std::int32_t>(number(options, "--products", 10'000));
    config.history_limit = static_cast<std::int64_t>(number(options, "--history-limit", 50));
    const auto events = number(options, "--events", 100), requests = std::max<std::uint64_t>(number(options, "--requests", 500), 1);
    config.lags = std::min<std::int64_t>(config.history_limit, 128);
    const auto network = random_network(config, 1, 0.1f);
    Rng rng(2);
    std::int64_t now = 0;
    const auto see = [&](Session& session) { network.extend(session, {.product = static_cast<std::int32_t>(rng.below(network.products())), .time_ms = now += 1000}); };
    std::vector<double> rebuilt, answered;
    Session session;
    for (int i = 0; i < 5; ++i) {
        const double begin = cpu_micros();
        session = network.start();
        for (std::uint64_t e = 0; e < events; ++e) see(session);
        rebuilt.push_back(cpu_micros() - begin);
    }
    for (std::uint64_t r = 0; r < requests; ++r) {
        const double begin = cpu_micros();
        std::array<Ranked, kBest> best;
        see(session);
        TopRequest request{&session, {}, {}, best};
        network.top({&request, 1});
        answered.push_back(cpu_micros() - begin);
    }
    fmt::print("{{\"products\": {}, \"history_limit\": {}, \"events\": {}, \"request_us\": {:.2f}, \"rebuild_us\": {:.1f}, \"session_bytes\": {}, \"resident_mb\": {:.1f}}}\n", network.products(),
               config.history_limit, events, median(answered), median(rebuilt), session.bytes(), resident_mb());
    return 0;
}

}  // namespace
}  // namespace perennial::model

int main(int count, char** arguments) {
    using namespace perennial::model;
    const std::string what = count > 1 ? arguments[1] : "";
    Options options;
    for (int i = 2; i + 1 < count; i += 2) options[arguments[i]] = arguments[i + 1];
    if (what == "data") return write_data(options);
    if (what == "serve") return serve(options);
    return fmt::print(stderr, "want data or serve (see the top of scaling_bench.cpp), got '{}'\n", what), 2;
}
