// The native forward pass against libtorch's, on random weights and on trained ones.
#include <torch/csrc/autograd/autograd.h>

#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "model/attribution.h"
#include "model/buckets.h"
#include "model/network.h"
#include "train/torch_network.h"
#include "train/train.h"

namespace perennial::train {
namespace {

constexpr double kAgreement = 1e-5;

model::TrainingData random_data(std::uint64_t seed, bool has_time, int sequences = 6) {
    Rng rng(seed);
    model::TrainingData data;
    data.products = 30;
    data.kinds = 5;
    data.has_time = has_time;
    for (int s = 0; s < sequences; ++s) {
        const auto length = s == 0 ? 60 : 1 + rng.below(30);  // one of them much longer than the history limit
        std::int64_t time = 1'300'000'000'000;
        std::int32_t occasion = 0;
        for (std::uint64_t i = 0; i < length; ++i) {
            if (i > 0 && !rng.chance(0.3)) {
                ++occasion;
                time += static_cast<std::int64_t>(rng.exponential(5 * 86'400'000.0));
            }
            data.product.push_back(static_cast<std::int32_t>(rng.below(31)) - 1);
            data.kind.push_back(static_cast<std::uint8_t>(rng.below(5)));
            data.quantity.push_back(static_cast<std::uint8_t>(rng.below(16)));
            data.time_ms.push_back(has_time ? time : 0);
            data.occasion.push_back(occasion);
            data.role.push_back(data.product.back() >= 0 ? (i + 3 > length ? 2 : 1) : 0);
            data.purchase.push_back(rng.chance(0.6));
        }
        data.offsets.push_back(static_cast<std::int64_t>(data.product.size()));
        data.end_ms.push_back(time + 86'400'000);
    }
    return data;
}

std::vector<model::Step> steps(const model::TrainingData& data, std::size_t sequence) {
    std::vector<model::Step> out;
    const auto begin = static_cast<std::size_t>(data.offsets[sequence]), end = static_cast<std::size_t>(data.offsets[sequence + 1]);
    for (auto i = begin; i < end; ++i)
        out.push_back({data.product[i], data.kind[i], data.quantity[i], data.time_ms[i], i > begin && data.occasion[i] == data.occasion[i - 1]});
    return out;
}

// Every position of every sequence: the state, the scores at several request times, and the survival curve.
void expect_agreement(const TorchNetwork& torch, const model::Network& native, const model::TrainingData& data) {
    const at::NoGradGuard no_gradients;
    Batch batch;
    for (std::size_t s = 0; s < data.sequences(); ++s) append_history(data, {s, data.offsets[s], data.offsets[s + 1]}, batch);
    Rng unused(0);
    const auto hidden = torch.hidden(batch, 0, unused);
    const auto width = hidden.size(1), products = static_cast<std::int64_t>(native.products());

    const std::vector<model::Request> requests{{}, {.same_occasion = true}, {.gap_days = 0}, {.gap_days = 12.5}, {.gap_days = 900}};
    const auto compare_scores = [&](const model::Session& session, std::int64_t row) {
        for (const auto& request : requests) {
            const bool timed = data.has_time && !session.empty();
            const auto gap = session.empty()         ? model::kUnknownGap
                             : request.same_occasion ? model::kSameOccasionGap
                             : timed                 ? model::timed_gap_days(request.gap_days)
                                                     : model::kUnknownGap;
            const std::vector<std::int64_t> rows{row}, gaps{static_cast<std::int64_t>(gap)};
            const auto want = at::addmm(torch.product_bias(), torch.requested(hidden, rows, gaps), torch.product_table().t());
            std::vector<float> got(static_cast<std::size_t>(products));
            native.scores(session, request, got);
            for (std::int64_t p = 0; p < products; ++p) ASSERT_NEAR(got[static_cast<std::size_t>(p)], want[0][p].item<float>(), kAgreement);
        }
    };

    std::int64_t row = 0;
    compare_scores(native.start(), -1);
    for (std::size_t s = 0; s < data.sequences(); ++s) {
        auto session = native.start();
        for (const auto& step : steps(data, s)) {
            native.extend(session, step);
            const float* want = hidden.data_ptr<float>() + row * width;
            for (std::int64_t c = 0; c < width; ++c) ASSERT_NEAR(native.hidden(session)[static_cast<std::size_t>(c)], want[c], kAgreement) << "sequence " << s << " step " << session.steps();
            if (row % 7 == 0) compare_scores(session, row);
            ++row;
        }
        const auto rates = at::softplus(torch.hazard_logits(hidden, {row - 1}).to(at::kDouble));
        double cumulative = 0;
        const auto edges = model::hazard_edges(static_cast<std::size_t>(rates.size(1)));
        for (std::int64_t k = 0; k < rates.size(1); ++k) {
            cumulative += rates[0][k].item<double>();
            ASSERT_NEAR(native.survival(session, 0, edges[static_cast<std::size_t>(k) + 1]), std::exp(-cumulative), kAgreement);
        }
    }
}

model::Config config(const model::TrainingData& data) {
    model::Config out;
    out.products = data.products;
    out.width = 24;
    out.heads = 3;
    out.hidden = 40;
    out.history_limit = 7;
    out.lags = 5;
    out.has_time = data.has_time;
    return out;
}

TEST(Parity, native_and_torch_agree_on_random_weights) {
    for (const bool has_time : {false, true}) {
        const auto data = random_data(3, has_time);
        TorchNetwork torch(config(data), Rng(4));
        Rng rng(5);  // over every tensor, so that none acts as if it were zero
        for (const auto& parameter : torch.trainable())
            for (auto& value : parameter.values) value += static_cast<float>(0.15 * rng.normal());
        const TempDir scratch;
        ASSERT_TRUE(torch.save(scratch.path() / "w").ok());
        expect_agreement(torch, model::Network::load(scratch.path() / "w").value(), data);
    }
}

TEST(Parity, native_and_torch_agree_on_trained_weights_and_on_unseen_sequences) {
    const auto data = random_data(6, true, 40);
    const TempDir scratch;
    const TrainOptions options{.width = 24, .heads = 3, .hidden = 40, .history_limit = 7, .learning_rate = 5e-3, .epochs_limit = 5, .threads = 1};
    ASSERT_TRUE(train(data, options, scratch.path()).ok());
    auto shape = config(data);
    shape.lags = 7;
    TorchNetwork torch(shape, Rng(0));
    ASSERT_TRUE(torch.load(scratch.path() / "model.safetensors").ok());
    expect_agreement(torch, model::Network::load(scratch.path() / "model.safetensors").value(), random_data(9, true));
}

// Of a product's logit and of the forecast of a purchase, by the input vectors: what explanations rest on.
TEST(Parity, gradients_of_explanations_agree_with_autograd) {
    for (const bool has_time : {false, true}) {
        const auto data = random_data(12, has_time);
        TorchNetwork torch(config(data), Rng(4));
        Rng rng(5);
        for (const auto& parameter : torch.trainable())
            for (auto& value : parameter.values) value += static_cast<float>(0.15 * rng.normal());
        const TempDir scratch;
        ASSERT_TRUE(torch.save(scratch.path() / "w").ok());
        const auto native = model::Network::load(scratch.path() / "w").value();
        const model::Explainer explainer(native);
        const std::vector<float> shares(native.products(), 1.0f / static_cast<float>(native.products()));
        const std::vector<std::int32_t> products{3, 17};
        for (std::size_t s = 0; s < data.sequences(); ++s) {
            const auto events = steps(data, s);
            Batch batch;
            append_history(data, {s, data.offsets[s], data.offsets[s + 1]}, batch);
            Rng unused(0);
            const auto inputs = torch.product_vectors(batch).detach().set_requires_grad(true);
            const auto hidden = torch.hidden(inputs, batch, 0, unused);
            const auto last = hidden.size(0) - 1;
            const std::vector<std::int64_t> rows{last}, gaps{static_cast<std::int64_t>(has_time ? model::timed_gap_days(12.5) : model::kUnknownGap)};
            const auto logits = at::matmul(torch.requested(hidden, rows, gaps), torch.product_table().t())[0];
            const auto edges = model::hazard_edges(static_cast<std::size_t>(torch.hazard_logits(hidden, rows).size(1)));
            std::vector<at::Tensor> values;
            for (const auto product : products) values.push_back(logits[product] - logits.mean());
            values.push_back(at::softplus(torch.hazard_logits(hidden, rows)[0]).slice(0, 0, 4).sum());

            auto readouts = explainer.contrasts({.gap_days = 12.5}, products, shares);
            readouts.push_back(explainer.hazard(0, edges[4]));
            // Gradient times input at the inputs themselves: <gradient, vector of the product> of each event.
            const auto got = explainer.attribute(events, readouts, {.ends = false, .integrate = false});
            for (std::size_t r = 0; r < readouts.size(); ++r) {
                const auto gradient = torch::autograd::grad({values[r]}, {inputs}, {}, true)[0];
                const auto want = (gradient * inputs.detach()).sum(1);
                const double size = want.abs().max().item<double>();
                for (std::size_t i = 0; i < events.size(); ++i)
                    EXPECT_NEAR(got[r].effects[i], want[static_cast<std::int64_t>(i)].item<double>(), 1e-4 * size) << "sequence " << s << " readout " << r << " event " << i;
            }
        }
    }
}

}  // namespace
}  // namespace perennial::train
