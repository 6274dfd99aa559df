#include "api/credentials.h"

#include <algorithm>
#include <cstdint>
#include <optional>

#include "base/text.h"

namespace perennial::api {
namespace {

std::optional<unsigned> base64_value(char c) noexcept {
    if (c >= 'A' && c <= 'Z') return static_cast<unsigned>(c - 'A');
    if (c >= 'a' && c <= 'z') return static_cast<unsigned>(c - 'a') + 26;
    if (c >= '0' && c <= '9') return static_cast<unsigned>(c - '0') + 52;
    if (c == '+' || c == '-') return 62;
    if (c == '/' || c == '_') return 63;
    return std::nullopt;
}

// Stops at the first character that is none of base64's, as padding is.
std::string base64_decoded(std::string_view text) {
    std::string out;
    std::uint32_t bits = 0;
    int held = 0;
    for (const char c : text) {
        const auto value = base64_value(c);
        if (!value) break;
        bits = (bits << 6 | *value) & 0xffffff;
        held += 6;
        if (held < 8) continue;
        held -= 8;
        out += static_cast<char>(bits >> held & 0xff);
    }
    return out;
}

}  // namespace

std::vector<std::string> keys_shown(const Request& request) {
    std::vector<std::string> keys;
    if (const auto key = request.header("x-api-key"); !key.empty()) keys.emplace_back(trim(key));
    const auto authorization = trim(request.header("authorization"));
    const auto blank = std::min(authorization.find(' '), authorization.size());
    const auto scheme = authorization.substr(0, blank);
    const auto rest = trim(authorization.substr(blank));
    if (equal_ignoring_case(scheme, "bearer")) keys.emplace_back(rest);
    if (equal_ignoring_case(scheme, "basic")) {
        const std::string pair = base64_decoded(rest);
        const auto colon = std::min(pair.find(':'), pair.size());
        keys.push_back(pair.substr(0, colon));
        keys.push_back(pair.substr(std::min(colon + 1, pair.size())));
    }
    return keys;
}

bool same_key(std::string_view shown, std::string_view key) noexcept {
    if (key.empty()) return false;
    unsigned difference = shown.size() == key.size() ? 0 : 1;
    for (std::size_t i = 0; i < shown.size(); ++i) difference |= static_cast<unsigned char>(shown[i] ^ key[i % key.size()]);
    return difference == 0;
}

}  // namespace perennial::api
