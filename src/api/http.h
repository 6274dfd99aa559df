// The words of HTTP that this room's parts share: a request as it was read, a response to be written, and Reply, through
// which a handler answers now or later. No socket and no Beast type appears here. Threads: plain values, but for Reply.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/result.h"

namespace perennial::api {

struct Header { std::string name, value; };

struct Request {
    std::string method = {};
    std::string path = {};    // as sent: still percent-encoded
    std::string query = {};   // after the '?', as sent
    std::vector<Header> headers = {};
    std::string body = {};    // as sent: perhaps still compressed

    // The first header of that name, whatever its case; empty when there is none.
    std::string_view header(std::string_view name) const noexcept;
};

struct Response {
    unsigned status = 200;
    std::string body = {};
    std::string content_type = "application/json";
    std::vector<Header> headers = {};
};

// The one form of every error: {"code":"...","message":"..."}.
Response error_response(unsigned status, std::string_view code, std::string_view message, std::vector<Header> headers = {});

// The way back to the client. Copies share one answer: the first call counts, later ones do nothing, and when the last
// copy goes without an answer the client gets a 500. Threads: may be called from any.
class Reply {
public:
    explicit Reply(std::function<void(Response)> send);
    void operator()(Response response) const;

private:
    struct Pending;
    std::shared_ptr<Pending> pending_;
};

// Must not block: what takes longer keeps the Reply and answers from another thread.
using Handler = std::function<void(Request, Reply)>;

// Bounds of one server. Reaching one is an answer: 431, 413, 503 and 408 in the order of the first four.
struct HttpLimits {
    std::size_t header_bytes = 16 * 1024;
    std::size_t body_bytes = 500 * 1024;   // of the body as sent
    std::size_t connections = 1024;        // with the two above: at most half a gigabyte held for bodies being read
    std::chrono::milliseconds request{30'000};  // from a request's first byte to its last
    std::chrono::milliseconds idle{75'000};     // between requests; longer than the minute that load balancers keep
    std::chrono::milliseconds write{30'000};    // for one response
    std::chrono::milliseconds drain{10'000};    // for running requests when the server stops
};

// "%2F" to "/", and '+' to a blank where `plus_is_blank`. Errors: kInvalid (a '%' without two hex digits).
Result<std::string> percent_decoded(std::string_view text, bool plus_is_blank);

// "a=1&b=x%20y" in its order. Errors: kInvalid.
using QueryFields = std::vector<std::pair<std::string, std::string>>;
Result<QueryFields> parse_query(std::string_view query);

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept;  // ASCII

}  // namespace perennial::api
