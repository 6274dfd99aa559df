// The HTTP API as one object: routes, intake and server, started together and stopped in the right order; and the rule
// that nothing is reachable from another machine without keys. Threads: start() and stop() from one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

#include "api/http.h"
#include "api/routes.h"
#include "base/result.h"

namespace perennial::api {

struct ListenAddress {
    std::string address = "127.0.0.1";
    std::uint16_t port = 8080;
};

// "127.0.0.1:8080", "[::1]:8080", "localhost:0", ":8080" (this machine only) or "8080". Errors: kInvalid with the text.
Result<ListenAddress> parse_listen(std::string_view text);

struct ApiServerOptions {
    ListenAddress listen = {};
    std::size_t io_threads = 2;
    HttpLimits limits = {};
    ApiOptions api = {};  // local_names_only is set here: true exactly when there are no keys
};

class ApiServer {
public:
    // Answers requests on return. Errors: those of Server::start; kDenied (an address that others can reach, and no keys);
    // kInvalid (one key without the other, or both the same).
    static Result<ApiServer> start(ApiServerOptions options, Services services);
    ApiServer(ApiServer&&) noexcept;
    ApiServer& operator=(ApiServer&&) noexcept;
    ~ApiServer();  // stop()

    std::uint16_t port() const noexcept;
    std::string url() const;  // "http://127.0.0.1:8080"

    // Every request that was taken is answered, every event acknowledged is stored; then nothing calls Services any more.
    void stop();

private:
    struct State;
    explicit ApiServer(std::unique_ptr<State> state) noexcept;
    std::unique_ptr<State> state_;
};

}  // namespace perennial::api
