// What the API counts, as Prometheus text 0.0.4 at /metrics. Threads: any.
#pragma once

#include <cstddef>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

namespace perennial::api {

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
    void intake_full();
    void intake_failed();

    std::string text() const;

private:
    struct State;
    std::unique_ptr<State> state_;
};

}  // namespace perennial::api
