// How the columns of a CSV export become events: a small TOML file, or a preset for an export we know
// (docs/formats/mapping.md). Pure functions except load_mapping, which reads the file it is given.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "base/money.h"
#include "base/result.h"
#include "event/event.h"

namespace perennial::ingest {

// The event fields that a column can fill; names as in [columns] of a mapping file.
enum class Field : std::uint8_t {
    kUserId, kAnonymousId, kEmail, kOrderId, kProduct, kTitle, kCategory, kQuantity, kPrice, kAmount, kCurrency, kTime,
    kQuery, kRating, kText, kCoupon, kCampaign, kChannel, kMessageId,
};
inline constexpr std::size_t kFieldCount = 19;
std::string_view name(Field field) noexcept;

struct Mapping {
    std::string name;
    event::Kind kind = event::Kind::kOrderCompleted;   // of every row, unless kind_column says otherwise
    std::string kind_column;                           // empty: none
    std::map<std::string, event::Kind> kind_values;    // keys in lower case; our own kind names are always understood
    std::array<std::vector<std::string>, kFieldCount> columns;  // accepted header names, first found wins
    std::vector<Field> optional;                       // columns that an export may lack
    std::vector<std::pair<std::string, std::string>> properties;  // JSON name, column
    Currency currency;                                 // where no currency column says otherwise
    std::string time_format = "iso";                   // "iso", "unix", "unix_ms", or a pattern for parse_time
    char decimal_point = '.';
    std::string refund_prefix;                         // of order ids; empty: a negative quantity is a refund
    event::Channel channel = event::Channel::kImport;
    std::vector<std::string> charge_codes, charge_titles;  // globs; see matches_glob
};

// Errors: kInvalid naming `origin` and the key: not TOML, unknown key, wrong type, unknown kind, field, currency or channel.
Result<Mapping> parse_mapping(std::string_view toml, std::string_view origin);
// A preset's name, or the path of a TOML file. Errors: kNotFound listing the presets, and those of parse_mapping.
Result<Mapping> load_mapping(std::string_view name_or_path);

// The only preset that fits a header. Errors: kInvalid when none or several fit: what they want, what came.
Result<Mapping> detect_mapping(std::span<const std::string> header);

std::vector<std::string> preset_names();
inline constexpr std::string_view kSegmentMapping = "segment";  // not a CSV preset: JSON lines (segment.h)

// A mapping with its columns found in one header. -1: the export has no such column.
struct BoundMapping {
    Mapping mapping;
    std::array<int, kFieldCount> column{};
    int kind_column = -1;
    std::vector<std::pair<std::string, int>> properties;
};

// Header names are compared without case, blanks, '_' and '-'.
// Errors: kInvalid naming the columns that are missing and the header that came.
Result<BoundMapping> bind_columns(const Mapping& mapping, std::span<const std::string> header);

}  // namespace perennial::ingest
