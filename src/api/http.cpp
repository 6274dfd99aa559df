#include "api/http.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <boost/json.hpp>
#include <optional>

#include "base/text.h"

namespace perennial::api {
namespace {

char lower_letter(char c) noexcept { return c >= 'A' && c <= 'Z' ? static_cast<char>(c + ('a' - 'A')) : c; }

std::optional<int> hex_digit(char c) noexcept {
    if (c >= '0' && c <= '9') return c - '0';
    if (const char l = lower_letter(c); l >= 'a' && l <= 'f') return l - 'a' + 10;
    return std::nullopt;
}

}  // namespace

bool equal_ignoring_case(std::string_view a, std::string_view b) noexcept {
    return std::ranges::equal(a, b, {}, lower_letter, lower_letter);
}

std::string_view Request::header(std::string_view name) const noexcept {
    for (const auto& header : headers)
        if (equal_ignoring_case(header.name, name)) return header.value;
    return {};
}

Response error_response(unsigned status, std::string_view code, std::string_view message, std::vector<Header> headers) {
    // A message may quote the client's own bytes, which need not be UTF-8; JSON must be.
    const boost::json::object body{{"code", code}, {"message", to_utf8(message)}};
    return {.status = status, .body = boost::json::serialize(body), .headers = std::move(headers)};
}

struct Reply::Pending {
    explicit Pending(std::function<void(Response)> to) : send(std::move(to)) {}
    Pending(const Pending&) = delete;
    Pending& operator=(const Pending&) = delete;
    ~Pending() {
        if (!answered) send(error_response(500, "internal", "the request was dropped without an answer"));
    }

    std::function<void(Response)> send;
    std::atomic<bool> answered = false;
};

Reply::Reply(std::function<void(Response)> send) : pending_(std::make_shared<Pending>(std::move(send))) {}

void Reply::operator()(Response response) const {
    if (!pending_->answered.exchange(true)) pending_->send(std::move(response));
}

Result<std::string> percent_decoded(std::string_view text, bool plus_is_blank) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '+' && plus_is_blank) {
            out += ' ';
        } else if (text[i] != '%') {
            out += text[i];
        } else {
            const auto high = i + 2 < text.size() ? hex_digit(text[i + 1]) : std::nullopt;
            const auto low = high ? hex_digit(text[i + 2]) : std::nullopt;
            if (!low) return Error{Code::kInvalid, fmt::format("URL: want two hex digits after '%', got '{}'", text.substr(i, 3))};
            out += static_cast<char>(*high * 16 + *low);
            i += 2;
        }
    }
    return out;
}

Result<QueryFields> parse_query(std::string_view query) {
    QueryFields fields;
    while (!query.empty()) {
        const auto end = std::min(query.find('&'), query.size());
        const auto field = query.substr(0, end);
        query.remove_prefix(std::min(end + 1, query.size()));
        if (field.empty()) continue;
        const auto equals = std::min(field.find('='), field.size());
        auto name = percent_decoded(field.substr(0, equals), true);
        if (!name) return name.error();
        auto value = percent_decoded(field.substr(std::min(equals + 1, field.size())), true);
        if (!value) return value.error();
        fields.emplace_back(std::move(*name), std::move(*value));
    }
    return fields;
}

}  // namespace perennial::api
