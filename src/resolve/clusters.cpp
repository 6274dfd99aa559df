#include "resolve/clusters.h"

#include <algorithm>
#include <numeric>
#include <tuple>

#include "base/parallel.h"

namespace perennial::resolve {
namespace {

constexpr double kCutStep = 2;  // log2 odds by which the links of an oversized piece are cut at a time

// Union by smallest number, so that the root does not depend on the order of joins.
class Forest {
public:
    explicit Forest(std::size_t size) : parent_(size) { std::iota(parent_.begin(), parent_.end(), 0u); }
    std::uint32_t root(std::uint32_t i) {
        while (parent_[i] != i) i = parent_[i] = parent_[parent_[i]];
        return i;
    }
    void join(std::uint32_t a, std::uint32_t b) {
        a = root(a), b = root(b);
        parent_[std::max(a, b)] = std::min(a, b);
    }

private:
    std::vector<std::uint32_t> parent_;
};

using Members = std::vector<std::uint32_t>;

// Average linkage within one piece: members to groups. The matrix holds sums of weights between groups.
std::vector<Members> split(const Members& members, const std::function<double(std::uint32_t, std::uint32_t)>& weight_of, double limit) {
    const std::size_t n = members.size();
    std::vector<double> sum(n * n, 0.0);
    for (std::size_t i = 0; i < n; ++i)
        for (std::size_t j = i + 1; j < n; ++j) sum[i * n + j] = sum[j * n + i] = weight_of(members[i], members[j]);
    std::vector<Members> groups(n);
    for (std::size_t i = 0; i < n; ++i) groups[i] = {members[i]};
    std::vector<std::size_t> alive(n);
    std::iota(alive.begin(), alive.end(), std::size_t{0});
    for (;;) {
        double best = limit;
        std::size_t from = n, into = n;
        for (std::size_t x = 0; x < alive.size(); ++x)
            for (std::size_t y = x + 1; y < alive.size(); ++y) {
                const auto i = alive[x], j = alive[y];
                const double mean = sum[i * n + j] / static_cast<double>(groups[i].size() * groups[j].size());
                if (mean >= best && (into == n || mean > best)) best = mean, into = i, from = j;
            }
        if (into == n) break;
        groups[into].insert(groups[into].end(), groups[from].begin(), groups[from].end());
        groups[from].clear();
        std::erase(alive, from);
        for (const auto k : alive)
            if (k != into) sum[into * n + k] = sum[k * n + into] = sum[into * n + k] + sum[from * n + k];
    }
    std::erase_if(groups, [](const Members& group) { return group.empty(); });
    return groups;
}

}  // namespace

Clusters cluster(std::size_t records, std::span<const Link> links, const std::function<double(std::uint32_t, std::uint32_t)>& weight_of,
                 const ClusterOptions& options, unsigned threads) {
    Clusters result;
    result.of.resize(records);
    std::iota(result.of.begin(), result.of.end(), 0u);
    std::vector<Link> kept;
    for (const auto& link : links)
        if (link.weight >= options.weight_limit) kept.push_back(link);
    std::vector<Members> pieces;
    double limit = options.weight_limit;
    while (!kept.empty()) {
        Forest forest(records);
        for (const auto& link : kept) forest.join(link.a, link.b);
        std::vector<std::pair<std::uint32_t, std::uint32_t>> by_root;
        for (const auto& link : kept)
            for (const auto record : {link.a, link.b}) by_root.emplace_back(forest.root(record), record);
        std::ranges::sort(by_root);
        by_root.erase(std::unique(by_root.begin(), by_root.end()), by_root.end());  // clang 14 has no std::ranges::unique of libstdc++ 12
        std::vector<bool> oversized(records, false);  // roots of pieces that must be cut
        bool any = false;
        for (std::size_t begin = 0, end = 0; begin < by_root.size(); begin = end) {
            while (end < by_root.size() && by_root[end].first == by_root[begin].first) ++end;
            if (end - begin > options.component_limit) {
                oversized[by_root[begin].first] = any = true;
                if (limit == options.weight_limit) ++result.oversized_components, result.oversized_records += end - begin;
                continue;
            }
            Members& members = pieces.emplace_back();
            for (std::size_t i = begin; i < end; ++i) members.push_back(by_root[i].second);
        }
        if (!any) break;
        limit += kCutStep;
        std::erase_if(kept, [&](const Link& link) { return link.weight < limit || !oversized[forest.root(link.a)]; });
    }
    std::vector<std::vector<Members>> groups(pieces.size());
    constexpr std::size_t kPiecesAtOnce = 256;
    parallel_for(pieces.size(), kPiecesAtOnce, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t p = begin; p < end; ++p) {
            if (options.average_linkage && pieces[p].size() > 2) groups[p] = split(pieces[p], weight_of, options.weight_limit);
            else groups[p] = {pieces[p]};
        }
    });
    for (const auto& piece : groups)
        for (const auto& members : piece) {
            const auto root = *std::ranges::min_element(members);
            for (const auto record : members) result.of[record] = root;
        }
    std::vector<std::uint32_t> sizes(records, 0);
    for (const auto root : result.of) result.largest = std::max<std::size_t>(result.largest, ++sizes[root]);
    result.count = static_cast<std::size_t>(std::ranges::count_if(sizes, [](std::uint32_t size) { return size > 0; }));
    return result;
}

std::vector<Link> one_to_one(std::size_t records, std::vector<Link> links, double weight_limit) {
    std::erase_if(links, [&](const Link& link) { return link.weight < weight_limit; });
    std::ranges::sort(links, [](const Link& x, const Link& y) { return std::tuple(-x.weight, x.a, x.b) < std::tuple(-y.weight, y.a, y.b); });
    std::vector<bool> taken(records, false);
    std::erase_if(links, [&](const Link& link) {
        if (taken[link.a] || taken[link.b]) return true;
        taken[link.a] = taken[link.b] = true;
        return false;
    });
    return links;
}

}  // namespace perennial::resolve
