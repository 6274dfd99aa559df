#include "ingest/cleaning.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <tuple>
#include <utility>

#include "base/text.h"

namespace perennial::ingest {
namespace {

constexpr std::array<std::string_view, kRuleCount> kRuleNames{
    "exact_duplicate_rows", "unparseable_rows", "cancellations", "no_customer", "charges", "non_positive_price",
    "negative_quantity_outside_cancellation", "absurd_quantity", "missing_description"};

constexpr std::array<std::string_view, kRuleCount> kRuleEffects{
    "dropped: all columns equal an earlier row",
    "kept in the quarantine file with the reason",
    "kept as refunds, matched to the order line they cancel",
    "kept as anonymous orders",
    "kept as charges on the order, not as products",
    "not sales: gifts to a customer, stock movements without one, money corrections below zero",
    "kept as stock movements",
    "order and its cancellation set aside together: a slip of the keyboard, not a sale",
    "title taken from the product's other rows"};

constexpr std::array<std::string_view, kFateCount> kFateNames{
    "event", "order_line", "anonymous_order_line", "refund_line", "charge", "stock_adjustment", "voided", "free_item",
    "duplicate_row", "quarantined"};

constexpr std::uint32_t kNobody = 0xffff'ffff;

// Texts remembered per glob list; past it they are matched again each time.
constexpr std::size_t kGlobAnswersLimit = 1 << 20;

}  // namespace

std::string_view name(Rule rule) noexcept { return kRuleNames[static_cast<std::size_t>(rule)]; }
std::string_view effect(Rule rule) noexcept { return kRuleEffects[static_cast<std::size_t>(rule)]; }
std::string_view name(Fate fate) noexcept { return kFateNames[static_cast<std::size_t>(fate)]; }

Result<RuleSet> RuleSet::without(const std::vector<std::string>& disabled) {
    RuleSet rules;
    for (const auto& rule : disabled) {
        const auto found = std::ranges::find(kRuleNames, rule);
        if (found == kRuleNames.end())
            return Error{Code::kInvalid, fmt::format("cleaning rule: want one of {}, got '{}'", fmt::join(kRuleNames, ", "), rule)};
        rules.off_[static_cast<std::size_t>(found - kRuleNames.begin())] = true;
    }
    return rules;
}

bool Survey::HashSet::insert(const Hash128& hash) {
    if (hash == Hash128{}) return !std::exchange(zero_seen_, true);
    if (count_ * 4 >= slots_.size() * 3) grow();
    const std::size_t mask = slots_.size() - 1;
    for (std::size_t at = hash.low & mask;; at = (at + 1) & mask) {
        if (slots_[at] == hash) return false;
        if (slots_[at] == Hash128{}) {
            slots_[at] = hash;
            ++count_;
            return true;
        }
    }
}

void Survey::HashSet::grow() {
    std::vector<Hash128> old(std::max<std::size_t>(1024, slots_.size() * 2));
    old.swap(slots_);
    const std::size_t mask = slots_.size() - 1;
    for (const auto& hash : old) {
        if (hash == Hash128{}) continue;
        std::size_t at = hash.low & mask;
        while (slots_[at] != Hash128{}) at = (at + 1) & mask;
        slots_[at] = hash;
    }
}

void Survey::HashSet::clear() { slots_ = {}; }

std::uint32_t Survey::Interner::id(std::string_view text) {
    if (!texts.empty() && text == last) return last_id;
    auto found = ids.find(text);
    if (found == ids.end()) {
        found = ids.emplace(std::string(text), static_cast<std::uint32_t>(texts.size())).first;
        texts.emplace_back(found->first);
    }
    last.assign(text);
    return last_id = found->second;
}

bool Survey::GlobCache::matches(std::string_view text) {
    if (text.empty() || globs_.empty()) return false;
    if (const auto known = answers_.find(text); known != answers_.end()) return known->second;
    const bool answer = std::ranges::any_of(globs_, [&](const std::string& glob) { return matches_glob(text, glob); });
    if (answers_.size() < kGlobAnswersLimit) answers_.emplace(std::string(text), answer);
    return answer;
}

Survey::Survey(const Mapping& mapping, RuleSet rules)
    : rules_(rules), charge_codes_(mapping.charge_codes), charge_titles_(mapping.charge_titles) {}

void Survey::add_unreadable() {
    ++facts_.rows;
    fates_.push_back(Fate::kQuarantined);
    rules_of_.push_back(Rule::kUnparseableRows);
}

bool Survey::is_charge(const RowFields& row) { return charge_codes_.matches(row.product) || charge_titles_.matches(row.title); }

Verdict Survey::judge(const RowFields& row) {
    if (!row.is_order_line()) return {};
    if (rules_.on(Rule::kCharges) && is_charge(row)) return {Fate::kCharge, Rule::kCharges, {}};
    if (row.refund) return {Fate::kRefundLine, Rule::kCancellations, {}};
    if (row.quantity < 0) {
        if (rules_.on(Rule::kNegativeQuantityOutsideCancellation))
            return {Fate::kStockAdjustment, Rule::kNegativeQuantityOutsideCancellation, {}};
        return {Fate::kQuarantined, Rule::kNegativeQuantityOutsideCancellation, "quantity: want 0 or more outside a cancellation, got less"};
    }
    if (row.price_known && row.price_sign <= 0 && rules_.on(Rule::kNonPositivePrice)) {
        if (row.price_sign < 0) return {Fate::kCharge, Rule::kNonPositivePrice, {}};
        return {row.customer().empty() ? Fate::kStockAdjustment : Fate::kFreeItem, Rule::kNonPositivePrice, {}};
    }
    if (row.quantity == 0) return {Fate::kQuarantined, Rule::kUnparseableRows, "quantity: want at least 1 on an order line, got 0"};
    if (!row.customer().empty()) return {Fate::kOrderLine, Rule::kUnparseableRows, {}};
    if (rules_.on(Rule::kNoCustomer)) return {Fate::kAnonymousOrderLine, Rule::kNoCustomer, {}};
    return {Fate::kQuarantined, Rule::kNoCustomer, "customer: want a customer id, got nothing"};
}

void Survey::add(const RowFields& row, const Hash128& row_hash) {
    const auto number = static_cast<std::uint32_t>(fates_.size());
    ++facts_.rows;
    if (facts_.rows == 1 || row.time < facts_.first_time) facts_.first_time = row.time;
    if (facts_.rows == 1 || row.time > facts_.last_time) facts_.last_time = row.time;
    const std::uint32_t order = row.order_id.empty() ? kNobody : orders_.id(row.order_id);
    const std::uint32_t customer = row.customer().empty() ? kNobody : customers_.id(row.customer());
    const std::uint32_t product = row.product.empty() ? kNobody : products_.id(row.product);
    if (product != kNobody && product >= product_facts_.size()) product_facts_.resize(product + 1);
    facts_.rows_without_customer += customer == kNobody;
    facts_.cancellation_lines += row.is_order_line() && row.refund;
    facts_.negative_quantities_outside_cancellations += row.is_order_line() && !row.refund && row.quantity < 0;
    facts_.prices_not_positive += row.price_known && row.price_sign <= 0;

    if (!seen_.insert(row_hash)) {
        ++facts_.exact_duplicates;
        if (rules_.on(Rule::kExactDuplicateRows)) {
            fates_.push_back(Fate::kDuplicateRow);
            rules_of_.push_back(Rule::kExactDuplicateRows);
            return;
        }
        const auto copies = copies_.try_emplace(row_hash, 1).first;
        occurrence_[number] = ++copies->second;
    }
    const Verdict verdict = judge(row);
    fates_.push_back(verdict.fate);
    rules_of_.push_back(verdict.rule);
    const bool sale = verdict.fate == Fate::kOrderLine || verdict.fate == Fate::kAnonymousOrderLine;
    if (product != kNobody && !row.title.empty() && (sale || verdict.fate == Fate::kEvent)) {
        auto& titles = product_facts_[product].titles;
        auto title = std::ranges::find(titles, row.title, &Title::text);
        if (title == titles.end()) title = titles.insert(titles.end(), Title{std::string(row.title)});
        ++title->sales;
    }
    if (order == kNobody || product == kNobody) return;
    const std::int64_t units = row.quantity < 0 ? -row.quantity : row.quantity;
    const Line line{(std::uint64_t{customer} << 32) | product, row.time.ms, number, order, units, units};
    if (sale) sales_.push_back(line);
    if (verdict.fate == Fate::kRefundLine) refunds_.push_back(line);
}

void Survey::decide() {
    facts_.invoices = orders_.texts.size();
    facts_.customers = customers_.texts.size();
    facts_.products = products_.texts.size();
    seen_.clear();
    copies_.clear();
    refunds_unmatched = refunds_.size();
    if (rules_.on(Rule::kCancellations)) match_cancellations();
    if (rules_.on(Rule::kCancellations) && rules_.on(Rule::kAbsurdQuantity)) set_slips_aside();
}

void Survey::match_cancellations() {
    const auto in_time = [](const Line& a, const Line& b) { return std::tie(a.key, a.time_ms, a.row) < std::tie(b.key, b.time_ms, b.row); };
    // Only lines whose customer and product are refunded at least once can be matched.
    std::unordered_set<std::uint64_t> refunded;
    for (const auto& refund : refunds_)
        if (refund.key >> 32 != kNobody) refunded.insert(refund.key);
    std::vector<Line*> candidates;
    for (auto& sale : sales_)
        if (refunded.contains(sale.key)) candidates.push_back(&sale);
    std::ranges::sort(candidates, [&](const Line* a, const Line* b) { return in_time(*a, *b); });
    std::ranges::sort(refunds_, in_time);
    for (auto& refund : refunds_) {
        if (refund.key >> 32 == kNobody) continue;
        const auto first = std::ranges::lower_bound(candidates, refund.key, {}, [](const Line* line) { return line->key; });
        auto last = first;
        while (last != candidates.end() && (*last)->key == refund.key && (*last)->time_ms <= refund.time_ms) ++last;
        Cancelled cancelled;
        const auto take = [&](Line& sale) {
            const std::int64_t units = std::min(sale.remaining, refund.remaining);
            sale.remaining -= units;
            refund.remaining -= units;
            cancelled.units += units;
            if (std::ranges::find(cancelled.orders, sale.order) == cancelled.orders.end()) cancelled.orders.push_back(sale.order);
        };
        for (auto at = last; at != first && cancelled.orders.empty();)
            if ((*--at)->remaining >= refund.quantity && refund.quantity > 0) take(**at);
        for (auto at = last; at != first && refund.remaining > 0;)
            if ((*--at)->remaining > 0) take(**at);
        if (cancelled.orders.empty()) continue;
        ++(refund.remaining == 0 ? refunds_matched : refunds_matched_in_part);
        --refunds_unmatched;
        cancelled_.emplace(refund.row, std::move(cancelled));
    }
}

void Survey::set_slips_aside() {
    // Candidates: a refund that undoes one whole line of the same quantity within the time limit.
    struct Pair { const Line* sale; const Line* refund; };
    std::unordered_map<std::uint64_t, std::vector<const Line*>> undone;  // sales with nothing left, by key
    std::unordered_set<std::uint64_t> keys;
    for (const auto& refund : refunds_)
        if (cancelled_.contains(refund.row)) keys.insert(refund.key);
    for (const auto& sale : sales_)
        if (sale.remaining == 0 && keys.contains(sale.key)) undone[sale.key].push_back(&sale);
    std::vector<Pair> pairs;
    std::unordered_set<std::uint32_t> paired_rows;
    for (const auto& refund : refunds_) {
        const auto found = undone.find(refund.key);
        if (found == undone.end() || !cancelled_.contains(refund.row)) continue;
        const auto& match = cancelled_.at(refund.row);
        const auto sale = std::ranges::find_if(found->second, [&](const Line* line) {
            return line->quantity == refund.quantity && line->order == match.orders.front() && !paired_rows.contains(line->row) &&
                   line->time_ms <= refund.time_ms && refund.time_ms - line->time_ms <= kSlipMsLimit;
        });
        if (sale == found->second.end()) continue;
        pairs.push_back({*sale, &refund});
        paired_rows.insert((*sale)->row);
    }
    if (pairs.empty()) return;
    // What is usual: the product's largest line outside such pairs, and the shop's 99th percentile.
    std::unordered_map<std::uint32_t, std::int64_t> largest;
    for (const auto& pair : pairs) largest.emplace(static_cast<std::uint32_t>(pair.sale->key), 0);
    std::vector<std::int64_t> quantities;
    quantities.reserve(sales_.size());
    for (const auto& sale : sales_) {
        quantities.push_back(sale.quantity);
        const auto found = largest.find(static_cast<std::uint32_t>(sale.key));
        if (found != largest.end() && !paired_rows.contains(sale.row)) found->second = std::max(found->second, sale.quantity);
    }
    const auto high = quantities.begin() + static_cast<std::ptrdiff_t>((quantities.size() - 1) * 99 / 100);
    std::ranges::nth_element(quantities, high);
    for (const auto& [sale, refund] : pairs) {
        const std::int64_t usual = std::max(*high, largest.at(static_cast<std::uint32_t>(sale->key)));
        if (sale->quantity < kSlipTimesUsual * usual) continue;
        --refunds_matched;  // it is no refund any more
        for (const std::uint32_t row : {sale->row, refund->row}) {
            fates_[row] = Fate::kVoided;
            rules_of_[row] = Rule::kAbsurdQuantity;
        }
    }
}

std::uint32_t Survey::occurrence_of(std::uint32_t row) const {
    const auto found = occurrence_.find(row);
    return found == occurrence_.end() ? 1 : found->second;
}

const Cancelled* Survey::cancelled_by(std::uint32_t row) const {
    const auto found = cancelled_.find(row);
    return found == cancelled_.end() ? nullptr : &found->second;
}

std::string_view Survey::usual_title(std::string_view product) const {
    const auto found = products_.ids.find(product);
    if (found == products_.ids.end() || found->second >= product_facts_.size()) return {};
    const auto& titles = product_facts_[found->second].titles;
    const auto best = std::ranges::max_element(titles, {}, &Title::sales);
    return best == titles.end() ? std::string_view{} : std::string_view(best->text);
}

}  // namespace perennial::ingest
