// Recency, frequency, monetary: each buyer's place among all buyers, in fifths (5 is best).
#pragma once

#include <array>
#include <cstdint>
#include <span>
#include <vector>

#include "base/time.h"
#include "profile/profile.h"

namespace perennial::profile {

// Upper edges of the lower four fifths; ties fall into the same fifth, so fifths may be unequal.
using QuintileEdges = std::array<double, 4>;
QuintileEdges quintile_edges(std::vector<double> values);
int quintile(double value, const QuintileEdges& edges) noexcept;  // 1 (lowest) to 5

struct RfmScale { QuintileEdges recency_days{}, purchase_days{}, spend{}; };
struct Rfm { int recency = 0, frequency = 0, monetary = 0; };  // 0 for who never bought

RfmScale rfm_scale(std::span<const Profile> profiles, UtcTime now);
Rfm rfm_of(const Profile& profile, UtcTime now, const RfmScale& scale);

}  // namespace perennial::profile
