// How time becomes a table row. Training and serving share these, so both always read the same row.
// A stamp is a UTC time in milliseconds. Threads: pure functions.
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

namespace perennial::model {

// Two buckets an octave of 1 + minutes: fine within a visit, a factor 1.4 over days and months, up to 11 years.
inline constexpr std::size_t kStampEdges = 45;
inline constexpr std::size_t kStampBuckets = kStampEdges + 1;  // of a difference between two positions

// A gap since the event before has two answers more: nobody knows, and the same occasion.
inline constexpr std::size_t kUnknownGap = 0, kSameOccasionGap = 1, kFirstTimedGap = 2;
inline constexpr std::size_t kGapBuckets = kFirstTimedGap + kStampBuckets;

std::span<const std::int64_t> stamp_edges() noexcept;  // [kStampEdges], milliseconds, ascending

// Row of the gap tables for a gap of so many milliseconds (below 0 counts as 0).
std::size_t timed_gap(std::int64_t gap_ms) noexcept;
// The same for days; NaN is kUnknownGap.
std::size_t timed_gap_days(double days) noexcept;

// Edges of the hazard's buckets in days: 0, then `buckets` values, geometric from half a day to two years.
std::vector<float> hazard_edges(std::size_t buckets);

}  // namespace perennial::model
