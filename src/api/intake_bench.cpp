// How fast events come in through HTTP, each answered only once it is on the disk, beside the limits of the parts:
// appending bytes with fdatasync, RocksDB's writes, parsing, and the store alone. All in one run of one process, the
// clients included; each client connection keeps one request under way. Prints one line a measurement.
//   bench_intake [SECONDS]      the disk that is measured is the temporary folder's (TMPDIR)
#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <cstring>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "api/api_server.h"
#include "base/file.h"
#include "base/hash.h"

namespace perennial::api {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

[[noreturn]] void fail(std::string_view what) {
    fmt::print(stderr, "bench_intake: {}\n", what);
    std::exit(1);
}

double cpu_seconds() {
    rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    const auto of = [](const timeval& t) { return static_cast<double>(t.tv_sec) + static_cast<double>(t.tv_usec) * 1e-6; };
    return of(usage.ru_utime) + of(usage.ru_stime);
}

// A message as the node client sends it, 330 bytes; its number stands in digits that are written over.
constexpr std::size_t kDigits = 12;
std::string message() {
    return R"({"type":"track","event":"Product Viewed","messageId":"node-next-000000000000","userId":"user-000000000000","timestamp":"2026-05-01T10:00:00.000Z",)"
           R"("integrations":{},"context":{"library":{"name":"@segment/analytics-node","version":"3.1.0"}},)"
           R"("properties":{"product_id":"sku-000000000000","name":"Blue cotton shirt","category":"Shirts","price":19.99,"currency":"EUR"}})";
}

class Request {
public:
    explicit Request(std::size_t events) {
        std::string body = message();
        if (events > 1) {
            const std::string one = body;
            for (std::size_t i = 1; i < events; ++i) body += "," + one;
            body = R"({"batch":[)" + body + "]}";
        }
        text_ = fmt::format("POST {} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: {}\r\n\r\n{}", events > 1 ? "/v1/batch" : "/v1/track",
                            body.size(), body);
        for (const std::string_view mark : {"node-next-", "\"user-", "\"sku-"}) {
            auto& places = mark[0] == 'n' ? ids_ : mark[1] == 'u' ? users_ : products_;
            for (auto at = text_.find(mark); at != std::string::npos; at = text_.find(mark, at + 1)) places.push_back(at + mark.size());
        }
    }
    std::size_t events() const { return ids_.size(); }
    // Events numbered from `number` on, of 100,000 customers and 5,000 products.
    const std::string& numbered(std::uint64_t number) {
        for (std::size_t i = 0; i < ids_.size(); ++i, ++number) {
            write(ids_[i], number);
            write(users_[i], mix64(number) % 100'000);
            write(products_[i], mix64(number + 7) % 5'000);
        }
        return text_;
    }

private:
    static std::uint64_t mix64(std::uint64_t x) { return (x * 0x9E3779B97F4A7C15u) >> 20; }
    void write(std::size_t at, std::uint64_t value) {
        for (std::size_t d = kDigits; d-- > 0; value /= 10) text_[at + d] = static_cast<char>('0' + value % 10);
    }
    std::string text_;
    std::vector<std::size_t> ids_, users_, products_;
};

struct Shop {
    TempDir dir;
    profile::Store store;
    std::optional<ApiServer> server;

    explicit Shop(std::size_t io_threads) : store(open()) {
        ApiServerOptions options;
        options.listen.port = 0;
        options.io_threads = io_threads;
        Services services;
        services.append = [this](std::vector<event::Event> events) { return store.append(std::move(events)); };
        services.quarantine = [](std::vector<ingest::Reject>) -> Status { return Error{Code::kInvalid, "the benchmark's messages are good"}; };
        auto started = ApiServer::start(std::move(options), std::move(services));
        if (!started) fail(started.error().message);
        server.emplace(std::move(*started));
    }
    profile::Store open() {
        auto opened = profile::Store::open(dir.path(), {.fold_behind_events = profile::kFoldBehindEvents});
        if (!opened) fail(opened.error().message);
        return std::move(*opened);
    }
};

Fd connected(std::uint16_t port) {
    Fd fd(::socket(AF_INET, SOCK_STREAM, 0));
    sockaddr_in to{};
    to.sin_family = AF_INET;
    to.sin_port = htons(port);
    to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (::connect(fd.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to) != 0) fail("connect");
    return fd;
}

struct Load {
    std::uint64_t events = 0, busy = 0;
    std::vector<double> latencies;  // seconds
};

// `connections`, each with one request under way, on one thread.
Load drive(std::uint16_t port, std::size_t connections, std::size_t events, std::uint64_t first, double seconds) {
    struct Client {
        Fd fd;
        Request request;
        std::string_view rest;
        Clock::time_point sent;
    };
    std::vector<Client> clients;
    Load load;
    const Fd poll(::epoll_create1(0));
    std::uint64_t number = first;
    const auto start = Clock::now();
    const auto push = [&](Client& client) {
        while (!client.rest.empty()) {
            const auto count = ::send(client.fd.get(), client.rest.data(), client.rest.size(), MSG_NOSIGNAL | MSG_DONTWAIT);
            if (count < 0 && errno == EAGAIN) break;
            if (count <= 0) fail("send");
            client.rest.remove_prefix(static_cast<std::size_t>(count));
        }
    };
    const auto next = [&](Client& client) {
        client.rest = client.request.numbered(number);
        number += events;
        client.sent = Clock::now();
        push(client);
    };
    for (std::size_t c = 0; c < connections; ++c) clients.push_back({connected(port), Request(events), {}, {}});
    for (std::size_t c = 0; c < connections; ++c) {
        epoll_event watch{};
        watch.events = EPOLLIN | EPOLLOUT | EPOLLET;
        watch.data.u64 = c;
        ::epoll_ctl(poll.get(), EPOLL_CTL_ADD, clients[c].fd.get(), &watch);
        next(clients[c]);
    }
    std::size_t open = connections;
    while (open > 0) {
        epoll_event ready[64];
        const int count = ::epoll_wait(poll.get(), ready, 64, 10'000);
        if (count <= 0) fail("no answer for ten seconds");
        for (int r = 0; r < count; ++r) {
            auto& client = clients[ready[r].data.u64];
            push(client);
            if (!(ready[r].events & EPOLLIN)) continue;
            char answer[4096];
            const auto bytes = ::recv(client.fd.get(), answer, sizeof answer, MSG_DONTWAIT);
            if (bytes < 0 && errno == EAGAIN) continue;
            if (bytes < 12) fail("the connection was closed");
            const std::string_view status(answer + 9, 3);
            if (status == "200") load.events += events;
            else if (status == "429") ++load.busy;
            else fail(fmt::format("answer {}", std::string_view(answer, static_cast<std::size_t>(bytes))));
            load.latencies.push_back(std::chrono::duration<double>(Clock::now() - client.sent).count());
            if (seconds_since(start) < seconds) next(client);
            else --open;
        }
    }
    return load;
}

double percentile(std::vector<double>& values, double share) {
    const auto at = values.begin() + static_cast<std::ptrdiff_t>(share * static_cast<double>(values.size() - 1));
    std::ranges::nth_element(values, at);
    return *at;
}

void through_http(std::size_t connections, std::size_t events, double seconds) {
    constexpr std::size_t kThreads = 2;
    Shop shop(2);
    const double cpu = cpu_seconds();
    const auto start = Clock::now();
    std::vector<Load> loads(kThreads);
    {
        std::vector<std::jthread> threads;
        for (std::size_t t = 0; t < kThreads; ++t)
            threads.emplace_back([&, t] { loads[t] = drive(shop.server->port(), connections / kThreads, events, t * 100'000'000'000, seconds); });
    }
    const double took = seconds_since(start);
    Load all = std::move(loads[0]);
    for (std::size_t t = 1; t < kThreads; ++t) {
        all.events += loads[t].events, all.busy += loads[t].busy;
        all.latencies.insert(all.latencies.end(), loads[t].latencies.begin(), loads[t].latencies.end());
    }
    shop.server->stop();
    if (auto settled = shop.store.settle(); !settled) fail(settled.error().message);
    const double folded = seconds_since(start);
    if (shop.store.folded().value != all.events) fail(fmt::format("{} events were acknowledged, {} are in the store", all.events, shop.store.folded().value));
    const auto rate = [&](double count) { return static_cast<std::uint64_t>(count / took); };
    fmt::print("{:<34} {:>9} events/s  {:>7} requests/s  answers p50 {:.1f} ms  p99 {:.1f} ms  429: {}  folded {:.2f} s later  {:.1f} us CPU an event\n",
               events > 1 ? fmt::format("/v1/batch of {}, {} connections", events, connections) : fmt::format("/v1/track, {} connections", connections),
               rate(static_cast<double>(all.events)), rate(static_cast<double>(all.latencies.size())), 1e3 * percentile(all.latencies, .5), 1e3 * percentile(all.latencies, .99),
               all.busy, folded - took, 1e6 * (cpu_seconds() - cpu) / static_cast<double>(all.events));
}

void print_rate(std::string_view what, double count, double seconds, std::string_view unit) { fmt::print("{:<34} {:>9} {}\n", what, static_cast<std::uint64_t>(count / seconds), unit); }

std::vector<event::Event> events_from(ingest::SegmentParser& parser, Request& request, std::uint64_t number) {
    const auto& text = request.numbered(number);
    auto parsed = parser.parse_batch(std::string_view(text).substr(text.find("\r\n\r\n") + 4), {.received = {1'780'000'000'000}, .currency = {}});
    if (!parsed || parsed->events.size() != request.events()) fail("the parser does not read the benchmark's messages");
    return std::move(parsed->events);
}

void limits(double seconds) {
    {
        TempDir dir;
        auto fd = open_file(dir.path() / "raw", O_WRONLY | O_CREAT | O_APPEND);
        const std::string group(64 * 1024, 'x');  // about 300 events of the journal
        std::uint64_t syncs = 0;
        const auto start = Clock::now();
        for (; seconds_since(start) < seconds; ++syncs)
            if (!write_all(fd->get(), group, "raw") || !sync_data(fd->get(), "raw")) fail("write");
        const double took = seconds_since(start);
        print_rate("write + fdatasync of 64 KiB", static_cast<double>(syncs), took, "syncs/s");
        print_rate("the same", static_cast<double>(syncs * group.size()) / 1e6, took, "MB/s");
    }
    {
        TempDir dir;
        rocksdb::Options options;
        options.create_if_missing = true;
        rocksdb::DB* opened = nullptr;
        if (!rocksdb::DB::Open(options, (dir.path() / "db").string(), &opened).ok()) fail("rocksdb");
        const std::unique_ptr<rocksdb::DB> db(opened);
        const std::string value(200, 'v');
        std::uint64_t puts = 0;
        const auto start = Clock::now();
        while (seconds_since(start) < seconds) {
            rocksdb::WriteBatch batch;
            for (int i = 0; i < 1000; ++i, ++puts) batch.Put(fmt::format("{:016x}", hash64(std::to_string(puts))), value);
            if (!db->Write({}, &batch).ok()) fail("rocksdb write");
        }
        print_rate("RocksDB puts of 200 bytes", static_cast<double>(puts), seconds_since(start), "puts/s");
    }
    Request request(100);
    ingest::SegmentParser parser;
    std::uint64_t number = 0;
    {
        const auto start = Clock::now();
        for (; seconds_since(start) < seconds; number += 100) (void)events_from(parser, request, number);
        print_rate("parsing, one thread", static_cast<double>(number), seconds_since(start), "events/s");
    }
    for (const std::size_t behind : {std::size_t{0}, profile::kFoldBehindEvents}) {
        TempDir dir;
        auto store = profile::Store::open(dir.path(), {.fold_behind_events = behind});
        if (!store) fail(store.error().message);
        double took = 0;
        std::uint64_t count = 0;
        while (took < seconds) {
            std::vector<event::Event> group;
            for (int b = 0; b < 100; ++b, number += 100)
                for (auto& event : events_from(parser, request, number)) group.push_back(std::move(event));
            count += group.size();
            const auto start = Clock::now();
            if (!store->append(std::move(group))) fail("append");
            took += seconds_since(start);
        }
        const auto start = Clock::now();
        if (!store->settle()) fail("settle");
        took += seconds_since(start);
        print_rate(behind ? "store, groups of 10,000, behind" : "store, groups of 10,000", static_cast<double>(count), took, "events/s");
    }
}

}  // namespace
}  // namespace perennial::api

int main(int argc, char** argv) {
    const double seconds = argc > 1 ? std::atof(argv[1]) : 5;
    std::setvbuf(stdout, nullptr, _IOLBF, 0);
    perennial::api::limits(seconds);
    perennial::api::through_http(8, 100, seconds);
    perennial::api::through_http(16, 100, seconds);
    perennial::api::through_http(32, 100, seconds);
    perennial::api::through_http(16, 1'000, seconds);
    perennial::api::through_http(256, 1, seconds);
    return 0;
}
