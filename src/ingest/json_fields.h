// Fields of a parsed JSON object, forgivingly: null, a wrong type and absence are all "nothing there". Shared by the
// readers that put other systems' bodies into our words. Pure functions.
#pragma once

#include <fmt/format.h>

#include <boost/json.hpp>
#include <string>
#include <string_view>

#include "base/result.h"
#include "base/text.h"

namespace perennial::ingest {

// A text, or a number as text; empty for everything else.
inline std::string text_field(const boost::json::object& from, std::string_view key) {
    const auto* value = from.if_contains(key);
    if (!value) return {};
    if (const auto* text = value->if_string()) return std::string(trim(*text));
    if (value->is_int64() || value->is_uint64()) return boost::json::serialize(*value);
    if (const auto* number = value->if_double()) return fmt::format("{}", *number);
    return {};
}

inline double number_field(const boost::json::object& from, std::string_view key) { return to_number(text_field(from, key)).value_or(0); }

// An empty one when it is not there, so that its fields can be asked for without asking for it.
inline const boost::json::object& object_field(const boost::json::object& from, std::string_view key) {
    static const boost::json::object kNone;
    const auto* value = from.if_contains(key);
    return value && value->is_object() ? value->get_object() : kNone;
}

// Visits the objects of a list; other values in it are passed over.
template <class Visit>
void for_each_object(const boost::json::object& from, std::string_view key, Visit&& visit) {
    const auto* value = from.if_contains(key);
    if (!value || !value->is_array()) return;
    for (const auto& item : value->get_array())
        if (item.is_object()) visit(item.get_object());
}

inline void put_text(boost::json::object& into, std::string_view key, std::string text) {
    if (!text.empty()) into[key] = std::move(text);
}

// Errors: kInvalid (not a JSON object).
inline Result<boost::json::object> parse_object(std::string_view body) {
    boost::system::error_code error;
    auto value = boost::json::parse(body, error);
    if (error) return Error{Code::kInvalid, fmt::format("body: want JSON, got {} bytes that are not: {}", body.size(), error.message())};
    if (!value.is_object()) return Error{Code::kInvalid, "body: want a JSON object, got another JSON value"};
    return std::move(value.get_object());
}

}  // namespace perennial::ingest
