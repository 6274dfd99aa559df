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

struct RmsNorm : Function<RmsNorm> {
    static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& gain) {
        ctx->save_for_backward({x, gain});
        auto out = at::empty_like(x);
        kernels::rms_norm(view(x), view(gain), edit(out), model::kNormEps);
        return out;
    }

    static variable_list backward(AutogradContext* ctx, variable_list d_out) {
        const auto saved = ctx->get_saved_variables();
        const auto d = d_out[0].contiguous();
        auto d_x = at::empty_like(saved[0]), d_gain = at::zeros_like(saved[1]);
        kernels::rms_norm_backward(view(saved[0]), view(saved[1]), view(d), edit(d_x), edit(d_gain), model::kNormEps);
        return {d_x, d_gain};
    }
};

struct SwiGlu : Function<SwiGlu> {
    static at::Tensor forward(AutogradContext* ctx, const at::Tensor& wide) {
        ctx->save_for_backward({wide});
        auto out = at::empty({wide.size(0), wide.size(1) / 2}, wide.options());
        kernels::swiglu(view(wide), edit(out), static_cast<std::size_t>(out.size(1)));
        return out;
    }

    static variable_list backward(AutogradContext* ctx, variable_list d_out) {
        const auto wide = ctx->get_saved_variables()[0], d = d_out[0].contiguous();
        auto d_wide = at::empty_like(wide);
        kernels::swiglu_backward(view(wide), view(d), edit(d_wide), static_cast<std::size_t>(d.size(1)));
        return {d_wide};
    }
};

struct GatedAdd : Function<GatedAdd> {
    static at::Tensor forward(AutogradContext* ctx, const at::Tensor& x, const at::Tensor& gate, const at::Tensor& y) {
        ctx->save_for_backward({gate, y});
        auto out = x.clone();
        kernels::gated_add(edit(out), view(gate), view(y));
        return out;
    }

    static variable_list backward(AutogradContext* ctx, variable_list d_out) {
        const auto saved = ctx->get_saved_variables();
        const auto d = d_out[0].contiguous();
        auto d_gate = at::empty_like(saved[0]), d_y = at::empty_like(saved[1]);
        kernels::gated_add_backward(view(saved[0]), view(saved[1]), view(d), edit(d_gate), edit(d_y));
        return {d, d_gate, d_y};
    }
};

}  // namespace

at::Tensor packed_attention(const at::Tensor& qkv, const at::Tensor& lag_bias, const at::Tensor& stamp_bias, const Batch& batch,
                            const AttentionShape& shape) {
    return PackedAttention::apply(qkv, lag_bias, stamp_bias, &batch, shape);
}

at::Tensor rms_norm(const at::Tensor& x, const at::Tensor& gain) { return RmsNorm::apply(x.contiguous(), gain); }

at::Tensor swiglu(const at::Tensor& wide) { return SwiGlu::apply(wide.contiguous()); }

at::Tensor gated_add(const at::Tensor& x, const at::Tensor& gate, const at::Tensor& y) {
    return GatedAdd::apply(x.contiguous(), gate.contiguous(), y.contiguous());
}

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
