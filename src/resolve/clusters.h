// Pairs to persons. Connected pairs alone would chain: a is like b, b like c, and a is nothing like c. So each connected
// piece is split by average linkage on the pairs' weights (Sokal and Michener 1958): two groups join while the mean log
// odds between all their records, compared or not, are above the threshold. Of independent pairs that is a greedy ascent
// on the likelihood of the partition (correlation clustering, Bansal, Blum, Chawla 2004).
// Threads: the result does not depend on how many there are.
#pragma once

#include <cstdint>
#include <functional>
#include <span>
#include <vector>

namespace perennial::resolve {

struct Link {
    std::uint32_t a = 0, b = 0;
    double weight = 0;  // log2 odds of a match
};

struct ClusterOptions {
    double weight_limit = 0;               // links below it do not count; log2 odds
    std::size_t component_limit = 200;     // records of one connected piece; above it, its weaker links are cut until it falls apart
    bool average_linkage = true;           // false: connected components as they are
};

struct Clusters {
    std::vector<std::uint32_t> of;         // [N]: the smallest record of its cluster
    std::size_t count = 0, largest = 0;
    std::size_t oversized_components = 0, oversized_records = 0;  // pieces above component_limit, which were cut
};

// `weight_of(a, b)`: log2 odds of any pair, for those that no link names. `links` in any order; the result depends on their
// set alone. O(links log links + sum of component sizes cubed).
Clusters cluster(std::size_t records, std::span<const Link> links, const std::function<double(std::uint32_t, std::uint32_t)>& weight_of,
                 const ClusterOptions& options, unsigned threads);

// Linking two files in which nobody stands twice: strongest links first, each record once (greedy: at least half of the
// best total weight). Ties by record numbers.
std::vector<Link> one_to_one(std::size_t records, std::vector<Link> links, double weight_limit);

}  // namespace perennial::resolve
