#include "simulate/shelf.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <numbers>

namespace perennial::simulate {
namespace {

struct Category {
    std::string_view name;
    std::array<std::string_view, 8> things;
    std::array<std::string_view, 5> forms;   // sizes or styles that end the title
    double price;                            // EUR, geometric middle
    std::uint32_t replenishment_days;        // of things that are used up
    double season_peak_day, season_strength;
    std::uint32_t complement;                // category of what is bought after
};

constexpr std::array<Category, 12> kCategories{{
    {"Tea", {"Green tea", "Black tea", "Rooibos tea", "Jasmine tea", "Peppermint tea", "White tea", "Earl Grey tea", "Oolong tea"},
     {"50 g", "100 g", "250 g", "500 g", "20 bags"}, 8, 28, 0, 0.2, 1},
    {"Tea ware", {"Teapot", "Tea cup", "Tea strainer", "Tea tin", "Kettle", "Tea tray", "Infuser mug", "Milk jug"},
     {"white", "blue", "glass", "cast iron", "porcelain"}, 22, 0, 0, 0.1, 0},
    {"Coffee", {"Espresso beans", "Filter coffee", "Ethiopia beans", "Colombia beans", "Decaf beans", "House blend", "Dark roast", "Coffee capsules"},
     {"250 g", "500 g", "1 kg", "10 pieces", "50 pieces"}, 12, 21, 0, 0.1, 3},
    {"Coffee makers", {"French press", "Hand grinder", "Moka pot", "Pour-over set", "Milk frother", "Paper filters", "Coffee scale", "Travel mug"},
     {"small", "large", "steel", "black", "glass"}, 32, 0, 345, 0.3, 2},
    {"Garden", {"Flower pot", "Watering can", "Garden gloves", "Tomato seeds", "Herb seeds", "Pruning shears", "Potting soil", "Garden lantern"},
     {"small", "medium", "large", "terracotta", "green"}, 14, 0, 125, 0.7, 4},
    {"Candles", {"Scented candle", "Pillar candle", "Tea lights", "Beeswax candle", "Candle holder", "Floating candle", "Dinner candles", "Lantern candle"},
     {"vanilla", "cedar", "ivory", "red", "12 pieces"}, 9, 45, 350, 0.5, 5},
    {"Stationery", {"Notebook", "Fountain pen", "Ink", "Greeting cards", "Desk calendar", "Pencil case", "Sketch pad", "Sticky notes"},
     {"A5", "A4", "blue", "dotted", "12 pieces"}, 10, 0, 250, 0.3, 6},
    {"Toys", {"Wooden train", "Puzzle", "Building blocks", "Soft bear", "Board game", "Paint set", "Kite", "Spinning top"},
     {"for small hands", "100 pieces", "classic", "deluxe", "travel"}, 19, 0, 345, 0.6, 7},
    {"Kitchen", {"Chopping board", "Chef's knife", "Mixing bowl", "Apron", "Baking tin", "Spice jar", "Rolling pin", "Salad servers"},
     {"oak", "steel", "large", "small", "set of 3"}, 24, 0, 330, 0.2, 8},
    {"Bath", {"Hand soap", "Bath salts", "Body lotion", "Shampoo bar", "Bath towel", "Face cream", "Loofah", "Shower gel"},
     {"lavender", "citrus", "rose", "unscented", "refill"}, 11, 35, 0, 0.1, 9},
    {"Bags", {"Shopping bag", "Lunch bag", "Backpack", "Wash bag", "Tote bag", "Picnic bag", "Laptop sleeve", "Belt bag"},
     {"red spots", "navy", "canvas", "striped", "recycled"}, 26, 0, 170, 0.3, 10},
    {"Pet care", {"Dog biscuits", "Cat litter", "Cat treats", "Dog lead", "Pet bed", "Bird seed", "Chew toy", "Fish flakes"},
     {"small", "large", "1 kg", "5 kg", "natural"}, 13, 30, 0, 0, 11},
}};

constexpr double kDaysAYear = 365.25;

std::vector<Window> make_stock_outs(std::uint32_t days, Rng& rng) {
    std::vector<Window> windows;
    if (!rng.chance(0.2)) return windows;
    const std::uint32_t count = 1 + static_cast<std::uint32_t>(rng.below(2));
    for (std::uint32_t i = 0; i < count; ++i) {
        const auto first = static_cast<std::uint32_t>(rng.below(days));
        const auto last = std::min(days - 1, first + 6 + static_cast<std::uint32_t>(rng.below(15)));
        if (windows.empty() || first > windows.back().last_day + 1) windows.push_back({first, last});
    }
    return windows;
}

std::vector<PriceCut> make_price_cuts(std::uint32_t days, Rng& rng) {
    std::vector<PriceCut> cuts;
    for (std::uint32_t day = static_cast<std::uint32_t>(rng.below(90)); day + 7 < days; day += 60 + static_cast<std::uint32_t>(rng.below(90)))
        if (rng.chance(0.6)) cuts.push_back({{day, day + 6}, rng.chance(0.5) ? 0.15 : 0.3});
    return cuts;
}

}  // namespace

bool Product::in_stock(std::uint32_t day) const noexcept {
    return std::ranges::none_of(stock_outs, [&](const Window& window) { return day >= window.first_day && day <= window.last_day; });
}

double Product::cut(std::uint32_t day) const noexcept {
    for (const auto& [when, share] : price_cuts)
        if (day >= when.first_day && day <= when.last_day) return share;
    return 0;
}

std::int64_t Product::price_on(std::uint32_t day) const noexcept {
    return static_cast<std::int64_t>(std::llround(static_cast<double>(price_minor) * (1 - cut(day))));
}

double Product::season(std::uint32_t day_of_year) const noexcept {
    return 1 + season_strength * std::cos(2 * std::numbers::pi * (day_of_year - season_peak_day) / kDaysAYear);
}

std::size_t category_count() noexcept { return kCategories.size(); }
std::string_view category_name(std::uint32_t category) noexcept { return kCategories[category].name; }

Shelf make_shelf(std::uint32_t count, std::uint32_t days, const Rng& rng) {
    Shelf shelf;
    shelf.by_category.resize(kCategories.size());
    for (std::uint32_t i = 0; i < count; ++i) {
        Rng own = rng.fork(i);
        const auto category = static_cast<std::uint32_t>(i % kCategories.size());
        const auto& kind = kCategories[category];
        const std::size_t place = i / kCategories.size(), things = kind.things.size(), forms = kind.forms.size();
        Product product;
        product.id = fmt::format("P{:05}", i + 1);
        // Every thing in one form first, then the next form: the forms rotate so that neighbours differ in both.
        product.title = fmt::format("{} {}", kind.things[place % things], kind.forms[(place / things + place) % forms]);
        if (place >= things * forms) product.title += fmt::format(" no. {}", place / (things * forms) + 1);
        product.category = category;
        product.price_minor = std::max<std::int64_t>(99, std::llround(kind.price * std::exp(0.5 * own.normal()) * 10) * 10 - 1);  // 7.99
        product.popularity = 1.0 / std::pow(1.0 + static_cast<double>(own.below(40)), 0.8);
        product.quality = own.uniform(3.2, 4.8);
        const bool used_up = kind.replenishment_days > 0 && own.chance(0.7);
        product.replenishment_days = used_up ? static_cast<std::uint32_t>(std::lround(kind.replenishment_days * own.uniform(0.7, 1.5))) : 0;
        product.season_peak_day = kind.season_peak_day;
        product.season_strength = kind.season_strength;
        product.stock_outs = make_stock_outs(days, own);
        product.price_cuts = make_price_cuts(days, own);
        shelf.products.push_back(std::move(product));
        shelf.by_category[category].push_back(i);
    }
    for (std::uint32_t i = 0; i < count; ++i) {
        Rng own = rng.fork(std::uint64_t{1} << 40 | i);
        const auto& partners = shelf.by_category[kCategories[shelf.products[i].category].complement];
        shelf.products[i].complement = !partners.empty() && own.chance(0.6) ? partners[own.below(partners.size())] : i;
    }
    return shelf;
}

}  // namespace perennial::simulate
