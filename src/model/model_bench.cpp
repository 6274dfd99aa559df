// Serving at the size of Amazon Beauty: 12 101 products, width 64, two blocks, two heads, history limit 50.
#include <benchmark/benchmark.h>

#include "base/file.h"
#include "base/rng.h"
#include "model/buckets.h"
#include "model/network.h"
#include "model/safetensors.h"

namespace perennial::model {
namespace {

const Network& network() {
    static const Network loaded = [] {
        Config config;
        config.products = 12101;
        SafetensorsWriter file;
        file.metadata("format", std::string(kNetworkFormat));
        file.metadata("version", std::string(kNetworkVersion));
        file.metadata("config", to_json(config));
        Rng rng(1);
        for (const auto& [tensor, shape] : tensors(config)) {
            std::size_t count = 1;
            for (const auto extent : shape) count *= static_cast<std::size_t>(extent);
            std::vector<float> values(count);
            for (auto& value : values) value = static_cast<float>(0.1 * rng.normal());
            if (tensor == "hazard.edges_days") values = hazard_edges(static_cast<std::size_t>(config.hazard_buckets));
            file.add(tensor, shape, values);
        }
        const TempDir scratch;
        (void)file.write(scratch.path() / "w").ok();
        return Network::load(scratch.path() / "w").value();
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
