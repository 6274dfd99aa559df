// What each path answers: find the route, check who asks, call one function, format. Tracking requests are parsed on the
// caller's thread and answered by the intake's writer once their events are durable; reading requests run on a small
// pool of threads, so that a slow one never holds up an I/O thread. See docs/formats/http.md.
// Threads: handle() and refused() from any; Services as said beside each.
#pragma once

#include <boost/json/value.hpp>
#include <cstddef>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/http.h"
#include "api/intake.h"
#include "api/metrics.h"
#include "api/uploads.h"
#include "api/webhooks.h"
#include "base/money.h"
#include "base/result.h"
#include "decide/reasons.h"
#include "deliver/deliveries.h"
#include "event/event.h"
#include "govern/keys.h"
#include "ingest/segment.h"
#include "profile/identity.h"
#include "profile/store.h"

namespace perennial::api {

inline constexpr std::size_t kRecommendationsDefault = 10, kRecommendationsLimit = 100;

struct RecommendationQuery {
    std::string user_id, anonymous_id;  // at least one is set
    std::size_t count = kRecommendationsDefault;  // 1 to kRecommendationsLimit
    decide::Reasons reasons = decide::Reasons::kShort;
    profile::CustomerKey key() const;   // the user's where there is one
};

struct CustomerQuery {
    std::string id;
    bool anonymous = false;
    std::optional<double> horizon_days;  // 1 to predict::kHorizonDaysLimit
    profile::CustomerKey key() const;
};

// What the API is a face of. Errors become answers: kInvalid 400, kNotFound 404, kUnsupported 501, kBusy and kFull 503,
// all others 500 with a log line and no details.
struct Services {
    // From several pool threads at once.
    std::function<Result<boost::json::value>(const RecommendationQuery&)> recommendations;
    std::function<Result<boost::json::value>(const CustomerQuery&)> customer;
    std::function<std::string()> report_html;  // empty: there is none yet
    // From the writer thread only. append: durable and visible on return. quarantine: kept on return.
    Intake::Append append;
    Intake::Quarantine quarantine;
    // From any I/O thread; must not block.
    std::function<bool()> ready;
    std::function<KeptStates()> kept_states;  // for /metrics; empty: nothing is kept
    Uploads* uploads = nullptr;               // null: 501. From several pool threads at once, as is the next
    deliver::Deliveries* deliveries = nullptr;
};

struct ApiOptions {
    std::string write_key, api_key;  // both or neither; see serve()
    govern::KeyRing* keys = nullptr;  // the shop's own keys beside those two; null: none
    WebhookSecrets webhook_secrets = {};
    Currency currency = {};          // of amounts whose message names none
    std::string commit;              // for perennial_build_info
    // Without keys: Host and Origin must name this machine, so that no foreign page in a browser here can reach us.
    bool local_names_only = true;
    IntakeOptions intake = {};
    std::size_t read_threads = 2;
    std::size_t read_queue_limit = 256;  // reading requests waiting; one more is answered 503
};

class Api {
public:
    Api(Services services, ApiOptions options);
    Api(const Api&) = delete;
    Api& operator=(const Api&) = delete;
    ~Api();  // stop()

    void handle(Request request, Reply reply);
    void refused(unsigned status);  // for ServerOptions::refused

    // Finishes what was handed over, then answers 503 to what needs the intake or the pool. Stop the server first.
    void stop();

    struct State;  // in routes.cpp

private:
    std::unique_ptr<State> state_;
};

// Every path and its methods, "GET /v1/customers/{id}": the API description is held to it by a test.
std::vector<std::string> route_list();
std::string_view openapi_json() noexcept;

}  // namespace perennial::api
