#include "api/routes.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <charconv>
#include <optional>
#include <span>
#include <thread>
#include <utility>

#include "api/body.h"
#include "api/browser_settings.h"
#include "api/credentials.h"
#include "api/delivery_routes.h"
#include "api/gate.h"
#include "api/metrics.h"
#include "base/bounded_queue.h"
#include "base/log.h"
#include "base/text.h"
#include "base/time.h"
#include "ingest/measurement.h"
#include "predict/churn.h"

namespace perennial::api {
namespace {

enum class Access { kTrack, kBrowser, kSigned, kReport, kPeople, kAdmin, kOpen };
// kBrowser: GET for pages of any origin. kSigned: the body proves itself. kAdmin: the API key, other methods than GET too.
enum class Action { kMessage, kBatch, kSettings, kMeasurement, kMeasurementDebug, kShopify, kWooCommerce, kUploads, kDeliveries, kRecommendations, kCustomer, kReport, kHealth, kReady, kMetrics, kOpenApi, kIcon };

struct Route {
    std::string_view path;  // "{...}" stands for one whole segment
    Access access;
    Action action;
    std::string_view type = {};     // of the message, where the path says it; which of the routes of one action
    std::string_view methods = {};  // of kAdmin
};

constexpr std::array kRoutes{
    Route{"/v1/batch", Access::kTrack, Action::kBatch},
    Route{"/v1/track", Access::kTrack, Action::kMessage, "track"},
    Route{"/v1/identify", Access::kTrack, Action::kMessage, "identify"},
    Route{"/v1/page", Access::kTrack, Action::kMessage, "page"},
    Route{"/v1/screen", Access::kTrack, Action::kMessage, "screen"},
    Route{"/v1/group", Access::kTrack, Action::kMessage, "group"},
    Route{"/v1/alias", Access::kTrack, Action::kMessage, "alias"},
    Route{"/v1/b", Access::kTrack, Action::kBatch},
    Route{"/v1/t", Access::kTrack, Action::kMessage, "track"},
    Route{"/v1/i", Access::kTrack, Action::kMessage, "identify"},
    Route{"/v1/p", Access::kTrack, Action::kMessage, "page"},
    Route{"/v1/s", Access::kTrack, Action::kMessage, "screen"},
    Route{"/v1/g", Access::kTrack, Action::kMessage, "group"},
    Route{"/v1/a", Access::kTrack, Action::kMessage, "alias"},
    Route{"/v1/import", Access::kTrack, Action::kBatch},
    Route{"/v1/projects/{key}/settings", Access::kBrowser, Action::kSettings},
    Route{"/mp/collect", Access::kTrack, Action::kMeasurement},
    Route{"/debug/mp/collect", Access::kTrack, Action::kMeasurementDebug},
    Route{"/v1/webhooks/shopify", Access::kSigned, Action::kShopify},
    Route{"/v1/webhooks/woocommerce", Access::kSigned, Action::kWooCommerce},
    Route{"/v1/uploads", Access::kAdmin, Action::kUploads, {}, "GET, POST, OPTIONS"},
    Route{"/v1/uploads/{id}", Access::kAdmin, Action::kUploads, {}, "GET, HEAD, PATCH, DELETE, OPTIONS"},
    Route{"/v1/deliveries", Access::kAdmin, Action::kDeliveries, {}, "GET"},
    Route{"/v1/deliveries/ping", Access::kAdmin, Action::kDeliveries, "ping", "POST"},
    Route{"/v1/deliveries/{id}/retry", Access::kAdmin, Action::kDeliveries, "retry", "POST"},
    Route{"/v1/recommendations", Access::kPeople, Action::kRecommendations},
    Route{"/v1/customers/{id}", Access::kPeople, Action::kCustomer},
    Route{"/", Access::kReport, Action::kReport},
    Route{"/report.html", Access::kReport, Action::kReport},
    Route{"/metrics", Access::kReport, Action::kMetrics},
    Route{"/healthz", Access::kOpen, Action::kHealth},
    Route{"/readyz", Access::kOpen, Action::kReady},
    Route{"/openapi.json", Access::kOpen, Action::kOpenApi},
    Route{"/favicon.ico", Access::kOpen, Action::kIcon},
};

constexpr std::string_view kSuccess = R"({"success":true})";
constexpr std::string_view kTrackMethods = "POST, OPTIONS", kSignedMethods = "POST", kReadMethods = "GET, HEAD";

// What stands in a path where its route says "{...}"; nothing when the path is not the route's.
std::optional<std::string_view> open_segment(const Route& route, std::string_view path) noexcept {
    const auto open = route.path.find('{');
    if (open == std::string_view::npos) return path == route.path ? std::optional(std::string_view{}) : std::nullopt;
    const auto before = route.path.substr(0, open), behind = route.path.substr(route.path.find('}') + 1);
    if (path.size() <= before.size() + behind.size() || !path.starts_with(before) || !path.ends_with(behind)) return std::nullopt;
    const auto segment = path.substr(before.size(), path.size() - before.size() - behind.size());
    return segment.find('/') == std::string_view::npos ? std::optional(segment) : std::nullopt;
}

const Route* find_route(std::string_view path) noexcept {
    const auto found = std::ranges::find_if(kRoutes, [&](const Route& route) { return open_segment(route, path).has_value(); });
    return found == kRoutes.end() ? nullptr : &*found;
}

std::vector<std::string_view> route_labels() {
    std::vector<std::string_view> labels;
    for (const auto& route : kRoutes) labels.push_back(route.path);
    return labels;
}

// One request on its way to its answer, which is counted and timed when it is given.
struct Exchange {
    Request request;
    Reply reply;
    const Route* route;
    Metrics* metrics;
    double start = monotonic_seconds();

    void answer(Response response) const {
        if (route->access == Access::kTrack || route->access == Access::kBrowser) {
            response.headers.push_back({"Access-Control-Allow-Origin", "*"});
            response.headers.push_back({"Access-Control-Expose-Headers", "Retry-After"});
        } else {
            response.headers.push_back({"Cache-Control", "no-store"});
            response.headers.push_back({"X-Content-Type-Options", "nosniff"});
        }
        metrics->request(static_cast<std::size_t>(route - kRoutes.data()), response.status, monotonic_seconds() - start);
        reply(std::move(response));
    }
};

// "GET, POST": whether it names the method.
bool lists(std::string_view methods, std::string_view method) noexcept {
    while (!methods.empty()) {
        const auto one = methods.substr(0, methods.find(','));
        if (trim(one) == method) return true;
        methods.remove_prefix(std::min(one.size() + 1, methods.size()));
    }
    return false;
}

Response preflight() {
    return {.status = 204,
            .content_type = {},
            .headers = {{"Access-Control-Allow-Methods", "POST, OPTIONS"},
                        {"Access-Control-Allow-Headers", "authorization, content-type, x-retry-count, x-api-key, anonymousid"},
                        {"Access-Control-Max-Age", "86400"}}};
}

Response of_error(const Error& error, std::string_view what) {
    switch (error.code) {
        case Code::kInvalid: return error_response(400, "invalid", error.message);
        case Code::kNotFound: return error_response(404, "not_found", error.message);
        case Code::kUnsupported: return error_response(501, "unsupported", error.message);
        case Code::kBusy:
        case Code::kFull: return error_response(503, "busy", error.message, {{"Retry-After", "1"}});
        default: break;
    }
    log::error("{}: {}", what, error.message);
    return error_response(500, "internal", "the request could not be answered; see the server's log");
}

Response of_json(const Result<boost::json::value>& result, std::string_view what) {
    if (!result) return of_error(result.error(), what);
    return {.body = boost::json::serialize(result.value())};
}

// Without the port: "[::1]:8080" to "[::1]", "localhost:8080" to "localhost".
std::string_view host_name(std::string_view authority) noexcept {
    if (authority.starts_with('[')) return authority.substr(0, std::min(authority.find(']') + 1, authority.size()));
    return authority.substr(0, authority.find(':'));
}

bool is_local_name(std::string_view authority) {
    const auto host = host_name(authority);
    return equal_ignoring_case(host, "localhost") || host == "127.0.0.1" || host == "[::1]";
}

// Why this request may not come from where it comes from; empty when it may. A page of a foreign site could otherwise
// read a shop that trusts everybody on this machine (by pointing its own name at 127.0.0.1) or write into it.
std::string_view foreign_source(const Request& request) {
    const auto host = request.header("host");
    if (!host.empty() && !is_local_name(host)) return "Host: want localhost, 127.0.0.1 or [::1]; make keys (perennial keys create) to serve under another name";
    const auto origin = request.header("origin");
    if (origin.empty()) return {};
    const auto scheme = origin.find("://");
    const bool local = scheme != std::string_view::npos && is_local_name(origin.substr(scheme + 3));
    return local ? std::string_view{} : "Origin: want a page of this machine; make keys (perennial keys create) to take events from other sites";
}

Response unauthorized(const Route& route) {
    if (route.access == Access::kTrack)
        return error_response(401, "unauthorized", "want the write key, as Basic user name, Bearer token, X-API-Key or writeKey in the body");
    // A browser that is told "Basic" asks its user, which is how a person opens the report.
    return error_response(401, "unauthorized", "want the API key, as X-API-Key, Bearer token or Basic password", {{"WWW-Authenticate", "Basic realm=\"perennial\""}});
}

Result<std::string> checked_id(std::string_view field, std::string text) {
    if (text.size() > event::kIdBytesLimit)
        return Error{Code::kInvalid, fmt::format("{}: want at most {} bytes, got {}", field, event::kIdBytesLimit, text.size())};
    if (!is_valid_utf8(text)) return Error{Code::kInvalid, fmt::format("{}: want UTF-8 text, got other bytes", field)};
    return text;
}

std::string field_of(const QueryFields& fields, std::string_view name) {
    const auto found = std::ranges::find(fields, name, &QueryFields::value_type::first);
    return found == fields.end() ? std::string() : found->second;
}

Result<std::size_t> parse_count(std::string_view text) {
    std::size_t count = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), count);
    if (error == std::errc() && end == text.data() + text.size() && count >= 1 && count <= kRecommendationsLimit) return count;
    return Error{Code::kInvalid, fmt::format("n: want a whole number from 1 to {}, got '{}'", kRecommendationsLimit, clip(text, 40))};
}

Result<bool> parse_flag(std::string_view name, std::string_view text) {
    if (text.empty() || text == "0" || text == "1") return text == "1";
    return Error{Code::kInvalid, fmt::format("{}: want 0 or 1, got '{}'", name, clip(text, 40))};
}

Result<RecommendationQuery> recommendation_query(const Request& request) {
    const auto fields = parse_query(request.query);
    if (!fields) return fields.error();
    RecommendationQuery query;
    for (const auto& [name, out] : {std::pair{"user_id", &query.user_id}, {"anonymous_id", &query.anonymous_id}}) {
        auto id = checked_id(name, field_of(*fields, name));
        if (!id) return id.error();
        *out = std::move(*id);
    }
    if (query.user_id.empty() && query.anonymous_id.empty()) return Error{Code::kInvalid, "want user_id or anonymous_id, got neither"};
    if (const auto name = field_of(*fields, "reasons"); !name.empty()) {
        const auto reasons = decide::reasons_from(name);
        if (!reasons) return Error{Code::kInvalid, fmt::format("reasons: want {}, got '{}'", fmt::join(decide::kReasonsNames, ", "), clip(name, 40))};
        query.reasons = *reasons;
    }
    const auto text = field_of(*fields, "n");
    if (text.empty()) return query;
    const auto count = parse_count(text);
    if (!count) return count.error();
    query.count = *count;
    return query;
}

Result<CustomerQuery> customer_query(const Request& request, const Route& route) {
    const auto fields = parse_query(request.query);
    if (!fields) return fields.error();
    auto id = percent_decoded(*open_segment(route, request.path), false);
    if (id) id = checked_id("id", std::move(*id));
    if (!id) return id.error();
    const auto anonymous = parse_flag("anonymous", field_of(*fields, "anonymous"));
    if (!anonymous) return anonymous.error();
    CustomerQuery query{.id = std::move(*id), .anonymous = *anonymous};
    if (const auto text = field_of(*fields, "horizon_days"); !text.empty()) {
        query.horizon_days = to_number(text);
        if (!query.horizon_days || !(*query.horizon_days >= 1 && *query.horizon_days <= predict::kHorizonDaysLimit))
            return Error{Code::kInvalid, fmt::format("horizon_days: want a number from 1 to {}, got '{}'", predict::kHorizonDaysLimit, clip(text, 40))};
    }
    return query;
}

// A body that cannot be read as a whole. A bad message inside one is no error: it goes to the quarantine.
Response of_body_error(const Error& error) {
    switch (error.code) {
        case Code::kFull: return error_response(413, "body_too_large", error.message);
        case Code::kCorrupt: return error_response(400, "invalid_gzip", error.message);
        case Code::kUnsupported: return error_response(415, "unsupported_encoding", error.message);
        default: return error_response(400, "invalid_json", error.message);
    }
}

}  // namespace

profile::CustomerKey RecommendationQuery::key() const { return user_id.empty() ? profile::anonymous_key(anonymous_id) : profile::user_key(user_id); }
profile::CustomerKey CustomerQuery::key() const { return anonymous ? profile::anonymous_key(id) : profile::user_key(id); }

struct Api::State {
    State(Services given_services, ApiOptions given_options)
        : services(std::move(given_services)), options(std::move(given_options)), gate({options.write_key, options.api_key, options.keys, !options.local_names_only}), metrics(route_labels(), options.commit),
          intake(options.intake, services.append, services.quarantine, metrics), reads(options.read_queue_limit) {
        for (std::size_t i = 0; i < std::max<std::size_t>(1, options.read_threads); ++i) readers.emplace_back([this] { run_reads(); });
    }

    void handle(Request request, Reply reply) {
        const Route* route = find_route(request.path);
        if (const auto reason = options.local_names_only ? foreign_source(request) : std::string_view{}; !reason.empty()) {
            const auto response = error_response(403, "foreign_source", reason);
            if (route) return Exchange{std::move(request), std::move(reply), route, &metrics}.answer(response);
            return answer_unrouted(reply, response);
        }
        if (!route) return answer_unrouted(reply, error_response(404, "not_found", fmt::format("no such path: {}", clip(request.path, 100))));
        Exchange exchange{std::move(request), std::move(reply), route, &metrics};
        if (route->access == Access::kTrack) handle_tracking(std::move(exchange));
        else if (route->access == Access::kBrowser) handle_settings(exchange);
        else if (route->access == Access::kSigned) handle_signed(std::move(exchange));
        else handle_reading(std::move(exchange));
    }

    void answer_unrouted(const Reply& reply, const Response& response) {
        metrics.refused(response.status);
        reply(response);
    }

    void handle_tracking(Exchange exchange) {
        const auto& method = exchange.request.method;
        if (method == "OPTIONS") return exchange.answer(preflight());
        if (method != "POST") return exchange.answer(wrong_method(kTrackMethods, method));
        if (exchange.route->action == Action::kMeasurement || exchange.route->action == Action::kMeasurementDebug) return handle_measurement(std::move(exchange));
        auto keys = keys_shown(exchange.request);
        auto parsed = parse(exchange);
        if (parsed && !parsed->write_key.empty()) keys.push_back(parsed->write_key);
        if (!passes(exchange, keys, Need::kSend)) return;
        if (!parsed) return exchange.answer(of_body_error(parsed.error()));
        take_in(std::move(exchange), std::move(*parsed));
    }

    // Answers the request when it may not pass.
    bool passes(const Exchange& exchange, std::span<const std::string> keys, Need need) const {
        auto refused = gate.refuses(keys, need);
        if (!refused) return true;
        exchange.answer(refused->status == 401 ? unauthorized(*exchange.route) : std::move(*refused));
        return false;
    }

    ingest::SegmentContext context() const { return {.received = wall_clock_now(), .currency = options.currency}; }

    // Google's measurement protocol: the secret is the write key; which stream of data it is does not matter here.
    void handle_measurement(Exchange exchange) {
        const auto fields = parse_query(exchange.request.query);
        if (!fields) return exchange.answer(of_error(fields.error(), "measurement"));
        if (!passes(exchange, std::array{field_of(*fields, "api_secret")}, Need::kSend)) return;
        if (exchange.route->action == Action::kMeasurementDebug)
            return exchange.answer({.body = boost::json::serialize(boost::json::object{{"validationMessages", ingest::measurement_messages(exchange.request.body, context())}})});
        auto parsed = ingest::read_measurement(exchange.request.body, context());
        if (!parsed) return exchange.answer(of_body_error(parsed.error()));
        take_in(std::move(exchange), std::move(*parsed), {.status = 204, .content_type = {}});
    }

    void handle_signed(Exchange exchange) {
        const auto& request = exchange.request;
        if (request.method != "POST") return exchange.answer(wrong_method(kSignedMethods, request.method));
        auto answer = exchange.route->action == Action::kShopify ? shopify_webhook(request, options.webhook_secrets.shopify, context())
                                                                 : woocommerce_webhook(request, options.webhook_secrets.woocommerce, context());
        if (const auto* response = std::get_if<Response>(&answer)) return exchange.answer(*response);
        take_in(std::move(exchange), std::get<ingest::Parsed>(std::move(answer)));
    }

    // The browser library asks for these before its first event, at the address that its page gives it as `cdnURL`; they
    // send its events back to that same address.
    void handle_settings(const Exchange& exchange) const {
        const auto& request = exchange.request;
        if (request.method != "GET" && request.method != "HEAD") return exchange.answer(wrong_method(kReadMethods, request.method));
        const auto key = percent_decoded(*open_segment(*exchange.route, request.path), false);
        if (!key) return exchange.answer(of_error(key.error(), "settings"));
        if (gate.refuses(std::array{*key}, Need::kSend)) return exchange.answer(error_response(404, "not_found", "settings: no such write key"));
        exchange.answer(browser_settings(request, *key));
    }

    Result<ingest::Parsed> parse(Exchange& exchange) const {
        thread_local ingest::SegmentParser parser;
        auto& request = exchange.request;
        const auto encoding = std::string(request.header("content-encoding"));
        auto body = unpacked_body(std::move(request.body), encoding, ingest::kBatchBytesLimit);
        if (!body) return body.error();
        request.body = std::move(*body);
        if (exchange.route->action == Action::kBatch) return parser.parse_batch(request.body, context());
        return parser.parse_message(request.body, exchange.route->type, context());
    }

    void take_in(Exchange exchange, ingest::Parsed parsed, Response success = {.body = std::string(kSuccess)}) {
        if (parsed.events.empty() && parsed.rejects.empty()) return exchange.answer(std::move(success));
        const std::size_t body_bytes = exchange.request.body.size();
        exchange.request = {};  // events hold what was in it
        Delivery delivery{.events = std::move(parsed.events), .rejects = std::move(parsed.rejects), .body_bytes = body_bytes, .done = {}};
        delivery.done = [exchange, success = std::move(success)](const Status& written) {
            if (written) exchange.answer(success);
            else exchange.answer(error_response(503, "not_stored", "the events could not be stored; send them again", {{"Retry-After", "5"}}));
        };
        switch (intake.submit(std::move(delivery))) {
            case Intake::Answer::kTaken: return;
            case Intake::Answer::kFull:
                return exchange.answer(error_response(429, "intake_full", "more events are waiting than may wait; send them again", {{"Retry-After", "1"}}));
            case Intake::Answer::kClosed: return exchange.answer(stopping());
        }
    }

    void handle_reading(Exchange exchange) {
        const auto& request = exchange.request;
        const auto methods = exchange.route->access == Access::kAdmin ? exchange.route->methods : kReadMethods;
        if (!lists(methods, request.method)) return exchange.answer(wrong_method(methods, request.method));
        const auto access = exchange.route->access;
        const auto need = access == Access::kReport ? Need::kReport : access == Access::kPeople ? Need::kPeople : Need::kChange;
        if (access != Access::kOpen && !passes(exchange, keys_shown(request), need)) return;
        switch (exchange.route->action) {
            case Action::kHealth: return exchange.answer({.body = R"({"status":"alive"})"});
            case Action::kReady: return exchange.answer(readiness());
            case Action::kOpenApi: return exchange.answer({.body = std::string(openapi_json())});
            case Action::kIcon: return exchange.answer({.status = 204});
            default: break;
        }
        if (auto waiting = exchange; !reads.try_push(waiting))
            exchange.answer(error_response(503, "busy", "more requests are waiting than may wait; ask again", {{"Retry-After", "1"}}));
    }

    void run_reads() {
        while (const auto exchange = reads.pop()) {
            try {
                exchange->answer(read(*exchange));
            } catch (const std::exception& failure) {  // a service's, or no memory: one request's trouble, not the program's
                exchange->answer(of_error({Code::kIo, failure.what()}, exchange->route->path));
            }
        }
    }

    Response read(const Exchange& exchange) {
        switch (exchange.route->action) {
            case Action::kRecommendations: {
                const auto query = recommendation_query(exchange.request);
                return query ? of_json(services.recommendations(query.value()), "recommendations") : of_error(query.error(), "recommendations");
            }
            case Action::kCustomer: {
                const auto query = customer_query(exchange.request, *exchange.route);
                return query ? of_json(services.customer(query.value()), "customer") : of_error(query.error(), "customer");
            }
            case Action::kUploads:
                if (!services.uploads) return of_error({Code::kUnsupported, "uploads: this server takes none"}, "uploads");
                return services.uploads->answer(exchange.request, exchange.route->path.ends_with('}') ? *open_segment(*exchange.route, exchange.request.path) : std::string_view{});
            case Action::kDeliveries:
                if (!services.deliveries) return of_error({Code::kUnsupported, "deliveries: this server sends none"}, "deliveries");
                if (exchange.route->type == "ping") return of_json(ping(*services.deliveries), "deliveries");
                if (exchange.route->type == "retry") return of_json(retry(*services.deliveries, *open_segment(*exchange.route, exchange.request.path)), "deliveries");
                return of_json(deliveries(*services.deliveries), "deliveries");
            case Action::kMetrics:
                if (services.kept_states) metrics.kept_states(services.kept_states());
                return {.body = metrics.text(), .content_type = "text/plain; version=0.0.4; charset=utf-8"};
            default: return report();
        }
    }

    Response report() const {
        std::string html = services.report_html ? services.report_html() : std::string();
        if (html.empty()) return error_response(404, "no_report", "there is no report yet; `perennial run` or `perennial evaluate` makes one");
        return {.body = std::move(html),
                .content_type = "text/html; charset=utf-8",
                .headers = {{"X-Frame-Options", "DENY"}, {"Referrer-Policy", "no-referrer"}}};
    }

    Response readiness() const {
        if (!services.ready || services.ready()) return {.body = R"({"status":"ready"})"};
        return error_response(503, "not_ready", "the shop is still being opened", {{"Retry-After", "1"}});
    }

    static Response wrong_method(std::string_view allowed, std::string_view got) {
        return error_response(405, "wrong_method", fmt::format("want {}, got {}", allowed, clip(got, 20)), {{"Allow", std::string(allowed)}});
    }
    static Response stopping() { return error_response(503, "stopping", "the server is stopping; send again", {{"Retry-After", "1"}}); }

    void stop() {
        intake.stop();
        reads.close();
        for (auto& reader : readers)
            if (reader.joinable()) reader.join();
    }

    const Services services;
    const ApiOptions options;
    const Gate gate;
    Metrics metrics;
    Intake intake;
    BoundedQueue<Exchange> reads;
    std::vector<std::thread> readers;
};

Api::Api(Services services, ApiOptions options) : state_(std::make_unique<State>(std::move(services), std::move(options))) {}
Api::~Api() { stop(); }
void Api::handle(Request request, Reply reply) { state_->handle(std::move(request), std::move(reply)); }
void Api::refused(unsigned status) { state_->metrics.refused(status); }
void Api::stop() { state_->stop(); }

std::vector<std::string> route_list() {
    std::vector<std::string> list;
    for (const auto& route : kRoutes) {
        const bool posts = route.access == Access::kTrack || route.access == Access::kSigned;
        const auto methods = route.access == Access::kAdmin ? route.methods : posts ? "POST" : "GET";
        for (const std::string_view method : {"GET", "POST", "PUT", "PATCH", "DELETE"})
            if (lists(methods, method)) list.push_back(fmt::format("{} {}", method, route.path));
    }
    return list;
}

}  // namespace perennial::api
