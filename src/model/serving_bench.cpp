// How fast the behaviour model answers on one thread: single requests with their tail, batches, and a million products,
// each beside a plain loop and beside the float32 kernels in the same run. Speed does not depend on what the weights know,
// so they are random unless a weight file is given.
//
//   bench_serving [--weights FILE] [--requests N] [--million] [--products N] [--hnsw-threads N]
//                [--hnsw-links N] [--hnsw-build-effort N]
//
// The million: clusters as a trained table has them. Product = 0.75 centre + 0.65 noise per column, centres and noise
// normal, all of it times 1/8, 2,000 clusters with Zipf sizes; bias = 0.3 x a normal. Query = mean of three products of
// one cluster plus normal noise of 0.5/8 a column, brought to length 3: a customer vector near what the customer bought.
#include <sys/resource.h>

#include <algorithm>
#include <chrono>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <numeric>
#include <string>

#include "kernels/linear.h"
#include "model/random_network.h"

namespace perennial::model {
namespace {

using Clock = std::chrono::steady_clock;
constexpr std::size_t kBest = 10;

double micros_since(Clock::time_point begin) { return std::chrono::duration<double, std::micro>(Clock::now() - begin).count(); }

struct Times {
    std::vector<double> micros;
    double at(double share) {
        std::ranges::sort(micros);
        return micros.empty() ? 0 : micros[std::min(micros.size() - 1, static_cast<std::size_t>(share * static_cast<double>(micros.size())))];
    }
    void print(const char* what) {
        std::printf("%-52s p50 %8.1f  p95 %8.1f  p99 %8.1f  max %8.1f us  (%zu requests)\n", what, at(0.5), at(0.95), at(0.99), at(1), micros.size());
    }
};

// What many programs do: one loop, one sort.
void naive_top(const ProductTable& table, std::span<const float> x, std::span<const std::int32_t> excluded, std::span<Ranked> best) {
    std::vector<Ranked> all(table.bias.size());
    for (std::size_t p = 0; p < all.size(); ++p) {
        float sum = table.bias[p];
        for (std::size_t k = 0; k < table.width; ++k) sum += x[k] * table.vectors[p * table.width + k];
        all[p] = {sum, static_cast<std::int32_t>(p)};
    }
    for (const auto p : excluded) all[static_cast<std::size_t>(p)].score = -1e30f;
    std::partial_sort(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(best.size()), all.end(), kernels::ranks_before);
    std::copy_n(all.begin(), best.size(), best.begin());
}

struct Customer {
    Session session;
    std::vector<std::int32_t> seen;  // ascending
};

void see(Customer& customer, const Network& network, std::int32_t product, std::int64_t time_ms) {
    network.extend(customer.session, {.product = product, .time_ms = time_ms});
    if (const auto at = std::ranges::lower_bound(customer.seen, product); at == customer.seen.end() || *at != product) customer.seen.insert(at, product);
}

// Customers of 1 to 60 events: half of them beyond the history limit of 50 would be rare in a shop, so this is a full load.
std::vector<Customer> customers_of(const Network& network, std::size_t count, Rng& rng) {
    std::vector<Customer> customers(count);
    for (auto& customer : customers) {
        customer.session = network.start();
        for (auto events = 1 + rng.below(60); events > 0; --events) see(customer, network, static_cast<std::int32_t>(rng.below(network.products())), 0);
    }
    return customers;
}

using Rank = std::function<void(const Customer&, std::span<Ranked>)>;

void single_requests(const char* what, const Network& network, std::size_t requests, const Rank& rank) {
    Rng rng(7);
    auto customers = customers_of(network, 1000, rng);
    std::array<Ranked, kBest> best;
    Times times;
    const std::size_t warm_up = requests / 10;
    for (std::size_t r = 0; r < warm_up + requests; ++r) {
        auto& customer = customers[rng.below(customers.size())];
        const auto product = static_cast<std::int32_t>(rng.below(network.products()));
        const auto begin = Clock::now();
        see(customer, network, product, static_cast<std::int64_t>(r));
        rank(customer, best);
        if (r >= warm_up) times.micros.push_back(micros_since(begin));
    }
    times.print(what);
}

void serve_network(const Network& network, std::size_t requests) {
    const auto table = network.product_table();
    std::printf("%zu products, width %zu, %lld blocks; one thread; one event appended, all products ranked, seen ones dropped, top %zu\n", network.products(), table.width,
                static_cast<long long>(network.config().blocks), kBest);
    std::vector<float> logits(network.products());
    const Rank nothing = [](const Customer&, std::span<Ranked>) {};
    const Rank naive = [&](const Customer& customer, std::span<Ranked> best) { naive_top(table, network.hidden(customer.session), customer.seen, best); };
    const Rank in_float = [&](const Customer& customer, std::span<Ranked> best) {
        network.scores(customer.session, {}, logits);
        kernels::top_n(logits, customer.seen, best);
    };
    const Rank exact = [&](const Customer& customer, std::span<Ranked> best) {
        TopRequest request{&customer.session, {}, customer.seen, best};
        network.top({&request, 1});
    };
    single_requests("  the event alone", network, requests, nothing);
    single_requests("  event + plain float loop, partial sort", network, requests / 10, naive);
    single_requests("  event + float32 kernel, top_n", network, requests, in_float);
    single_requests("  event + exact int8 (Network::top)", network, requests, exact);

    Rng rng(8);
    const auto customers = customers_of(network, 4096, rng);
    std::printf("cached sessions, all products ranked, seen ones dropped, top %zu, in batches of 32\n", kBest);
    const auto batches = [&](const char* what, std::size_t users, const std::function<void(std::span<const Customer>)>& rank) {
        for (const auto& part : {users / 4, users}) {  // the first is warm-up
            const auto begin = Clock::now();
            for (std::size_t u = 0; u + 32 <= part; u += 32) rank(std::span(customers).subspan(u % 4096, 32));
            if (part == users) std::printf("%-52s %8.0f users/s\n", what, static_cast<double>(users / 32 * 32) / micros_since(begin) * 1e6);
        }
    };
    std::vector<std::array<Ranked, kBest>> best(32);
    batches("  plain float loop, partial sort", 1024, [&](std::span<const Customer> part) {
        for (std::size_t i = 0; i < part.size(); ++i) naive(part[i], best[i]);
    });
    std::vector<float> many(32 * network.products());
    batches("  float32 kernel, top_n", 16384, [&](std::span<const Customer> part) {
        std::vector<const Session*> sessions;
        for (const auto& customer : part) sessions.push_back(&customer.session);
        network.scores(sessions, std::vector<Request>(part.size()), many);
        for (std::size_t i = 0; i < part.size(); ++i) kernels::top_n(std::span(many).subspan(i * network.products(), network.products()), part[i].seen, best[i]);
    });
    batches("  exact int8 (Network::top)", 131072, [&](std::span<const Customer> part) {
        std::vector<TopRequest> asked;
        for (std::size_t i = 0; i < part.size(); ++i) asked.push_back({&part[i].session, {}, part[i].seen, best[i]});
        network.top(asked);
    });

    std::size_t differences = 0;
    std::vector<std::int32_t> all(network.products());
    std::iota(all.begin(), all.end(), 0);
    for (const auto& customer : customers) {
        std::array<Ranked, kBest> want, got;
        network.scores(customer.session, {}, all, logits);
        kernels::top_n(logits, customer.seen, want);
        exact(customer, got);
        differences += want != got;
    }
    std::printf("answers of the int8 way that differ from float32: %zu of %zu\n", differences, customers.size());
}

struct Shelf {
    std::vector<float> vectors, bias;
    std::vector<std::vector<float>> queries;
};

Shelf clustered(std::size_t products, std::size_t width, std::size_t queries) {
    constexpr std::size_t kClusters = 2000;
    Rng rng(9);
    std::vector<float> centres(kClusters * width);
    for (auto& c : centres) c = static_cast<float>(rng.normal());
    std::vector<double> upto(kClusters);
    double sum = 0;
    for (std::size_t c = 0; c < kClusters; ++c) upto[c] = sum += 1 / static_cast<double>(c + 10);
    Shelf shelf{std::vector<float>(products * width), std::vector<float>(products), {}};
    std::vector<std::vector<std::uint32_t>> members(kClusters);
    for (std::size_t p = 0; p < products; ++p) {
        const auto c = static_cast<std::size_t>(std::ranges::lower_bound(upto, rng.uniform() * sum) - upto.begin());
        members[c].push_back(static_cast<std::uint32_t>(p));
        for (std::size_t k = 0; k < width; ++k) shelf.vectors[p * width + k] = static_cast<float>((0.75 * static_cast<double>(centres[c * width + k]) + 0.65 * rng.normal()) / 8);
        shelf.bias[p] = static_cast<float>(0.3 * rng.normal());
    }
    for (std::size_t q = 0; q < queries; ++q) {
        const auto& cluster = members[rng.below(kClusters)];
        auto& x = shelf.queries.emplace_back(width);
        for (auto& value : x) value = static_cast<float>(0.5 / 8 * rng.normal());
        for (int of = 0; of < 3 && !cluster.empty(); ++of) {
            const auto p = cluster[rng.below(cluster.size())];
            for (std::size_t k = 0; k < width; ++k) x[k] += shelf.vectors[p * width + k] / 3;
        }
        double length = 0;
        for (const float value : x) length += static_cast<double>(value) * static_cast<double>(value);
        for (auto& value : x) value = static_cast<float>(static_cast<double>(value) * 3 / std::sqrt(length));
    }
    return shelf;
}

void serve_shelf(std::size_t products, const HnswOptions& options) {
    constexpr std::size_t kWidth = 64, kQueries = 2000;
    const auto shelf = clustered(products, kWidth, kQueries);
    const ProductTable table{shelf.vectors, shelf.bias, kWidth};
    std::printf("%zu clustered products, width %zu, top %zu, one thread for queries; float table %.0f MB\n", products, kWidth, kBest, static_cast<double>(4 * shelf.vectors.size()) / 1e6);
    std::vector<std::array<Ranked, kBest>> truth(kQueries), best(kQueries);
    const auto singles = [&](const char* what, std::size_t queries, std::vector<std::array<Ranked, kBest>>& into, const std::function<void(TopQuery&)>& rank) {
        Times times;
        double rescored = 0;
        for (std::size_t q = 0; q < queries; ++q) {
            TopQuery query{shelf.queries[q], {}, into[q]};
            const auto begin = Clock::now();
            rank(query);
            times.micros.push_back(micros_since(begin));
            rescored += static_cast<double>(query.rescored) / static_cast<double>(queries);
        }
        times.print(what);
        return rescored;
    };
    singles("  plain float loop, partial sort", 50, best, [&](TopQuery& query) { naive_top(table, query.x, {}, query.best); });
    singles("  float32 tiles with a running top n", kQueries, truth, [&](TopQuery& query) { kernels::top_n_rows(table.vectors, table.bias, {&query, 1}); });
    const auto recall = [&] {
        std::size_t hits = 0, equal = 0;
        for (std::size_t q = 0; q < kQueries; ++q) {
            equal += truth[q] == best[q];
            for (const auto& found : best[q]) hits += std::ranges::count(truth[q], found.id, &Ranked::id) > 0;
        }
        std::printf("    recall@10 %.4f, whole answers equal %zu of %zu\n", static_cast<double>(hits) / static_cast<double>(kQueries * kBest), equal, kQueries);
    };
    auto begin = Clock::now();
    const auto exact = make_exact_index(table);
    std::printf("  exact int8: built in %.2f s, %.0f MB\n", micros_since(begin) / 1e6, static_cast<double>(exact->bytes()) / 1e6);
    const double rescored = singles("  exact int8", kQueries, best, [&](TopQuery& query) { exact->top({&query, 1}); });
    std::printf("    rows scored in float32: %.0f a query\n", rescored);
    recall();
    begin = Clock::now();
    for (std::size_t q = 0; q + 32 <= kQueries; q += 32) {
        std::vector<TopQuery> batch;
        for (std::size_t i = q; i < q + 32; ++i) batch.push_back({shelf.queries[i], {}, best[i]});
        exact->top(batch);
    }
    std::printf("  exact int8 in batches of 32: %.0f queries/s\n", static_cast<double>(kQueries / 32 * 32) / micros_since(begin) * 1e6);
    if (options.threads == 0) return;
    begin = Clock::now();
    const auto graph = make_hnsw_index(table, options);
    if (!graph) return (void)std::printf("  %s\n", graph.error().message.c_str());
    std::printf("  hnsw, %zu links, build effort %zu: built in %.0f s on %u threads, %.0f MB\n", options.links, options.build_effort, micros_since(begin) / 1e6, options.threads, static_cast<double>((*graph)->bytes()) / 1e6);
    for (const std::size_t effort : {50u, 100u, 200u, 400u, 800u, 1600u}) {
        (*graph)->set_search_effort(effort);
        singles(("  hnsw, search effort " + std::to_string(effort)).c_str(), kQueries, best, [&](TopQuery& query) { (*graph)->top({&query, 1}); });
        recall();
        std::fflush(stdout);
    }
}

}  // namespace
}  // namespace perennial::model

int main(int count, char** arguments) {
    using namespace perennial::model;
    std::string weights;
    std::size_t requests = 20000, products = 1000000;
    HnswOptions hnsw{.threads = 0};  // 0: none
    bool million = false;
    for (int i = 1; i < count; ++i) {
        const std::string name = arguments[i];
        const char* value = i + 1 < count ? arguments[i + 1] : nullptr;
        if (name == "--million") million = true;
        else if (value != nullptr && name == "--weights") weights = value, ++i;
        else if (value != nullptr && name == "--requests") requests = std::stoul(value), ++i;
        else if (value != nullptr && name == "--products") products = std::stoul(value), ++i;
        else if (value != nullptr && name == "--hnsw-threads") hnsw.threads = static_cast<unsigned>(std::stoul(value)), ++i;
        else if (value != nullptr && name == "--hnsw-links") hnsw.links = std::stoul(value), ++i;
        else if (value != nullptr && name == "--hnsw-build-effort") hnsw.build_effort = std::stoul(value), ++i;
        else return std::fprintf(stderr, "want [--weights FILE] [--requests N] [--million [--products N] [--hnsw-threads N]], got '%s'\n", name.c_str()), 2;
    }
    if (million) serve_shelf(products, hnsw);
    else {
        Config config;
        config.products = 12101;
        if (weights.empty()) serve_network(random_network(config, 1, 0.1f), requests);
        else {
            const auto loaded = Network::load(weights);
            if (!loaded) return std::fprintf(stderr, "%s\n", loaded.error().message.c_str()), 1;
            serve_network(*loaded, requests);
        }
    }
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    std::printf("peak memory of this process: %.0f MB\n", static_cast<double>(usage.ru_maxrss) / 1e3);
}
