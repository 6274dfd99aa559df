#include "decide/causes.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "predict/explanation.h"

namespace perennial::decide {
namespace {

Causes greatest(const predict::ShopModels& models, const catalog::Catalog& catalog, std::span<const predict::Step> history, double value, double baseline,
                std::span<const double> effects) {
    Causes out{value, baseline, {}, 0};
    std::vector<std::size_t> order(effects.size());
    std::iota(order.begin(), order.end(), std::size_t{0});
    std::ranges::stable_sort(order, [&](std::size_t a, std::size_t b) { return std::abs(effects[a]) > std::abs(effects[b]); });
    double size = 0;
    for (const double effect : effects) size += std::abs(effect);
    for (const auto i : order) {
        if (effects[i] == 0) break;
        if (out.events.size() == kCausesShown) {
            out.others += effects[i];
            continue;
        }
        Cause cause{{}, {}, static_cast<event::Kind>(history[i].kind), {history[i].time_ms}, effects[i], std::abs(effects[i]) / size};
        if (history[i].product >= 0) {
            cause.product = models.vocabulary[history[i].product];
            if (const auto at = catalog.find(cause.product)) cause.title = catalog[*at].title;
        }
        out.events.push_back(std::move(cause));
    }
    return out;
}

}  // namespace

std::vector<Causes> causes(const predict::ShopModels& models, const catalog::Catalog& catalog, std::span<const predict::Step> history, UtcTime now,
                           std::span<const std::string> products) {
    std::vector<Causes> out(products.size());
    const auto* network = models.methods.network.get();
    if (network == nullptr || history.empty()) return out;
    std::vector<std::int32_t> numbers;
    std::vector<std::size_t> places;
    for (std::size_t p = 0; p < std::min(products.size(), kExplainedLimit); ++p)
        if (const auto number = models.vocabulary.find(products[p]); number != sequence::kNoProduct) {
            numbers.push_back(number);
            places.push_back(p);
        }
    std::vector<float> shares(models.vocabulary.size());
    network->score(history, now.ms, shares);
    const auto explained = predict::explain(*network, history, now.ms, numbers, shares);
    for (std::size_t k = 0; k < places.size(); ++k)
        out[places[k]] = greatest(models, catalog, history, explained[k].value, explained[k].baseline, explained[k].effects);
    return out;
}

Causes return_causes(const predict::ShopModels& models, const catalog::Catalog& catalog, std::span<const predict::Step> history, UtcTime now, double days) {
    if (models.methods.network == nullptr || history.empty()) return {};
    const auto explained = predict::explain_return(*models.methods.network, history, now.ms, days);
    return greatest(models, catalog, history, explained.value, explained.baseline, explained.effects);
}

}  // namespace perennial::decide
