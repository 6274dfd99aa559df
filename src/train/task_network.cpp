#include <ATen/ATen.h>
#include <fmt/format.h>

#include <algorithm>
#include <cassert>
#include <cmath>
#include <cstring>

#include "model/buckets.h"
#include "train/functions.h"
#include "train/task_network.h"

namespace perennial::train {
namespace {

at::Tensor copied(std::span<const float> values, std::vector<std::int64_t> shape) {
    auto out = at::empty(shape, at::kFloat);
    assert(static_cast<std::size_t>(out.numel()) == values.size());
    if (!values.empty()) std::memcpy(out.data_ptr<float>(), values.data(), values.size() * sizeof(float));
    return out;
}

void fill_normal(at::Tensor& tensor, double spread, Rng& rng) {
    float* out = tensor.data_ptr<float>();
    for (std::int64_t i = 0; i < tensor.numel(); ++i) out[i] = static_cast<float>(spread * rng.normal());
}

// Keys and values of a prefix begin as small as a block's own are at a norm of one.
constexpr double kPrefixSpread = 0.02;

std::span<float> values_of(const at::Tensor& tensor) { return {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())}; }

}  // namespace

void append_row(const model::TrainingData& data, const model::TaskRows& rows, std::size_t row, std::int64_t limit, const model::Adapter& adapter, TaskBatch& batch) {
    const auto s = static_cast<std::size_t>(rows.sequence[row]);
    const auto end = data.offsets[s] + rows.end[row], begin = std::max(data.offsets[s], end - limit);
    auto& h = batch.histories;
    for (auto i = begin; i < end; ++i) {
        const auto at = static_cast<std::size_t>(i);
        h.product.push_back(data.product[at]);
        h.kind.push_back(data.kind[at]);
        h.quantity.push_back(data.quantity[at]);
        h.stamps.push_back(data.time_ms[at]);
        // The first step of a window has no gap, as in a session that starts there.
        const auto gap = i == begin                                     ? model::kUnknownGap
                         : data.occasion[at] == data.occasion[at - 1] ? model::kSameOccasionGap
                         : data.has_time                                ? model::timed_gap(data.time_ms[at] - data.time_ms[at - 1])
                                                                        : model::kUnknownGap;
        h.gap.push_back(static_cast<std::int64_t>(gap));
    }
    if (end > begin) h.offsets.push_back(h.positions());
    batch.last.push_back(end > begin ? h.positions() - 1 : -1);
    const bool timed = end > begin && data.has_time;
    batch.gap.push_back(static_cast<std::int64_t>(timed ? model::timed_gap_days(double{rows.gap_days[row]}) : model::kUnknownGap));
    const auto& mean = adapter.tensors.at("input.mean");
    const auto& scale = adapter.tensors.at("input.scale");
    const std::size_t features = rows.feature_names.size();
    for (std::size_t e = 0; e < mean.size(); ++e) {
        const float value = model::tamed(e == 0 ? rows.gap_days[row] : rows.features[row * features + e - 1]);
        batch.extra.push_back(std::isnan(value) ? 0.0f : (value - mean[e]) * scale[e]);
    }
}

void finish(const model::Adapter& adapter, TaskBatch& batch) {
    if (adapter.method == model::Method::kPrefix) batch.prefix = PrefixLayout(adapter.prefix_length, batch.histories);
}

TaskNetwork::TaskNetwork(const TorchNetwork& base, model::Adapter shape, std::span<const float> bias, Rng rng) : base_(base), shape_(std::move(shape)) {
    std::vector<at::Tensor> frozen;
    for (const auto& parameter : base.parameters()) frozen.push_back(parameter.detach());
    base_ = base.with(std::move(frozen));
    const auto all = model::tensors(shape_.config);
    for (const auto& [name, extents] : model::adapter_tensors(shape_)) {
        if (name.starts_with("input.")) continue;
        auto values = at::zeros(extents, at::kFloat);
        if (name == "head.bias") values.copy_(copied(bias, extents));
        else if (name == "head.in.weight") fill_normal(values, 1 / std::sqrt(static_cast<double>(extents[1])), rng);
        // Behind a hidden layer zeros everywhere would learn nothing of that layer in the first step.
        else if (name == "head.weight" && shape_.head_hidden > 0) fill_normal(values, 0.01, rng);
        else if (name.ends_with(".prefix")) fill_normal(values, kPrefixSpread, rng);
        else if (shape_.method == model::Method::kLora && name.ends_with(".a")) fill_normal(values, 1 / std::sqrt(static_cast<double>(extents[1])), rng);
        const bool head = name.starts_with("head.");
        if (!head && shape_.method == model::Method::kFull) {
            const auto place = static_cast<std::size_t>(std::ranges::find(all, name, &model::TensorShape::name) - all.begin());
            values.copy_(base_.parameters()[place]);
        }
        (head ? head_names_ : body_names_).push_back(name);
        (head ? head_ : body_).push_back(values.set_requires_grad(true));
    }
    if (shape_.method == model::Method::kLora)
        for (const auto& target : model::lora_targets(shape_.config))
            lora_places_.push_back(static_cast<std::size_t>(std::ranges::find(all, target.name, &model::TensorShape::name) - all.begin()));
}

at::Tensor TaskNetwork::products(const TaskBatch& batch) const {
    return shape_.method == model::Method::kFull ? base_.with(body_).product_vectors(batch.histories) : base_.product_vectors(batch.histories);
}

at::Tensor TaskNetwork::states(const TaskBatch& batch, const at::Tensor& products, double dropout_share, Rng& rng) const {
    const auto compute = [&](const TorchNetwork& network, const Prefix* prefix) {
        const auto inputs = products.defined() ? products : network.product_vectors(batch.histories);
        return network.requested(network.hidden(inputs, batch.histories, dropout_share, rng, prefix), batch.last, batch.gap);
    };
    switch (shape_.method) {
        case model::Method::kHead: return compute(base_, nullptr);
        case model::Method::kFull: return compute(base_.with(body_), nullptr);
        case model::Method::kLora: {
            auto parameters = base_.parameters();
            const auto scale = static_cast<float>(shape_.alpha / static_cast<double>(shape_.rank));
            for (std::size_t t = 0; t < lora_places_.size(); ++t)
                parameters[lora_places_[t]] = parameters[lora_places_[t]] + scale * at::mm(body_[2 * t + 1], body_[2 * t]);
            return compute(base_.with(std::move(parameters)), nullptr);
        }
        case model::Method::kPrefix: break;
    }
    const Prefix prefix{body_, &batch.prefix};
    return compute(base_, &prefix);
}

at::Tensor TaskNetwork::outputs(const at::Tensor& states, std::span<const float> extra, double dropout_share, Rng& rng) const {
    const auto rows = states.size(0);
    auto u = at::cat({states, copied(extra, {rows, rows > 0 ? static_cast<std::int64_t>(extra.size()) / rows : 0})}, 1);
    u = dropout(u, dropout_share, rng);
    const auto part = [&](const char* name) -> const at::Tensor& { return head_[static_cast<std::size_t>(std::ranges::find(head_names_, name) - head_names_.begin())]; };
    if (shape_.head_hidden > 0) u = at::silu(at::linear(u, part("head.in.weight"), part("head.in.bias")));
    return at::linear(u, part("head.weight"), part("head.bias"));
}

std::vector<Parameter> TaskNetwork::trainable_head() const {
    std::vector<Parameter> out;
    for (std::size_t i = 0; i < head_.size(); ++i) out.push_back({values_of(head_[i]), head_names_[i].ends_with("weight")});
    return out;
}

std::vector<Parameter> TaskNetwork::trainable_body() const {
    // A full network must not fade towards zero; its brake is the small rate.
    std::vector<Parameter> out;
    for (const auto& tensor : body_) out.push_back({values_of(tensor), shape_.method != model::Method::kFull});
    return out;
}

std::int64_t TaskNetwork::parameter_count() const {
    std::int64_t count = 0;
    for (const auto* part : {&head_, &body_})
        for (const auto& tensor : *part) count += tensor.numel();
    return count;
}

model::Adapter TaskNetwork::adapter() const {
    auto out = shape_;
    const auto put = [&](const std::vector<std::string>& names, const std::vector<at::Tensor>& tensors) {
        for (std::size_t i = 0; i < names.size(); ++i) {
            const auto values = values_of(tensors[i]);
            out.tensors[names[i]].assign(values.begin(), values.end());
        }
    };
    put(head_names_, head_);
    put(body_names_, body_);
    return out;
}

at::Tensor task_loss(const at::Tensor& outputs, model::TaskKind kind, const model::TargetScale& scale, std::span<const float> target,
                     std::span<const float> weight, double smoothing) {
    const auto rows = outputs.size(0);
    const auto y = kind == model::TaskKind::kMultilabel ? copied(target, {rows, outputs.size(1)}) : copied(target, {rows}), w = copied(weight, {rows});
    at::Tensor loss;
    switch (kind) {
        case model::TaskKind::kBinary: {
            const auto z = outputs.select(1, 0);
            loss = at::softplus(z) - (y * (1 - smoothing) + smoothing / 2) * z;
            break;
        }
        case model::TaskKind::kMulticlass: {
            const auto log_p = at::log_softmax(outputs, 1);
            loss = -(1 - smoothing) * log_p.gather(1, y.to(at::kLong).unsqueeze(1)).squeeze(1) - smoothing * log_p.mean(1);
            break;
        }
        case model::TaskKind::kMultilabel:
            loss = (at::softplus(outputs) - (y * (1 - smoothing) + smoothing / 2) * outputs).mean(1);
            break;
        case model::TaskKind::kRegression: {
            const auto off = outputs.select(1, 0) - (y - scale.mean) / scale.scale;
            loss = 0.5 * off * off;
            break;
        }
        case model::TaskKind::kAmount: {
            const auto any = y.gt(0).to(at::kFloat), z = outputs.select(1, 0);
            const auto sigma = at::softplus(outputs.select(1, 2)) + model::kSigmaMin;
            const auto off = (at::log(at::where(y.gt(0), y, at::ones_like(y))) - outputs.select(1, 1)) / sigma;
            loss = at::softplus(z) - any * z + any * (at::log(sigma) + 0.5 * off * off);
            break;
        }
    }
    return (w * loss).sum();
}

}  // namespace perennial::train
