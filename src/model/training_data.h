// The training set: customers' events as token columns, with the marks that say what may be learned from.
// One file, "perennial.sequences" version 1 in a safetensors container (docs/formats/training-data.md).
// Shapes: S sequences, N events of all sequences one after another.
#pragma once

#include <cstdint>
#include <filesystem>
#include <vector>

#include "base/result.h"

namespace perennial::model {

inline constexpr std::size_t kKindsLimit = 32;       // event kinds are numbers below this
inline constexpr std::size_t kQuantityBuckets = 16;  // 0 = no quantity

enum Role : std::uint8_t { kNoTarget = 0, kTrainTarget = 1, kValidationTarget = 2 };

// Past so many products training meets a sample of them at a step, and takes no content.
inline constexpr std::int64_t kFullSoftmaxProducts = 100'000;

// What products are, apart from who bought them: features such as words of the title, the category, a price bucket.
struct ProductContent {
    std::int32_t features = 0;              // F; 0: nothing is known
    std::vector<std::int64_t> offsets;      // [P + 1], empty when F is 0
    std::vector<std::int32_t> feature;      // of each product in turn, 0..F-1
    std::vector<std::int64_t> name;         // [F] a hash of what each is, by which an update knows it again; empty: unnamed
};

struct TrainingData {
    std::vector<std::int64_t> offsets{0};  // [S + 1]
    std::vector<std::int32_t> product;     // [N] 0..products-1, or -1: none
    std::vector<std::uint8_t> kind;        // [N] below `kinds`
    std::vector<std::int64_t> time_ms;     // [N] not decreasing within a sequence; zeros when !has_time
    std::vector<std::uint8_t> quantity;    // [N] bucket 0..15
    std::vector<std::int32_t> occasion;    // [N] not decreasing within a sequence; equal ones are exchangeable (lines of one order)
    std::vector<std::uint8_t> role;        // [N] Role: whether predicting THIS event's product from what came before counts
    std::vector<std::uint8_t> purchase;    // [N] 1 if the event is a purchase
    std::vector<std::int64_t> end_ms;      // [S] end of observation
    std::int32_t products = 0;             // P
    std::int32_t kinds = 1;
    bool has_time = false;
    ProductContent content;
    bool exclude_seen = false;  // validation ranks only products that are not yet in the history

    std::size_t sequences() const noexcept { return offsets.size() - 1; }
    std::size_t events() const noexcept { return product.size(); }
};

// kInvalid naming the first column, sequence and position that breaks a rule above.
Status check(const TrainingData& data);

Result<TrainingData> read_training_data(const std::filesystem::path& path);  // checked
Status write_training_data(const TrainingData& data, const std::filesystem::path& path);

}  // namespace perennial::model
