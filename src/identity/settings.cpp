#include "identity/settings.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "base/file.h"
#include "base/toml.h"

namespace perennial::identity {
namespace {

constexpr std::array<std::string_view, kIdentifierCount> kNames{"email", "phone", "order", "device"};
constexpr std::int64_t kLimitLimit = 1000;  // of any limit: beyond that it is none
constexpr std::uint64_t kSettingsBytesLimit = 1 << 20;

Error wrong(std::string_view origin, const toml::node& node, std::string_view key, std::string_view want) {
    return {Code::kInvalid, fmt::format("{}:{}: {}: want {}", origin, node.source().begin.line, key, want)};
}

Result<std::size_t> read_limit(std::string_view origin, const toml::node& node, std::string_view key) {
    const auto number = node.value_exact<std::int64_t>();
    if (!number || *number < 1 || *number > kLimitLimit) return wrong(origin, node, key, fmt::format("a whole number from 1 to {}", kLimitLimit));
    return static_cast<std::size_t>(*number);
}

Result<double> read_probability(std::string_view origin, const toml::node& node, std::string_view key) {
    const auto number = node.value<double>();
    if (!number || !(*number >= 0.5 && *number < 1)) return wrong(origin, node, key, "a probability from 0.5 to below 1");
    return *number;
}

Status read_table(Settings& settings, std::string_view origin, std::string_view section, const toml::table& table) {
    for (const auto& [toml_key, node] : table) {
        const std::string key = fmt::format("{}.{}", section, toml_key.str());
        if (section == "limits") {
            auto limit = read_limit(origin, node, key);
            const auto identifier = identifier_from_name(toml_key.str());
            if (!identifier && toml_key.str() != "group") return wrong(origin, node, key, fmt::format("one of {}, group", fmt::join(kNames, ", ")));
            if (!limit) return limit.error();
            (identifier ? settings.customers_limit[static_cast<std::size_t>(*identifier)] : settings.group_limit) = *limit;
        } else if (toml_key.str() == "probability") {
            auto probability = read_probability(origin, node, key);
            if (!probability) return probability.error();
            if (section == "propose") settings.propose_probability = *probability;
            else settings.apply_probability = *probability;
        } else if (section == "apply" && toml_key.str() == "identifiers") {
            const auto* list = node.as_array();
            if (!list) return wrong(origin, node, key, "a list such as [\"email\", \"phone\"]");
            for (const auto& each : *list) {
                const auto text = each.value<std::string>();
                const auto identifier = text ? identifier_from_name(*text) : std::nullopt;
                if (!identifier) return wrong(origin, each, key, fmt::format("of each one of {}", fmt::join(kNames, ", ")));
                settings.apply_identifiers.push_back(*identifier);
            }
        } else {
            return wrong(origin, node, key, section == "apply" ? "identifiers or probability" : "probability");
        }
    }
    return Done{};
}

}  // namespace

std::string_view name(Identifier identifier) noexcept { return kNames[static_cast<std::size_t>(identifier)]; }

std::optional<Identifier> identifier_from_name(std::string_view name) noexcept {
    const auto found = std::ranges::find(kNames, name);
    if (found == kNames.end()) return std::nullopt;
    return static_cast<Identifier>(found - kNames.begin());
}

Result<Settings> parse_settings(std::string_view text, std::string_view origin) {
    const auto root = parse_toml(text, origin);
    if (!root) return root.error();
    Settings settings;
    for (const auto& [key, node] : *root) {
        const auto* table = node.as_table();
        if (!table || (key.str() != "limits" && key.str() != "propose" && key.str() != "apply")) return wrong(origin, node, key.str(), "[limits], [propose] or [apply]");
        PERENNIAL_TRY(read_table(settings, origin, key.str(), *table));
    }
    return settings;
}

Result<Settings> read_settings(const std::filesystem::path& shop) {
    const auto path = shop / "identity.toml";
    auto text = read_file(path, kSettingsBytesLimit);
    if (!text) return text.error().code == Code::kNotFound ? Result<Settings>(Settings{}) : text.error();
    return parse_settings(*text, path.string());
}

}  // namespace perennial::identity
