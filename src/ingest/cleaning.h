// The cleaning rules: what becomes of each row of an export (docs/formats/cleaning.md). Every row has exactly one fate.
// A Survey sees every row once and remembers compact facts; decide() settles what needs the whole file (which order
// line a cancellation cancels, which pairs are slips, what a product is called); a second reading then asks fate_of().
// Memory: at most 43 bytes a row for the duplicate check, 2 for its fate, 40 for an order line, plus the distinct
// orders, customers, products and titles. Threads: one Survey per import, used by one thread.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <unordered_set>
#include <vector>

#include "base/hash.h"
#include "base/result.h"
#include "base/time.h"
#include "ingest/row.h"

namespace perennial::ingest {

enum class Rule : std::uint8_t {
    kExactDuplicateRows, kUnparseableRows, kCancellations, kNoCustomer, kCharges, kNonPositivePrice,
    kNegativeQuantityOutsideCancellation, kAbsurdQuantity, kMissingDescription,
};
inline constexpr std::size_t kRuleCount = 9;
std::string_view name(Rule rule) noexcept;
std::string_view effect(Rule rule) noexcept;  // what the rule does, one sentence

enum class Fate : std::uint8_t {
    kEvent,               // a view, a search, ...: kept as the kind its mapping names
    kOrderLine, kAnonymousOrderLine, kRefundLine, kCharge, kStockAdjustment, kVoided, kFreeItem,
    kDuplicateRow,        // dropped: all columns equal to an earlier row
    kQuarantined,         // kept in the quarantine file with its reason
};
inline constexpr std::size_t kFateCount = 10;
std::string_view name(Fate fate) noexcept;

class RuleSet {
public:
    // Errors: kInvalid naming the unknown rule and the known ones.
    static Result<RuleSet> without(const std::vector<std::string>& disabled);
    bool on(Rule rule) const noexcept { return !off_[static_cast<std::size_t>(rule)]; }

private:
    std::array<bool, kRuleCount> off_{};
};

// 4.2 thousand million rows: row numbers are kept in 32 bits.
inline constexpr std::uint64_t kRowsLimit = 0xffff'fff0;

// A pair of order and cancellation counts as a slip of the keyboard when the cancellation undoes the whole line within
// this time, and the quantity is this many times anything usual: the largest line of the product outside such pairs,
// and the quantity that 99 % of the shop's lines stay below.
inline constexpr std::int64_t kSlipMsLimit = 24 * kMsPerHour;
inline constexpr std::int64_t kSlipTimesUsual = 10;

struct SurveyFacts {
    std::uint64_t rows = 0, exact_duplicates = 0, invoices = 0, cancellation_lines = 0, rows_without_customer = 0, customers = 0,
                  negative_quantities_outside_cancellations = 0, prices_not_positive = 0, products = 0;
    UtcTime first_time, last_time;
};

// What a refund line cancels. Several orders when one line was not large enough.
struct Cancelled {
    std::vector<std::uint32_t> orders;  // indexes for Survey::order_id
    std::int64_t units = 0;             // of the refund's own quantity
};

// A fate that needs no other row, and the reason where it is kQuarantined.
struct Verdict {
    Fate fate = Fate::kEvent;
    Rule rule = Rule::kUnparseableRows;  // that decided; meaningless for plain order lines and events
    std::string_view reason;
};

class Survey {
public:
    Survey(const Mapping& mapping, RuleSet rules);

    // Call once per row of the file, in order. `unreadable` rows carry no fields.
    void add_unreadable();
    void add(const RowFields& row, const Hash128& row_hash);
    void decide();

    const SurveyFacts& facts() const noexcept { return facts_; }
    Fate fate_of(std::uint32_t row) const noexcept { return fates_[row]; }
    Rule rule_of(std::uint32_t row) const noexcept { return rules_of_[row]; }
    std::uint64_t rows() const noexcept { return fates_.size(); }
    // 1 for the first of its kind, 2 for its first copy, ...
    std::uint32_t occurrence_of(std::uint32_t row) const;
    const Cancelled* cancelled_by(std::uint32_t row) const;
    std::string_view order_id(std::uint32_t index) const { return orders_.texts[index]; }
    // The product's usual title; empty when none of its sales had one.
    std::string_view usual_title(std::string_view product) const;
    Verdict judge(const RowFields& row);

    std::uint64_t refunds_matched = 0, refunds_matched_in_part = 0, refunds_unmatched = 0;

private:
    struct Interner {
        std::unordered_map<std::string, std::uint32_t, StringHash, std::equal_to<>> ids;
        std::vector<std::string_view> texts;  // views of the map's own keys, which never move
        std::string last;
        std::uint32_t last_id = 0;
        std::uint32_t id(std::string_view text);
    };
    struct Title { std::string text; std::uint32_t sales = 0; };
    struct Product { std::vector<Title> titles; };
    struct Line {
        std::uint64_t key;  // customer, product
        std::int64_t time_ms;
        std::uint32_t row, order;
        std::int64_t quantity, remaining;
    };
    // Open addressing over 16-byte hashes: a quarter of std::unordered_set's memory.
    class HashSet {
    public:
        bool insert(const Hash128& hash);  // false when it was there
        void clear();

    private:
        void grow();
        std::vector<Hash128> slots_;
        std::size_t count_ = 0;
        bool zero_seen_ = false;
    };

    // Answers of the charge globs by text; what a shop sells repeats, so each text is matched once.
    class GlobCache {
    public:
        explicit GlobCache(const std::vector<std::string>& globs) : globs_(globs) {}
        bool matches(std::string_view text);

    private:
        const std::vector<std::string>& globs_;
        std::unordered_map<std::string, bool, StringHash, std::equal_to<>> answers_;
    };

    bool is_charge(const RowFields& row);
    void match_cancellations();
    void set_slips_aside();

    RuleSet rules_;
    SurveyFacts facts_;
    HashSet seen_;
    std::unordered_map<Hash128, std::uint32_t, Hash128Hasher> copies_;
    std::unordered_map<std::uint32_t, std::uint32_t> occurrence_;
    std::vector<Fate> fates_;
    std::vector<Rule> rules_of_;
    GlobCache charge_codes_, charge_titles_;
    Interner orders_, customers_, products_;
    std::vector<Product> product_facts_;
    std::vector<Line> sales_, refunds_;
    std::unordered_map<std::uint32_t, Cancelled> cancelled_;
};

}  // namespace perennial::ingest
