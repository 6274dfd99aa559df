// Categories that a task asks about, and what a customer bought from each before a moment: the humble comparator of a
// propensity, and part of what the richer methods read.
// C categories. Threads: const members and pure functions.
#pragma once

#include <cstdint>
#include <functional>
#include <optional>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "predict/shop_data.h"

namespace perennial::predict {

struct Categories {
    std::vector<std::string> names;   // [C] the most bought first
    bool top_level = false;           // names are cut at the first '>', '/' or '|'
    std::vector<double> popularity;   // [C] share of customers' purchase days with something of the category
    std::unordered_map<std::string, std::uint32_t, StringHash, std::equal_to<>> of_product;  // those of a category named above
    std::size_t left_out = 0;         // rarer categories
    double left_out_share = 0;        // of the lines bought, with those of no category

    std::size_t size() const noexcept { return names.size(); }
    // By the category that the event names, else by its product's.
    std::optional<std::uint32_t> of(const event::Event& e) const;
};

// The `limit` categories with the most lines; no category and "other" are none. Popularity is of what was bought before `until`, with
// half a day added to either side. Errors: kInvalid when fewer than two have a name. O(events).
Result<Categories> find_categories(const ShopData& data, bool top_level, std::size_t limit, UtcTime until);

// What a customer bought before `time`, [C, kOwnColumns]: log odds of the own share (purchase days with the category, held to its
// popularity by kOwnSharePrior days, over all), such days, days since the last of them (NaN: never).
inline constexpr std::size_t kOwnColumns = 3;
inline constexpr double kOwnSharePrior = 2;
std::vector<float> own_history(const Categories& categories, std::span<const event::Event> timeline, UtcTime time);

}  // namespace perennial::predict
