// Records to be compared: a table of fields, each of a kind that says how its values are cleaned and compared. A value is
// kept once, however many records hold it, with how many do: so equality is a number, and rare values can weigh more.
// Letters: N records, F fields.
// Threads: add() from one; const members from any.
#pragma once

#include <cstdint>
#include <limits>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace perennial::resolve {

enum class FieldKind : std::uint8_t {
    kGivenName, kFamilyName,  // compared crosswise too when a table has both: people swap them
    kText,                    // streets, towns: typos are likely
    kCategory,                // state, sex: equal or not
    kDate,                    // of birth
    kEmail, kPhone,
    kCode,                    // postcodes, numbers: a wrong or swapped digit is likely
};
inline constexpr std::size_t kFieldKindCount = 8;
std::string_view name(FieldKind kind) noexcept;  // "given_name"
std::optional<FieldKind> field_kind_from_name(std::string_view name) noexcept;

// By words in a column's name: "e-mail", "surname", "dob" ... (docs/guide/identity.md has the table). Nothing for a name
// that says nothing; such a column is not compared.
std::optional<FieldKind> guess_field_kind(std::string_view column);

struct Field {
    std::string name;
    FieldKind kind = FieldKind::kText;
};

// The value as compared: ASCII letters in lower case, blanks at the ends and doubled ones removed; telephone numbers by their
// last nine digits, dates as yyyymmdd. Empty when it says nothing ("", "null", "n/a", "-", "nan", "none", "unknown").
std::string cleaned(FieldKind kind, std::string_view text);

inline constexpr std::size_t kFieldsLimit = 10;           // 3 bits of a 32-bit pattern each, 2 for the order of names
inline constexpr std::size_t kRecordsLimit = 20'000'000;
inline constexpr std::size_t kValueBytesLimit = 1024;

class Records {
public:
    using ValueId = std::uint32_t;
    static constexpr ValueId kMissing = 0;

    struct Value {
        std::uint64_t offset = 0;
        std::uint32_t count = 0;     // records that hold it
        std::int32_t day = kNoDay;   // days since 1970, of a date that exists
        std::uint16_t bytes = 0;
        std::uint16_t local = 0;     // of an e-mail address: bytes before the @
    };
    static constexpr std::int32_t kNoDay = std::numeric_limits<std::int32_t>::min();

    // Errors: kInvalid (no field), kFull (more than kFieldsLimit).
    static Result<Records> over(std::vector<Field> fields);

    // `values` in the order of the fields, as they came; `file` tells the sides of a linkage of two files apart.
    // Errors: kInvalid (another number of values, a value above kValueBytesLimit), kFull (kRecordsLimit). O(bytes).
    Status add(std::span<const std::string_view> values, std::uint8_t file = 0);

    std::size_t size() const noexcept { return files_.size(); }
    const std::vector<Field>& fields() const noexcept { return fields_; }
    std::uint8_t file(std::size_t record) const noexcept { return files_[record]; }
    bool two_files() const noexcept { return two_files_; }
    ValueId id(std::size_t record, std::size_t field) const noexcept { return ids_[record * fields_.size() + field]; }
    const Value& value(std::size_t field, ValueId id) const noexcept { return columns_[field].values[id]; }
    std::string_view text(std::size_t field, ValueId id) const noexcept {
        const auto& v = value(field, id);
        return std::string_view(columns_[field].arena).substr(v.offset, v.bytes);
    }
    std::string_view text_of(std::size_t record, std::size_t field) const noexcept { return text(field, id(record, field)); }
    std::size_t distinct(std::size_t field) const noexcept { return columns_[field].values.size() - 1; }
    std::size_t present(std::size_t field) const noexcept { return size() - value(field, kMissing).count; }
    // Pairs that could be compared: all of one file, or all across two.
    double possible_pairs() const noexcept;

private:
    struct Column {
        std::string arena;
        std::vector<Value> values{Value{}};   // [0] stands for a missing one
        std::vector<ValueId> slots;           // open addressing over `values`, by hash of the text
    };
    ValueId intern(Column& column, FieldKind kind, std::string text);

    std::vector<Field> fields_;
    std::vector<Column> columns_;
    std::vector<ValueId> ids_;  // [N, F]
    std::vector<std::uint8_t> files_;
    bool two_files_ = false;
};

}  // namespace perennial::resolve
