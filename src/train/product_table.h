// Product vectors from what products are: a product's vector is its own (dropped at random in training) plus the mean of
// the vectors of its content features, so that a product nobody has bought yet already has one.
// Source: id dropout as in DropoutNet, Volkovs, Yu and Poutanen 2017; feature sums as in LightFM, Kula 2015.
// Shapes: P products, F features, D width. Threads: one call at a time; results do not depend on `threads`.
#pragma once

#include <cstdint>
#include <filesystem>
#include <span>
#include <vector>

#include "base/result.h"
#include "base/rng.h"
#include "model/training_data.h"
#include "train/optimizer.h"

namespace perennial::train {

// Beside model.safetensors where content has names (docs/formats/models.md).
inline constexpr const char* kWordsFile = "content.safetensors";

class ProductTable {
public:
    // `own` [P, D]: the first own vectors. A product is known when it is a training target somewhere.
    ProductTable(const model::TrainingData& data, std::span<const float> own, std::size_t width, Rng rng);

    // Of a training step: each product's own vector is left out with chance `id_dropout`. table [P, D]. O(features D).
    void write(std::span<float> table, double id_dropout, Rng rng, unsigned threads);
    // The gradient of the last write(): d_table [P, D] to own() and words(). O(features D).
    void backward(std::span<const float> d_table, unsigned threads);
    // After training: the running means, nothing dropped; products never trained on get the content alone, and the mean
    // bias of the rarest known ones.
    void write_averaged(std::span<float> table, std::span<float> bias, unsigned threads) const;
    void average(float keep);

    // Vectors of features by name: those that the file knows become what they were, the others stay as they are. Errors:
    // kCorrupt, kInvalid (another width).
    Status load_words(const std::filesystem::path& path);
    // The running means of the vectors of features, by name. Nothing to write without names. Errors: kIo, kFull.
    Status save_words(const std::filesystem::path& path) const;
    // Own vectors such that the table is again what it was in these rows, which are known from now on; the others stay as they are.
    void start_from(std::span<const float> table, std::span<const std::size_t> rows);
    // All that the next step reads and changes.
    std::vector<std::span<float>> memory() { return {own_, words_, own_mean_, words_mean_}; }

    Parameter own() { return {own_, true}; }
    Parameter words() { return {words_, true}; }
    std::span<const float> own_gradient() const noexcept { return d_own_; }
    std::span<const float> words_gradient() const noexcept { return d_words_; }
    // -inf for products that are not known: they are no competitors. [P]
    std::span<const float> bias_mask() const noexcept { return bias_mask_; }

private:
    void mix(std::span<const float> own, std::span<const float> words, std::span<const float> share_of_own, std::span<float> table, unsigned threads) const;

    const model::ProductContent& content_;
    std::size_t width_;
    std::vector<std::int64_t> by_feature_offsets_;  // [F + 1]
    std::vector<std::int32_t> by_feature_product_;
    std::vector<float> scale_;                      // [P] 1 / sqrt(features)
    std::vector<float> own_, words_, own_mean_, words_mean_, d_own_, d_words_;
    std::vector<float> kept_, known_, bias_mask_;   // [P]
    std::vector<std::int32_t> rare_;                // known products with the fewest targets
};

}  // namespace perennial::train
