// Requests over loopback into a real store: every answer waits for an fdatasync, shared by all that wait at once.
// Clients run in this process on the same cores; each keeps one connection and one request under way.
// The rival is BM_health: the same path without body, parsing and disk.
#include <benchmark/benchmark.h>
#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <atomic>
#include <cstdlib>
#include <optional>
#include <string>

#include "api/api_server.h"
#include "base/file.h"

namespace perennial::api {
namespace {

struct Shop {
    TempDir dir;
    profile::Store store = profile::Store::open(dir.path()).value();
    std::atomic<std::uint64_t> next_id = 0;
    std::optional<ApiServer> server;

    Shop() {
        ApiServerOptions options;
        options.listen.port = 0;
        server.emplace(ApiServer::start(options, {.recommendations = {}, .customer = {}, .report_html = {},
                                                  .append = [this](std::vector<event::Event> events) { return store.append(std::move(events)); },
                                                  .quarantine = [](std::vector<ingest::Reject>) -> Status { return Done{}; }, .ready = {}})
                           .value());
    }
};

std::optional<Shop> shop;  // one for all threads of a run

void open_shop(const benchmark::State&) { shop.emplace(); }
void close_shop(const benchmark::State&) { shop.reset(); }

Fd connected() {
    Fd fd(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(shop->server->port());
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) std::abort();
    return fd;
}

// One request, one answer; an answer comes in one segment on loopback as long as it is small.
void exchange(const Fd& fd, const std::string& request, benchmark::State& state) {
    char answer[4096];
    if (!write_all(fd.get(), request, "request")) return state.SkipWithError("send");
    const auto count = ::recv(fd.get(), answer, sizeof answer, 0);
    if (count < 12 || std::string_view(answer, 12) != "HTTP/1.1 200") state.SkipWithError("answer");
}

std::string message() {
    const auto id = shop->next_id.fetch_add(1);
    return fmt::format(R"({{"type":"track","event":"Product Viewed","messageId":"node-next-{}","userId":"user-{}","timestamp":"2024-05-01T10:00:00.000Z",)"
                       R"("integrations":{{}},"context":{{"library":{{"name":"@segment/analytics-node","version":"3.1.0"}}}},)"
                       R"("properties":{{"product_id":"sku-{}","name":"Blue cotton shirt","category":"Shirts","price":19.99,"currency":"EUR"}}}})",
                       id, id % 5000, id % 300);
}

std::string post(std::string_view path, std::string_view body) {
    return fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}", path, body.size(), body);
}

void BM_health(benchmark::State& state) {
    const auto fd = connected();
    for (auto _ : state) exchange(fd, "GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n", state);
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_health)->Setup(open_shop)->Teardown(close_shop)->Threads(1)->Threads(64)->UseRealTime();

void BM_track_durable(benchmark::State& state) {
    const auto fd = connected();
    for (auto _ : state) exchange(fd, post("/v1/track", message()), state);
    state.SetItemsProcessed(state.iterations());
}
BENCHMARK(BM_track_durable)->Setup(open_shop)->Teardown(close_shop)->Threads(1)->Threads(16)->Threads(64)->UseRealTime();

void BM_batch_of_100_durable(benchmark::State& state) {
    const auto fd = connected();
    for (auto _ : state) {
        std::string body = R"({"batch":[)";
        for (int i = 0; i < 100; ++i) body += (i ? "," : "") + message();
        exchange(fd, post("/v1/batch", body + "]}"), state);
    }
    state.SetItemsProcessed(state.iterations() * 100);
}
BENCHMARK(BM_batch_of_100_durable)->Setup(open_shop)->Teardown(close_shop)->Threads(1)->Threads(16)->UseRealTime();

}  // namespace
}  // namespace perennial::api
