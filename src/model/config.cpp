#include "model/config.h"

#include <fmt/format.h>

#include <array>
#include <boost/json.hpp>

#include "model/buckets.h"
#include "model/training_data.h"

namespace perennial::model {
namespace {

namespace json = boost::json;

struct Field {
    const char* name;
    std::int64_t Config::*value;
    std::int64_t low, high;
};
// The upper bounds keep every tensor's size far from overflow; they are no advice.
constexpr std::array<Field, 8> kFields{{{"products", &Config::products, 0, 1 << 28},
                                        {"width", &Config::width, 1, 1 << 14},
                                        {"blocks", &Config::blocks, 0, 256},
                                        {"heads", &Config::heads, 1, 256},
                                        {"hidden", &Config::hidden, 1, 1 << 16},
                                        {"history_limit", &Config::history_limit, 1, 1 << 20},
                                        {"lags", &Config::lags, 1, 1 << 20},
                                        {"hazard_buckets", &Config::hazard_buckets, 1, 1024}}};

}  // namespace

Status check(const Config& config) {
    for (const auto& field : kFields)
        if (const auto value = config.*field.value; value < field.low || value > field.high)
            return Error{Code::kInvalid, fmt::format("config: {}: want {} to {}, got {}", field.name, field.low, field.high, value)};
    if (config.width % config.heads != 0)
        return Error{Code::kInvalid, fmt::format("config: heads: want a divisor of the width {}, got {}", config.width, config.heads)};
    return Done{};
}

std::string to_json(const Config& config) {
    json::object object;
    for (const auto& field : kFields) object[field.name] = config.*field.value;
    object["has_time"] = config.has_time;
    return json::serialize(object);
}

Result<Config> config_from_json(std::string_view text) {
    json::error_code failure;
    const auto parsed = json::parse(json::string_view(text.data(), text.size()), failure);
    if (failure || !parsed.is_object()) return Error{Code::kCorrupt, "config: want a JSON object"};
    const auto& object = parsed.get_object();
    Config config;
    for (const auto& field : kFields) {
        const auto* value = object.if_contains(field.name);
        if (value == nullptr || !value->is_int64()) return Error{Code::kCorrupt, fmt::format("config: {}: want a whole number", field.name)};
        config.*field.value = value->get_int64();
    }
    const auto* has_time = object.if_contains("has_time");
    if (has_time == nullptr || !has_time->is_bool()) return Error{Code::kCorrupt, "config: has_time: want true or false"};
    config.has_time = has_time->get_bool();
    if (auto status = check(config); !status) return Error{Code::kCorrupt, status.error().message};
    return config;
}

std::vector<TensorShape> tensors(const Config& c) {
    const auto gaps = static_cast<std::int64_t>(kGapBuckets), stamps = static_cast<std::int64_t>(kStampBuckets);
    std::vector<TensorShape> out{{"product.weight", {c.products, c.width}},
                                 {"product.bias", {c.products}},
                                 {"kind.weight", {static_cast<std::int64_t>(kKindsLimit), c.width}},
                                 {"quantity.weight", {static_cast<std::int64_t>(kQuantityBuckets), c.width}},
                                 {"gap.weight", {gaps, c.width}},
                                 {"start", {c.width}}};
    for (std::int64_t b = 0; b < c.blocks; ++b) {
        const auto add = [&](const char* part, std::vector<std::int64_t> shape) {
            out.push_back({fmt::format("block.{}.{}", b, part), std::move(shape)});
        };
        add("attention.norm", {c.width});
        add("attention.qkv", {3 * c.width, c.width});
        add("attention.out", {c.width, c.width});
        add("attention.gate.weight", {c.width, c.width});
        add("attention.gate.bias", {c.width});
        add("attention.lag_bias", {c.heads, c.lags});
        add("attention.stamp_bias", {c.heads, stamps});
        add("ffn.norm", {c.width});
        add("ffn.in", {2 * c.hidden, c.width});
        add("ffn.out", {c.width, c.hidden});
        add("ffn.gate.weight", {c.width, c.width});
        add("ffn.gate.bias", {c.width});
    }
    out.push_back({"norm", {c.width}});
    out.push_back({"request.scale", {gaps, c.width}});
    out.push_back({"request.shift", {gaps, c.width}});
    out.push_back({"hazard.weight", {c.hazard_buckets, c.width}});
    out.push_back({"hazard.bias", {c.hazard_buckets}});
    out.push_back({"hazard.edges_days", {c.hazard_buckets + 1}});
    return out;
}

}  // namespace perennial::model
