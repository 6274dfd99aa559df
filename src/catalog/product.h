// One product as the log tells it: what it is called, what it costs, what is left of it. A fold over events.
// Threads: plain values.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>

#include "base/money.h"
#include "base/result.h"
#include "base/time.h"
#include "event/event.h"

namespace perennial::catalog {

struct Product {
    std::string id;
    std::string title;                     // the title most lines agree on
    std::string category;                  // as the shop names it; empty when it never did
    Currency currency;
    Money price;                           // last price asked, one unit
    std::optional<std::int64_t> stock;     // units; known only after the shop has told it once
    std::int64_t units_sold = 0;           // less what came back
    std::int64_t lines_sold = 0, views = 0;
    UtcTime first_seen, last_sold;

    // State of the fold.
    std::int32_t title_votes = 0;          // Boyer-Moore majority of the titles seen
    UtcTime price_time, stock_time;        // events may arrive out of order: the latest wins

    bool operator==(const Product&) const = default;
};

// Takes one event of this product into account. O(title).
// stock_changed sets the stock when its properties carry {"stock": n}, moves it by {"delta": n} otherwise.
void apply(Product& product, const event::Event& event);

std::string encode(const Product& product);
Result<Product> decode_product(std::string_view bytes);

}  // namespace perennial::catalog
