// What products are, as features that a network can learn vectors for: words of the title, category, brand, price bucket.
// Threads: one builder per thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "model/training_data.h"
#include "predict/shop_data.h"

namespace perennial::predict {

// A feature tells products apart only when several have it and most do not.
inline constexpr std::size_t kFeatureProductsMin = 2;
inline constexpr double kFeatureShareMax = 0.3;

class ContentBuilder {
public:
    explicit ContentBuilder(std::size_t products) : features_(products) {}

    // Words and pairs of neighbours, folded to lower case; of Chinese, characters and pairs of characters.
    void add_text(std::size_t product, std::string_view text);
    // A category, a brand, an attribute: the value as a whole, and its words.
    void add_value(std::size_t product, std::string_view field, std::string_view value);
    // A bucket, two an octave; values that are not positive say nothing.
    void add_number(std::size_t product, std::string_view field, double value);

    // Features numbered by first appearance; those too rare or too common are left out. O(features).
    model::ProductContent build() const;

private:
    void add(std::size_t product, std::string feature);
    std::unordered_map<std::string, std::int32_t> numbers_;
    std::vector<std::vector<std::int32_t>> features_;  // of each product, as they came
};

// Title, category and price of a shop's products, numbered by `vocabulary`. Nothing, and a line in the log, past model::kFullSoftmaxProducts of them.
model::ProductContent content_of(const ShopData& data, const sequence::Vocabulary& vocabulary);

// How alike two products are by their features: cosine of vectors weighted by inverse document frequency. The humble
// comparator of a cold start.
class ContentLikeness {
public:
    explicit ContentLikeness(const model::ProductContent& content);
    float operator()(std::size_t a, std::size_t b) const;  // 0 to 1

private:
    const model::ProductContent& content_;
    std::vector<std::vector<std::int32_t>> sorted_;  // features of each product, distinct
    std::vector<float> weight_, length_;
};

}  // namespace perennial::predict
