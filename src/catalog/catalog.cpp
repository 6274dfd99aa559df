#include "catalog/catalog.h"

#include <algorithm>
#include <set>

#include "base/text.h"

namespace perennial::catalog {
namespace {

std::vector<std::string> title_words(std::string_view title) {
    static const std::set<std::string, std::less<>> kEmptyWords{"and", "the", "with", "for", "set", "pack", "asst", "assorted", "red", "blue",
        "pink", "white", "black", "green", "small", "large", "medium", "design", "pcs", "cream", "ivory", "silver", "gold", "vintage", "retro"};
    std::vector<std::string> words;
    std::string word;
    const auto close = [&] {
        // "bags" to "bag", but not "glass", "christmas", "cactus", "iris".
        if (word.size() > 3 && word.ends_with('s') && std::string_view("sau").find(word[word.size() - 2]) == std::string_view::npos && !word.ends_with("is")) word.pop_back();
        if (word.size() >= 3 && !kEmptyWords.contains(word)) words.push_back(word);
        word.clear();
    };
    for (const char c : lower(title)) {
        if (c >= 'a' && c <= 'z') word += c;
        else close();
    }
    close();
    return words;
}

}  // namespace

void derive_categories(std::vector<Product>& products, std::size_t products_min) {
    std::unordered_map<std::string, std::size_t> titles_with;
    std::vector<std::vector<std::string>> words(products.size());
    for (std::size_t i = 0; i < products.size(); ++i) {
        words[i] = title_words(products[i].title);
        for (const auto& word : std::set<std::string>(words[i].begin(), words[i].end())) ++titles_with[word];
    }
    for (std::size_t i = 0; i < products.size(); ++i) {
        if (!products[i].category.empty()) continue;
        const auto shared = [&](const std::string& word) { return titles_with[word] >= products_min; };
        const auto head = std::find_if(words[i].rbegin(), words[i].rend(), shared);
        products[i].category = head == words[i].rend() ? "other" : *head;
    }
}

Catalog::Catalog(std::vector<Product> products) : products_(std::move(products)) {
    std::ranges::sort(products_, {}, &Product::id);
    categories_given_ = std::ranges::any_of(products_, [](const Product& p) { return !p.category.empty(); });
    if (!categories_given_) derive_categories(products_);
    index_.reserve(products_.size());
    for (std::size_t i = 0; i < products_.size(); ++i) index_.emplace(products_[i].id, i);
}

std::optional<std::size_t> Catalog::find(std::string_view id) const {
    const auto found = index_.find(id);
    if (found == index_.end()) return std::nullopt;
    return found->second;
}

}  // namespace perennial::catalog
