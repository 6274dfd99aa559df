// The simulated shop's products: titles, prices and price cuts, seasons, complements, stock-outs. Pure functions of the seed.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/rng.h"

namespace perennial::simulate {

struct Window { std::uint32_t first_day = 0, last_day = 0; };  // both inside
struct PriceCut { Window when; double share = 0; };            // 0.2: a fifth off

struct Product {
    std::string id, title;
    std::uint32_t category = 0;
    std::int64_t price_minor = 0;
    double popularity = 1;         // weight within its category
    double quality = 0;            // mean rating, 1 to 5
    std::uint32_t complement = 0;  // index of the product that is bought after it; itself when there is none
    std::uint32_t replenishment_days = 0;  // 0: not used up
    double season_peak_day = 0, season_strength = 0;
    std::vector<Window> stock_outs;
    std::vector<PriceCut> price_cuts;

    bool in_stock(std::uint32_t day) const noexcept;
    double cut(std::uint32_t day) const noexcept;           // share taken off the price on that day
    std::int64_t price_on(std::uint32_t day) const noexcept;
    double season(std::uint32_t day_of_year) const noexcept;  // mean 1 over a year
};

struct Shelf {
    std::vector<Product> products;
    std::vector<std::vector<std::uint32_t>> by_category;
};

std::size_t category_count() noexcept;
std::string_view category_name(std::uint32_t category) noexcept;

Shelf make_shelf(std::uint32_t products, std::uint32_t days, const Rng& rng);

}  // namespace perennial::simulate
