// JSON strings, written the same way everywhere in this room. Pure functions.
#pragma once

#include <fmt/format.h>

#include <string>
#include <string_view>

namespace perennial::ingest {

// Appends `text`, which must be UTF-8, as a quoted JSON string.
inline void append_json_string(std::string& out, std::string_view text) {
    out += '"';
    for (const char c : text) {
        if (c == '"' || c == '\\') (out += '\\') += c;
        else if (c == '\n') out += "\\n";
        else if (static_cast<unsigned char>(c) < 0x20) out += fmt::format("\\u{:04x}", static_cast<unsigned>(c));
        else out += c;
    }
    out += '"';
}

// Appends "name":"text", preceded by a comma unless the object has just been opened.
inline void append_json_member(std::string& out, std::string_view name, std::string_view text) {
    if (!out.ends_with('{')) out += ',';
    append_json_string(out, name);
    out += ':';
    append_json_string(out, text);
}

}  // namespace perennial::ingest
