#include "api/api_server.h"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <utility>

#include "api/http_server.h"

namespace perennial::api {
namespace {

bool has_keys(const ApiOptions& api) { return !api.api_key.empty() || (api.keys && !api.keys->empty()); }

Status check_keys(const ApiServerOptions& options) {
    const auto& api = options.api;
    if (api.write_key.empty() != api.api_key.empty())
        return Error{Code::kInvalid, fmt::format("keys: want write_key and api_key, got only {}", api.api_key.empty() ? "write_key" : "api_key")};
    if (!api.write_key.empty() && api.write_key == api.api_key)
        return Error{Code::kInvalid, "keys: want write_key and api_key to differ (the write key stands in web pages), got the same"};
    if (!has_keys(api) && !is_loopback(options.listen.address))
        return Error{Code::kDenied, fmt::format("listen: without keys only this machine may reach the API (127.0.0.1), got {}; "
                                                "make some (perennial keys create), or set write_key and api_key", options.listen.address)};
    return Done{};
}

}  // namespace

Result<ListenAddress> parse_listen(std::string_view text) {
    const auto colon = text.rfind(':');
    std::string_view host = colon == std::string_view::npos ? std::string_view{} : text.substr(0, colon);
    const auto port_text = colon == std::string_view::npos ? text : text.substr(colon + 1);
    ListenAddress listen;
    const auto [end, error] = std::from_chars(port_text.data(), port_text.data() + port_text.size(), listen.port);
    const bool bracketed = host.starts_with('[') && host.ends_with(']');
    const bool bare_v6 = !bracketed && host.find(':') != std::string_view::npos;
    if (port_text.empty() || error != std::errc() || end != port_text.data() + port_text.size() || bare_v6)
        return Error{Code::kInvalid, fmt::format("listen: want ADDRESS:PORT like 127.0.0.1:8080 or [::1]:8080, got '{}'", text)};
    if (bracketed) host = host.substr(1, host.size() - 2);
    if (!host.empty()) listen.address = host;
    return listen;
}

struct ApiServer::State {
    Api api;
    std::optional<Server> server;
    std::string host;

    State(Services services, ApiOptions options) : api(std::move(services), std::move(options)) {}
    State(const State&) = delete;
    State& operator=(const State&) = delete;
    ~State() { stop(); }

    void stop() {
        if (server) server->stop();  // while requests still run, what answers them must
        api.stop();
    }
};

Result<ApiServer> ApiServer::start(ApiServerOptions options, Services services) {
    PERENNIAL_TRY(check_keys(options));
    options.api.local_names_only = !has_keys(options.api);
    auto state = std::make_unique<State>(std::move(services), std::move(options.api));
    auto& api = state->api;
    auto server = Server::start({.address = options.listen.address, .port = options.listen.port, .threads = options.io_threads, .limits = options.limits,
                                 .refused = [&api](unsigned status) { api.refused(status); }},
                                [&api](Request request, Reply reply) { api.handle(std::move(request), std::move(reply)); });
    if (!server) return server.error();
    state->server.emplace(std::move(*server));
    const bool v6 = options.listen.address.find(':') != std::string::npos;
    state->host = v6 ? "[" + options.listen.address + "]" : options.listen.address;
    return ApiServer(std::move(state));
}

ApiServer::ApiServer(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
ApiServer::ApiServer(ApiServer&&) noexcept = default;
ApiServer& ApiServer::operator=(ApiServer&&) noexcept = default;
ApiServer::~ApiServer() = default;

std::uint16_t ApiServer::port() const noexcept { return state_->server->port(); }
std::string ApiServer::url() const { return fmt::format("http://{}:{}", state_->host, port()); }
void ApiServer::stop() { state_->stop(); }

}  // namespace perennial::api
