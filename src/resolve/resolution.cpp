#include "resolve/resolution.h"

#include <algorithm>
#include <cmath>

#include "base/parallel.h"
#include "base/time.h"

namespace perennial::resolve {
namespace {

constexpr std::size_t kPairsAtOnce = 65'536;

// Pairs of equal label; across the files only where there are two. `label_of` sorts records into groups.
template <class LabelOf>
double pairs_of_groups(const Records& records, LabelOf&& label_of) {
    std::vector<std::uint32_t> order(records.size());
    for (std::uint32_t i = 0; i < order.size(); ++i) order[i] = i;
    std::ranges::sort(order, {}, label_of);
    double pairs = 0;
    for (std::size_t begin = 0, end = 0; begin < order.size(); begin = end) {
        double first = 0;
        for (end = begin; end < order.size() && label_of(order[end]) == label_of(order[begin]); ++end) first += records.file(order[end]) == records.file(0);
        const auto size = static_cast<double>(end - begin);
        pairs += records.two_files() ? first * (size - first) : size * (size - 1) / 2;
    }
    return pairs;
}

}  // namespace

Result<Resolution> resolve(Records records, const ResolveOptions& options) {
    Resolution result;
    result.records = std::make_unique<Records>(std::move(records));
    result.comparator = std::make_unique<Comparator>(*result.records);
    double clock = monotonic_seconds();
    const auto lap = [&] { return monotonic_seconds() - std::exchange(clock, monotonic_seconds()); };

    auto blocking = Blocking::over(*result.comparator, options.rules ? *options.rules : default_rules(*result.records), options.blocking, options.threads);
    if (!blocking) return blocking.error();
    result.blocking = std::make_unique<Blocking>(std::move(*blocking));
    result.seconds.blocking = lap();

    auto pairs = result.blocking->compare_all(*result.comparator, options.threads);
    if (!pairs) return pairs.error();
    result.pairs = pairs->size();
    result.seconds.comparing = lap();

    auto model = fit(*result.comparator, *result.blocking, *pairs, options.fit, options.threads);
    if (!model) return model.error();
    result.model = std::make_unique<MatchModel>(std::move(*model));
    result.scorer = std::make_unique<Scorer>(*result.comparator, *result.model);
    result.seconds.fitting = lap();

    const double limit = std::log2(options.probability / (1 - options.probability));
    std::vector<std::vector<Link>> found((pairs->size() + kPairsAtOnce - 1) / kPairsAtOnce);
    parallel_for(pairs->size(), kPairsAtOnce, options.threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t i = begin; i < end; ++i)
            if (const double weight = result.scorer->weight((*pairs)[i]); weight >= limit) found[begin / kPairsAtOnce].push_back({(*pairs)[i].a, (*pairs)[i].b, weight});
    });
    *pairs = {};
    for (const auto& piece : found) result.links.insert(result.links.end(), piece.begin(), piece.end());
    std::ranges::sort(result.links, [](const Link& x, const Link& y) { return std::pair(x.a, x.b) < std::pair(y.a, y.b); });
    if (result.records->two_files()) {
        result.matches = one_to_one(result.records->size(), result.links, limit);
    } else {
        auto cluster_options = options.clusters;
        cluster_options.weight_limit = limit;
        const auto weight_of = [&](std::uint32_t a, std::uint32_t b) {
            if (a > b) std::swap(a, b);
            return result.scorer->weight({a, b, result.comparator->compare(a, b)});
        };
        result.clusters = cluster(result.records->size(), result.links, weight_of, cluster_options, options.threads);
    }
    result.seconds.clustering = lap();
    return result;
}

Agreement agreement_of_links(const Records& records, std::span<const Link> links, std::span<const std::uint32_t> entity) {
    Agreement agreement;
    agreement.truth = pairs_of_groups(records, [&](std::uint32_t i) { return entity[i]; });
    agreement.said = static_cast<double>(links.size());
    for (const auto& link : links) agreement.right += entity[link.a] == entity[link.b];
    return agreement;
}

Agreement agreement_of_clusters(const Records& records, std::span<const std::uint32_t> cluster_of, std::span<const std::uint32_t> entity) {
    Agreement agreement;
    agreement.truth = pairs_of_groups(records, [&](std::uint32_t i) { return entity[i]; });
    agreement.said = pairs_of_groups(records, [&](std::uint32_t i) { return cluster_of[i]; });
    agreement.right = pairs_of_groups(records, [&](std::uint32_t i) { return std::pair(cluster_of[i], entity[i]); });
    return agreement;
}

}  // namespace perennial::resolve
