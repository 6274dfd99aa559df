#include "train/functions.h"

#include <torch/csrc/autograd/custom_function.h>

#include <ATen/ATen.h>
#include <cmath>
#include <cstring>

#include "kernels/attention.h"
#include "kernels/norm_gate.h"
#include "model/buckets.h"
#include "model/config.h"

namespace perennial::train {
namespace {

using torch::autograd::AutogradContext;
using torch::autograd::Function;
using torch::autograd::variable_list;

std::span<const float> view(const at::Tensor& tensor) {
    return {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())};
}
std::span<float> edit(const at::Tensor& tensor) { return {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())}; }

kernels::Packed packed(const at::Tensor& qkv, const at::Tensor& lag, const at::Tensor& stamp, const Batch& batch, const AttentionShape& shape) {
    return {view(qkv),
            batch.offsets,
            batch.stamps,
            {view(lag), shape.stamped ? view(stamp) : std::span<const float>(), model::stamp_edges(), static_cast<std::size_t>(shape.heads)},
            static_cast<std::size_t>(qkv.size(1) / 3),
            static_cast<std::size_t>(shape.window)};
}

struct PackedAttention : Function<PackedAttention> {
    static at::Tensor forward(AutogradContext* ctx, const at::Tensor& qkv, const at::Tensor& lag, const at::Tensor& stamp,
                              const Batch* batch, AttentionShape shape) {
        ctx->save_for_backward({qkv, lag, stamp});
        ctx->saved_data["batch"] = reinterpret_cast<std::int64_t>(batch);
        ctx->saved_data["heads"] = shape.heads;
        ctx->saved_data["window"] = shape.window;
        ctx->saved_data["stamped"] = shape.stamped;
        auto out = at::empty({qkv.size(0), qkv.size(1) / 3}, qkv.options());
        kernels::attend_packed(packed(qkv, lag, stamp, *batch, shape), 0, batch->offsets.size() - 1, edit(out));
        return out;
    }

    static variable_list backward(AutogradContext* ctx, variable_list d_out) {
        const auto saved = ctx->get_saved_variables();
        const auto &qkv = saved[0], &lag = saved[1], &stamp = saved[2];
        const auto& batch = *reinterpret_cast<const Batch*>(ctx->saved_data["batch"].toInt());
        const auto d = d_out[0].contiguous();
        const AttentionShape shape{ctx->saved_data["heads"].toInt(), ctx->saved_data["window"].toInt(), ctx->saved_data["stamped"].toBool()};
        auto d_qkv = at::empty_like(qkv), d_lag = at::zeros_like(lag), d_stamp = at::zeros_like(stamp);
        kernels::attend_packed_backward(packed(qkv, lag, stamp, batch, shape), 0, batch.offsets.size() - 1, view(d),
                                        {edit(d_qkv), edit(d_lag), edit(d_stamp)});
        return {d_qkv, d_lag, d_stamp, {}, {}};
    }
};

// With s = 1 / sqrt(mean(x^2) + eps): dx = s g dy - x s^3 mean(g dy x), dgain = sum over rows of dy x s.
struct RmsNorm : Function<RmsNorm> {
    static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& gain) {
        ctx->save_for_backward({x, gain});
        auto out = at::empty_like(x);
        kernels::rms_norm(view(x), view(gain), edit(out), model::kNormEps);
        return out;
    }

    static variable_list backward(AutogradContext* ctx, variable_list d_out) {
        const auto saved = ctx->get_saved_variables();
        const auto dy_tensor = d_out[0].contiguous();
        auto dx_tensor = at::empty_like(saved[0]), d_gain_tensor = at::zeros_like(saved[1]);
        const auto width = saved[1].numel();
        const float *x = saved[0].data_ptr<float>(), *gain = saved[1].data_ptr<float>(), *dy = dy_tensor.data_ptr<float>();
        float *dx = dx_tensor.data_ptr<float>(), *d_gain = d_gain_tensor.data_ptr<float>();
        for (std::int64_t row = 0; row < saved[0].size(0); ++row, x += width, dy += width, dx += width) {
            float squares = 0, product = 0;
            for (std::int64_t i = 0; i < width; ++i) {
                squares += x[i] * x[i];
                product += gain[i] * dy[i] * x[i];
            }
            const float s = 1.0f / std::sqrt(squares / static_cast<float>(width) + model::kNormEps);
            const float pull = s * s * s * product / static_cast<float>(width);
            for (std::int64_t i = 0; i < width; ++i) {
                dx[i] = s * gain[i] * dy[i] - x[i] * pull;
                d_gain[i] += dy[i] * x[i] * s;
            }
        }
        return {dx_tensor, d_gain_tensor};
    }
};

}  // namespace

at::Tensor packed_attention(const at::Tensor& qkv, const at::Tensor& lag_bias, const at::Tensor& stamp_bias, const Batch& batch,
                            const AttentionShape& shape) {
    return PackedAttention::apply(qkv, lag_bias, stamp_bias, &batch, shape);
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain) { return RmsNorm::apply(x, gain); }

at::Tensor hazard_loss(const at::Tensor& logits, const std::vector<float>& exposure, const std::vector<float>& event) {
    auto exposed = at::empty(logits.sizes(), logits.options().requires_grad(false)), happened = at::empty_like(exposed);
    std::memcpy(exposed.data_ptr<float>(), exposure.data(), exposure.size() * sizeof(float));
    std::memcpy(happened.data_ptr<float>(), event.data(), event.size() * sizeof(float));
    return (exposed * at::softplus(logits) + happened * at::softplus(-logits)).sum();
}

at::Tensor dropout(const at::Tensor& x, double share, Rng& rng) {
    if (share <= 0) return x;
    auto mask = at::empty(x.sizes(), x.options().requires_grad(false));
    float* out = mask.data_ptr<float>();
    const auto threshold = static_cast<std::uint64_t>(share * 65536.0);
    const auto scale = static_cast<float>(1.0 / (1.0 - static_cast<double>(threshold) / 65536.0));
    std::uint64_t bits = 0;
    for (std::int64_t i = 0; i < x.numel(); ++i, bits >>= 16) {  // 16 bits a decision, four a draw
        if (i % 4 == 0) bits = rng.next();
        out[i] = (bits & 0xffff) < threshold ? 0.0f : scale;
    }
    return x * mask;
}

}  // namespace perennial::train
