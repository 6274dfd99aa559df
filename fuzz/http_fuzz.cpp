// Any bytes as what a client sends: through the parser, in one piece and cut in two, and through every route, with
// services that do nothing. Both readings must agree, and every request must get exactly one answer of a known form.
#include <boost/json.hpp>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "api/request_reader.h"
#include "api/routes.h"

namespace {

using namespace perennial;
using namespace perennial::api;

// Small, so that the fuzzer reaches them.
HttpLimits small_limits() {
    HttpLimits limits;
    limits.header_bytes = 1024;
    limits.body_bytes = 4096;
    return limits;
}

Services idle_services() {
    return {.recommendations = [](const RecommendationQuery& query) -> Result<boost::json::value> {
                if (query.count < 1 || query.count > kRecommendationsLimit || query.key().size() < 3) __builtin_trap();
                return boost::json::value{{"key", query.key()}};
            },
            .customer = [](const CustomerQuery& query) -> Result<boost::json::value> {
                if (query.id.empty()) __builtin_trap();
                return Error{Code::kNotFound, "no " + query.id};
            },
            .report_html = [] { return std::string(); },
            .append = [](std::vector<event::Event> events) -> Result<profile::Receipt> { return profile::Receipt{.accepted = events.size(), .already_known = 0}; },
            .quarantine = [](std::vector<ingest::Reject>) -> Status { return Done{}; },
            .ready = [] { return true; }};
}

struct Reading {
    std::vector<Request> requests;
    unsigned refused = 0;  // the status
};

Reading read_all(std::string_view bytes, std::size_t cut) {
    Reading reading;
    RequestReader reader(small_limits());
    std::string pending;
    for (const auto part : {bytes.substr(0, cut), bytes.substr(cut)}) {
        pending += part;
        std::string_view rest = pending;
        while (!rest.empty()) {
            const auto state = reader.feed(rest);
            if (state == RequestReader::State::kFailed) {
                reading.refused = reader.refusal().status;
                if (reading.refused < 400) __builtin_trap();
                return reading;
            }
            if (state == RequestReader::State::kNeedsMore) break;
            reading.requests.push_back(reader.take());
            reader = RequestReader(small_limits());
        }
        pending = std::string(rest);
    }
    return reading;
}

void check_answer(const Response& response) {
    if (response.status < 200 || response.status > 599) __builtin_trap();
    if (response.status < 400) return;
    const auto body = boost::json::parse(response.body).as_object();
    if (!body.contains("code") || !body.contains("message")) __builtin_trap();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    const auto [requests, refused] = read_all(bytes, 0);
    const auto cut_in_two = read_all(bytes, size / 2);
    // Beast counts a header against its limit from the start line or behind it, as the bytes came: only there may they differ.
    const bool at_the_limit = refused == 431 || cut_in_two.refused == 431;
    if (!at_the_limit && requests.size() != cut_in_two.requests.size()) __builtin_trap();

    static Api* const api = new Api(idle_services(), {.local_names_only = false});  // its threads run until the process ends
    std::mutex mutex;
    std::condition_variable changed;
    std::size_t answered = 0;
    for (const auto& request : requests)
        api->handle(request, Reply([&](Response response) {
            check_answer(response);
            const std::lock_guard lock(mutex);
            ++answered;
            changed.notify_one();
        }));
    std::unique_lock lock(mutex);
    while (answered < requests.size()) changed.wait(lock);
    return 0;
}
