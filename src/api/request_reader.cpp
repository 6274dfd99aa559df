#include "api/request_reader.h"

#include <fmt/format.h>

#include <boost/beast/http/parser.hpp>
#include <boost/beast/http/string_body.hpp>

namespace perennial::api {
namespace {

namespace http = boost::beast::http;
using boost::beast::error_code;

// Beast 1.81 aborts (an assertion of its own, basic_parser.ipp) on an empty chunked body whose "0\r\n" is followed by one
// byte only. Any chunked message has at least these many bytes to go until its very end, so we may wait for them.
constexpr std::size_t kChunkBytesLeast = 5;

std::string_view view(boost::beast::string_view text) noexcept { return {text.data(), text.size()}; }

// "http://host/path?q" (a proxy's form) to "/path?q".
std::string_view origin_form(std::string_view target) noexcept {
    const auto scheme = target.find("://");
    if (target.starts_with('/') || scheme == std::string_view::npos) return target;
    const auto path = target.find('/', scheme + 3);
    return path == std::string_view::npos ? "/" : target.substr(path);
}

}  // namespace

struct RequestReader::Parser {
    http::request_parser<http::string_body> beast;
    HttpLimits limits;
    error_code error;
    std::string_view own_refusal;  // why we refuse what Beast accepts; a literal
    bool header_checked = false;

    void check_header() {
        if (header_checked || !beast.is_header_done()) return;
        header_checked = true;
        const auto& message = beast.get();
        if (message.count(http::field::host) != 1 && message.version() >= 11) own_refusal = "want exactly one Host header";
        if (message.version() != 10 && message.version() != 11) own_refusal = "want HTTP/1.0 or HTTP/1.1";
        for (const auto& field : message)
            if (field.name() == http::field::transfer_encoding && !equal_ignoring_case(view(field.value()), "chunked"))
                own_refusal = "Transfer-Encoding: want chunked and nothing else";
    }
};

RequestReader::RequestReader(const HttpLimits& limits) : parser_(std::make_unique<Parser>()) {
    parser_->limits = limits;
    parser_->beast.eager(true);
    parser_->beast.header_limit(static_cast<std::uint32_t>(limits.header_bytes));
    parser_->beast.body_limit(limits.body_bytes);
}
RequestReader::~RequestReader() = default;
RequestReader::RequestReader(RequestReader&&) noexcept = default;
RequestReader& RequestReader::operator=(RequestReader&&) noexcept = default;

RequestReader::State RequestReader::feed(std::string_view& bytes) {
    auto& beast = parser_->beast;
    while (!beast.is_done()) {
        const bool in_chunks = beast.is_header_done() && beast.chunked();
        if (bytes.size() < (in_chunks ? kChunkBytesLeast : 1)) return State::kNeedsMore;
        error_code error;
        const auto consumed = beast.put(boost::asio::const_buffer(bytes.data(), bytes.size()), error);
        bytes.remove_prefix(consumed);
        parser_->check_header();
        if (error && error != http::error::need_more) parser_->error = error;
        if (parser_->error || !parser_->own_refusal.empty()) return State::kFailed;
        if (consumed == 0) return State::kNeedsMore;
    }
    return State::kComplete;
}

bool RequestReader::awaits_continue() const {
    const auto& beast = parser_->beast;
    return beast.is_header_done() && !beast.is_done() && beast.get().version() >= 11 &&
           equal_ignoring_case(view(beast.get()[http::field::expect]), "100-continue");
}

bool RequestReader::keep_alive() const { return parser_->beast.get().keep_alive(); }

Request RequestReader::take() {
    auto message = parser_->beast.release();
    Request request{.method = std::string(view(message.method_string()))};
    const auto target = origin_form(view(message.target()));
    const auto question = std::min(target.find('?'), target.size());
    request.path = target.substr(0, question);
    request.query = target.substr(std::min(question + 1, target.size()));
    for (const auto& field : message) request.headers.push_back({std::string(view(field.name_string())), std::string(view(field.value()))});
    request.body = std::move(message.body());
    return request;
}

Response RequestReader::refusal() const {
    if (parser_->error == http::error::body_limit)
        return error_response(413, "body_too_large", fmt::format("body: want at most {} bytes, got more", parser_->limits.body_bytes));
    if (parser_->error == http::error::header_limit)
        return error_response(431, "headers_too_large", fmt::format("headers: want at most {} bytes, got more", parser_->limits.header_bytes));
    if (!parser_->own_refusal.empty()) return error_response(400, "bad_request", parser_->own_refusal);
    return error_response(400, "bad_request", fmt::format("want an HTTP/1.1 request, got something else: {}", parser_->error.message()));
}

}  // namespace perennial::api
