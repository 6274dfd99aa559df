// Bytes to one request, with Beast as a synchronous parser. It sees no socket, so a fuzzer and the tests can drive it.
// Refused here, beyond what Beast refuses: HTTP/1.1 without exactly one Host, and any Transfer-Encoding but "chunked",
// because a proxy in front might read such a request's end elsewhere than we do. Threads: one at a time.
#pragma once

#include <memory>
#include <string_view>

#include "api/http.h"

namespace perennial::api {

class RequestReader {
public:
    enum class State { kNeedsMore, kComplete, kFailed };

    explicit RequestReader(const HttpLimits& limits);
    ~RequestReader();
    RequestReader(RequestReader&&) noexcept;
    RequestReader& operator=(RequestReader&&) noexcept;

    // Consumes a prefix of `bytes` and takes it off; what remains must be given again, with more behind it.
    // Not to be called after kComplete or kFailed: the bytes that remain belong to the next request.
    State feed(std::string_view& bytes);

    // The header has been read, the body has not, and the client waits for "100 Continue" before it sends it.
    bool awaits_continue() const;
    bool keep_alive() const;

    Request take();            // after kComplete, once
    Response refusal() const;  // after kFailed: 400, 413 or 431

private:
    struct Parser;
    std::unique_ptr<Parser> parser_;
};

}  // namespace perennial::api
