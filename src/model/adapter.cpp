#include "model/adapter.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cassert>
#include <cmath>

#include "base/file.h"
#include "base/hash.h"
#include "base/text.h"
#include "kernels/linear.h"
#include "model/safetensors.h"
#include "model/task_data.h"

namespace perennial::model {
namespace {

namespace json = boost::json;

constexpr std::int64_t kFeaturesLimit = 4096;
constexpr std::array<std::string_view, 4> kLoraParts{"attention.qkv", "attention.out", "ffn.in", "ffn.out"};

Error corrupt(std::string_view file, std::string_view what) { return {Code::kCorrupt, fmt::format("{}: {}", file, what)}; }

// W + scale B A; b [out, r], a [r, in].
void merge(std::vector<float>& weight, std::span<const float> a, std::span<const float> b, std::size_t rank, float scale) {
    const std::size_t in = a.size() / rank, out = b.size() / rank;
    for (std::size_t o = 0; o < out; ++o)
        for (std::size_t r = 0; r < rank; ++r) {
            const float factor = scale * b[o * rank + r];
            for (std::size_t i = 0; i < in; ++i) weight[o * in + i] += factor * a[r * in + i];
        }
}

}  // namespace

std::string fingerprint(std::string_view bytes) { return fmt::format("{:016x}", hash64(bytes)); }

std::vector<TensorShape> lora_targets(const Config& config) {
    std::vector<TensorShape> targets;
    for (auto& tensor : tensors(config))
        if (std::ranges::any_of(kLoraParts, [&](auto part) { return tensor.name.starts_with("block.") && tensor.name.ends_with(part); }))
            targets.push_back(std::move(tensor));
    return targets;
}

std::vector<TensorShape> adapter_tensors(const Adapter& adapter) {
    const auto& c = adapter.config;
    const auto extra = 1 + static_cast<std::int64_t>(adapter.features.size()), inputs = c.width + extra;
    const auto outputs = static_cast<std::int64_t>(output_count(adapter.kind, adapter.classes));
    std::vector<TensorShape> out{{"head.bias", {outputs}}, {"input.mean", {extra}}, {"input.scale", {extra}}};
    if (adapter.head_hidden > 0) {
        out.push_back({"head.in.weight", {adapter.head_hidden, inputs}});
        out.push_back({"head.in.bias", {adapter.head_hidden}});
    }
    out.push_back({"head.weight", {outputs, adapter.head_hidden > 0 ? adapter.head_hidden : inputs}});
    if (adapter.method == Method::kLora)
        for (const auto& [tensor, shape] : lora_targets(c)) {
            out.push_back({tensor + ".a", {adapter.rank, shape[1]}});
            out.push_back({tensor + ".b", {shape[0], adapter.rank}});
        }
    if (adapter.method == Method::kPrefix)
        for (std::int64_t b = 0; b < c.blocks; ++b) out.push_back({fmt::format("block.{}.prefix", b), {adapter.prefix_length, 2 * c.width}});
    if (adapter.method == Method::kFull)
        for (auto& tensor : tensors(c))
            if (tensor.name != "hazard.edges_days") out.push_back(std::move(tensor));
    return out;
}

std::string Adapter::bytes() const {
    SafetensorsWriter file;
    file.metadata("format", std::string(kAdapterFormat));
    file.metadata("version", std::string(kAdapterVersion));
    file.metadata("config", to_json(config));
    file.metadata("backbone", backbone);
    file.metadata("features", json::serialize(json::value_from(features)));
    file.metadata("task", json::serialize(json::object{{"kind", std::string(name(kind))}, {"classes", classes}, {"method", std::string(name(method))}, {"rank", rank}, {"alpha", alpha},
                                                       {"prefix_length", prefix_length}, {"head_hidden", head_hidden}, {"target_mean", scale.mean}, {"target_scale", scale.scale}}));
    for (const auto& [tensor, shape] : adapter_tensors(*this)) file.add(tensor, shape, std::span<const float>(tensors.at(tensor)));
    return file.bytes();
}

Result<Adapter> Adapter::parse(std::string bytes, std::string_view origin) {
    auto file = Safetensors::parse(std::move(bytes), origin);
    if (!file) return file.error();
    const auto format = file->text("format"), version = file->text("version");
    if (!format || *format != kAdapterFormat) return Error{Code::kInvalid, fmt::format("{}: want format '{}', got '{}'", origin, kAdapterFormat, format ? *format : "")};
    if (!version || *version != kAdapterVersion) return Error{Code::kUnsupported, fmt::format("{}: want version {}, got '{}'", origin, kAdapterVersion, version ? *version : "")};
    const auto config = file->text("config"), backbone = file->text("backbone"), features = file->text("features"), task = file->text("task");
    for (const auto* text : {&config, &backbone, &features, &task})
        if (!*text) return text->error();
    Adapter adapter;
    auto shape = config_from_json(*config);
    if (!shape) return corrupt(origin, shape.error().message);
    adapter.config = *shape;
    adapter.backbone = *backbone;

    json::error_code failure;
    const auto names = json::parse(*features, failure);
    if (failure || !names.is_array() || names.get_array().size() > kFeaturesLimit) return corrupt(origin, fmt::format("features: want a JSON list of at most {} names", kFeaturesLimit));
    for (const auto& feature : names.get_array()) {
        if (!feature.is_string()) return corrupt(origin, "features: want texts");
        adapter.features.emplace_back(feature.get_string());
    }
    // The options that shape the tensors go through the checks of every option.
    const auto parsed = json::parse(*task, failure);
    if (failure || !parsed.is_object()) return corrupt(origin, "task: want a JSON object");
    TaskOptions options;
    for (const char* key : {"kind", "classes", "method", "rank", "alpha", "prefix_length", "head_hidden"}) {
        const auto* value = parsed.get_object().if_contains(key);
        OptionValue option = std::string();
        if (value && value->is_int64()) option = value->get_int64();
        else if (value && value->is_double()) option = value->get_double();
        else if (value && value->is_string()) option = std::string(value->get_string());
        if (auto status = set_option(options, key, option); !status) return corrupt(origin, "task: " + status.error().message);
    }
    for (const auto& [key, to] : {std::pair{"target_mean", &adapter.scale.mean}, std::pair{"target_scale", &adapter.scale.scale}}) {
        const auto* value = parsed.get_object().if_contains(key);
        json::error_code not_a_number;
        const double number = value ? value->to_number<double>(not_a_number) : std::nan("");
        if (not_a_number || !std::isfinite(number)) return corrupt(origin, fmt::format("task: {}: want a number", key));
        *to = number;
    }
    adapter.kind = options.kind;
    adapter.classes = options.classes;
    adapter.method = options.method;
    adapter.rank = options.rank;
    adapter.alpha = options.alpha;
    adapter.prefix_length = options.prefix_length;
    adapter.head_hidden = options.head_hidden;

    const auto wanted = adapter_tensors(adapter);
    for (const auto& [tensor, extents] : wanted) {
        auto values = file->floats(tensor, extents);
        if (!values) return values.error();
        if (!std::ranges::all_of(*values, [](float value) { return std::isfinite(value); })) return corrupt(origin, fmt::format("tensor '{}': want finite numbers", tensor));
        adapter.tensors.emplace(tensor, std::move(*values));
    }
    if (file->tensors().size() != wanted.size()) return corrupt(origin, fmt::format("want {} tensors, got {}", wanted.size(), file->tensors().size()));
    return adapter;
}

Result<Adapter> Adapter::open(const std::filesystem::path& path) {
    auto bytes = read_file(path);
    if (!bytes) return bytes.error();
    return parse(std::move(*bytes), path.string());
}

Result<AdaptedNetwork> AdaptedNetwork::make(NetworkTensors network, std::string_view fingerprint, Adapter adapter) {
    if (adapter.backbone != fingerprint || to_json(adapter.config) != to_json(network.config))
        return Error{Code::kInvalid, fmt::format("adapter: want the network {} that it was trained on, got {}", adapter.backbone, fingerprint)};
    if (adapter.method == Method::kLora) {
        const auto rank = static_cast<std::size_t>(adapter.rank);
        const auto scale = static_cast<float>(adapter.alpha / static_cast<double>(adapter.rank));
        for (const auto& target : lora_targets(adapter.config))
            merge(network.values.at(target.name), adapter.tensors.at(target.name + ".a"), adapter.tensors.at(target.name + ".b"), rank, scale);
    }
    if (adapter.method == Method::kPrefix)
        for (std::int64_t b = 0; b < adapter.config.blocks; ++b) network.prefix.push_back(adapter.tensors.at(fmt::format("block.{}.prefix", b)));
    if (adapter.method == Method::kFull)
        for (auto& [tensor, values] : network.values)
            if (tensor != "hazard.edges_days") values = adapter.tensors.at(tensor);
    auto made = Network::make(std::move(network));
    if (!made) return made.error();
    return AdaptedNetwork(std::move(*made), std::move(adapter));
}

Result<AdaptedNetwork> AdaptedNetwork::load(const std::filesystem::path& weights, const std::filesystem::path& adapter_file) {
    auto bytes = read_file(weights);
    if (!bytes) return bytes.error();
    const auto print = fingerprint(*bytes);
    auto network = read_network(std::move(*bytes), weights.string());
    if (!network) return network.error();
    auto adapter = Adapter::open(adapter_file);
    if (!adapter) return adapter.error();
    auto made = make(std::move(*network), print, std::move(*adapter));
    if (!made) return Error{made.error().code, fmt::format("{}: {}", adapter_file.string(), made.error().message)};
    return made;
}

void AdaptedNetwork::outputs(const Session& session, double gap_days, std::span<const float> features, std::span<float> out) const {
    const auto& t = adapter_.tensors;
    const auto width = static_cast<std::size_t>(adapter_.config.width);
    assert(features.size() == adapter_.features.size() && out.size() == output_count(adapter_.kind, adapter_.classes));
    const auto& mean = t.at("input.mean");
    const auto& scale = t.at("input.scale");
    std::vector<float> u(width + mean.size());
    network_.requested(session, {.gap_days = gap_days}, std::span(u).first(width));
    for (std::size_t e = 0; e < mean.size(); ++e) {
        const float value = tamed(e == 0 ? static_cast<float>(gap_days) : features[e - 1]);
        u[width + e] = std::isnan(value) ? 0.0f : (value - mean[e]) * scale[e];
    }
    if (adapter_.head_hidden > 0) {
        std::vector<float> middle(static_cast<std::size_t>(adapter_.head_hidden));
        kernels::linear(u, t.at("head.in.weight"), t.at("head.in.bias"), middle, u.size(), middle.size());
        for (float& x : middle) x = x / (1 + std::exp(-x));
        u = std::move(middle);
    }
    kernels::linear(u, t.at("head.weight"), t.at("head.bias"), out, u.size(), out.size());
}

}  // namespace perennial::model
