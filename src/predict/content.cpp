#include "predict/content.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <utility>

#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"

namespace perennial::predict {
namespace {

bool is_word_byte(unsigned char c) noexcept { return c >= 128 || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z'); }

// Chinese, Japanese and Korean characters are three bytes of UTF-8 that begin with e3 to ed (kana, ideographs, hangul).
bool is_ideograph(std::string_view text, std::size_t at) noexcept {
    const auto c = static_cast<unsigned char>(text[at]);
    return c >= 0xe3 && c <= 0xed && at + 3 <= text.size();
}

std::vector<std::string> words_of(std::string_view text) {
    const std::string folded = lower(text);
    std::vector<std::string> words;
    std::string word;
    const auto end_word = [&] {
        if (!word.empty()) words.push_back(std::move(word));
        word.clear();
    };
    for (std::size_t i = 0; i < folded.size(); ++i) {
        if (is_ideograph(folded, i)) {
            end_word();
            words.push_back(folded.substr(i, 3));
            i += 2;
        } else if (is_word_byte(static_cast<unsigned char>(folded[i]))) {
            word.push_back(folded[i]);
        } else {
            end_word();
        }
    }
    end_word();
    return words;
}

}  // namespace

void ContentBuilder::add(std::size_t product, std::string feature) {
    const auto number = numbers_.try_emplace(std::move(feature), static_cast<std::int32_t>(numbers_.size())).first->second;
    auto& own = features_[product];
    if (std::ranges::find(own, number) == own.end()) own.push_back(number);
}

void ContentBuilder::add_text(std::size_t product, std::string_view text) {
    const auto words = words_of(text);
    for (std::size_t i = 0; i < words.size(); ++i) {
        add(product, "w:" + words[i]);
        if (i > 0) add(product, "p:" + words[i - 1] + " " + words[i]);
    }
}

void ContentBuilder::add_value(std::size_t product, std::string_view field, std::string_view value) {
    if (trim(value).empty()) return;
    add(product, fmt::format("v:{}={}", field, lower(trim(value))));
    for (const auto& word : words_of(value)) add(product, "w:" + word);
}

void ContentBuilder::add_number(std::size_t product, std::string_view field, double value) {
    if (value > 0 && std::isfinite(value)) add(product, fmt::format("n:{}={}", field, std::lround(2 * std::log2(value))));
}

model::ProductContent ContentBuilder::build() const {
    std::vector<std::size_t> products_with(numbers_.size(), 0);
    std::size_t described = 0;
    for (const auto& own : features_) {
        described += !own.empty();
        for (const auto f : own) ++products_with[static_cast<std::size_t>(f)];
    }
    const auto most = std::max(kFeatureShareMax * static_cast<double>(described), static_cast<double>(kFeatureProductsMin));
    std::vector<std::int32_t> renumbered(numbers_.size(), -1);
    model::ProductContent content;
    for (std::size_t f = 0; f < renumbered.size(); ++f)
        if (products_with[f] >= kFeatureProductsMin && static_cast<double>(products_with[f]) <= most) renumbered[f] = content.features++;
    if (content.features == 0) return content;
    content.name.resize(static_cast<std::size_t>(content.features));
    for (const auto& [feature, f] : numbers_)
        if (const auto number = renumbered[static_cast<std::size_t>(f)]; number >= 0) content.name[static_cast<std::size_t>(number)] = static_cast<std::int64_t>(hash64(feature));
    content.offsets.push_back(0);
    for (const auto& own : features_) {
        for (const auto f : own)
            if (const auto number = renumbered[static_cast<std::size_t>(f)]; number >= 0) content.feature.push_back(number);
        content.offsets.push_back(static_cast<std::int64_t>(content.feature.size()));
    }
    return content;
}

model::ProductContent content_of(const ShopData& data, const sequence::Vocabulary& vocabulary) {
    if (std::cmp_greater(vocabulary.size(), model::kFullSoftmaxProducts)) {
        log::info("{} products: more than {}, so training does not use what they are", vocabulary.size(), model::kFullSoftmaxProducts);
        return {};
    }
    ContentBuilder builder(vocabulary.size());
    for (std::size_t p = 0; p < vocabulary.size(); ++p) {
        const auto at = data.catalog.find(vocabulary[static_cast<std::int32_t>(p)]);
        if (!at) continue;
        const auto& product = data.catalog[*at];
        builder.add_text(p, product.title);
        builder.add_value(p, "category", product.category);
        builder.add_number(p, "price", static_cast<double>(product.price.minor));
    }
    return builder.build();
}

ContentLikeness::ContentLikeness(const model::ProductContent& content) : content_(content) {
    if (content_.features == 0) return;
    const auto products = content_.offsets.size() - 1;
    std::vector<double> count(static_cast<std::size_t>(content_.features), 0.0);
    for (const auto f : content_.feature) count[static_cast<std::size_t>(f)] += 1;
    for (const double c : count) weight_.push_back(static_cast<float>(std::log(static_cast<double>(products) / std::max(c, 1.0))));
    for (std::size_t p = 0; p < products; ++p) {
        sorted_.emplace_back(content_.feature.begin() + content_.offsets[p], content_.feature.begin() + content_.offsets[p + 1]);
        std::ranges::sort(sorted_.back());
        double squares = 0;
        for (const auto f : sorted_.back()) squares += std::pow(weight_[static_cast<std::size_t>(f)], 2);
        length_.push_back(static_cast<float>(std::sqrt(squares)));
    }
}

float ContentLikeness::operator()(std::size_t a, std::size_t b) const {
    if (content_.features == 0 || length_[a] == 0 || length_[b] == 0) return 0;
    float common = 0;
    for (auto x = sorted_[a].begin(), y = sorted_[b].begin(); x != sorted_[a].end() && y != sorted_[b].end();) {
        if (*x == *y) common += weight_[static_cast<std::size_t>(*x)] * weight_[static_cast<std::size_t>(*x)], ++x, ++y;
        else if (*x < *y) ++x;
        else ++y;
    }
    return common / (length_[a] * length_[b]);
}

}  // namespace perennial::predict
