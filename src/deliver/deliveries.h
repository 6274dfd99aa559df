// Outgoing webhooks: a message is put into the outbox once for every endpoint that wants its type, and sent from there
// until the endpoint answers 2xx, at least once and always under the same id (docs/formats/outgoing-webhooks.md).
// One thread an endpoint, so that a slow or dead one holds up no other. Threads: send() and the rest from any.
#pragma once

#include <boost/json/object.hpp>

#include <chrono>
#include <cstddef>
#include <filesystem>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "deliver/outbox.h"

namespace perennial::deliver {

inline constexpr std::size_t kEndpointsLimit = 16;

struct Endpoint {
    std::string name, url;
    std::vector<std::string> keys;   // as webhook_key gives them; each signs, so that a secret can be changed for another
    std::vector<std::string> types;  // "segment.entered", or "segment.*"; none: all
    bool wants(std::string_view type) const;
};

// Reads [[endpoint]] tables of name, url, secret (one, or two with a blank between them) and types. Errors: kInvalid, kIo;
// a file that is not there holds none.
Result<std::vector<Endpoint>> load_endpoints(const std::filesystem::path& path);

struct DeliveryOptions {
    std::vector<Endpoint> endpoints;
    // After the n-th failed try it waits this[n-1], give or take a tenth; after the last one the letter is dead.
    std::vector<std::chrono::milliseconds> waits{std::chrono::seconds(5), std::chrono::minutes(5), std::chrono::minutes(30), std::chrono::hours(2), std::chrono::hours(5),
                                                 std::chrono::hours(10), std::chrono::hours(14), std::chrono::hours(20), std::chrono::hours(24)};
    std::chrono::milliseconds timeout{15'000};     // of one try
    // An endpoint that failed is not asked again for this long, doubled with every failure in a row, whatever waits for it.
    std::chrono::milliseconds rest_first{500}, rest_limit{60'000};
};

struct EndpointState {
    std::string name, url, last_error;
    LetterCounts letters;
    std::size_t delivered = 0;  // since the start
    bool off = false;           // it answered 410: switched off until the next start
};

class Deliveries {
public:
    // `directory` holds the outbox. What waits in it is sent on. Errors: kInvalid (too many endpoints, a name twice), the outbox's.
    static Result<std::unique_ptr<Deliveries>> open(const std::filesystem::path& directory, DeliveryOptions options);
    ~Deliveries();  // stop()

    // The hook for whatever has something to tell: {"type","timestamp","data"} to every endpoint that wants the type. Durable
    // on return. `id` names the message: the same id again is the same message; made when empty. Returns the id.
    // Errors: kFull, kInvalid (over kLetterBytesLimit), kIo.
    Result<std::string> send(std::string_view type, const boost::json::object& data, std::string id = {});

    std::vector<EndpointState> endpoints() const;
    Result<std::vector<Letter>> dead(std::size_t limit) const { return outbox_.dead(limit); }
    Status revive(std::string_view id);
    void stop();  // lets running tries end

private:
    struct Worker;
    Deliveries(Outbox outbox, DeliveryOptions options);

    Outbox outbox_;
    const DeliveryOptions options_;
    std::vector<std::unique_ptr<Worker>> workers_;
};

}  // namespace perennial::deliver
