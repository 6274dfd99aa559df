// Records in, persons out: blocking, comparison, match model, links, clusters; and how right that was where the truth is known.
// Threads: the result does not depend on how many there are.
#pragma once

#include <memory>
#include <optional>
#include <span>
#include <vector>

#include "base/result.h"
#include "resolve/blocking.h"
#include "resolve/clusters.h"
#include "resolve/comparison.h"
#include "resolve/fellegi_sunter.h"
#include "resolve/records.h"

namespace perennial::resolve {

struct ResolveOptions {
    BlockingOptions blocking;
    FitOptions fit;
    ClusterOptions clusters;
    double probability = 0.5;           // of a link; half is the choice with the fewest expected errors
    std::optional<std::vector<BlockingRule>> rules;  // default_rules() where absent
    unsigned threads = 1;
};

struct Timings {
    double blocking = 0, comparing = 0, fitting = 0, clustering = 0;  // seconds
};

struct Resolution {
    std::unique_ptr<Records> records;        // on the heap: the parts below refer to it
    std::unique_ptr<Comparator> comparator;
    std::unique_ptr<Blocking> blocking;
    std::unique_ptr<MatchModel> model;
    std::unique_ptr<Scorer> scorer;
    std::size_t pairs = 0;                   // compared
    std::vector<Link> links;                 // at or above `probability`, in order of a, b
    Clusters clusters;                       // of one file
    std::vector<Link> matches;               // one to one, where there are two files
    Timings seconds;
};

// Takes the records. Errors: those of Blocking::over, compare_all and fit.
Result<Resolution> resolve(Records records, const ResolveOptions& options);

// Pairs said to be one person against pairs that are.
struct Agreement {
    double said = 0, right = 0, truth = 0;  // pairs
    double precision() const noexcept { return said > 0 ? right / said : 1; }
    double recall() const noexcept { return truth > 0 ? right / truth : 1; }
    double f1() const noexcept { return said + truth > 0 ? 2 * right / (said + truth) : 1; }
};

// `entity`: [N] the true person of each record. Pairs of one file are left out where there are two. O(N log N).
Agreement agreement_of_links(const Records& records, std::span<const Link> links, std::span<const std::uint32_t> entity);
Agreement agreement_of_clusters(const Records& records, std::span<const std::uint32_t> cluster_of, std::span<const std::uint32_t> entity);

}  // namespace perennial::resolve
