#include "api/http_server.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/io_context.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <boost/asio/write.hpp>
#include <ctime>
#include <optional>
#include <thread>
#include <unordered_set>
#include <vector>

#include "api/request_reader.h"
#include "base/log.h"

namespace perennial::api {
namespace {

namespace asio = boost::asio;
using asio::ip::tcp;
using boost::system::error_code;
using Clock = std::chrono::steady_clock;

constexpr auto kAwait = asio::as_tuple(asio::use_awaitable);

// Room to see that a header is over its limit, and for several small pipelined requests.
constexpr std::size_t kReadAheadBytes = 4096;
// Bodies up to this are copied behind their head: one send instead of two buffers.
constexpr std::size_t kInlineBodyBytes = 8192;
// After an early refusal we read on for a while; closing with bytes unread would reset the connection and take the
// answer with it.
constexpr std::size_t kLingerBytes = 4 << 20;
constexpr std::chrono::milliseconds kLinger{1000};
// Out of descriptors: accepting again at once would only spin.
constexpr std::chrono::milliseconds kAcceptPause{100};
constexpr std::chrono::milliseconds kSweepSlowest{1000}, kSweepFastest{5};

std::string_view reason_phrase(unsigned status) noexcept {
    switch (status) {
        case 200: return "OK";
        case 201: return "Created";
        case 204: return "No Content";
        case 400: return "Bad Request";
        case 401: return "Unauthorized";
        case 403: return "Forbidden";
        case 404: return "Not Found";
        case 405: return "Method Not Allowed";
        case 408: return "Request Timeout";
        case 409: return "Conflict";
        case 412: return "Precondition Failed";
        case 413: return "Content Too Large";
        case 415: return "Unsupported Media Type";
        case 423: return "Locked";
        case 429: return "Too Many Requests";
        case 431: return "Request Header Fields Too Large";
        case 500: return "Internal Server Error";
        case 501: return "Not Implemented";
        case 503: return "Service Unavailable";
        case 507: return "Insufficient Storage";
        default: return "Other";
    }
}

// "Sun, 06 Nov 1994 08:49:37 GMT", made once a second for each thread.
std::string_view http_date() {
    thread_local std::time_t made_at = -1;
    thread_local std::string text;
    const std::time_t now = std::time(nullptr);
    if (now == made_at) return text;
    std::tm parts{};
    ::gmtime_r(&now, &parts);
    static constexpr std::array kDays{"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static constexpr std::array kMonths{"Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    text = fmt::format("{}, {:02} {} {} {:02}:{:02}:{:02} GMT", kDays[static_cast<std::size_t>(parts.tm_wday)], parts.tm_mday,
                       kMonths[static_cast<std::size_t>(parts.tm_mon)], parts.tm_year + 1900, parts.tm_hour, parts.tm_min, parts.tm_sec);
    made_at = now;
    return text;
}

std::string head_of(const Response& response, bool keep_alive) {
    std::string head;
    head.reserve(320 + (response.body.size() <= kInlineBodyBytes ? response.body.size() : 0));
    auto out = std::back_inserter(head);
    fmt::format_to(out, "HTTP/1.1 {} {}\r\nDate: {}\r\n", response.status, reason_phrase(response.status), http_date());
    if (response.status != 204) fmt::format_to(out, "Content-Length: {}\r\n", response.body.size());
    if (!response.body.empty()) fmt::format_to(out, "Content-Type: {}\r\n", response.content_type);
    for (const auto& header : response.headers) fmt::format_to(out, "{}: {}\r\n", header.name, header.value);
    fmt::format_to(out, "Connection: {}\r\n\r\n", keep_alive ? "keep-alive" : "close");
    return head;
}

class Connection;

// What all threads of one server share.
struct Shared {
    ServerOptions options;
    Handler handler;
    std::atomic<std::size_t> open = 0;

    void refuse(unsigned status) const {
        if (options.refused) options.refused(status);
    }
};

// One I/O thread. Everything but `io` is touched by that thread only, and before it starts.
struct Worker : std::enable_shared_from_this<Worker> {
    explicit Worker(Shared& of) : shared(of) {}

    Shared& shared;
    std::unordered_set<Connection*> connections;  // outlives `io`: destroying that ends the coroutines listed here
    bool stopping = false;
    Clock::time_point drained_by = Clock::time_point::max();
    asio::io_context io{1};
    asio::steady_timer sweeper{io};

    void sweep();
    void begin_stop();
    std::chrono::milliseconds sweep_period() const;
};

// Where an answer lands: shared by the connection that awaits it and the Reply that brings it, whichever lives longer.
struct Slot {
    std::weak_ptr<Worker> worker;
    std::thread::id thread;
    // Below: only on the worker's thread.
    std::optional<Response> response;
    asio::steady_timer* wake = nullptr;  // the connection's, while it waits

    void put(Response answer) {
        response = std::move(answer);
        if (wake) wake->cancel();
    }
};

void deliver(const std::shared_ptr<Slot>& slot, Response response) {
    if (std::this_thread::get_id() == slot->thread) return slot->put(std::move(response));
    if (const auto worker = slot->worker.lock())
        asio::post(worker->io, [slot, response = std::move(response)]() mutable { slot->put(std::move(response)); });
}

class Connection {
public:
    Connection(Worker& worker, tcp::socket socket)
        : worker_(worker), limits_(worker.shared.options.limits), socket_(std::move(socket)), wake_(worker.io),
          buffer_(limits_.header_bytes + kReadAheadBytes, '\0') {
        worker_.connections.insert(this);
    }
    Connection(const Connection&) = delete;
    Connection& operator=(const Connection&) = delete;
    ~Connection() {
        worker_.connections.erase(this);
        --worker_.shared.open;
    }

    asio::awaitable<void> run() {
        error_code ignored;
        socket_.set_option(tcp::no_delay(true), ignored);
        while (co_await serve_one()) {
        }
    }

    // Called by the sweeper. None of them resumes a coroutine at once; they only let what it awaits fail.
    void expire_if_late(Clock::time_point now) {
        if (now < deadline_) return;
        deadline_ = Clock::time_point::max();
        if (phase_ == Phase::kReading) cancel();
        else close();
    }
    void close_if_idle() {
        if (phase_ == Phase::kIdle) close();
    }
    void abort() {
        aborted_ = true;
        close();
        wake_.cancel();
    }

private:
    enum class Phase { kIdle, kReading, kAnswering, kWriting, kLingering };

    void enter(Phase phase, std::chrono::milliseconds at_most) {
        phase_ = phase;
        deadline_ = Clock::now() + at_most;
    }
    void cancel() {
        error_code ignored;
        socket_.cancel(ignored);
    }
    void close() {
        error_code ignored;
        socket_.close(ignored);
    }

    // Reads, answers and writes one request. False when the connection is over.
    // Awaited results get a name before they are used: GCC 12 makes code that runs off its end of `co_return co_await f(g())`.
    asio::awaitable<bool> serve_one() {
        RequestReader reader(limits_);
        const auto state = co_await read(reader);
        if (!state) co_return false;
        if (*state == RequestReader::State::kFailed) {
            co_await refuse(reader.refusal());
            co_return false;
        }

        bool keep_alive = reader.keep_alive();
        Request request = reader.take();
        const bool head_only = request.method == "HEAD";
        std::optional<Response> response = co_await answer(std::move(request));
        if (!response) co_return false;
        keep_alive = keep_alive && !worker_.stopping;
        const bool written = co_await write(std::move(*response), keep_alive, head_only);
        if (written && !keep_alive) co_await linger();
        co_return written && keep_alive;
    }

    // Nothing when the client left, or was told that it took too long.
    asio::awaitable<std::optional<RequestReader::State>> read(RequestReader& reader) {
        if (begin_ == end_) enter(Phase::kIdle, limits_.idle);
        else enter(Phase::kReading, limits_.request);
        bool told_to_continue = false;
        for (;;) {
            std::string_view rest(buffer_.data() + begin_, end_ - begin_);
            const auto state = reader.feed(rest);
            begin_ = end_ - rest.size();
            if (state != RequestReader::State::kNeedsMore) co_return state;
            if (!told_to_continue && begin_ == end_ && reader.awaits_continue()) {
                told_to_continue = true;
                static constexpr std::string_view kContinue = "HTTP/1.1 100 Continue\r\n\r\n";
                const auto [error, sent] = co_await asio::async_write(socket_, asio::buffer(kContinue), kAwait);
                if (error) co_return std::nullopt;
            }
            std::copy(buffer_.begin() + static_cast<std::ptrdiff_t>(begin_), buffer_.begin() + static_cast<std::ptrdiff_t>(end_), buffer_.begin());
            end_ -= begin_;
            begin_ = 0;
            if (end_ == buffer_.size()) {  // a chunk's head without an end
                co_await refuse(error_response(431, "headers_too_large", "want a shorter chunk header"));
                co_return std::nullopt;
            }
            if (worker_.stopping && phase_ == Phase::kIdle) co_return std::nullopt;
            const auto [error, count] = co_await socket_.async_read_some(asio::buffer(buffer_.data() + end_, buffer_.size() - end_), kAwait);
            if (error == asio::error::operation_aborted && phase_ == Phase::kReading && socket_.is_open()) {
                co_await refuse(error_response(408, "too_slow", fmt::format("want a whole request within {} ms, got a part of it", limits_.request.count())));
                co_return std::nullopt;
            }
            if (error) co_return std::nullopt;
            if (phase_ == Phase::kIdle) enter(Phase::kReading, limits_.request);
            end_ += count;
        }
    }

    // Nothing when the server gave up waiting for the handler (stop, after its drain time).
    asio::awaitable<std::optional<Response>> answer(Request request) {
        phase_ = Phase::kAnswering;
        deadline_ = Clock::time_point::max();
        const auto slot = std::make_shared<Slot>();
        slot->worker = worker_.weak_from_this();
        slot->thread = std::this_thread::get_id();
        call_handler(std::move(request), Reply([slot](Response response) { deliver(slot, std::move(response)); }));
        while (!slot->response && !aborted_) {
            // Re-armed before `wake` is shown, so that an answer cancels this wait and not an older one.
            wake_.expires_at(Clock::time_point::max());
            slot->wake = &wake_;
            co_await wake_.async_wait(kAwait);
            slot->wake = nullptr;
        }
        co_return std::move(slot->response);
    }

    void call_handler(Request request, Reply reply) {
        try {
            worker_.shared.handler(std::move(request), reply);
        } catch (const std::exception& failure) {
            log::error("request handler: {}", failure.what());
            reply(error_response(500, "internal", "the request could not be handled; see the server's log"));
        }
    }

    asio::awaitable<bool> write(Response response, bool keep_alive, bool head_only) {
        enter(Phase::kWriting, limits_.write);
        std::string head = head_of(response, keep_alive);
        if (head_only) response.body.clear();
        if (response.body.size() <= kInlineBodyBytes) {
            head += response.body;
            response.body.clear();
        }
        const std::array<asio::const_buffer, 2> bytes{asio::buffer(head), asio::buffer(response.body)};
        const auto [error, sent] = co_await asio::async_write(socket_, bytes, kAwait);
        co_return !error;
    }

    // Answers a request that did not reach the handler; the connection is to be ended then.
    asio::awaitable<void> refuse(Response response) {
        worker_.shared.refuse(response.status);
        const bool written = co_await write(std::move(response), false, false);
        if (written) co_await linger();
    }

    asio::awaitable<void> linger() {
        enter(Phase::kLingering, kLinger);
        error_code failed;
        socket_.shutdown(tcp::socket::shutdown_send, failed);
        for (std::size_t dropped = 0; !failed && dropped < kLingerBytes;) {
            const auto [error, count] = co_await socket_.async_read_some(asio::buffer(buffer_), kAwait);
            failed = error;
            dropped += count;
        }
    }

    Worker& worker_;
    const HttpLimits& limits_;
    tcp::socket socket_;
    asio::steady_timer wake_;
    std::string buffer_;
    std::size_t begin_ = 0, end_ = 0;  // bytes of buffer_ read and not yet consumed
    Phase phase_ = Phase::kIdle;
    Clock::time_point deadline_ = Clock::time_point::max();
    bool aborted_ = false;
};

// Deadlines are looked at now and then instead of by a timer each: a request then costs a clock reading, not a timer.
void Worker::sweep() {
    const auto now = Clock::now();
    for (Connection* connection : connections) {
        if (now >= drained_by) connection->abort();
        else connection->expire_if_late(now);
    }
    if (stopping && connections.empty()) return;  // with nothing left to do, io.run() returns
    sweeper.expires_after(stopping ? kSweepFastest : sweep_period());
    sweeper.async_wait([this](error_code) { sweep(); });
}

void Worker::begin_stop() {
    stopping = true;
    drained_by = Clock::now() + shared.options.limits.drain;
    for (Connection* connection : connections) connection->close_if_idle();
    sweeper.cancel();
}

std::chrono::milliseconds Worker::sweep_period() const {
    const auto& limits = shared.options.limits;
    return std::clamp(std::min({limits.request, limits.idle, limits.write}) / 4, kSweepFastest, kSweepSlowest);
}

// Plain references: a shared one inside the io_context's own coroutine would never be let go.
asio::awaitable<void> serve(Worker& worker, tcp::socket socket) {
    Connection connection(worker, std::move(socket));
    co_await connection.run();
}

void refuse_one_too_many(Shared& shared, tcp::socket socket) {
    shared.refuse(503);
    const auto response = error_response(503, "too_many_connections", fmt::format("want at most {} connections, this is one more", shared.options.limits.connections),
                                         {{"Retry-After", "1"}});
    error_code ignored;
    socket.non_blocking(true, ignored);
    socket.write_some(asio::buffer(head_of(response, false) + response.body), ignored);
    socket.shutdown(tcp::socket::shutdown_send, ignored);
}

asio::awaitable<void> accept_all(Shared& shared, const std::vector<std::shared_ptr<Worker>>& workers, tcp::acceptor& acceptor) {
    for (std::size_t turn = 0; acceptor.is_open(); ++turn) {
        const auto& worker = workers[turn % workers.size()];
        auto [error, socket] = co_await acceptor.async_accept(worker->io, kAwait);
        if (!acceptor.is_open()) co_return;
        if (error) {
            log::warn("accept: {}; trying again", error.message());
            asio::steady_timer pause(acceptor.get_executor(), kAcceptPause);
            co_await pause.async_wait(kAwait);
        } else if (shared.open.fetch_add(1) >= shared.options.limits.connections) {
            --shared.open;
            refuse_one_too_many(shared, std::move(socket));
        } else {
            asio::co_spawn(worker->io, serve(*worker, std::move(socket)), asio::detached);
        }
    }
}

Result<asio::ip::address> parse_address(std::string_view text) {
    if (text == "localhost") return asio::ip::address(asio::ip::address_v4::loopback());
    error_code error;
    const auto address = asio::ip::make_address(std::string(text), error);
    if (error) return Error{Code::kInvalid, fmt::format("address: want one like 127.0.0.1 or ::1, got '{}'", text)};
    return address;
}

Error listen_error(const tcp::endpoint& endpoint, const error_code& error) {
    const auto where = endpoint.address().is_v6() ? fmt::format("[{}]:{}", endpoint.address().to_string(), endpoint.port())
                                                  : fmt::format("{}:{}", endpoint.address().to_string(), endpoint.port());
    if (error == asio::error::address_in_use) return {Code::kBusy, where + " is in use by another program; choose another with --listen"};
    if (error == asio::error::access_denied) return {Code::kDenied, where + " needs more rights than this user has; choose a port above 1023 with --listen"};
    if (error.value() == EADDRNOTAVAIL) return {Code::kInvalid, where + " is not an address of this machine; choose another with --listen"};
    return {Code::kIo, fmt::format("listen on {}: {}", where, error.message())};
}

Status listen(tcp::acceptor& acceptor, const tcp::endpoint& endpoint) {
    error_code error;
    // One listening socket, not SO_REUSEPORT: with that, a second server of the same user would start without a word and
    // take half of the requests.
    if (acceptor.open(endpoint.protocol(), error); !error) acceptor.set_option(tcp::acceptor::reuse_address(true), error);
    if (!error) acceptor.bind(endpoint, error);
    if (!error) acceptor.listen(tcp::acceptor::max_listen_connections, error);
    return error ? Status(listen_error(endpoint, error)) : Status(Done{});
}

}  // namespace

struct Server::State {
    Shared shared;
    std::vector<std::shared_ptr<Worker>> workers;
    std::optional<tcp::acceptor> acceptor;  // on the first worker's thread once that runs
    std::uint16_t port = 0;
    std::vector<std::thread> threads;

    State() = default;
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() { stop(); }

    void stop() {
        if (threads.empty()) return;
        asio::post(workers.front()->io, [this] { acceptor->close(); });
        for (const auto& worker : workers) asio::post(worker->io, [raw = worker.get()] { raw->begin_stop(); });
        for (auto& thread : threads) thread.join();
        threads.clear();
    }
};

Result<Server> Server::start(ServerOptions options, Handler handler) {
    const auto address = parse_address(options.address);
    if (!address) return address.error();
    auto state = std::make_unique<State>();
    const tcp::endpoint endpoint(*address, options.port);
    state->shared.options = std::move(options);
    state->shared.handler = std::move(handler);
    for (std::size_t i = 0; i < std::max<std::size_t>(1, state->shared.options.threads); ++i)
        state->workers.push_back(std::make_shared<Worker>(state->shared));
    auto& first = *state->workers.front();
    state->acceptor.emplace(first.io);
    PERENNIAL_TRY(listen(*state->acceptor, endpoint));
    state->port = state->acceptor->local_endpoint().port();
    asio::co_spawn(first.io, accept_all(state->shared, state->workers, *state->acceptor), asio::detached);
    for (const auto& worker : state->workers) {
        worker->sweep();
        state->threads.emplace_back([raw = worker.get()] { raw->io.run(); });
    }
    return Server(std::move(state));
}

Server::Server(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Server::Server(Server&&) noexcept = default;
Server& Server::operator=(Server&&) noexcept = default;
Server::~Server() = default;

std::uint16_t Server::port() const noexcept { return state_->port; }
std::size_t Server::connections() const noexcept { return state_->shared.open; }
void Server::stop() { state_->stop(); }

bool is_loopback(std::string_view address) {
    const auto parsed = parse_address(address);
    return parsed && parsed->is_loopback();
}

}  // namespace perennial::api
