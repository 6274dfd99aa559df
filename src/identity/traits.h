// What a customer said of himself, from the traits of his identify events: the newest value of each field.
// Threads: pure functions.
#pragma once

#include <array>
#include <span>
#include <string>
#include <string_view>

#include "event/event.h"
#include "resolve/records.h"

namespace perennial::identity {

inline constexpr std::size_t kTraitCount = 10;
using Traits = std::array<std::string, kTraitCount>;

// Name and kind of each trait, in the order of Traits. Hashes of e-mail and phone are compared as equal or not.
const std::array<resolve::Field, kTraitCount>& trait_fields();

// `timeline` in time order. O(bytes of its identify events).
Traits traits_of(std::span<const event::Event> timeline);

// Takes the traits of one JSON object into `traits`; members of an inner "address" too. What is no object is left alone.
void read_traits(std::string_view json, Traits& traits);

}  // namespace perennial::identity
