// Serving at the size of Amazon Beauty: 12 101 products, width 64, two blocks, two heads, history limit 50.
#include <benchmark/benchmark.h>

#include "model/random_network.h"

namespace perennial::model {
namespace {

const Network& network() {
    static const Network loaded = [] {
        Config config;
        config.products = 12101;
        return random_network(config, 1, 0.1f);
    }();
    return loaded;
}

Session session_of(std::int64_t steps) {
    auto session = network().start();
    for (std::int64_t i = 0; i < steps; ++i) network().extend(session, {.product = static_cast<std::int32_t>(i * 37 % 12101), .time_ms = i});
    return session;
}

void extend_by_one_event(benchmark::State& state) {
    auto session = session_of(state.range(0));
    std::int32_t product = 0;
    for (auto _ : state) {
        network().extend(session, {.product = product = (product + 1) % 12101});
        benchmark::DoNotOptimize(network().hidden(session).data());
    }
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(extend_by_one_event)->Arg(60);

void score_all_products(benchmark::State& state) {  // items = customers
    const auto session = session_of(9);
    const auto count = static_cast<std::size_t>(state.range(0));
    const std::vector<const Session*> sessions(count, &session);
    const std::vector<Request> requests(count);
    std::vector<float> logits(count * network().products());
    for (auto _ : state) {
        network().scores(sessions, requests, logits);
        benchmark::DoNotOptimize(logits.data());
    }
    state.SetItemsProcessed(state.iterations() * state.range(0));
}
BENCHMARK(score_all_products)->Arg(1)->Arg(32);

void build_history_and_score(benchmark::State& state) {  // a customer of nine events from nothing: the peers' request
    std::vector<float> logits(network().products());
    for (auto _ : state) {
        network().scores(session_of(9), {}, logits);
        benchmark::DoNotOptimize(logits.data());
    }
}
BENCHMARK(build_history_and_score);

}  // namespace
}  // namespace perennial::model
