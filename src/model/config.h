// The shape of a network, as stored in its weight file, and the names and shapes of its tensors (docs/formats/weights.md).
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace perennial::model {

struct Config {
    std::int64_t products = 0;        // P
    std::int64_t width = 64;          // D
    std::int64_t blocks = 2;          // L
    std::int64_t heads = 2;           // H, divides D
    std::int64_t hidden = 128;        // F, of the feed-forward part
    std::int64_t history_limit = 50;  // a position's attention sees at most this many positions, itself included
    std::int64_t lags = 50;           // rows of the lag table; longer lags share the last
    std::int64_t hazard_buckets = 24; // K
    bool has_time = false;            // whether times were known in training
};

inline constexpr float kNormEps = 1e-6f;

Status check(const Config& config);
std::string to_json(const Config& config);
Result<Config> config_from_json(std::string_view text);

struct TensorShape {
    std::string name;
    std::vector<std::int64_t> shape;
};
// Every tensor of the weight file, in a fixed order. All F32.
std::vector<TensorShape> tensors(const Config& config);

inline constexpr std::string_view kNetworkFormat = "perennial.network", kNetworkVersion = "1";

}  // namespace perennial::model
