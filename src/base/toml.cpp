#include "base/toml.h"

#include <fmt/format.h>

#include <cstdint>
#include <string>

#include "base/text.h"

namespace perennial {
namespace {

// The number of the UTF-8 character that begins at text[i]; moves i to its last byte. `text` is valid UTF-8.
std::uint32_t code_point(std::string_view text, std::size_t& i) noexcept {
    const auto first = static_cast<unsigned char>(text[i]);
    const int tail = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    std::uint32_t number = first & (0x3Fu >> tail);
    for (int n = 0; n < tail; ++n) number = number << 6 | (static_cast<unsigned char>(text[++i]) & 0x3Fu);
    return number;
}

// The same TOML in ASCII: letters beyond it become escapes inside double quotes and go from comments. Elsewhere they are
// refused; toml++ 3.3 has undefined behaviour for some of them there (is_non_ascii_horizontal_whitespace).
Result<std::string> as_ascii_toml(std::string_view text, std::string_view origin) {
    const auto wrong = [&](std::size_t line, std::string_view want) { return Error{Code::kInvalid, fmt::format("{}: line {}: want {}", origin, line, want)}; };
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    if (!is_valid_utf8(text)) return Error{Code::kInvalid, fmt::format("{}: want UTF-8 text, got other bytes", origin)};
    std::string out;
    char quote = 0;  // that is open
    std::size_t line = 1;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (static_cast<unsigned char>(c) >= 0x80) {
            if (quote != '"') return wrong(line, "letters outside A to Z in double quotes");
            out += fmt::format("\\U{:08X}", code_point(text, i));
            continue;
        }
        if (c == '#' && quote == 0) {
            i = std::min(text.find('\n', i), text.size()) - 1;
            continue;
        }
        out += c;
        if (c == '\n') quote = 0, ++line;  // an open quote is for the TOML reader to report
        else if (c == '\\' && quote == '"' && i + 1 < text.size() && static_cast<unsigned char>(text[i + 1]) < 0x80 && text[i + 1] != '\n') out += text[++i];
        else if (quote == 0 && (c == '"' || c == '\'')) quote = c;
        else if (c == quote) quote = 0;
    }
    return out;
}

}  // namespace

Result<toml::table> parse_toml(std::string_view text, std::string_view origin) {
    const auto ascii = as_ascii_toml(text, origin);
    if (!ascii) return ascii.error();
    try {
        return toml::parse(std::string_view(*ascii), origin);
    } catch (const toml::parse_error& error) {
        return Error{Code::kInvalid, fmt::format("{}: line {}: {}", origin, error.source().begin.line, error.description())};
    } catch (const std::logic_error& error) {
        return Error{Code::kInvalid, fmt::format("{}: want TOML, got something {}", origin, error.what())};
    }
}

}  // namespace perennial
