// Everything the predictors read of a shop, loaded once: products, customers' timelines, sequences, rhythm.
// Threads: const after loading.
#pragma once

#include <vector>

#include "base/result.h"
#include "catalog/catalog.h"
#include "event/event.h"
#include "profile/lifecycle.h"
#include "profile/store.h"
#include "sequence/sequence.h"

namespace perennial::predict {

struct ShopData {
    catalog::Catalog catalog;
    sequence::Vocabulary vocabulary;                    // products that were bought at least once
    std::vector<sequence::Sequence> sequences;          // customers and anonymous orders
    std::vector<std::vector<event::Event>> timelines;   // beside `sequences`; empty for anonymous orders
    profile::ShopRhythm rhythm;
    UtcTime first_time, last_time;                      // of the purchases
    Currency currency;

    std::size_t products() const noexcept { return vocabulary.size(); }
    double days() const noexcept { return days_between(first_time, last_time); }
};

// O(events). Memory: about 0.6 kB an event, since timelines are kept decoded.
// Errors: the store's; kInvalid when the shop has no purchase yet.
Result<ShopData> load_shop_data(const profile::Store& store);

// Sequences of a vocabulary that was fixed earlier (a trained model's).
std::vector<sequence::Sequence> sequences_of(const ShopData& data, const sequence::Vocabulary& vocabulary);

}  // namespace perennial::predict
