// Which pairs are compared at all: those that agree on the key of some rule, each pair once, however many rules name it.
// A small table is compared whole. Blocks above a named size are refused and reported: an e-mail address that five
// hundred records share says nothing about any two of them, and would cost 125,000 comparisons.
// Threads: the result does not depend on how many there are.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "base/result.h"
#include "resolve/comparison.h"
#include "resolve/records.h"

namespace perennial::resolve {

enum class Part : std::uint8_t {
    kWhole,     // the cleaned value
    kSound,     // Soundex of a name (Russell 1918; as in the U.S. National Archives): a letter and three digits
    kStart,     // its first four bytes
    kYear,      // of a date
};

struct KeyPart {
    std::size_t field = 0;
    Part part = Part::kWhole;
    bool operator==(const KeyPart&) const = default;
};

// Records agree on a rule when all its parts are there and equal. `names_in_any_order`: the parts are a given and a family
// name, which may be swapped.
struct BlockingRule {
    std::vector<KeyPart> parts;
    bool names_in_any_order = false;
    bool uses(std::size_t field) const noexcept;
};
std::string to_text(const BlockingRule& rule, const Records& records);  // "date_of_birth + sound of surname"

// Rules for a table of these fields: e-mail, phone and codes that few records share; both names; date and the sound of
// either name; date and a place; a place and the sound of either name. From the kinds alone, not from data's truth.
std::vector<BlockingRule> default_rules(const Records& records);

std::string soundex(std::string_view name);  // "robert" -> "r163"; empty without an ASCII letter

struct BlockingOptions {
    std::size_t block_records_limit = 500;           // a larger block is refused and reported
    double all_pairs_limit = 2'000'000;              // a table with fewer possible pairs is compared whole
    std::size_t pairs_limit = 60'000'000;            // 12 bytes each
};

struct RefusedBlock {
    std::size_t rule = 0, records = 0;
    std::uint32_t example = 0;  // one of its records
};

struct Pair {
    std::uint32_t a = 0, b = 0;  // a < b; of two files, whichever comes first
    Pattern pattern = 0;
    bool operator==(const Pair&) const = default;
};

class Blocking {
public:
    // Errors: kFull (pairs_limit: the rules are too wide), kInvalid (no rule and too many pairs to compare all).
    static Result<Blocking> over(const Comparator& comparator, std::vector<BlockingRule> rules, const BlockingOptions& options, unsigned threads);

    bool compares_all() const noexcept { return compares_all_; }
    const std::vector<BlockingRule>& rules() const noexcept { return rules_; }
    const std::vector<RefusedBlock>& refused() const noexcept { return refused_; }  // largest first
    std::size_t refused_blocks() const noexcept { return refused_blocks_; }
    // Pairs that only refused blocks named, counted with repetition.
    double refused_pairs() const noexcept { return refused_pairs_; }
    std::size_t pairs_of_rule(std::size_t rule) const noexcept { return pairs_of_rule_[rule]; }  // before repetitions are removed

    // All pairs, compared, in an order that only the records decide.
    Result<std::vector<Pair>> compare_all(const Comparator& comparator, unsigned threads) const;
    // How often each pattern occurs in the blocks of one rule, repetitions of other rules included: what EM needs. Whole
    // blocks are left out by hash of their key where the rule has more pairs than `pairs_wanted`.
    struct PatternCount {
        Pattern pattern;
        double count;
    };
    std::vector<PatternCount> patterns_of_rule(std::size_t rule, const Comparator& comparator, double pairs_wanted, unsigned threads) const;

    static constexpr std::size_t kRefusedKept = 20;

private:
    struct Block {
        std::uint64_t key;
        std::uint32_t begin, end;  // in members_[rule]
    };
    std::vector<BlockingRule> rules_;
    std::vector<std::vector<std::uint64_t>> keys_;      // [rules][N]; 0: none, or its block was refused
    std::vector<std::vector<std::uint32_t>> members_;   // [rules]: records by key, then number
    std::vector<std::vector<Block>> blocks_;            // [rules], of two records or more
    std::vector<std::size_t> pairs_of_rule_;
    std::vector<RefusedBlock> refused_;
    std::size_t refused_blocks_ = 0, pairs_limit_ = 0;
    double refused_pairs_ = 0;
    bool compares_all_ = false;
};

// Sums equal patterns; in rising order of pattern.
std::vector<Blocking::PatternCount> count_patterns(const std::vector<Pair>& pairs);

}  // namespace perennial::resolve
