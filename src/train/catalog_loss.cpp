#include "train/catalog_loss.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>

#include "kernels/norm_gate.h"

namespace perennial::train {
namespace {

at::Tensor tensor(std::span<const float> values, std::int64_t rows, std::int64_t width) {
    return at::from_blob(const_cast<float*>(values.data()), {rows, width}, at::kFloat);
}

// A chunk's logits stay in the cache between its three matrix products: 4 MiB of floats.
constexpr std::int64_t kChunkFloats = 1 << 20;

double softmax_loss(const CatalogProblem& in, const CatalogGradient& out) {
    const auto width = static_cast<std::int64_t>(in.width), rows = static_cast<std::int64_t>(in.targets.size()), products = static_cast<std::int64_t>(in.bias.size());
    const auto chunk = std::max<std::int64_t>(1, std::min(rows, kChunkFloats / std::max<std::int64_t>(products, 1)));
    const auto h = tensor(in.queries, rows, width), table = tensor(in.table, products, width), bias = tensor(in.bias, 1, products);
    auto d_h = tensor(out.queries, rows, width), d_table = tensor(out.table, products, width), d_bias = tensor(out.bias, 1, products);
    d_table.zero_();
    d_bias.zero_();
    double loss = 0;
    auto buffer = at::empty({chunk, products}, at::kFloat);
    for (std::int64_t begin = 0; begin < rows; begin += chunk) {
        const auto count = std::min(chunk, rows - begin);
        auto p = buffer.narrow(0, 0, count);
        const auto part = h.narrow(0, begin, count);
        at::addmm_out(p, bias, part, table.t());
        float* row = p.data_ptr<float>();
        for (std::int64_t r = 0; r < count; ++r, row += products) {
            const auto target = in.targets[static_cast<std::size_t>(begin + r)];
            const std::span<float> logits(row, static_cast<std::size_t>(products));
            const double top = *std::ranges::max_element(logits), true_logit = row[target];
            kernels::softmax(logits, logits, logits.size());
            loss += top - true_logit - std::log(double{*std::ranges::max_element(logits)});
            row[target] -= 1.0f;
        }
        auto d_part = d_h.narrow(0, begin, count);
        at::mm_out(d_part, p, table);
        d_table.addmm_(p.t(), part);
        d_bias.add_(p.sum(0));
    }
    for (auto* gradient : {&d_h, &d_table, &d_bias}) gradient->mul_(in.scale);
    return loss;
}

// What later targets change: the softmax itself is the same, only the true distribution moves.
double move_targets(const CatalogProblem& in, const CatalogGradient& out) {
    const auto row = [&](auto values, std::size_t r) { return values.subspan(r * in.width, in.width); };
    double loss = 0;
    for (const auto& later : in.later) {
        const auto r = static_cast<std::size_t>(later.row), first = static_cast<std::size_t>(in.targets[r]), other = static_cast<std::size_t>(later.product);
        const auto h = row(in.queries, r), e_first = row(in.table, first), e_other = row(in.table, other);
        const auto d_h = row(out.queries, r), d_first = row(out.table, first), d_other = row(out.table, other);
        const auto step = static_cast<float>(in.scale * later.weight);
        double difference = double{in.bias[first]} - in.bias[other];
        for (std::size_t i = 0; i < in.width; ++i) {
            difference += double{h[i]} * (double{e_first[i]} - e_other[i]);
            d_h[i] += step * (e_first[i] - e_other[i]);
            d_first[i] += step * h[i];
            d_other[i] -= step * h[i];
        }
        out.bias[first] += step;
        out.bias[other] -= step;
        loss += later.weight * difference;
    }
    return loss;
}

}  // namespace

double catalog_loss(const CatalogProblem& problem, const CatalogGradient& gradient, unsigned threads) {
    at::set_num_threads(static_cast<int>(threads));
    const double loss = softmax_loss(problem, gradient);
    return loss + move_targets(problem, gradient);
}

}  // namespace perennial::train
