// People with known truth for measuring: names and towns with few common and many rare ones (Zipf), dates of birth, streets,
// e-mail addresses and telephone numbers, written down several times with typing errors, gaps and swapped names.
// Threads: pure function of its options.
#pragma once

#include <cstdint>
#include <vector>

#include "base/result.h"
#include "resolve/records.h"

namespace perennial::resolve {

struct SyntheticOptions {
    std::size_t records = 10'000;
    double copies_mean = 0.6;       // further records of a person, on average (geometric)
    double error_share = 0.12;      // of the fields of a further record: a typing error
    double missing_share = 0.08;    // of all fields: left empty
    double changed_share = 0.05;    // of further records: moved, or another e-mail address or number
    double swapped_share = 0.02;    // of further records: given and family name swapped
    std::uint64_t seed = 1;
};

struct SyntheticPeople {
    Records records;
    std::vector<std::uint32_t> entity;  // [N]
};

// In random order. O(records). Errors: those of Records::add.
Result<SyntheticPeople> synthetic_people(const SyntheticOptions& options);

}  // namespace perennial::resolve
