#include <torch/csrc/autograd/autograd.h>

#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "model/buckets.h"
#include "model/safetensors.h"
#include "train/functions.h"
#include "train/torch_network.h"

namespace perennial::train {
namespace {

// Places in model::tensors(): six tables, then twelve tensors a block, then the head.
enum Table : std::size_t { kProduct, kProductBias, kKind, kQuantity, kGap, kStart, kTables };
enum Part : std::size_t {
    kAttentionNorm, kQkv, kAttentionOut, kAttentionGate, kAttentionGateBias, kLagBias, kStampBias,
    kFfnNorm, kFfnIn, kFfnOut, kFfnGate, kFfnGateBias, kParts
};
enum Head : std::size_t { kNorm, kRequestScale, kRequestShift, kHazard, kHazardBias, kHeads };

constexpr double kEmbeddingSpread = 0.05;  // final vectors have length sqrt(width): first logits spread by about 0.4
// A block's branches start small beside the embedding, which the first norm would otherwise hardly see behind them. On
// Amazon Beauty this is worth a third fewer epochs (validation NDCG@10 .068 at epoch 7, without it .066 at epoch 13).
constexpr double kBranchShare = 0.1;

bool ends_with(std::string_view name, std::string_view end) { return name.ends_with(end); }

// Matrices that act on vectors decay; gains, biases and tables of time rows, whose rare rows would fade away, do not.
bool decays(const std::string& name) {
    return name == "product.weight" || ends_with(name, ".qkv") || ends_with(name, ".out") || ends_with(name, ".in") ||
           ends_with(name, ".gate.weight") || name == "hazard.weight";
}

at::Tensor first_values(const model::TensorShape& tensor, Rng rng) {
    auto values = at::zeros(tensor.shape, at::kFloat);
    const auto& name = tensor.name;
    double spread = 0;
    if (name == "product.weight" || name == "start") spread = kEmbeddingSpread;
    else if (ends_with(name, ".norm") || name == "norm") values.fill_(1.0);
    else if (decays(name) && !ends_with(name, ".gate.weight") && name != "hazard.weight")
        spread = (ends_with(name, ".out") ? kBranchShare : 1.0) / std::sqrt(static_cast<double>(tensor.shape[1]));
    else if (name == "hazard.bias") values.fill_(-2.0);  // about one purchase in eight buckets
    float* out = values.data_ptr<float>();
    if (spread > 0)
        for (std::int64_t i = 0; i < values.numel(); ++i) out[i] = static_cast<float>(spread * rng.normal());
    return values.set_requires_grad(true);
}

// A view of the batch's own numbers, which outlives the graph.
at::Tensor rows_of(const std::vector<std::int64_t>& rows) {
    return at::from_blob(const_cast<std::int64_t*>(rows.data()), {static_cast<std::int64_t>(rows.size())}, at::kLong);
}

at::Tensor product_inputs(const at::Tensor& table, const std::vector<std::int64_t>& products) {
    if (std::ranges::none_of(products, [](auto product) { return product < 0; })) return at::embedding(table, rows_of(products));
    if (table.size(0) == 0) return at::zeros({static_cast<std::int64_t>(products.size()), table.size(1)}, table.options().requires_grad(false));
    const auto rows = rows_of(products);
    return at::embedding(table, rows.clamp_min(0)) * rows.ge(0).to(at::kFloat).unsqueeze(1);
}

}  // namespace

PrefixLayout::PrefixLayout(std::int64_t prefix_length, const Batch& batch) : length(prefix_length) {
    for (std::size_t s = 0; s + 1 < batch.offsets.size(); ++s) {
        const auto begin = batch.offsets[s], end = batch.offsets[s + 1];
        if (begin == end) continue;
        for (std::int64_t m = 0; m < length; ++m) {
            gather.push_back(m);
            attended.stamps.push_back(batch.stamps[static_cast<std::size_t>(begin)]);
        }
        for (auto i = begin; i < end; ++i) {
            own.push_back(static_cast<std::int64_t>(gather.size()));
            gather.push_back(length + i);
            attended.stamps.push_back(batch.stamps[static_cast<std::size_t>(i)]);
        }
        attended.offsets.push_back(static_cast<std::int64_t>(gather.size()));
    }
}

TorchNetwork::TorchNetwork(const model::Config& config, Rng rng)
    : config_(config), hazard_edges_(model::hazard_edges(static_cast<std::size_t>(config.hazard_buckets))) {
    auto all = model::tensors(config);
    assert(all.back().name == "hazard.edges_days");
    all.pop_back();
    for (std::size_t i = 0; i < all.size(); ++i) parameters_.push_back(first_values(all[i], rng.fork(i)));
    direction_ = at::zeros({1, config.width}, at::kFloat).set_requires_grad(true);
}

const at::Tensor& TorchNetwork::get(std::size_t block, std::size_t part) const { return parameters_[kTables + block * kParts + part]; }
const at::Tensor& TorchNetwork::product_table() const { return parameters_[kProduct]; }
const at::Tensor& TorchNetwork::product_bias() const { return parameters_[kProductBias]; }

std::vector<Parameter> TorchNetwork::trainable() const {
    const auto all = model::tensors(config_);
    std::vector<Parameter> out;
    for (std::size_t i = 0; i < parameters_.size(); ++i)
        out.push_back({{parameters_[i].data_ptr<float>(), static_cast<std::size_t>(parameters_[i].numel())}, decays(all[i].name)});
    out.push_back({{direction_.data_ptr<float>(), static_cast<std::size_t>(direction_.numel())}, false});
    return out;
}

std::int64_t TorchNetwork::parameter_count() const {
    std::int64_t count = 0;
    for (const auto& parameter : parameters_) count += parameter.numel();
    return count;
}

at::Tensor TorchNetwork::product_vectors(const Batch& batch) const { return product_inputs(parameters_[kProduct], batch.product); }

at::Tensor TorchNetwork::hidden(const Batch& batch, double dropout_share, Rng& rng) const {
    return hidden(product_vectors(batch), batch, dropout_share, rng);
}

at::Tensor TorchNetwork::hidden(const at::Tensor& products, const Batch& batch, double dropout_share, Rng& rng, const Prefix* prefix) const {
    auto x = products + at::embedding(parameters_[kKind], rows_of(batch.kind)) +
             at::embedding(parameters_[kQuantity], rows_of(batch.quantity)) + at::embedding(parameters_[kGap], rows_of(batch.gap));
    if (!batch.backwards.empty()) x = x.index_add(0, rows_of(batch.backwards), direction_.expand({static_cast<std::int64_t>(batch.backwards.size()), -1}));
    x = dropout(x, dropout_share, rng);
    for (std::size_t b = 0; b < static_cast<std::size_t>(config_.blocks); ++b) {
        auto norm = rms_norm(x, get(b, kAttentionNorm));
        const auto attended = attend(b, at::linear(norm, get(b, kQkv)), batch, prefix);
        const auto attention = dropout(at::linear(attended, get(b, kAttentionOut)), dropout_share, rng);
        x = gated_add(x, at::linear(norm, get(b, kAttentionGate), get(b, kAttentionGateBias)), attention);

        norm = rms_norm(x, get(b, kFfnNorm));
        const auto wide = swiglu(at::linear(norm, get(b, kFfnIn)));
        const auto ffn = dropout(at::linear(wide, get(b, kFfnOut)), dropout_share, rng);
        x = gated_add(x, at::linear(norm, get(b, kFfnGate), get(b, kFfnGateBias)), ffn);
    }
    const std::size_t head = parameters_.size() - kHeads;
    return rms_norm(x, parameters_[head + kNorm]);
}

at::Tensor TorchNetwork::attend(std::size_t block, const at::Tensor& qkv, const Batch& batch, const Prefix* prefix) const {
    const AttentionShape shape{config_.heads, config_.history_limit + (prefix ? prefix->layout->length : 0), config_.has_time};
    if (!prefix) return packed_attention(qkv, get(block, kLagBias), get(block, kStampBias), batch, shape);
    // A prefix asks nothing, so its queries are zeros and what they give is left behind.
    const auto& [rows, layout] = *prefix;
    const auto before = at::cat({at::zeros({layout->length, config_.width}, at::kFloat), rows[block]}, 1);
    const auto all = at::cat({before, qkv}, 0).index_select(0, rows_of(layout->gather));
    return packed_attention(all, get(block, kLagBias), get(block, kStampBias), layout->attended, shape).index_select(0, rows_of(layout->own));
}

at::Tensor TorchNetwork::requested(const at::Tensor& hidden, const std::vector<std::int64_t>& rows, const std::vector<std::int64_t>& gaps) const {
    // The start vector is put before the others, so that row -1 is its place.
    const auto states = at::cat({parameters_[kStart].unsqueeze(0), hidden}, 0).index_select(0, rows_of(rows) + 1);
    const std::size_t head = parameters_.size() - kHeads;
    const auto gap = rows_of(gaps);
    return states * (1 + at::embedding(parameters_[head + kRequestScale], gap)) + at::embedding(parameters_[head + kRequestShift], gap);
}

at::Tensor TorchNetwork::hazard_logits(const at::Tensor& hidden, const std::vector<std::int64_t>& rows) const {
    const std::size_t head = parameters_.size() - kHeads;
    return at::linear(hidden.index_select(0, rows_of(rows)), parameters_[head + kHazard], parameters_[head + kHazardBias]);
}

TorchNetwork::Pass TorchNetwork::forward(const Batch& batch, double dropout_share, Rng& rng) const {
    Pass pass;
    pass.inputs = product_inputs(parameters_[kProduct].detach(), batch.product).set_requires_grad(true);
    const auto h = hidden(pass.inputs, batch, dropout_share, rng);
    if (!batch.target_row.empty()) pass.queries = requested(h, batch.target_row, batch.target_gap).contiguous();
    if (!batch.time_row.empty()) pass.time = hazard_loss(hazard_logits(h, batch.time_row), batch.exposure, batch.event);
    return pass;
}

std::vector<at::Tensor> TorchNetwork::backward(const Pass& pass, const at::Tensor& d_queries, double time_scale) const {
    std::vector<at::Tensor> of{pass.inputs}, outputs, scales;
    of.insert(of.end(), parameters_.begin() + kKind, parameters_.end());
    of.push_back(direction_);
    if (pass.queries.defined()) outputs.push_back(pass.queries), scales.push_back(d_queries);
    if (pass.time.defined() && time_scale > 0) outputs.push_back(pass.time), scales.push_back(at::full({}, time_scale, at::kFloat));
    if (outputs.empty()) return std::vector<at::Tensor>(of.size());
    auto gradients = torch::autograd::grad(outputs, of, scales, c10::nullopt, false, true);
    for (auto& gradient : gradients)
        if (gradient.defined()) gradient = gradient.contiguous();
    return gradients;
}

TorchNetwork TorchNetwork::with(std::vector<at::Tensor> parameters) const {
    assert(parameters.size() == parameters_.size());
    auto changed = *this;
    changed.parameters_ = std::move(parameters);
    return changed;
}

model::SafetensorsWriter TorchNetwork::weight_file() const {
    model::SafetensorsWriter file;
    file.metadata("format", std::string(model::kNetworkFormat));
    file.metadata("version", std::string(model::kNetworkVersion));
    file.metadata("config", model::to_json(config_));
    const auto all = model::tensors(config_);
    for (std::size_t i = 0; i < parameters_.size(); ++i)
        file.refer(all[i].name, all[i].shape, std::span<const float>(parameters_[i].data_ptr<float>(), static_cast<std::size_t>(parameters_[i].numel())));
    file.add(all.back().name, all.back().shape, std::span<const float>(hazard_edges_));
    return file;
}

std::string TorchNetwork::weights() const { return weight_file().bytes(); }
Status TorchNetwork::save(const std::filesystem::path& path) const { return weight_file().write(path); }

Status TorchNetwork::load(const std::filesystem::path& path) {
    auto file = model::Safetensors::open(path);
    if (!file) return file.error();
    const auto format = file->text("format"), text = file->text("config");
    if (!format || *format != model::kNetworkFormat) return Error{Code::kInvalid, fmt::format("{}: want format '{}'", path.string(), model::kNetworkFormat)};
    if (!text) return text.error();
    const auto config = model::config_from_json(*text);
    if (!config) return config.error();
    auto expected = config_;
    expected.products = config->products;
    if (model::to_json(expected) != model::to_json(*config) || config->products > config_.products)
        return Error{Code::kInvalid, fmt::format("{}: want weights of {}, got {}", path.string(), model::to_json(config_), model::to_json(*config))};
    const auto all = model::tensors(*config);
    for (std::size_t i = 0; i < parameters_.size(); ++i) {
        const auto values = file->floats(all[i].name, all[i].shape);
        if (!values) return values.error();
        if (!values->empty()) std::memcpy(parameters_[i].data_ptr<float>(), values->data(), values->size() * sizeof(float));
    }
    return Done{};
}

}  // namespace perennial::train
