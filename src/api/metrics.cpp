#include "api/metrics.h"

#include <fmt/format.h>
#include <prometheus/counter.h>
#include <prometheus/gauge.h>
#include <prometheus/histogram.h>
#include <prometheus/registry.h>
#include <prometheus/text_serializer.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <mutex>

namespace perennial::api {
namespace {

// From a recommendation out of memory to a disk that hangs.
const prometheus::Histogram::BucketBoundaries kSecondsBounds{0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10};

// Every status that this room answers; the last stands for any other, so that labels stay bounded.
constexpr std::array<unsigned, 21> kStatuses{200, 201, 204, 400, 401, 403, 404, 405, 408, 409, 412, 413, 415, 423, 429, 431, 500, 501, 503, 507, 0};

std::size_t index_of(unsigned status) noexcept {
    return static_cast<std::size_t>(std::min(std::ranges::find(kStatuses, status), kStatuses.end() - 1) - kStatuses.begin());
}

// Looking a counter up by its labels costs a lock and a hash; each is looked up once.
struct RouteMetrics {
    std::string_view label;
    prometheus::Histogram* seconds = nullptr;
    std::array<std::atomic<prometheus::Counter*>, kStatuses.size()> by_status{};
};

prometheus::Counter& counter(prometheus::Registry& registry, const std::string& name, const std::string& help) {
    return prometheus::BuildCounter().Name(name).Help(help).Register(registry).Add({});
}

}  // namespace

struct Metrics::State {
    prometheus::Registry registry;
    prometheus::Family<prometheus::Counter>& requests =
        prometheus::BuildCounter().Name("perennial_http_requests_total").Help("HTTP requests answered").Register(registry);
    prometheus::Family<prometheus::Histogram>& seconds =
        prometheus::BuildHistogram().Name("perennial_http_request_seconds").Help("From a request read to its answer ready").Register(registry);
    prometheus::Counter& accepted = counter(registry, "perennial_events_accepted_total", "Events made durable");
    prometheus::Counter& duplicate = counter(registry, "perennial_events_duplicate_total", "Events whose message id was known already");
    prometheus::Counter& rejected = counter(registry, "perennial_events_rejected_total", "Messages sent to the quarantine");
    prometheus::Counter& full = counter(registry, "perennial_intake_full_total", "Tracking requests answered 429 because the intake queue was full");
    prometheus::Counter& failed = counter(registry, "perennial_intake_failed_total", "Tracking requests answered 503 because their events could not be stored");
    prometheus::Gauge& queue = prometheus::BuildGauge().Name("perennial_intake_queue").Help("Tracking requests waiting for the writer").Register(registry).Add({});
    prometheus::Family<prometheus::Counter>& state_uses =
        prometheus::BuildCounter().Name("perennial_customer_states_total").Help("Recommendations by whether the customer's state was kept (hit) or made from the whole timeline (miss); states dropped for a late event or a sign-in (overtaken), for want of room (left)").Register(registry);
    std::array<prometheus::Counter*, 4> states{&state_uses.Add({{"what", "hit"}}), &state_uses.Add({{"what", "miss"}}), &state_uses.Add({{"what", "overtaken"}}), &state_uses.Add({{"what", "left"}})};
    prometheus::Gauge& kept = prometheus::BuildGauge().Name("perennial_customer_states").Help("Customer states kept between requests").Register(registry).Add({});
    prometheus::Gauge& kept_bytes = prometheus::BuildGauge().Name("perennial_customer_states_bytes").Help("Memory of the kept customer states").Register(registry).Add({});
    std::mutex kept_mutex;  // so that two readings do not both add the same difference
    std::vector<RouteMetrics> routes;  // the last one is "none"

    RouteMetrics& none() { return routes.back(); }
    void count(RouteMetrics& route, unsigned status) {
        auto& slot = route.by_status[index_of(status)];
        auto* found = slot.load(std::memory_order_acquire);
        if (!found) {  // Add() gives every caller the same counter
            const auto known = kStatuses[index_of(status)];
            found = &requests.Add({{"route", std::string(route.label)}, {"code", known ? fmt::format("{}", known) : "other"}});
            slot.store(found, std::memory_order_release);
        }
        found->Increment();
    }
};

Metrics::Metrics(const std::vector<std::string_view>& routes, std::string_view commit) : state_(std::make_unique<State>()) {
    state_->routes = std::vector<RouteMetrics>(routes.size() + 1);
    for (std::size_t i = 0; i < routes.size(); ++i) {
        state_->routes[i].label = routes[i];
        state_->routes[i].seconds = &state_->seconds.Add({{"route", std::string(routes[i])}}, kSecondsBounds);
    }
    state_->none().label = "none";
    prometheus::BuildGauge().Name("perennial_build_info").Help("Version of the running program").Register(state_->registry)
        .Add({{"version", PERENNIAL_VERSION}, {"commit", std::string(commit)}}).Set(1);
}
Metrics::~Metrics() = default;

void Metrics::request(std::size_t route, unsigned status, double seconds) {
    auto& metrics = state_->routes[route];
    state_->count(metrics, status);
    metrics.seconds->Observe(seconds);
}
void Metrics::refused(unsigned status) { state_->count(state_->none(), status); }
void Metrics::events(std::size_t accepted, std::size_t duplicate) {
    state_->accepted.Increment(static_cast<double>(accepted));
    state_->duplicate.Increment(static_cast<double>(duplicate));
}
void Metrics::rejected(std::size_t messages) { state_->rejected.Increment(static_cast<double>(messages)); }
void Metrics::intake_queue(std::size_t requests) { state_->queue.Set(static_cast<double>(requests)); }
void Metrics::kept_states(const KeptStates& counts) {
    const std::lock_guard lock(state_->kept_mutex);
    const std::array totals{counts.hits, counts.misses, counts.overtaken, counts.left};
    for (std::size_t i = 0; i < totals.size(); ++i)
        if (const double more = static_cast<double>(totals[i]) - state_->states[i]->Value(); more > 0) state_->states[i]->Increment(more);
    state_->kept.Set(static_cast<double>(counts.customers));
    state_->kept_bytes.Set(static_cast<double>(counts.bytes));
}
void Metrics::intake_full() { state_->full.Increment(); }
void Metrics::intake_failed() { state_->failed.Increment(); }

std::string Metrics::text() const { return prometheus::TextSerializer().Serialize(state_->registry.Collect()); }

}  // namespace perennial::api
