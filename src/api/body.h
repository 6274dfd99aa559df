// A request's body as the client meant it: unpacked when it came compressed. Pure function.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "base/result.h"

namespace perennial::api {

// `encoding` is the Content-Encoding header; gzip is also known by its first bytes, which no JSON text begins with.
// Errors: kFull (more than `bytes_limit` unpacked), kCorrupt (not gzip, or cut short), kUnsupported (another encoding).
Result<std::string> unpacked_body(std::string body, std::string_view encoding, std::size_t bytes_limit);

}  // namespace perennial::api
