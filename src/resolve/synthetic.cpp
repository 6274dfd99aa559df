#include "resolve/synthetic.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>

#include "base/rng.h"
#include "base/time.h"

namespace perennial::resolve {
namespace {

enum Column : std::size_t { kGiven, kFamily, kBirth, kStreet, kTown, kPostcode, kEmail, kPhone, kColumns };
using Row = std::array<std::string, kColumns>;

// The n-th name of its kind: syllables from the digits of a scrambled n, so that near numbers are not near names.
std::string made_name(std::uint64_t n, std::uint64_t kind, std::size_t syllables) {
    static constexpr std::array<std::string_view, 16> kOnsets{"b", "c", "d", "f", "g", "h", "k", "l", "m", "n", "p", "r", "s", "t", "v", "st"};
    static constexpr std::array<std::string_view, 8> kVowels{"a", "e", "i", "o", "u", "ea", "ai", "ou"};
    static constexpr std::array<std::string_view, 8> kCodas{"", "", "n", "r", "l", "s", "th", "ck"};
    std::uint64_t state = n * 8 + kind;
    std::uint64_t bits = splitmix64(state);
    std::string name;
    for (std::size_t s = 0; s < syllables; ++s) {
        name += kOnsets[bits & 15];
        name += kVowels[bits >> 4 & 7];
        name += kCodas[bits >> 7 & 7];
        bits >>= 10;
    }
    return name;
}

// Ranks 0 to n - 1 with probability falling as 1 / (rank + offset): the inverse of its continuous form.
std::uint64_t zipf(Rng& rng, double n, double offset) {
    return static_cast<std::uint64_t>(offset * std::pow((n + offset) / offset, rng.uniform()) - offset);
}

Row made_person(Rng& rng) {
    Row row;
    row[kGiven] = made_name(zipf(rng, 3'000, 15), 1, 2);
    row[kFamily] = made_name(zipf(rng, 60'000, 60), 2, 2 + rng.below(2));
    const auto birth = civil_date({static_cast<std::int64_t>(rng.below(70 * 365)) * kMsPerDay - 20 * 365 * kMsPerDay});
    row[kBirth] = fmt::format("{:04}-{:02}-{:02}", birth.year, birth.month, birth.day);
    const auto town = zipf(rng, 2'000, 10);
    row[kTown] = made_name(town, 3, 3);
    row[kPostcode] = fmt::format("{:05}", town * 17 + rng.below(17));
    row[kStreet] = fmt::format("{} {} street", 1 + rng.below(200), made_name(zipf(rng, 5'000, 20), 4, 2));
    row[kEmail] = fmt::format("{}.{}{}@{}.com", row[kGiven], row[kFamily], rng.below(1000), made_name(zipf(rng, 30, 2), 5, 2));
    row[kPhone] = fmt::format("0{:09}", rng.below(1'000'000'000));
    return row;
}

void mistype(std::string& text, Rng& rng) {
    if (text.empty()) return;
    const auto at = static_cast<std::size_t>(rng.below(text.size()));
    const bool digit = text[at] >= '0' && text[at] <= '9';
    const char letter = static_cast<char>(digit ? '0' + rng.below(10) : 'a' + rng.below(26));
    switch (rng.below(4)) {
        case 0: text[at] = letter; break;
        case 1: text.insert(at, 1, letter); break;
        case 2: text.erase(at, 1); break;
        default:
            if (at + 1 < text.size()) std::swap(text[at], text[at + 1]);
    }
}

}  // namespace

Result<SyntheticPeople> synthetic_people(const SyntheticOptions& options) {
    auto records = Records::over({{"given_name", FieldKind::kGivenName}, {"surname", FieldKind::kFamilyName}, {"dob", FieldKind::kDate},
                                  {"street", FieldKind::kText}, {"town", FieldKind::kText}, {"postcode", FieldKind::kCode},
                                  {"email", FieldKind::kEmail}, {"phone", FieldKind::kPhone}});
    if (!records) return records.error();
    Rng rng(options.seed);
    // Who each record is, then in random order. A person's rows are drawn from a stream of their own.
    std::vector<std::pair<std::uint32_t, std::uint32_t>> plan;  // person, number of the record
    for (std::uint32_t person = 0; plan.size() < options.records; ++person) {
        plan.emplace_back(person, 0u);
        for (std::uint32_t copy = 1; plan.size() < options.records && rng.chance(options.copies_mean / (1 + options.copies_mean)); ++copy) plan.emplace_back(person, copy);
    }
    rng.shuffle(plan);
    SyntheticPeople people{std::move(*records), {}};
    people.entity.reserve(plan.size());
    for (const auto& [person, copy] : plan) {
        const Rng own = rng.fork(person);
        Rng life = own.fork(0), pen = own.fork(1 + copy);
        Row row = made_person(life);
        if (copy > 0) {
            if (pen.chance(options.changed_share)) {
                const Row other = made_person(pen);
                for (const auto column : {kStreet, kTown, kPostcode}) row[column] = other[column];
            }
            if (pen.chance(options.changed_share)) row[kEmail] = made_person(pen)[kEmail];
            if (pen.chance(options.changed_share)) row[kPhone] = made_person(pen)[kPhone];
            for (auto& value : row)
                if (pen.chance(options.error_share)) mistype(value, pen);
            if (pen.chance(options.swapped_share)) std::swap(row[kGiven], row[kFamily]);
        }
        for (auto& value : row)
            if (pen.chance(options.missing_share)) value.clear();
        std::array<std::string_view, kColumns> views;
        std::ranges::copy(row, views.begin());
        PERENNIAL_TRY(people.records.add(views));
        people.entity.push_back(person);
    }
    return people;
}

}  // namespace perennial::resolve
