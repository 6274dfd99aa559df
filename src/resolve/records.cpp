#include "resolve/records.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/hash.h"
#include "base/text.h"
#include "base/time.h"

namespace perennial::resolve {
namespace {

constexpr std::array<std::string_view, kFieldKindCount> kNames{"given_name", "family_name", "text", "category", "date", "email", "phone", "code"};
constexpr std::array<std::string_view, 9> kNothing{"", "-", "null", "none", "nan", "n/a", "na", "unknown", "undefined"};

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

std::string digits_of(std::string_view text) {
    std::string digits;
    std::ranges::copy_if(text, std::back_inserter(digits), is_digit);
    return digits;
}

std::string folded(std::string_view text) {
    std::string out;
    for (const char c : lower(trim(text))) {
        const bool blank = c == ' ' || c == '\t' || c == '\n' || c == '\r';
        if (!blank) out.push_back(c);
        else if (!out.empty() && out.back() != ' ') out.push_back(' ');
    }
    return out;
}

// "1999-02-19", "19990219", "19/02/1999", "1999-02-19T..." to "19990219"; what is no date in one of these forms stays as
// it is, for it may still be alike. A day first is read where the year stands last.
std::string date_digits(const std::string& text) {
    const std::string digits = digits_of(std::string_view(text).substr(0, 10));
    if (digits.size() != 8) return text;
    const bool year_last = text.size() >= 10 && !is_digit(text[2]);
    return year_last ? digits.substr(4) + digits.substr(2, 2) + digits.substr(0, 2) : digits;
}

std::int32_t day_of(std::string_view digits) noexcept {
    if (digits.size() != 8 || !std::ranges::all_of(digits, is_digit)) return Records::kNoDay;
    const auto number = [&](std::size_t from, std::size_t count) {
        int n = 0;
        for (const char c : digits.substr(from, count)) n = 10 * n + (c - '0');
        return n;
    };
    const CivilDate date{number(0, 4), static_cast<unsigned>(number(4, 2)), static_cast<unsigned>(number(6, 2))};
    if (date.month < 1 || date.month > 12 || date.day < 1 || date.day > 31) return Records::kNoDay;
    return static_cast<std::int32_t>(utc_time(date).ms / kMsPerDay);
}

}  // namespace

std::string_view name(FieldKind kind) noexcept { return kNames[static_cast<std::size_t>(kind)]; }

std::optional<FieldKind> field_kind_from_name(std::string_view name) noexcept {
    const auto found = std::ranges::find(kNames, name);
    if (found == kNames.end()) return std::nullopt;
    return static_cast<FieldKind>(found - kNames.begin());
}

std::optional<FieldKind> guess_field_kind(std::string_view column) {
    std::string word;
    for (const char c : lower(column))
        if ((c >= 'a' && c <= 'z') || is_digit(c)) word.push_back(c);
    // The first row with a word that the name holds decides.
    static constexpr std::array<std::pair<std::string_view, FieldKind>, 28> kWords{{
        {"email", FieldKind::kEmail}, {"phone", FieldKind::kPhone}, {"mobile", FieldKind::kPhone}, {"telephone", FieldKind::kPhone},
        {"dob", FieldKind::kDate}, {"birth", FieldKind::kDate},
        {"surname", FieldKind::kFamilyName}, {"lastname", FieldKind::kFamilyName}, {"familyname", FieldKind::kFamilyName},
        {"givenname", FieldKind::kGivenName}, {"firstname", FieldKind::kGivenName}, {"forename", FieldKind::kGivenName},
        {"postcode", FieldKind::kCode}, {"postal", FieldKind::kCode}, {"zip", FieldKind::kCode}, {"streetnumber", FieldKind::kCode},
        {"housenumber", FieldKind::kCode}, {"socsec", FieldKind::kCode}, {"ssn", FieldKind::kCode}, {"passport", FieldKind::kCode},
        {"taxid", FieldKind::kCode}, {"street", FieldKind::kText}, {"address", FieldKind::kText}, {"suburb", FieldKind::kText},
        {"city", FieldKind::kText}, {"town", FieldKind::kText}, {"state", FieldKind::kCategory}, {"country", FieldKind::kCategory}}};
    for (const auto& [part, kind] : kWords)
        if (word.find(part) != std::string::npos) return kind;
    if (word == "sex" || word == "gender") return FieldKind::kCategory;
    if (word == "name" || word == "fullname") return FieldKind::kText;
    return std::nullopt;
}

std::string cleaned(FieldKind kind, std::string_view text) {
    std::string value = folded(text);
    if (std::ranges::find(kNothing, value) != kNothing.end()) return {};
    if (kind == FieldKind::kDate) return date_digits(value);
    if (kind == FieldKind::kPhone) {
        constexpr std::size_t kDigits = 9;  // the subscriber's number; what stands before is country and trunk, written in many ways
        const std::string digits = digits_of(value);
        return digits.size() > kDigits ? digits.substr(digits.size() - kDigits) : digits;
    }
    if (kind == FieldKind::kCode || kind == FieldKind::kEmail) std::erase(value, ' ');
    return value;
}

Result<Records> Records::over(std::vector<Field> fields) {
    if (fields.empty()) return Error{Code::kInvalid, "records: want at least one field to compare, got none"};
    if (fields.size() > kFieldsLimit) return Error{Code::kFull, fmt::format("records: want at most {} fields, got {}", kFieldsLimit, fields.size())};
    Records records;
    records.columns_.resize(fields.size());
    records.fields_ = std::move(fields);
    return records;
}

Status Records::add(std::span<const std::string_view> values, std::uint8_t file) {
    if (values.size() != fields_.size())
        return Error{Code::kInvalid, fmt::format("record {}: want {} values, got {}", size() + 1, fields_.size(), values.size())};
    if (size() >= kRecordsLimit) return Error{Code::kFull, fmt::format("records: want at most {}", kRecordsLimit)};
    for (std::size_t f = 0; f < values.size(); ++f)
        if (values[f].size() > kValueBytesLimit)
            return Error{Code::kInvalid, fmt::format("record {}: {}: want at most {} bytes, got {}", size() + 1, fields_[f].name, kValueBytesLimit, values[f].size())};
    for (std::size_t f = 0; f < values.size(); ++f) ids_.push_back(intern(columns_[f], fields_[f].kind, cleaned(fields_[f].kind, to_utf8(values[f]))));
    if (!files_.empty() && file != files_.front()) two_files_ = true;
    files_.push_back(file);
    return Done{};
}

Records::ValueId Records::intern(Column& column, FieldKind kind, std::string text) {
    if (text.empty()) {
        ++column.values[kMissing].count;
        return kMissing;
    }
    if (column.slots.size() < 2 * (column.values.size() + 1)) {  // at most half full
        column.slots.assign(std::max<std::size_t>(64, 2 * column.slots.size()), kMissing);
        for (ValueId id = 1; id < column.values.size(); ++id) {
            const auto& v = column.values[id];
            std::size_t at = hash64(std::string_view(column.arena).substr(v.offset, v.bytes)) % column.slots.size();
            while (column.slots[at] != kMissing) at = (at + 1) % column.slots.size();
            column.slots[at] = id;
        }
    }
    std::size_t at = hash64(text) % column.slots.size();
    for (; column.slots[at] != kMissing; at = (at + 1) % column.slots.size()) {
        auto& v = column.values[column.slots[at]];
        if (std::string_view(column.arena).substr(v.offset, v.bytes) != text) continue;
        ++v.count;
        return column.slots[at];
    }
    Value value;
    value.offset = column.arena.size();
    value.bytes = static_cast<std::uint16_t>(text.size());
    value.count = 1;
    if (kind == FieldKind::kDate) value.day = day_of(text);
    if (kind == FieldKind::kEmail) value.local = static_cast<std::uint16_t>(std::min(text.find('@'), text.size()));
    column.arena += text;
    column.slots[at] = static_cast<ValueId>(column.values.size());
    column.values.push_back(value);
    return column.slots[at];
}

double Records::possible_pairs() const noexcept {
    const auto n = static_cast<double>(size());
    if (!two_files_) return n * (n - 1) / 2;
    const auto first = static_cast<double>(std::ranges::count(files_, files_.front()));
    return first * (n - first);
}

}  // namespace perennial::resolve
