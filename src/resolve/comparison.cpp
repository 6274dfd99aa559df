#include "resolve/comparison.h"

#include <algorithm>
#include <cstdlib>

#include "resolve/text_distance.h"

namespace perennial::resolve {
namespace {

using Names = std::span<const std::string_view>;

constexpr std::array<std::string_view, 6> kNameLevels{"missing", "different", "alike (0.70)", "alike (0.88)", "alike (0.92)", "equal"};
constexpr std::array<std::string_view, 5> kTextLevels{"missing", "different", "alike (0.70)", "alike (0.90)", "equal"};
constexpr std::array<std::string_view, 3> kCategoryLevels{"missing", "different", "equal"};
constexpr std::array<std::string_view, 6> kDateLevels{"missing", "different", "within a year", "within a month", "one digit or the day and month swapped", "equal"};
constexpr std::array<std::string_view, 6> kEmailLevels{"missing", "different", "alike (0.88)", "same before the @", "at most two letters apart", "equal"};
constexpr std::array<std::string_view, 5> kCodeLevels{"missing", "different", "two digits apart", "one digit apart", "equal"};
constexpr std::array<std::string_view, 3> kOrderLevels{"missing", "as they stand", "swapped"};

Names level_names(FieldKind kind) noexcept {
    switch (kind) {
        case FieldKind::kGivenName:
        case FieldKind::kFamilyName: return kNameLevels;
        case FieldKind::kText: return kTextLevels;
        case FieldKind::kCategory: return kCategoryLevels;
        case FieldKind::kDate: return kDateLevels;
        case FieldKind::kEmail: return kEmailLevels;
        case FieldKind::kPhone:
        case FieldKind::kCode: return kCodeLevels;
    }
    return kCategoryLevels;
}

// How many of `thresholds`, rising, `likeness` reaches; level 1 below all of them.
template <std::size_t K>
unsigned step(double likeness, const std::array<double, K>& thresholds) noexcept {
    unsigned level = 1;
    for (const double threshold : thresholds) level += likeness >= threshold;
    return level;
}

constexpr std::array<double, 3> kNameSteps{0.70, 0.88, 0.92};
constexpr std::array<double, 2> kTextSteps{0.70, 0.90};
constexpr double kEmailStep = 0.88;

bool day_and_month_swapped(std::string_view a, std::string_view b) noexcept {
    return a.size() == 8 && b.size() == 8 && a.substr(0, 4) == b.substr(0, 4) && a.substr(4, 2) == b.substr(6, 2) && a.substr(6, 2) == b.substr(4, 2);
}

}  // namespace

Comparator::Comparator(const Records& records) : records_(records) {
    const auto& fields = records.fields();
    for (std::size_t f = 0; f < fields.size(); ++f) {
        levels_.push_back(static_cast<unsigned>(level_names(fields[f].kind).size()));
        if (fields[f].kind == FieldKind::kGivenName && !given_) given_ = f;
        if (fields[f].kind == FieldKind::kFamilyName && !family_) family_ = f;
    }
    if (given_ && family_) levels_.push_back(static_cast<unsigned>(kOrderLevels.size()));
    else given_ = family_ = std::nullopt;
}

std::string_view Comparator::feature_name(std::size_t feature) const noexcept {
    return is_name_order(feature) ? std::string_view("order of names") : std::string_view(records_.fields()[feature].name);
}

std::string_view Comparator::level_name(std::size_t feature, unsigned level) const noexcept {
    return (is_name_order(feature) ? Names(kOrderLevels) : level_names(records_.fields()[feature].kind))[level];
}

std::size_t Comparator::partner(Pattern pattern, std::size_t field) const noexcept {
    if (!crossed(pattern)) return field;
    return field == *given_ ? *family_ : field == *family_ ? *given_ : field;
}

// Of two names, 0 where one is missing: only to choose which names stand against each other.
double Comparator::likeness(std::uint32_t a, std::size_t field_a, std::uint32_t b, std::size_t field_b) const noexcept {
    const auto x = records_.id(a, field_a), y = records_.id(b, field_b);
    if (x == Records::kMissing || y == Records::kMissing) return 0;
    if (field_a == field_b && x == y) return 1;
    return jaro_winkler(records_.text(field_a, x), records_.text(field_b, y));
}

unsigned Comparator::field_level(std::uint32_t a, std::uint32_t b, std::size_t field) const noexcept {
    const auto x = records_.id(a, field), y = records_.id(b, field);
    if (x == Records::kMissing || y == Records::kMissing) return 0;
    const auto kind = records_.fields()[field].kind;
    const auto equal = static_cast<unsigned>(level_names(kind).size()) - 1;
    if (x == y) return equal;
    const auto left = records_.text(field, x), right = records_.text(field, y);
    switch (kind) {
        case FieldKind::kGivenName:
        case FieldKind::kFamilyName: return step(jaro_winkler(left, right), kNameSteps);
        case FieldKind::kText: return step(jaro_winkler(left, right), kTextSteps);
        case FieldKind::kCategory: return 1;
        case FieldKind::kDate: {
            if (day_and_month_swapped(left, right) || damerau_within(left, right, 1) <= 1) return 4;
            const auto &d = records_.value(field, x), &e = records_.value(field, y);
            if (d.day == Records::kNoDay || e.day == Records::kNoDay) return 1;
            const auto days = std::abs(std::int64_t{d.day} - e.day);
            return days <= 31 ? 3 : days <= 366 ? 2 : 1;
        }
        case FieldKind::kEmail: {
            if (damerau_within(left, right, 2) <= 2) return 4;
            const auto local = left.substr(0, records_.value(field, x).local);
            if (!local.empty() && local == right.substr(0, records_.value(field, y).local)) return 3;
            return jaro_winkler(left, right) >= kEmailStep ? 2 : 1;
        }
        case FieldKind::kPhone:
        case FieldKind::kCode: {
            const auto edits = damerau_within(left, right, 2);
            return edits <= 1 ? 3 : edits == 2 ? 2 : 1;
        }
    }
    return 1;
}

// Of two names whose likeness is known already: most of the time of a comparison goes into that.
unsigned Comparator::name_level(std::uint32_t a, std::size_t field_a, std::uint32_t b, std::size_t field_b, double likeness) const noexcept {
    const auto x = records_.id(a, field_a), y = records_.id(b, field_b);
    if (x == Records::kMissing || y == Records::kMissing) return 0;
    if (likeness >= 1 && records_.text(field_a, x) == records_.text(field_b, y)) return equal_level(field_a);
    return step(likeness, kNameSteps);
}

Pattern Comparator::compare(std::uint32_t a, std::uint32_t b) const noexcept {
    Pattern pattern = 0;
    if (given_) {
        const auto given = *given_, family = *family_;
        double of_given = likeness(a, given, b, given), of_family = likeness(a, family, b, family);
        std::size_t against_given = given, against_family = family;
        // Swapped only where one name then agrees nearly, and the two together better than as they stand.
        if (const double straight = of_given + of_family; straight < 2) {
            const double crossed_given = likeness(a, given, b, family), crossed_family = likeness(a, family, b, given);
            if (std::max(crossed_given, crossed_family) >= kNameSteps[1] && crossed_given + crossed_family > straight) {
                of_given = crossed_given, of_family = crossed_family;
                against_given = family, against_family = given;
            }
        }
        const auto missing = [&](std::uint32_t record) { return records_.id(record, given) == Records::kMissing && records_.id(record, family) == Records::kMissing; };
        if (!missing(a) && !missing(b)) pattern |= Pattern{against_given == family ? kCrossed : kStraight} << 30;
        pattern |= Pattern{name_level(a, given, b, against_given, of_given)} << (3 * given);
        pattern |= Pattern{name_level(a, family, b, against_family, of_family)} << (3 * family);
    }
    for (std::size_t f = 0; f < records_.fields().size(); ++f)
        if (f != given_ && f != family_) pattern |= Pattern{field_level(a, b, f)} << (3 * f);
    return pattern;
}

}  // namespace perennial::resolve
