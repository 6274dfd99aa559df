// The customer's own events that speak for a product, as the behaviour model weighs them (predict/explanation.h).
// Threads: pure functions of their arguments.
#pragma once

#include <span>
#include <string>
#include <vector>

#include "catalog/catalog.h"
#include "event/event.h"
#include "predict/shop_models.h"

namespace perennial::decide {

// One event and how far it moves the product's log-odds against what the customer would be shown otherwise; share: of all
// that the customer's events move it, up or down.
struct Cause {
    std::string product, title;
    event::Kind kind = event::Kind::kCustom;
    UtcTime time;
    double effect = 0, share = 0;
};

struct Causes {
    double value = 0, baseline = 0;  // log-odds as they are, and with every product in the history hidden
    std::vector<Cause> events;       // those that move most, up or down, first
    double others = 0;               // sum of the effects that are not listed
};

inline constexpr std::size_t kCausesShown = 5;
inline constexpr std::size_t kExplainedLimit = 10;  // products explained in one answer: 1.3 ms each for a history of 50

// One for each product known to the network, in order; without a network, or for a product it does not know, one without
// events. Cost: predict::explain for the first kExplainedLimit of `products`; those behind get none.
std::vector<Causes> causes(const predict::ShopModels& models, const catalog::Catalog& catalog, std::span<const predict::Step> history, UtcTime now,
                           std::span<const std::string> products);

// What moves the network's forecast of a return within `days`: whole events, not their products alone. Effects are of
// -log P(no purchase); positive: a purchase is likelier.
Causes return_causes(const predict::ShopModels& models, const catalog::Catalog& catalog, std::span<const predict::Step> history, UtcTime now, double days);

}  // namespace perennial::decide
