#include "train/product_table.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>
#include <unordered_map>

#include "base/parallel.h"
#include "model/safetensors.h"

namespace perennial::train {
namespace {

constexpr std::array<std::int64_t, 1> kAny{-1};
constexpr std::size_t kBlock = 256;         // rows a task
constexpr double kWordSpread = 0.035;       // with the own vector's share as large, rows start as long as without content
constexpr std::int32_t kRareTargets = 2;    // known products with at most so many targets lend new ones their bias

}  // namespace

ProductTable::ProductTable(const model::TrainingData& data, std::span<const float> own, std::size_t width, Rng rng)
    : content_(data.content), width_(width), own_(own.begin(), own.end()), words_(static_cast<std::size_t>(content_.features) * width) {
    const auto products = static_cast<std::size_t>(data.products), features = static_cast<std::size_t>(content_.features);
    for (float& x : own_) x *= std::sqrt(0.5f);
    for (float& x : words_) x = static_cast<float>(kWordSpread * rng.normal());
    std::vector<std::int32_t> targets(products, 0);
    for (std::size_t i = 0; i < data.events(); ++i)
        if (data.role[i] == model::kTrainTarget) ++targets[static_cast<std::size_t>(data.product[i])];
    kept_.assign(products, 1.0f);
    by_feature_offsets_.assign(features + 1, 0);
    for (const auto feature : content_.feature) ++by_feature_offsets_[static_cast<std::size_t>(feature) + 1];
    for (std::size_t f = 0; f < features; ++f) by_feature_offsets_[f + 1] += by_feature_offsets_[f];
    by_feature_product_.resize(content_.feature.size());
    auto next = by_feature_offsets_;
    for (std::size_t p = 0; p < products; ++p) {
        const auto begin = content_.offsets[p], end = content_.offsets[p + 1];
        scale_.push_back(end > begin ? 1 / std::sqrt(static_cast<float>(end - begin)) : 0.0f);
        for (auto k = begin; k < end; ++k) {
            auto& at = next[static_cast<std::size_t>(content_.feature[static_cast<std::size_t>(k)])];
            by_feature_product_[static_cast<std::size_t>(at++)] = static_cast<std::int32_t>(p);
        }
        known_.push_back(targets[p] > 0 ? 1.0f : 0.0f);
        bias_mask_.push_back(targets[p] > 0 ? 0.0f : -std::numeric_limits<float>::infinity());
        if (targets[p] > 0 && targets[p] <= kRareTargets) rare_.push_back(static_cast<std::int32_t>(p));
    }
    own_mean_ = own_;
    words_mean_ = words_;
    d_own_.resize(own_.size());
    d_words_.resize(words_.size());
}

void ProductTable::mix(std::span<const float> own, std::span<const float> words, std::span<const float> share_of_own, std::span<float> table,
                       unsigned threads) const {
    parallel_for(scale_.size(), kBlock, threads, [&](std::size_t begin, std::size_t end) {
        for (auto p = begin; p < end; ++p) {
            float* row = table.data() + p * width_;
            std::fill_n(row, width_, 0.0f);
            for (auto k = content_.offsets[p]; k < content_.offsets[p + 1]; ++k) {
                const float* word = words.data() + static_cast<std::size_t>(content_.feature[static_cast<std::size_t>(k)]) * width_;
                for (std::size_t i = 0; i < width_; ++i) row[i] += word[i];
            }
            for (std::size_t i = 0; i < width_; ++i) row[i] = scale_[p] * row[i] + share_of_own[p] * own[p * width_ + i];
        }
    });
}

void ProductTable::start_from(std::span<const float> table, std::span<const std::size_t> rows) {
    std::vector<float> content(own_.size());
    mix(own_, words_, std::vector<float>(scale_.size(), 0.0f), content, 1);
    for (const auto p : rows) {
        for (auto i = p * width_; i < (p + 1) * width_; ++i) own_[i] = own_mean_[i] = table[i] - content[i];
        known_[p] = 1;
        bias_mask_[p] = 0;
    }
}

Status ProductTable::load_words(const std::filesystem::path& path) {
    auto file = model::Safetensors::open(path);
    if (!file) return file.error();
    const auto names = file->longs("name", kAny);
    if (!names) return names.error();
    const std::array<std::int64_t, 2> shape{static_cast<std::int64_t>(names->size()), static_cast<std::int64_t>(width_)};
    const auto values = file->floats("words", shape);
    if (!values) return values.error();
    std::unordered_map<std::int64_t, std::size_t> row;
    for (std::size_t f = 0; f < names->size(); ++f) row.emplace((*names)[f], f);
    for (std::size_t f = 0; f < content_.name.size(); ++f)
        if (const auto found = row.find(content_.name[f]); found != row.end())
            for (std::size_t i = 0; i < width_; ++i) words_[f * width_ + i] = words_mean_[f * width_ + i] = (*values)[found->second * width_ + i];
    return Done{};
}

Status ProductTable::save_words(const std::filesystem::path& path) const {
    if (content_.name.empty()) return Done{};
    model::SafetensorsWriter file;
    const std::array<std::int64_t, 2> shape{static_cast<std::int64_t>(content_.name.size()), static_cast<std::int64_t>(width_)};
    file.metadata("format", "perennial.content");
    file.metadata("version", "1");
    file.add("name", std::span(shape).first(1), std::span(content_.name));
    file.add("words", shape, std::span<const float>(words_mean_));
    return file.write(path);
}

void ProductTable::write(std::span<float> table, double id_dropout, Rng rng, unsigned threads) {
    // A product without content keeps its own vector: it has nothing else.
    for (std::size_t p = 0; p < kept_.size(); ++p) kept_[p] = scale_[p] > 0 && rng.chance(id_dropout) ? 0.0f : 1.0f;
    mix(own_, words_, kept_, table, threads);
}

void ProductTable::backward(std::span<const float> d_table, unsigned threads) {
    for (std::size_t p = 0; p < kept_.size(); ++p)
        for (std::size_t i = 0; i < width_; ++i) d_own_[p * width_ + i] = kept_[p] * d_table[p * width_ + i];
    parallel_for(by_feature_offsets_.size() - 1, kBlock, threads, [&](std::size_t begin, std::size_t end) {
        for (auto f = begin; f < end; ++f) {
            float* row = d_words_.data() + f * width_;
            std::fill_n(row, width_, 0.0f);
            for (auto k = by_feature_offsets_[f]; k < by_feature_offsets_[f + 1]; ++k) {
                const auto p = static_cast<std::size_t>(by_feature_product_[static_cast<std::size_t>(k)]);
                for (std::size_t i = 0; i < width_; ++i) row[i] += scale_[p] * d_table[p * width_ + i];
            }
        }
    });
}

void ProductTable::average(float keep) {
    for (std::size_t i = 0; i < own_.size(); ++i) own_mean_[i] = keep * own_mean_[i] + (1 - keep) * own_[i];
    for (std::size_t i = 0; i < words_.size(); ++i) words_mean_[i] = keep * words_mean_[i] + (1 - keep) * words_[i];
}

void ProductTable::write_averaged(std::span<float> table, std::span<float> bias, unsigned threads) const {
    mix(own_mean_, words_mean_, known_, table, threads);
    double sum = 0;
    for (const auto p : rare_) sum += bias[static_cast<std::size_t>(p)];
    const auto rare = rare_.empty() ? 0.0f : static_cast<float>(sum / static_cast<double>(rare_.size()));
    for (std::size_t p = 0; p < known_.size(); ++p)
        if (known_[p] == 0) bias[p] = rare;
}

}  // namespace perennial::train
