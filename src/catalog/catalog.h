// All products of a shop at one moment: an immutable snapshot, indexed by a dense number that models use.
// Threads: const after construction; share freely.
#pragma once

#include <optional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "catalog/product.h"

namespace perennial::catalog {

class Catalog {
public:
    Catalog() = default;
    // Sorts by id, so that the same products always get the same numbers. Where the shop names no category at all, each
    // product gets one derived from its title (see derive_categories). O(products x title words).
    explicit Catalog(std::vector<Product> products);

    std::size_t size() const noexcept { return products_.size(); }
    const Product& operator[](std::size_t index) const { return products_[index]; }
    const std::vector<Product>& products() const noexcept { return products_; }
    std::optional<std::size_t> find(std::string_view id) const;

    // True when the category was named by the shop, false when it was derived here.
    bool categories_are_given() const noexcept { return categories_given_; }

private:
    std::vector<Product> products_;
    std::unordered_map<std::string, std::size_t, StringHash, std::equal_to<>> index_;
    bool categories_given_ = false;
};

// For shops whose export has no categories: a product's category is the last word of its title (the head noun in
// English titles) that at least `products_min` titles share; "other" if there is none.
// Words are letters only, lower case, singular (a final s is dropped, not after a, i, s, u), 3 letters or more.
void derive_categories(std::vector<Product>& products, std::size_t products_min = 8);

}  // namespace perennial::catalog
