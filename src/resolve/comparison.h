// Two records side by side: for each field how alike its values are, in a few levels, packed into one number. That number
// is all that the model of match weights sees of a pair, so its cost follows the distinct patterns, not the pairs.
// Level 0: one of the values is missing, which says nothing. Level 1: they differ. The highest: they are equal.
// Thresholds are those that Winkler (1990) and the defaults of Splink use; none is tuned on data.
// Threads: const members from any.
#pragma once

#include <array>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>
#include <vector>

#include "resolve/records.h"

namespace perennial::resolve {

using Pattern = std::uint32_t;
inline constexpr unsigned kLevelsLimit = 8;  // of one field, the missing level counted

class Comparator {
public:
    explicit Comparator(const Records& records);  // keeps a reference

    // One level a feature: the fields in order, then, where the table has a given and a family name, their order.
    // O(bytes of unequal values squared).
    Pattern compare(std::uint32_t a, std::uint32_t b) const noexcept;

    std::size_t features() const noexcept { return levels_.size(); }
    // Levels of a feature, the missing one counted: levels are 0 to levels(feature) - 1.
    unsigned levels(std::size_t feature) const noexcept { return levels_[feature]; }
    unsigned level(Pattern pattern, std::size_t feature) const noexcept {
        return feature < records_.fields().size() ? pattern >> (3 * feature) & 7u : pattern >> 30;
    }
    unsigned equal_level(std::size_t feature) const noexcept { return levels_[feature] - 1; }
    bool is_name_order(std::size_t feature) const noexcept { return feature >= records_.fields().size(); }
    // Were the names of this pair compared crosswise (the given name of one with the family name of the other)?
    static bool crossed(Pattern pattern) noexcept { return pattern >> 30 == kCrossed; }
    // The field of b that stood against `field` of a in this pattern.
    std::size_t partner(Pattern pattern, std::size_t field) const noexcept;

    std::string_view feature_name(std::size_t feature) const noexcept;
    std::string_view level_name(std::size_t feature, unsigned level) const noexcept;  // "one letter apart"

    const Records& records() const noexcept { return records_; }

    static constexpr unsigned kStraight = 1, kCrossed = 2;

private:
    unsigned field_level(std::uint32_t a, std::uint32_t b, std::size_t field) const noexcept;
    double likeness(std::uint32_t a, std::size_t field_a, std::uint32_t b, std::size_t field_b) const noexcept;
    unsigned name_level(std::uint32_t a, std::size_t field_a, std::uint32_t b, std::size_t field_b, double likeness) const noexcept;

    const Records& records_;
    std::vector<unsigned> levels_;
    std::optional<std::size_t> given_, family_;  // both or none
};

}  // namespace perennial::resolve
