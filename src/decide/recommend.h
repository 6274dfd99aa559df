// Which products to offer a customer now, and why. Forecasts come from predict/; here stand the rules no forecast may
// break: nothing out of stock, nothing that was just bought and does not run out.
// Threads: pure functions of their arguments.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "catalog/catalog.h"
#include "decide/reasons.h"
#include "event/event.h"
#include "predict/customer_state.h"
#include "predict/ranker.h"
#include "predict/shop_models.h"

namespace perennial::decide {

enum class ReasonKind { kRebuyOwn, kRebuyUsual, kBoughtAfter, kViewed, kPopular, kNew, kBecause, kAlike };
std::string_view name(ReasonKind kind) noexcept;  // "rebuy_own"

struct Recommendation {
    std::string product, title, category;
    Currency currency;
    Money price;
    double score = 0;              // share by the best method, or 0 for a product too new to have one
    ReasonKind reason = ReasonKind::kPopular;
    std::string because_of;        // the product that the reason speaks of; empty for none
    UtcTime because_time;          // of the event that kBecause names
    double because_effect = 0;     // ... and how far it raises the product's log-odds in the network
    std::string reason_en, reason_zh;              // empty for Reasons::kNone
    std::vector<predict::RankEffect> moved_by;     // where trees ranked it: what put it in its place, the most first
};

struct Recommendations {
    std::vector<Recommendation> products;
    std::size_t left_out_of_stock = 0, left_out_just_bought = 0;  // better-scored products that a rule held back
    bool known_customer = false;
};

inline constexpr std::size_t kRecommendationsLimit = 100;
inline constexpr double kNewDays = 30;         // a product unsold and first seen within so many days is new
inline constexpr std::size_t kNewEvery = 10;   // one new product for each so many places
// An event is named as the reason when it raises the odds of the product by a tenth or more; less is told by other reasons.
inline constexpr double kBecauseEffectMin = 0.1;

// `customer` as extended by the whole timeline; without events for a customer nobody knows, who gets what is popular. At
// most `count` products, fewer when the rules leave fewer. Its network state is brought up to date. O(P + history), and an
// explanation (predict/explanation.h) for each product, up to kExplainedLimit, that the network speaks for most; with
// Reasons::kNone none, and where trees rank Ranker::effects for each product.
// Errors: kInvalid when count is not 1 to kRecommendationsLimit.
Result<Recommendations> recommend(const predict::ShopModels& models, const catalog::Catalog& catalog,
                                  predict::CustomerState& customer, UtcTime now, std::size_t count, Reasons reasons);
// The same for a `timeline` in time order.
Result<Recommendations> recommend(const predict::ShopModels& models, const catalog::Catalog& catalog,
                                  std::span<const event::Event> timeline, UtcTime now, std::size_t count, Reasons reasons);

}  // namespace perennial::decide
