#include "api/body.h"

#include <fmt/format.h>
#include <zlib.h>

#include <algorithm>

#include "api/http.h"
#include "base/text.h"

namespace perennial::api {
namespace {

constexpr std::size_t kStepBytes = 64 * 1024;

// Owns what zlib allocates for one stream.
struct Inflater {
    z_stream stream{};
    bool ready = inflateInit2(&stream, 16 + MAX_WBITS) == Z_OK;  // 16: expect a gzip header
    Inflater() = default;
    Inflater(const Inflater&) = delete;
    Inflater& operator=(const Inflater&) = delete;
    ~Inflater() {
        if (ready) inflateEnd(&stream);
    }
};

Result<std::string> gunzip(std::string& packed, std::size_t bytes_limit) {
    Inflater inflater;
    if (!inflater.ready) return Error{Code::kIo, "body: no memory to unpack gzip"};
    auto& stream = inflater.stream;
    stream.next_in = reinterpret_cast<Bytef*>(packed.data());
    stream.avail_in = static_cast<uInt>(packed.size());
    std::string out;
    for (;;) {
        const std::size_t before = out.size();
        out.resize(before + kStepBytes);
        stream.next_out = reinterpret_cast<Bytef*>(out.data() + before);
        stream.avail_out = static_cast<uInt>(kStepBytes);
        const int code = inflate(&stream, Z_NO_FLUSH);
        out.resize(out.size() - stream.avail_out);
        if (out.size() > bytes_limit) return Error{Code::kFull, fmt::format("body: want at most {} bytes unpacked, got more", bytes_limit)};
        if (code == Z_STREAM_END && stream.avail_in == 0) return out;
        if (code == Z_STREAM_END) inflateReset(&stream);  // gzip files laid end to end are one gzip file
        else if (code != Z_OK || (stream.avail_in == 0 && stream.avail_out > 0)) break;
    }
    return Error{Code::kCorrupt, "body: want gzip data, got something else or a part of it"};
}

}  // namespace

Result<std::string> unpacked_body(std::string body, std::string_view encoding, std::size_t bytes_limit) {
    const auto is = [&](std::string_view name) { return equal_ignoring_case(trim(encoding), name); };
    if (is("gzip") || is("x-gzip") || body.starts_with("\x1f\x8b")) return gunzip(body, bytes_limit);
    if (encoding.empty() || is("identity")) return body;
    return Error{Code::kUnsupported, fmt::format("Content-Encoding: want gzip or none, got '{}'", clip(encoding, 40))};
}

}  // namespace perennial::api
