// What the API counts, as Prometheus text 0.0.4 at /metrics. Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace perennial::api {

// Of the customer states kept between requests; all but the last two only grow.
struct KeptStates {
    std::uint64_t hits = 0, misses = 0, overtaken = 0, left = 0;
    std::uint64_t customers = 0, bytes = 0;
};

class Metrics {
public:
    // `routes` are the values of the label "route"; request() names one by its place in the list.
    Metrics(const std::vector<std::string_view>& routes, std::string_view commit);
    ~Metrics();
    Metrics(const Metrics&) = delete;
    Metrics& operator=(const Metrics&) = delete;

    void request(std::size_t route, unsigned status, double seconds);
    void refused(unsigned status);  // answered before it had a route: {route="none"}
    void events(std::size_t accepted, std::size_t duplicate);
    void rejected(std::size_t messages);
    void intake_queue(std::size_t requests);
    void kept_states(const KeptStates& counts);
    void intake_full();
    void intake_failed();

    std::string text() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace perennial::api
