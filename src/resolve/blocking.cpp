#include "resolve/blocking.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <mutex>
#include <unordered_map>

#include "base/hash.h"
#include "base/parallel.h"
#include "base/rng.h"

namespace perennial::resolve {
namespace {

constexpr std::size_t kSharersOfCode = 4;   // a code that more records than that share on average picks out nobody by itself
constexpr std::size_t kBlocksAtOnce = 512, kRowsAtOnce = 64;

std::string part_of(std::string_view text, Part part) {
    switch (part) {
        case Part::kWhole: return std::string(text);
        case Part::kSound: return soundex(text);
        case Part::kStart:
        case Part::kYear: return std::string(text.substr(0, 4));
    }
    return {};
}

// 0 where a part is missing.
std::uint64_t key_of(const Records& records, std::uint32_t record, const BlockingRule& rule) {
    std::vector<std::string> texts;
    for (const auto& part : rule.parts) {
        texts.push_back(part_of(records.text_of(record, part.field), part.part));
        if (texts.back().empty()) return 0;
    }
    if (rule.names_in_any_order) std::ranges::sort(texts);
    std::string joined;
    for (const auto& text : texts) (joined += text) += '\x1f';
    return std::max<std::uint64_t>(hash64(joined), 1);
}

bool may_pair(const Records& records, std::uint32_t a, std::uint32_t b) noexcept { return !records.two_files() || records.file(a) != records.file(b); }

using Counts = std::unordered_map<Pattern, std::uint64_t>;

std::vector<Blocking::PatternCount> sorted_counts(const Counts& counts) {
    std::vector<Blocking::PatternCount> sorted;
    for (const auto& [pattern, count] : counts) sorted.push_back({pattern, static_cast<double>(count)});
    std::ranges::sort(sorted, {}, &Blocking::PatternCount::pattern);
    return sorted;
}

}  // namespace

bool BlockingRule::uses(std::size_t field) const noexcept {
    return std::ranges::any_of(parts, [&](const KeyPart& part) { return part.field == field; });
}

std::string to_text(const BlockingRule& rule, const Records& records) {
    std::string text;
    for (const auto& part : rule.parts) {
        if (!text.empty()) text += " + ";
        if (part.part == Part::kSound) text += "sound of ";
        if (part.part == Part::kStart) text += "start of ";
        if (part.part == Part::kYear) text += "year of ";
        text += records.fields()[part.field].name;
    }
    return rule.names_in_any_order ? text + " (in any order)" : text;
}

std::string soundex(std::string_view name) {
    constexpr std::string_view kCodes = "01230120022455012623010202";  // of a to z; 0: vowels, h and w
    std::string out;
    char last = '0';
    for (char c : name) {
        if (c >= 'A' && c <= 'Z') c = static_cast<char>(c - 'A' + 'a');
        if (c < 'a' || c > 'z') continue;
        const char code = kCodes[static_cast<std::size_t>(c - 'a')];
        if (out.empty()) out.push_back(c);
        else if (code != '0' && code != last) out.push_back(code);
        if (c != 'h' && c != 'w') last = code;  // those two do not part letters of one code
        if (out.size() == 4) return out;
    }
    if (!out.empty()) out.resize(4, '0');
    return out;
}

std::vector<BlockingRule> default_rules(const Records& records) {
    std::vector<BlockingRule> rules;
    std::vector<std::size_t> given, family, dates, places;
    const auto& fields = records.fields();
    for (std::size_t f = 0; f < fields.size(); ++f) {
        const auto kind = fields[f].kind;
        if (kind == FieldKind::kEmail || kind == FieldKind::kPhone || (kind == FieldKind::kCode && records.distinct(f) * kSharersOfCode > records.present(f))) rules.push_back({{{f}}});
        if (kind == FieldKind::kGivenName) given.push_back(f);
        if (kind == FieldKind::kFamilyName) family.push_back(f);
        if (kind == FieldKind::kDate) dates.push_back(f);
        if (kind == FieldKind::kText || kind == FieldKind::kCode) places.push_back(f);
    }
    if (!given.empty() && !family.empty()) rules.push_back({{{given[0]}, {family[0]}}, true});
    for (const auto date : dates) {
        for (const auto& names : {given, family})
            if (!names.empty()) rules.push_back({{{date}, {names[0], Part::kSound}}});
        for (const auto place : places) rules.push_back({{{date}, {place}}});
    }
    for (const auto place : places)
        for (const auto& names : {given, family})
            if (!names.empty()) rules.push_back({{{place}, {names[0], Part::kSound}}});
    if (rules.empty())
        for (const auto place : places) rules.push_back({{{place}}});
    return rules;
}

Result<Blocking> Blocking::over(const Comparator& comparator, std::vector<BlockingRule> rules, const BlockingOptions& options, unsigned threads) {
    const auto& records = comparator.records();
    Blocking blocking;
    blocking.compares_all_ = records.possible_pairs() <= options.all_pairs_limit;
    blocking.pairs_limit_ = options.pairs_limit;
    if (blocking.compares_all_) return blocking;
    if (rules.empty())
        return Error{Code::kInvalid, fmt::format("blocking: want at least one rule for {} records ({:.0f} pairs; all are compared up to {:.0f}), got none", records.size(),
                                                 records.possible_pairs(), options.all_pairs_limit)};
    const std::size_t count = records.size();
    blocking.rules_ = std::move(rules);
    blocking.keys_.resize(blocking.rules_.size());
    blocking.members_.resize(blocking.rules_.size());
    blocking.blocks_.resize(blocking.rules_.size());
    blocking.pairs_of_rule_.resize(blocking.rules_.size());
    std::vector<std::vector<RefusedBlock>> refused(blocking.rules_.size());
    std::vector<std::vector<double>> refused_pairs(blocking.rules_.size());
    parallel_for(blocking.rules_.size(), 1, threads, [&](std::size_t r, std::size_t) {
        auto& keys = blocking.keys_[r];
        auto& members = blocking.members_[r];
        keys.resize(count);
        for (std::uint32_t i = 0; i < count; ++i)
            if ((keys[i] = key_of(records, i, blocking.rules_[r])) != 0) members.push_back(i);
        std::ranges::sort(members, [&](std::uint32_t a, std::uint32_t b) { return std::pair(keys[a], a) < std::pair(keys[b], b); });
        for (std::size_t begin = 0, end = 0; begin < members.size(); begin = end) {
            const auto key = keys[members[begin]];
            std::size_t first_file = 0;
            for (end = begin; end < members.size() && keys[members[end]] == key; ++end) first_file += records.file(members[end]) == records.file(0);
            const std::size_t size = end - begin;
            const std::size_t pairs = records.two_files() ? first_file * (size - first_file) : size * (size - 1) / 2;
            if (pairs == 0) continue;
            if (size <= options.block_records_limit) {
                blocking.blocks_[r].push_back({key, static_cast<std::uint32_t>(begin), static_cast<std::uint32_t>(end)});
                blocking.pairs_of_rule_[r] += pairs;
                continue;
            }
            refused[r].push_back({r, size, members[begin]});
            refused_pairs[r].push_back(static_cast<double>(pairs));
            for (std::size_t i = begin; i < end; ++i) keys[members[i]] = 0;  // a pair that another rule names is not lost to this one
        }
    });
    for (std::size_t r = 0; r < refused.size(); ++r) {
        blocking.refused_.insert(blocking.refused_.end(), refused[r].begin(), refused[r].end());
        for (const double pairs : refused_pairs[r]) blocking.refused_pairs_ += pairs;
    }
    blocking.refused_blocks_ = blocking.refused_.size();
    std::ranges::stable_sort(blocking.refused_, std::ranges::greater{}, &RefusedBlock::records);
    if (blocking.refused_.size() > kRefusedKept) blocking.refused_.resize(kRefusedKept);
    return blocking;
}

Result<std::vector<Pair>> Blocking::compare_all(const Comparator& comparator, unsigned threads) const {
    const auto& records = comparator.records();
    std::vector<std::vector<Pair>> found;
    std::vector<Pair> all;
    const auto gather = [&] {
        std::size_t total = all.size();
        for (const auto& piece : found) total += piece.size();
        all.reserve(total);
        for (auto& piece : found) {
            all.insert(all.end(), piece.begin(), piece.end());
            piece = {};
        }
    };
    const Error too_many{Code::kFull, fmt::format("blocking: want at most {} pairs, got more: the rules are too wide, or block_records_limit too high", pairs_limit_)};
    if (compares_all_) {
        found.resize((records.size() + kRowsAtOnce - 1) / kRowsAtOnce);
        parallel_for(records.size(), kRowsAtOnce, threads, [&](std::size_t begin, std::size_t end) {
            auto& out = found[begin / kRowsAtOnce];
            for (auto a = static_cast<std::uint32_t>(begin); a < end; ++a)
                for (std::uint32_t b = a + 1; b < records.size(); ++b)
                    if (may_pair(records, a, b)) out.push_back({a, b, comparator.compare(a, b)});
        });
        gather();
        return all;
    }
    std::atomic<std::size_t> total{0};
    for (std::size_t r = 0; r < rules_.size(); ++r) {
        const auto& members = members_[r];
        const auto& blocks = blocks_[r];
        found.assign((blocks.size() + kBlocksAtOnce - 1) / kBlocksAtOnce, {});
        parallel_for(blocks.size(), kBlocksAtOnce, threads, [&](std::size_t begin, std::size_t end) {
            if (total > pairs_limit_) return;
            auto& out = found[begin / kBlocksAtOnce];
            for (std::size_t k = begin; k < end; ++k)
                for (std::size_t i = blocks[k].begin; i < blocks[k].end; ++i)
                    for (std::size_t j = i + 1; j < blocks[k].end; ++j) {
                        const auto a = members[i], b = members[j];
                        if (!may_pair(records, a, b)) continue;
                        bool earlier = false;
                        for (std::size_t e = 0; e < r && !earlier; ++e) earlier = keys_[e][a] != 0 && keys_[e][a] == keys_[e][b];
                        if (!earlier) out.push_back({a, b, comparator.compare(a, b)});
                    }
            total += out.size();
        });
        if (total > pairs_limit_) return too_many;
        gather();
    }
    return all;
}

std::vector<Blocking::PatternCount> Blocking::patterns_of_rule(std::size_t rule, const Comparator& comparator, double pairs_wanted, unsigned threads) const {
    const auto& records = comparator.records();
    const auto& members = members_[rule];
    const auto& blocks = blocks_[rule];
    const double share = pairs_wanted / static_cast<double>(std::max<std::size_t>(pairs_of_rule_[rule], 1));
    Counts all;
    std::mutex mutex;  // guards `all`: sums of whole numbers, so the order of adding does not show
    parallel_for(blocks.size(), kBlocksAtOnce, threads, [&](std::size_t begin, std::size_t end) {
        Counts counts;
        for (std::size_t k = begin; k < end; ++k) {
            std::uint64_t draw = blocks[k].key;
            if (share < 1 && static_cast<double>(splitmix64(draw) >> 11) * 0x1.0p-53 >= share) continue;
            for (std::size_t i = blocks[k].begin; i < blocks[k].end; ++i)
                for (std::size_t j = i + 1; j < blocks[k].end; ++j)
                    if (may_pair(records, members[i], members[j])) ++counts[comparator.compare(members[i], members[j])];
        }
        const std::lock_guard lock(mutex);
        for (const auto& [pattern, count] : counts) all[pattern] += count;
    });
    return sorted_counts(all);
}

std::vector<Blocking::PatternCount> count_patterns(const std::vector<Pair>& pairs) {
    Counts counts;
    for (const auto& pair : pairs) ++counts[pair.pattern];
    return sorted_counts(counts);
}

}  // namespace perennial::resolve
