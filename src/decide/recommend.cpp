#include "decide/recommend.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <map>
#include <optional>

#include "decide/causes.h"
#include "predict/explanation.h"

namespace perennial::decide {
namespace {

using predict::Step;

constexpr std::size_t kOwnGapsMin = 2;   // repeat intervals from which a customer's own rhythm with a product is spoken of
constexpr double kOftenDays = 4;         // shorter intervals are "often": several orders of one week say no rhythm

struct Words { std::string en, zh; };

// "every 6 weeks", "every 10 days": the unit a person would use.
Words every(double days) {
    const auto count = [](double x) { return std::max(1L, std::lround(x)); };
    if (days < 14) return {fmt::format("every {} days", count(days)), fmt::format("每{}天", count(days))};
    if (days < 70) return {fmt::format("every {} weeks", count(days / 7)), fmt::format("每{}周", count(days / 7))};
    return {fmt::format("every {} months", count(days / 30.4)), fmt::format("每{}个月", count(days / 30.4))};
}

double median(std::vector<double> values) {
    std::ranges::sort(values);
    return values[values.size() / 2];
}

std::string title_of(const catalog::Catalog& catalog, const std::string& product) {
    const auto at = catalog.find(product);
    return at && !catalog[*at].title.empty() ? catalog[*at].title : product;
}

struct Asked {
    const predict::ShopModels& models;
    const catalog::Catalog& catalog;
    const predict::CustomerState& customer;

    const predict::CustomerState::Own* own(std::int32_t number) const {
        const auto found = customer.products().find(number);
        return found == customer.products().end() ? nullptr : &found->second;
    }
};

void say(Recommendation& r, ReasonKind kind, std::string because_of, std::string en, std::string zh) {
    r.reason = kind;
    r.because_of = std::move(because_of);
    r.reason_en = std::move(en);
    r.reason_zh = std::move(zh);
}

// Of the customer's own doings with the product. False, and nothing said, when there were none to speak of.
bool say_own_past(Recommendation& r, std::int32_t number, const Asked& asked) {
    const auto* own = asked.own(number);
    if (own != nullptr && !own->bought_ms.empty()) {
        if (const auto gaps = predict::own_intervals_days(own->bought_ms); gaps.size() >= kOwnGapsMin) {
            const double usual = median(gaps);
            if (usual < kOftenDays) return say(r, ReasonKind::kRebuyOwn, r.product, "you buy this often", "您经常购买"), true;
            const auto words = every(usual);
            return say(r, ReasonKind::kRebuyOwn, r.product, fmt::format("you buy this {}", words.en), fmt::format("您{}购买一次", words.zh)), true;
        } else if (!gaps.empty()) {
            return say(r, ReasonKind::kRebuyOwn, r.product, "you bought this more than once", "您不止一次购买过"), true;
        }
        if (const double interval = asked.models.replenishment.interval_days(number); interval > 0) {
            const auto words = every(interval);
            return say(r, ReasonKind::kRebuyUsual, r.product, fmt::format("you bought this; others buy it again {}", words.en), fmt::format("您买过；其他顾客{}复购一次", words.zh)), true;
        }
    }
    if (own != nullptr && own->viewed_ms && own->bought_ms.empty())
        return say(r, ReasonKind::kViewed, r.product, "you looked at this", "您浏览过此商品"), true;
    return false;
}

bool say_bought_after(Recommendation& r, std::int32_t number, const Asked& asked) {
    const auto cause = asked.models.methods.pairs->strongest_reason(asked.customer.steps(), number);
    if (cause == sequence::kNoProduct) return false;
    const auto& product = asked.models.vocabulary[cause];
    const auto title = title_of(asked.catalog, product);
    say(r, ReasonKind::kBoughtAfter, product, fmt::format("often bought after {}", title), fmt::format("常在购买“{}”之后购买", title));
    return true;
}

void say_popular(Recommendation& r) { say(r, ReasonKind::kPopular, {}, "popular in this shop", "本店热销"); }

// Of the products that the trees compare it with, the one that the network holds to be most like it.
bool say_alike(Recommendation& r, std::int32_t number, const Asked& asked) {
    if (asked.models.methods.network == nullptr) return false;
    const auto like = predict::most_alike(*asked.models.methods.network, asked.customer.steps(), number);
    if (like == sequence::kNoProduct || like == number) return false;
    const auto& product = asked.models.vocabulary[like];
    const auto title = title_of(asked.catalog, product);
    say(r, ReasonKind::kAlike, product, fmt::format("goes with {}", title), fmt::format("与“{}”相配", title));
    return true;
}

// Where counts and network are mixed by fixed weights: the customer's own doings first, then what others bought.
void say_by_rule(Recommendation& r, std::int32_t number, const Asked& asked) {
    if (!say_own_past(r, number, asked) && !say_bought_after(r, number, asked)) say_popular(r);
}

// "in March", "in March 2011" when that was another year than now.
Words month_of(UtcTime time, UtcTime now) {
    static constexpr std::array<const char*, 12> kMonths{"January", "February", "March", "April", "May", "June", "July",
                                                         "August", "September", "October", "November", "December"};
    const auto date = civil_date(time);
    const auto* month = kMonths[date.month - 1];
    if (date.year == civil_date(now).year) return {fmt::format("in {}", month), fmt::format("{}月", date.month)};
    return {fmt::format("in {} {}", month, date.year), fmt::format("{}年{}月", date.year, date.month)};
}

void say_because(Recommendation& r, const Step& step, double effect, const predict::ShopModels& models, const catalog::Catalog& catalog, UtcTime now) {
    const auto& product = models.vocabulary[step.product];
    const auto month = month_of({step.time_ms}, now);
    const bool own = product == r.product;
    const auto title = own ? Words{"this", "此商品"} : Words{title_of(catalog, product), "“" + title_of(catalog, product) + "”"};
    const auto did = [&]() -> Words {
        switch (static_cast<event::Kind>(step.kind)) {
            case event::Kind::kOrderCompleted: return {"you bought", "购买了"};
            case event::Kind::kProductViewed: return {"you looked at", "浏览了"};
            case event::Kind::kProductAdded: return {"you put into the cart", "加购了"};
            default: return {"of what you did with", "接触过"};
        }
    }();
    r.reason = ReasonKind::kBecause;
    r.because_of = product;
    r.because_time = {step.time_ms};
    r.because_effect = effect;
    r.reason_en = fmt::format("because {} {} {}", did.en, title.en, month.en);
    r.reason_zh = fmt::format("因为您{}{}{}", month.zh, did.zh, title.zh);
}

// Names, for products of whose place the network is the cause, the event to which the network owes them; where no event counts
// for much the reason stays. `places` in `products`; `numbers` of all of them; `of_network` [P] the network's shares.
void name_events(std::span<Recommendation> products, std::span<const std::int32_t> numbers, std::vector<std::size_t> places, std::span<const float> of_network,
                 const Asked& asked, UtcTime now) {
    const auto history = asked.customer.steps();
    if (places.empty() || history.empty() || asked.models.methods.network == nullptr) return;
    places.resize(std::min(places.size(), kExplainedLimit));
    std::vector<std::int32_t> asked_about;
    for (const auto p : places) asked_about.push_back(numbers[p]);
    const auto greatest = predict::greatest_events(*asked.models.methods.network, history, now.ms, asked_about, of_network);
    for (std::size_t k = 0; k < places.size(); ++k)
        if (greatest[k].effect >= kBecauseEffectMin)
            say_because(products[places[k]], history[greatest[k].step], greatest[k].effect, asked.models, asked.catalog, now);
}

// The shares by which products are put in order, and what they were made of.
struct Scores { std::vector<float> shares, network, pairs; };

Scores scores(const predict::ShopModels& models, predict::CustomerState& customer, UtcTime now, std::optional<predict::Candidates>& candidates) {
    const auto& methods = models.methods;
    const auto history = customer.steps();
    const auto* session = methods.network ? &customer.session(*methods.network) : nullptr;
    Scores s;
    if (methods.ranker) {
        candidates = methods.ranker->candidates(session, history, now.ms);
        s.shares.resize(models.vocabulary.size());
        methods.ranker->order(*candidates, s.shares);
        return s;
    }
    if (session != nullptr && models.settings.weight_network > 0) {
        s.network.resize(models.vocabulary.size());
        methods.network->score_with(*session, history, now.ms, s.network);
    }
    s.pairs.resize(models.vocabulary.size());
    methods.pairs->score(history, now.ms, s.pairs);
    s.shares = methods.mix(history, now.ms, s.network, s.pairs);
    return s;
}

// Where trees decide: what the group that moved the product most can say, else the next one that raised it. Returns that group;
// the network's words are left to name_events(). The rule's words stay where no group has any.
std::optional<predict::RankGroup> say_by_effects(Recommendation& r, std::int32_t number, const Asked& asked) {
    using enum predict::RankGroup;
    for (const auto& [group, effect] : r.moved_by) {
        if (effect <= 0) break;
        if (group == kPopularity) say_popular(r);
        if (group == kNetwork || group == kPopularity || (group == kTogether && say_bought_after(r, number, asked)) ||
            (group == kAlike && say_alike(r, number, asked)) || ((group == kOwnPast || group == kRecency) && say_own_past(r, number, asked)))
            return group;
    }
    return std::nullopt;
}

// A reason for each product that has a number, of what put it in its place.
void give_reasons(std::span<Recommendation> products, std::span<const std::int32_t> numbers, const Scores& s, const std::optional<predict::Candidates>& candidates,
                  const Asked& asked, UtcTime now) {
    const auto& methods = asked.models.methods;
    const auto& settings = asked.models.settings;
    std::vector<std::size_t> of_network, ranked, rows;
    for (std::size_t p = 0; p < products.size(); ++p) {
        if (numbers[p] == sequence::kNoProduct) continue;
        auto& r = products[p];
        say_by_rule(r, numbers[p], asked);
        if (candidates) {
            const auto row = std::ranges::lower_bound(candidates->products, numbers[p]);
            if (row == candidates->products.end() || *row != numbers[p]) continue;  // behind all candidates, in the mixture's order
            ranked.push_back(p);
            rows.push_back(static_cast<std::size_t>(row - candidates->products.begin()));
            continue;
        }
        const auto at = static_cast<std::size_t>(numbers[p]);
        if ((r.reason == ReasonKind::kBoughtAfter || r.reason == ReasonKind::kPopular) && !s.network.empty() &&
            settings.weight_network * static_cast<double>(s.network[at]) > settings.weight_pairs * static_cast<double>(s.pairs[at]))
            of_network.push_back(p);
    }
    if (candidates) {
        auto effects = methods.ranker->effects(*candidates, rows);
        for (std::size_t k = 0; k < ranked.size(); ++k) {
            products[ranked[k]].moved_by = std::move(effects[k]);
            if (say_by_effects(products[ranked[k]], numbers[ranked[k]], asked) == predict::RankGroup::kNetwork) of_network.push_back(ranked[k]);
        }
    }
    name_events(products, numbers, std::move(of_network), candidates ? candidates->network : s.network, asked, now);
}

Recommendation described(const catalog::Product& product, double score) {
    Recommendation r;
    r.product = product.id;
    r.title = product.title;
    r.category = product.category;
    r.currency = product.currency;
    r.price = product.price;
    r.score = score;
    return r;
}

// Products too new to have been sold, of the customer's categories first.
std::vector<const catalog::Product*> new_products(const Asked& asked, UtcTime now) {
    std::vector<const catalog::Product*> fresh;
    for (const auto& product : asked.catalog.products())
        if (product.lines_sold == 0 && product.price.minor > 0 && days_between(product.first_seen, now) <= kNewDays && product.stock.value_or(1) > 0)
            fresh.push_back(&product);
    if (fresh.size() < 2) return fresh;
    std::map<std::string_view, int> liked;
    for (const auto& [number, own] : asked.customer.products())
        if (const auto at = asked.catalog.find(asked.models.vocabulary[number])) liked[asked.catalog[*at].category] += own.steps;
    std::ranges::stable_sort(fresh, [&](const auto* a, const auto* b) { return liked[a->category] > liked[b->category]; });
    return fresh;
}

}  // namespace

std::string_view name(ReasonKind kind) noexcept {
    static constexpr std::array<std::string_view, 8> kNames{"rebuy_own", "rebuy_usual", "bought_after", "viewed", "popular", "new", "because", "alike"};
    return kNames[static_cast<std::size_t>(kind)];
}

Result<Recommendations> recommend(const predict::ShopModels& models, const catalog::Catalog& catalog,
                                  std::span<const event::Event> timeline, UtcTime now, std::size_t count, Reasons reasons) {
    predict::CustomerState customer;
    customer.extend(timeline, models.vocabulary);
    return recommend(models, catalog, customer, now, count, reasons);
}

Result<Recommendations> recommend(const predict::ShopModels& models, const catalog::Catalog& catalog,
                                  predict::CustomerState& customer, UtcTime now, std::size_t count, Reasons reasons) {
    if (count < 1 || count > kRecommendationsLimit)
        return Error{Code::kInvalid, fmt::format("n: want 1 to {}, got {}", kRecommendationsLimit, count)};
    const Asked asked{models, catalog, customer};
    std::optional<predict::Candidates> candidates;
    const auto scored = scores(models, customer, now, candidates);
    const auto& shares = scored.shares;

    Recommendations result;
    result.known_customer = customer.events() > 0;
    const auto fresh = new_products(asked, now);
    std::size_t fresh_used = 0;
    std::vector<std::int32_t> numbers;  // of result.products
    const auto add_new = [&] {
        auto& r = result.products.emplace_back(described(*fresh[fresh_used++], 0));
        numbers.push_back(sequence::kNoProduct);
        r.reason = ReasonKind::kNew;
        r.reason_en = "new in " + r.category;
        r.reason_zh = r.category + " 新品";
    };
    // Enough of the best for the usual answer; more when rules hold many back.
    auto ranked = predict::top_n(shares, 4 * count + kNewEvery);
    for (std::size_t place = 0;; ++place) {
        if (place == ranked.size() && place > 0) ranked = predict::top_n(shares, 8 * place);
        if (place >= ranked.size()) break;
        const auto number = ranked[place];
        if (fresh_used < fresh.size() && (result.products.size() + 1) % kNewEvery == 0) add_new();
        if (result.products.size() >= count) break;
        const auto at = catalog.find(models.vocabulary[number]);
        if (!at) continue;
        const auto& product = catalog[*at];
        if (product.stock && *product.stock <= 0) {
            ++result.left_out_of_stock;
            continue;
        }
        if (const auto* own = asked.own(number);
            own != nullptr && !own->bought_ms.empty() && !models.replenishment.may_offer_again(number, days_between({own->bought_ms.back()}, now))) {
            ++result.left_out_just_bought;
            continue;
        }
        result.products.push_back(described(product, shares[static_cast<std::size_t>(number)]));
        numbers.push_back(number);
    }
    while (result.products.size() < count && fresh_used < fresh.size()) add_new();
    if (reasons != Reasons::kNone) give_reasons(result.products, numbers, scored, candidates, asked, now);
    return result;
}

}  // namespace perennial::decide
