// An HTTP/1.1 server: Asio coroutines move bytes, RequestReader parses them, the handler answers through a Reply.
// Each thread has an io_context and the connections that were dealt to it; nothing of a connection is touched by another
// thread, so nothing is locked. While a request waits for its answer it holds no thread. Requests of one connection are
// answered one after the other, in order, so pipelining is safe.
// Threads: start(), stop() and the rest from one thread at a time; the handler is called from every I/O thread at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>

#include "api/http.h"
#include "base/result.h"

namespace perennial::api {

struct ServerOptions {
    std::string address = "127.0.0.1";  // numeric, or "localhost"
    std::uint16_t port = 8080;          // 0: any free one
    std::size_t threads = 2;
    HttpLimits limits = {};
    // Told the status of every answer that the server gave by itself: malformed, too large, too slow, one too many.
    std::function<void(unsigned status)> refused = {};
};

class Server {
public:
    // Listens on return. Errors: kBusy (the port is in use), kDenied (a privileged port), kInvalid (the address).
    static Result<Server> start(ServerOptions options, Handler handler);
    Server(Server&&) noexcept;
    Server& operator=(Server&&) noexcept;
    ~Server();  // stop()

    std::uint16_t port() const noexcept;
    std::size_t connections() const noexcept;  // open now

    // Accepts nobody new, closes idle connections, lets running requests finish (for limits.drain at most), ends the
    // threads. Blocks until then; the handler's replies must still be served meanwhile. Safe to call again.
    void stop();

private:
    struct State;
    explicit Server(std::unique_ptr<State> state) noexcept;
    std::unique_ptr<State> state_;
};

// True for 127.0.0.0/8, ::1 and "localhost": addresses that only this machine can reach.
bool is_loopback(std::string_view address);

}  // namespace perennial::api
