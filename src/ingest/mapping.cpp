#include "ingest/mapping.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>
#include <sstream>

#include "base/file.h"
#include "base/text.h"
#include "base/toml.h"
#include "ingest/presets.h"

namespace perennial::ingest {
namespace {

constexpr std::array<std::string_view, kFieldCount> kFieldNames{
    "user_id", "anonymous_id", "email", "order_id", "product", "title", "category", "quantity", "price", "amount",
    "currency", "time", "query", "rating", "text", "coupon", "campaign", "channel", "message_id"};

constexpr std::uint64_t kMappingBytesLimit = 1 << 20;
constexpr std::size_t kHeaderShown = 20;  // column names quoted in an error

std::optional<Field> field_from_name(std::string_view name) noexcept {
    const auto found = std::ranges::find(kFieldNames, name);
    if (found == kFieldNames.end()) return std::nullopt;
    return static_cast<Field>(found - kFieldNames.begin());
}

// One walk over a parsed mapping file; the first thing wrong becomes the error.
class MappingParser {
public:
    MappingParser(const toml::table& root, std::string_view origin) : root_(root), origin_(origin) {}

    Result<Mapping> parse() {
        mapping_.name = std::string(origin_);
        for (const auto& [key, node] : root_)
            if (!read_key(key.str(), node)) return Error{Code::kInvalid, problem_};
        if (mapping_.columns[static_cast<std::size_t>(Field::kTime)].empty())
            return Error{Code::kInvalid, fmt::format("mapping {}: [columns] time: want the column that holds the time, got none", origin_)};
        return std::move(mapping_);
    }

private:
    bool wrong(std::string_view key, std::string_view want, std::string_view got) {
        problem_ = fmt::format("mapping {}: {}: want {}, got {}", origin_, key, want, got);
        return false;
    }

    static std::string type_of(const toml::node& node) {
        std::ostringstream out;
        out << "a value of type " << node.type();
        return out.str();
    }

    bool text(std::string_view key, const toml::node& node, std::string& out) {
        const auto value = node.value_exact<std::string>();
        if (!value) return wrong(key, "text", type_of(node));
        out = *value;
        return true;
    }

    // "x" or ["x", "y"].
    bool texts(std::string_view key, const toml::node& node, std::vector<std::string>& out) {
        std::string one;
        if (node.is_string()) {
            out.clear();
            return text(key, node, one) && (out.push_back(one), true);
        }
        const auto* array = node.as_array();
        if (!array) return wrong(key, "text or a list of texts", type_of(node));
        out.clear();
        for (const auto& item : *array) {
            if (!text(key, item, one)) return false;
            out.push_back(one);
        }
        return true;
    }

    bool kind(std::string_view key, const toml::node& node, event::Kind& out) {
        std::string value;
        if (!text(key, node, value)) return false;
        const auto found = event::kind_from_name(value);
        if (!found) return wrong(key, "an event kind like order_completed or product_viewed", fmt::format("'{}'", value));
        out = *found;
        return true;
    }

    template <class Read>
    bool table(std::string_view key, const toml::node& node, Read&& read) {
        const auto* inner = node.as_table();
        if (!inner) return wrong(key, "a table", type_of(node));
        for (const auto& [inner_key, inner_node] : *inner)
            if (!read(inner_key.str(), fmt::format("[{}] {}", key, inner_key.str()), inner_node)) return false;
        return true;
    }

    bool read_key(std::string_view key, const toml::node& node) {
        std::string value;
        if (key == "name") return text(key, node, mapping_.name);
        if (key == "kind") return kind(key, node, mapping_.kind);
        if (key == "refund_prefix") return text(key, node, mapping_.refund_prefix);
        if (key == "time_format") return text(key, node, mapping_.time_format);
        if (key == "currency") {
            if (!text(key, node, value)) return false;
            auto currency = parse_currency(value);
            if (!currency) return wrong(key, "three letters like GBP", fmt::format("'{}'", value));
            mapping_.currency = *currency;
            return true;
        }
        if (key == "decimal_point") {
            if (!text(key, node, value)) return false;
            if (value != "." && value != ",") return wrong(key, "\".\" or \",\"", fmt::format("'{}'", value));
            mapping_.decimal_point = value[0];
            return true;
        }
        if (key == "channel") {
            if (!text(key, node, value)) return false;
            const auto channel = event::channel_from_name(value);
            if (!channel) return wrong(key, "web, app, store, email, sms, server, support or import", fmt::format("'{}'", value));
            mapping_.channel = *channel;
            return true;
        }
        if (key == "optional") return read_optional(key, node);
        if (key == "columns") return table(key, node, [&](auto name, const auto& path, const auto& inner) { return read_column(name, path, inner); });
        if (key == "kinds") return table(key, node, [&](auto name, const auto& path, const auto& inner) { return read_kinds(name, path, inner); });
        if (key == "charges") return table(key, node, [&](auto name, const auto& path, const auto& inner) { return read_charges(name, path, inner); });
        if (key == "properties")
            return table(key, node, [&](auto name, const auto& path, const auto& inner) {
                mapping_.properties.emplace_back(std::string(name), "");
                return text(path, inner, mapping_.properties.back().second);
            });
        return wrong(key, "name, kind, currency, time_format, decimal_point, refund_prefix, channel, optional, [columns], [kinds], "
                          "[charges] or [properties]", "an unknown key");
    }

    bool read_optional(std::string_view key, const toml::node& node) {
        std::vector<std::string> names;
        if (!texts(key, node, names)) return false;
        for (const auto& name : names) {
            const auto field = field_from_name(name);
            if (!field) return wrong(key, fmt::format("one of {}", fmt::join(kFieldNames, ", ")), fmt::format("'{}'", name));
            mapping_.optional.push_back(*field);
        }
        return true;
    }

    bool read_column(std::string_view name, std::string_view path, const toml::node& node) {
        const auto field = field_from_name(name);
        if (!field) return wrong(path, fmt::format("one of {}", fmt::join(kFieldNames, ", ")), "an unknown field");
        return texts(path, node, mapping_.columns[static_cast<std::size_t>(*field)]);
    }

    bool read_kinds(std::string_view name, std::string_view path, const toml::node& node) {
        if (name == "column") return text(path, node, mapping_.kind_column);
        if (name == "default") return kind(path, node, mapping_.kind);
        if (name != "values") return wrong(path, "column, values or default", "an unknown key");
        return table(path, node, [&](std::string_view value, const std::string& inner_path, const toml::node& inner) {
            return kind(inner_path, inner, mapping_.kind_values[lower(value)]);
        });
    }

    bool read_charges(std::string_view name, std::string_view path, const toml::node& node) {
        if (name == "codes") return texts(path, node, mapping_.charge_codes);
        if (name == "titles") return texts(path, node, mapping_.charge_titles);
        return wrong(path, "codes or titles", "an unknown key");
    }

    const toml::table& root_;
    std::string_view origin_;
    Mapping mapping_;
    std::string problem_;
};

std::string folded(std::string_view name) {
    std::string out;
    for (const char c : lower(name))
        if (c != ' ' && c != '_' && c != '-') out.push_back(c);
    return out;
}

int find_column(std::span<const std::string> header, std::string_view name) {
    const auto wanted = folded(name);
    const auto found = std::ranges::find_if(header, [&](const std::string& column) { return folded(column) == wanted; });
    return found == header.end() ? -1 : static_cast<int>(found - header.begin());
}

std::string shown(std::span<const std::string> header) {
    const auto some = header.first(std::min(header.size(), kHeaderShown));
    return fmt::format("{}{}", fmt::join(some, ", "), header.size() > kHeaderShown ? ", ..." : "");
}

std::string columns_wanted(const Mapping& mapping) {
    std::vector<std::string> names;
    if (!mapping.kind_column.empty()) names.push_back(mapping.kind_column);
    for (std::size_t i = 0; i < kFieldCount; ++i)
        if (!mapping.columns[i].empty() && std::ranges::find(mapping.optional, static_cast<Field>(i)) == mapping.optional.end())
            names.push_back(fmt::format("{}", fmt::join(mapping.columns[i], "|")));
    for (const auto& [json_name, column] : mapping.properties) names.push_back(column);
    return fmt::format("{}", fmt::join(names, ", "));
}

}  // namespace

std::string_view name(Field field) noexcept { return kFieldNames[static_cast<std::size_t>(field)]; }

Result<Mapping> parse_mapping(std::string_view text, std::string_view origin) {
    auto root = parse_toml(text, fmt::format("mapping {}", origin));
    if (!root) return root.error();
    return MappingParser(*root, origin).parse();
}

std::vector<std::string> preset_names() {
    std::vector<std::string> names;
    for (const auto& [preset, text] : kPresets) names.emplace_back(preset);
    names.emplace_back(kSegmentMapping);
    return names;
}

Result<Mapping> load_mapping(std::string_view name_or_path) {
    for (const auto& [preset, text] : kPresets)
        if (preset == name_or_path) return parse_mapping(text, preset);
    if (!name_or_path.ends_with(".toml"))
        return Error{Code::kNotFound, fmt::format("mapping: want {} or the path of a .toml file, got '{}'", fmt::join(preset_names(), ", "), name_or_path)};
    auto text = read_file(name_or_path, kMappingBytesLimit);
    if (!text) return text.error();
    return parse_mapping(*text, name_or_path);
}

Result<Mapping> detect_mapping(std::span<const std::string> header) {
    std::vector<Mapping> fitting;
    std::string wanted;
    for (const auto& [preset, text] : kPresets) {
        auto mapping = parse_mapping(text, preset);
        if (!mapping) return mapping.error();
        wanted += fmt::format("\n  {}: {}", preset, columns_wanted(*mapping));
        if (bind_columns(*mapping, header)) fitting.push_back(std::move(*mapping));
    }
    if (fitting.size() == 1) return std::move(fitting.front());
    if (fitting.empty())
        return Error{Code::kInvalid, fmt::format("header: no preset fits. Want the columns of one of:{}\ngot: {}\nA mapping file can be given instead: "
                                                 "--map FILE.toml (docs/formats/mapping.md)", wanted, shown(header))};
    std::vector<std::string> names;
    for (const auto& mapping : fitting) names.push_back(mapping.name);
    return Error{Code::kInvalid, fmt::format("header: {} all fit; choose one with --map NAME", fmt::join(names, ", "))};
}

Result<BoundMapping> bind_columns(const Mapping& mapping, std::span<const std::string> header) {
    BoundMapping bound;
    bound.mapping = mapping;
    std::vector<std::string> missing;
    for (std::size_t i = 0; i < kFieldCount; ++i) {
        bound.column[i] = -1;
        for (const auto& name : mapping.columns[i])
            if (bound.column[i] < 0) bound.column[i] = find_column(header, name);
        const bool needed = std::ranges::find(mapping.optional, static_cast<Field>(i)) == mapping.optional.end();
        if (!mapping.columns[i].empty() && bound.column[i] < 0 && needed)
            missing.push_back(fmt::format("{} (for {})", fmt::join(mapping.columns[i], "|"), kFieldNames[i]));
    }
    if (!mapping.kind_column.empty()) {
        bound.kind_column = find_column(header, mapping.kind_column);
        if (bound.kind_column < 0) missing.push_back(fmt::format("{} (for the kind)", mapping.kind_column));
    }
    for (const auto& [json_name, column] : mapping.properties) {
        bound.properties.emplace_back(json_name, find_column(header, column));
        if (bound.properties.back().second < 0) missing.push_back(fmt::format("{} (for the property {})", column, json_name));
    }
    if (!missing.empty())
        return Error{Code::kInvalid, fmt::format("mapping {}: the header lacks {}; got: {}", mapping.name, fmt::join(missing, ", "), shown(header))};
    return bound;
}

}  // namespace perennial::ingest
