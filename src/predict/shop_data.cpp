#include "predict/shop_data.h"

#include <algorithm>
#include <limits>
#include <map>

namespace perennial::predict {

Result<ShopData> load_shop_data(const profile::Store& store) {
    ShopData data;
    auto products = store.products();
    if (!products) return products.error();
    data.catalog = catalog::Catalog(std::move(*products));
    std::vector<std::string> sold;
    for (const auto& product : data.catalog.products())
        if (product.lines_sold > 0) sold.push_back(product.id);
    if (sold.empty()) return Error{Code::kInvalid, "this shop has no purchase yet: import orders first"};
    data.vocabulary = sequence::Vocabulary(std::move(sold));

    std::vector<std::vector<double>> gaps;
    std::map<Currency, std::size_t> currencies;
    data.first_time = {std::numeric_limits<std::int64_t>::max()};
    PERENNIAL_TRY(store.for_each_timeline(true, [&](const profile::CustomerKey& key, const std::vector<event::Event>& timeline) {
        auto steps = sequence::steps_of(timeline, data.vocabulary);
        for (const auto& event : timeline) {
            // An order dated ahead of its receipt does not move the end of the data.
            if (event.kind != event::Kind::kOrderCompleted || event.time > after_days(event.received, 1)) continue;
            data.first_time = std::min(data.first_time, event.time);
            data.last_time = std::max(data.last_time, event.time);
            ++currencies[event.currency];
        }
        const bool customer = profile::is_customer(key);
        if (customer) gaps.push_back(profile::purchase_gaps_days(profile::fold(timeline).orders));
        data.timelines.push_back(customer ? timeline : std::vector<event::Event>{});
        data.sequences.push_back({key, std::move(steps)});
        return true;
    }));
    data.rhythm = profile::learn_rhythm(gaps);
    std::size_t most = 0;
    for (const auto& [currency, lines] : currencies)
        if (lines > most) most = lines, data.currency = currency;
    return data;
}

std::vector<sequence::Sequence> sequences_of(const ShopData& data, const sequence::Vocabulary& vocabulary) {
    std::vector<sequence::Sequence> sequences(data.sequences.size());
    for (std::size_t i = 0; i < sequences.size(); ++i) {
        sequences[i].customer = data.sequences[i].customer;
        sequences[i].steps = data.sequences[i].steps;
        for (auto& step : sequences[i].steps)
            if (step.product >= 0) step.product = vocabulary.find(data.vocabulary[step.product]);
    }
    return sequences;
}

}  // namespace perennial::predict
