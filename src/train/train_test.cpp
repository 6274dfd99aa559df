#include "train/train.h"

#include <ATen/ATen.h>
#include <gtest/gtest.h>
#include <torch/csrc/autograd/autograd.h>

#include <array>
#include <cmath>
#include <cstdio>
#include <filesystem>
#include <numeric>
#include <set>
#include <sstream>

#include "base/file.h"
#include "model/buckets.h"
#include "model/network.h"
#include "model/safetensors.h"
#include "train/batches.h"
#include "train/catalog_loss.h"
#include "train/evaluate.h"
#include "train/functions.h"
#include "train/optimizer.h"
#include "train/product_table.h"
#include "train/torch_network.h"

namespace perennial::train {
namespace {

at::Tensor random(std::vector<std::int64_t> shape, Rng& rng, double scale = 1) {
    auto out = at::empty(shape, at::kFloat);
    for (std::int64_t i = 0; i < out.numel(); ++i) out.data_ptr<float>()[i] = static_cast<float>(scale * rng.normal());
    return out.set_requires_grad(true);
}

std::vector<at::Tensor> gradients(const at::Tensor& loss, const std::vector<at::Tensor>& of) { return torch::autograd::grad({loss}, of); }

void expect_close(const at::Tensor& got, const at::Tensor& want, double tolerance) {
    ASSERT_EQ(got.sizes(), want.sizes());
    EXPECT_LT((got - want).abs().max().item<float>(), tolerance * std::max(1.0f, want.abs().max().item<float>()));
}

TEST(Functions, packed_attention_agrees_with_plain_torch_in_value_and_gradient) {
    Rng rng(1);
    Batch batch;
    batch.offsets = {0, 5, 6, 16};
    for (int i = 0; i < 16; ++i) batch.stamps.push_back(static_cast<std::int64_t>(rng.below(1u << 31)) + i * (std::int64_t{1} << 31));
    const std::int64_t heads = 2, width = 16, window = 6, lags = 4;
    const auto qkv = random({16, 3 * width}, rng), lag = random({heads, lags}, rng),
               stamp = random({heads, static_cast<std::int64_t>(model::kStampBuckets)}, rng), weight = random({16, width}, rng).detach();
    const auto got = packed_attention(qkv, lag, stamp, batch, {heads, window, true});

    std::vector<at::Tensor> parts;
    for (std::size_t s = 0; s + 1 < batch.offsets.size(); ++s) {
        const auto begin = batch.offsets[s], count = batch.offsets[s + 1] - begin;
        auto lag_rows = at::zeros({count, count}, at::kLong), stamp_rows = at::zeros({count, count}, at::kLong);
        auto mask = at::full({count, count}, -INFINITY);
        for (std::int64_t i = 0; i < count; ++i)
            for (std::int64_t j = std::max<std::int64_t>(0, i - window + 1); j <= i; ++j) {
                mask[i][j] = 0;
                lag_rows[i][j] = std::min(i - j, lags - 1);
                const auto difference = batch.stamps[static_cast<std::size_t>(begin + i)] - batch.stamps[static_cast<std::size_t>(begin + j)];
                stamp_rows[i][j] = static_cast<std::int64_t>(model::timed_gap(difference) - model::kFirstTimedGap);
            }
        const auto piece = qkv.narrow(0, begin, count).view({count, 3, heads, width / heads}).permute({1, 2, 0, 3});
        auto scores = at::matmul(piece[0], piece[1].transpose(1, 2)) / std::sqrt(static_cast<double>(width / heads));
        scores = scores + lag.index_select(1, lag_rows.view(-1)).view({heads, count, count}) +
                 stamp.index_select(1, stamp_rows.view(-1)).view({heads, count, count}) + mask;
        parts.push_back(at::matmul(scores.softmax(2), piece[2]).permute({1, 0, 2}).reshape({count, width}));
    }
    const auto want = at::cat(parts, 0);
    expect_close(got, want, 2e-6);
    const auto got_gradients = gradients((got * weight).sum(), {qkv, lag, stamp}), want_gradients = gradients((want * weight).sum(), {qkv, lag, stamp});
    for (std::size_t k = 0; k < 3; ++k) expect_close(got_gradients[k], want_gradients[k], 5e-6);
}

TEST(Functions, rms_norm_agrees_with_plain_torch_in_value_and_gradient) {
    Rng rng(2);
    const auto x = random({9, 13}, rng), gain = random({13}, rng), weight = random({9, 13}, rng).detach();
    const auto got = rms_norm(x, gain), want = x * (x.square().mean(1, true) + 1e-6).rsqrt() * gain;
    expect_close(got, want, 2e-6);
    const auto g = gradients((got * weight).sum(), {x, gain}), w = gradients((want * weight).sum(), {x, gain});
    expect_close(g[0], w[0], 5e-6);
    expect_close(g[1], w[1], 5e-6);
}

TEST(Functions, gates_agree_with_plain_torch_in_value_and_gradient) {
    Rng rng(9);
    const auto wide = random({7, 26}, rng), x = random({7, 13}, rng), gate = random({7, 13}, rng), weight = random({7, 13}, rng).detach();
    const auto got = gated_add(x, gate, swiglu(wide));
    const auto halves = wide.chunk(2, 1);
    const auto want = x + at::sigmoid(gate) * (at::silu(halves[0]) * halves[1]);
    expect_close(got, want, 2e-6);
    const auto g = gradients((got * weight).sum(), {wide, x, gate}), w = gradients((want * weight).sum(), {wide, x, gate});
    for (std::size_t k = 0; k < 3; ++k) expect_close(g[k], w[k], 5e-6);
}

struct CatalogCase {
    std::int64_t rows, products, width;
    at::Tensor h, table, bias;
    std::vector<std::int32_t> targets;
    std::vector<LaterTarget> later;

    CatalogCase(std::int64_t r, std::int64_t p, std::int64_t w, Rng& rng) : rows(r), products(p), width(w), h(random({r, w}, rng)), table(random({p, w}, rng)), bias(random({p}, rng)) {
        for (std::int64_t i = 0; i < r; ++i) targets.push_back(static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(p))));
    }
    static std::span<float> span(const at::Tensor& t) { return {t.data_ptr<float>(), static_cast<std::size_t>(t.numel())}; }
    double loss(double scale, const at::Tensor& d_h, const at::Tensor& d_table, const at::Tensor& d_bias, unsigned threads) const {
        return catalog_loss({span(h), span(table), span(bias), targets, later, static_cast<std::size_t>(width), scale}, {span(d_h), span(d_table), span(d_bias)}, threads);
    }
};

TEST(CatalogLoss, agrees_with_soft_cross_entropy_in_value_and_gradient) {
    Rng rng(3);
    CatalogCase c(600, 4001, 8, rng);
    for (int k = 0; k < 300; ++k) c.later.push_back({static_cast<std::int32_t>(rng.below(600)), static_cast<std::int32_t>(rng.below(4001)), 0.1f});
    auto truth = at::zeros({c.rows, c.products});
    for (std::int64_t r = 0; r < c.rows; ++r) truth[r][c.targets[static_cast<std::size_t>(r)]] += 1;
    for (const auto& later : c.later) {
        truth[later.row][c.targets[static_cast<std::size_t>(later.row)]] -= later.weight;
        truth[later.row][later.product] += later.weight;
    }
    const auto want = -(truth * at::addmm(c.bias, c.h, c.table.t()).log_softmax(1)).sum();
    const auto w = gradients(want * 3, {c.h, c.table, c.bias});
    auto d_h = at::full_like(c.h, 7), d_table = at::full_like(c.table, 7), d_bias = at::full_like(c.bias, 7);  // to be overwritten
    EXPECT_NEAR(c.loss(3, d_h, d_table, d_bias, 2) / want.item<float>(), 1, 1e-6);
    expect_close(d_h, w[0], 1e-5);
    expect_close(d_table, w[1], 1e-5);
    expect_close(d_bias, w[2], 1e-5);
}

TEST(CatalogLoss, stays_finite_when_the_true_product_underflows) {
    Rng rng(1);
    CatalogCase c(1, 2, 1, rng);
    c.h = at::ones({1, 1});
    c.table = at::tensor({200.0f, -200.0f}).view({2, 1});
    c.bias = at::zeros({2});
    c.targets = {1};
    EXPECT_NEAR(c.loss(1, at::zeros({1, 1}), at::zeros({2, 1}), at::zeros({2}), 1), 400, 1e-3);
}

TEST(Functions, dropout_keeps_the_mean_and_repeats_by_seed) {
    Rng rng(4), again(4);
    const auto x = at::ones({300, 101});
    const auto dropped = dropout(x, 0.3, rng);
    EXPECT_NEAR(dropped.mean().item<float>(), 1, 0.02);
    EXPECT_NEAR(dropped.eq(0).to(at::kFloat).mean().item<float>(), 0.3, 0.01);
    EXPECT_TRUE(at::equal(dropped, dropout(x, 0.3, again)));
}

TEST(Hazard, loss_agrees_with_the_likelihood_written_out) {
    const std::vector<float> edges{0, 1, 3, 7};
    const std::vector<double> z{-1.0, 0.5, -0.3};
    const auto logits = at::tensor({-1.0f, 0.5f, -0.3f}).view({1, 3});
    const auto chance = [&](std::size_t k) { return 1 / (1 + std::exp(-z[k])); };
    const auto loss = [&](double days, bool purchased) {
        std::vector<float> exposure, event;
        append_outcome(edges, days, purchased, exposure, event);
        return hazard_loss(logits, exposure, event).item<float>();
    };
    EXPECT_NEAR(loss(0, true), -std::log(chance(0)), 1e-6);
    EXPECT_NEAR(loss(2.5, true), -std::log((1 - chance(0)) * chance(1)), 1e-6);
    EXPECT_NEAR(loss(3, true), -std::log((1 - chance(0)) * (1 - chance(1)) * chance(2)), 1e-6);
    EXPECT_NEAR(loss(2, false), -std::log((1 - chance(0)) * std::sqrt(1 - chance(1))), 1e-6);  // half of the second bucket
    EXPECT_NEAR(loss(100, false), -std::log((1 - chance(0)) * (1 - chance(1)) * (1 - chance(2))), 1e-6);
    EXPECT_NEAR(loss(100, true), loss(100, false), 1e-6);  // later than we look
}

// Products 0..P-1 in a ring: the next is always the one after.
model::TrainingData ring(int sequences, int length, std::int32_t products) {
    model::TrainingData data;
    data.products = products;
    Rng rng(8);
    for (int s = 0; s < sequences; ++s) {
        auto product = static_cast<std::int32_t>(rng.below(static_cast<std::uint64_t>(products)));
        for (int i = 0; i < length; ++i, product = (product + 1) % products) {
            data.product.push_back(product);
            data.occasion.push_back(i);
            data.role.push_back(i == 0 ? 0 : i + 1 == length ? 2 : 1);
        }
        data.offsets.push_back(static_cast<std::int64_t>(data.product.size()));
    }
    data.kind.resize(data.events());
    data.time_ms.resize(data.events());
    data.quantity.resize(data.events());
    data.purchase.resize(data.events(), 1);
    data.end_ms.resize(data.sequences());
    return data;
}

std::string trained(const model::TrainingData& data, const TrainOptions& options) {
    const TempDir scratch;
    const auto summary = train(data, options, scratch.path());
    EXPECT_TRUE(summary.ok()) << summary.error().message;
    return read_file(scratch.path() / "model.safetensors").value();
}

TEST(Train, learns_a_ring_and_serves_it_natively) {
    const auto data = ring(120, 9, 40);
    const TempDir scratch;
    const auto summary = train(data, {.width = 32, .learning_rate = 5e-3, .warmup_steps = 10, .batch_positions = 256, .epochs_limit = 20, .threads = 1}, scratch.path()).value();
    EXPECT_GT(summary.valid_ndcg10, 0.95);
    EXPECT_EQ(summary.train_targets, 120 * 7);
    EXPECT_EQ(summary.validation_units, 120);
    const auto network = model::Network::load(scratch.path() / "model.safetensors").value();
    auto session = network.start();
    for (const std::int32_t product : {38, 39, 0, 1}) network.extend(session, {.product = product});
    std::vector<float> logits(40);
    network.scores(session, {}, logits);
    EXPECT_EQ(std::ranges::max_element(logits) - logits.begin(), 2);
    const auto curves = read_file(scratch.path() / "curves.csv").value();
    EXPECT_EQ(std::ranges::count(curves, '\n'), summary.epochs + 1);
    EXPECT_TRUE(read_file(scratch.path() / "run.json").ok());
}

model::TrainingData timed() {
    auto data = ring(60, 30, 20);
    Rng rng(12);
    data.has_time = true;
    for (std::size_t s = 0; s < data.sequences(); ++s) {
        std::int64_t time = 0;
        for (auto i = static_cast<std::size_t>(data.offsets[s]); i < static_cast<std::size_t>(data.offsets[s + 1]); ++i) {
            data.occasion[i] /= 3;  // three lines an order
            if (data.occasion[i] * 3 == static_cast<std::int32_t>(i) - data.offsets[s]) time += static_cast<std::int64_t>(rng.exponential(30 * 86'400'000.0));
            data.time_ms[i] = time;
            data.quantity[i] = static_cast<std::uint8_t>(rng.below(4));
        }
        data.end_ms[s] = time + 20 * std::int64_t{86'400'000};
    }
    return data;
}

TEST(Train, same_seed_gives_the_same_weights_for_any_number_of_threads) {
    const auto data = timed();
    TrainOptions options{.width = 16, .history_limit = 8, .batch_positions = 1536, .epochs_limit = 2, .threads = 1};
    const auto once = trained(data, options);
    EXPECT_TRUE(once == trained(data, options));
    options.threads = 3;
    EXPECT_TRUE(once == trained(data, options));
    options.seed = 2;
    EXPECT_FALSE(once == trained(data, options));
}

TEST(Train, survival_follows_the_purchase_rate_of_the_data) {
    const auto data = timed();  // a purchase every 30 days on average, memoryless
    const TempDir scratch;
    ASSERT_TRUE(train(data, {.width = 16, .history_limit = 8, .learning_rate = 5e-3, .warmup_steps = 5, .batch_positions = 256, .hazard_weight = 1, .epochs_limit = 12, .patience = 12, .threads = 1}, scratch.path()).ok());
    const auto network = model::Network::load(scratch.path() / "model.safetensors").value();
    auto session = network.start();
    for (std::int32_t i = 0; i < 3; ++i) network.extend(session, {.product = i, .same_occasion = i > 0});
    EXPECT_NEAR(network.survival(session, 0, 30), std::exp(-1), 0.12);
    EXPECT_NEAR(network.survival(session, 0, 10), std::exp(-1.0 / 3), 0.12);
}

TEST(Train, tiny_data_without_validation_runs_all_epochs) {
    auto data = ring(3, 2, 2);
    for (auto& role : data.role) role = role == 2 ? 1 : role;
    const TempDir scratch;
    const auto summary = train(data, {.width = 4, .epochs_limit = 7, .threads = 2}, scratch.path()).value();
    EXPECT_EQ(summary.epochs, 7);
    EXPECT_EQ(summary.best_epoch, 7);
    EXPECT_EQ(summary.validation_units, 0);
}

TEST(Train, at_a_plateau_the_rate_falls_and_training_ends) {
    auto data = ring(80, 9, 30);
    Rng rng(5);
    for (auto& product : data.product)
        if (rng.chance(0.3)) product = static_cast<std::int32_t>(rng.below(30));  // something that cannot be learned
    for (const std::int64_t cooldown : {1, 3}) {
        const TempDir scratch;
        const auto summary = train(data, {.width = 16, .learning_rate = 5e-3, .warmup_steps = 5, .batch_positions = 256, .epochs_limit = 60, .cooldown_epochs = cooldown, .threads = 1}, scratch.path()).value();
        // The rule, from the curves.
        std::istringstream curves(read_file(scratch.path() / "curves.csv").value());
        std::string line;
        std::getline(curves, line);
        std::int64_t best = 0, plateau = 0, epoch = 0;
        double best_ndcg = 0, best_loss = 0;
        while (std::getline(curves, line)) {
            double seconds, train_loss, time_loss, loss, ndcg;
            ASSERT_EQ(std::sscanf(line.c_str(), "%ld,%lf,%lf,%lf,%lf,%lf", &epoch, &seconds, &train_loss, &time_loss, &loss, &ndcg), 6) << line;
            const bool flat = best > 0 && ndcg < (1 + kPlateauGain) * best_ndcg && loss >= best_loss;
            if (best == 0 || ndcg > best_ndcg) best = epoch, best_ndcg = ndcg, best_loss = loss;
            if (plateau == 0 && (flat || epoch - best >= 3)) plateau = epoch;
        }
        ASSERT_GT(plateau, 0);
        EXPECT_EQ(summary.epochs, plateau + cooldown);
        EXPECT_EQ(summary.best_epoch, best);
    }
}

TEST(Train, begins_with_the_popularity_of_products) {
    auto data = ring(40, 4, 6);
    for (std::size_t i = 0; i < data.events(); ++i) data.product[i] = std::array{0, 0, 1, 2}[i % 4], data.role[i] = 1;
    const TempDir scratch;
    // A step at no rate to speak of: what is saved is where training begins.
    ASSERT_TRUE(train(data, {.width = 8, .learning_rate = 1e-9, .epochs_limit = 1, .threads = 1}, scratch.path()).ok());
    const auto bias = model::Safetensors::open(scratch.path() / "model.safetensors")->floats("product.bias", std::array{std::int64_t{6}}).value();
    EXPECT_NEAR(bias[0] - bias[1], std::log(80.5 / 40.5), 1e-4);
    EXPECT_NEAR(bias[1] - bias[2], 0, 1e-4);
    EXPECT_NEAR(bias[2] - bias[5], std::log(40.5 / 0.5), 1e-4);
}

TEST(Train, a_customers_first_product_trains_the_start_vector) {
    auto data = ring(40, 3, 3);  // all three are as popular as each other; 1 always comes first
    for (std::size_t i = 0; i < data.events(); ++i) data.product[i] = std::array{1, 0, 2}[i % 3], data.role[i] = 1;
    const TempDir scratch;
    ASSERT_TRUE(train(data, {.width = 8, .learning_rate = 0.05, .warmup_steps = 1, .epochs_limit = 30, .threads = 1}, scratch.path()).ok());
    const auto network = model::Network::load(scratch.path() / "model.safetensors").value();
    std::vector<float> logits(3);
    network.scores(network.start(), {.gap_days = 4}, logits);
    EXPECT_GT(logits[1], logits[0] + 1);
    EXPECT_GT(logits[1], logits[2] + 1);
}

TEST(Train, goes_on_from_weights_that_know_fewer_products) {
    const TempDir first, second;
    const TrainOptions options{.width = 16, .learning_rate = 5e-3, .warmup_steps = 1, .batch_positions = 256, .epochs_limit = 15, .threads = 1};
    const auto before = train(ring(60, 9, 20), options, first.path()).value();
    auto more = ring(60, 9, 20);
    more.products = 23;
    auto again = options;
    again.init_weights = first.path() / "model.safetensors";
    again.epochs_limit = 1;
    again.learning_rate = 1e-5;
    const auto after = train(more, again, second.path()).value();
    EXPECT_NEAR(after.valid_ndcg10, before.valid_ndcg10, 0.02);
    again.width = 32;
    EXPECT_EQ(train(more, again, second.path()).error().code, Code::kInvalid);
}

TEST(Train, goes_on_from_the_vectors_of_products_also_where_content_makes_them) {
    const TempDir first, second;
    auto data = ring(60, 9, 20);
    data.content.features = 3;
    data.content.offsets = {0};
    for (std::int32_t p = 0; p < 20; ++p) {
        data.content.feature.push_back(p % 3);
        data.content.offsets.push_back(p + 1);
    }
    TrainOptions options{.width = 16, .learning_rate = 5e-3, .warmup_steps = 1, .batch_positions = 256, .epochs_limit = 15, .threads = 1};
    const auto before = train(data, options, first.path()).value();
    EXPECT_GT(before.valid_ndcg10, 0.5);
    options.init_weights = first.path() / "model.safetensors";
    options.epochs_limit = 1;
    options.learning_rate = 1e-6;
    const auto after = train(data, options, second.path()).value();
    EXPECT_NEAR(after.valid_ndcg10, before.valid_ndcg10, 0.02);
}

// Two features of the first training, a third that comes with product 20; product 21 has only words that were known.
TEST(Train, a_new_product_gets_a_vector_from_its_words_and_new_words_leave_old_products_as_they_are) {
    const TempDir first, second;
    auto data = ring(60, 9, 20);
    data.content = {2, {0}, {}, {101, 102}};
    for (std::int32_t p = 0; p < 20; ++p) {
        data.content.feature.push_back(p % 2);
        data.content.offsets.push_back(p + 1);
    }
    TrainOptions options{.width = 16, .learning_rate = 5e-3, .warmup_steps = 1, .batch_positions = 256, .epochs_limit = 4, .threads = 1};
    ASSERT_TRUE(train(data, options, first.path()).ok());
    ASSERT_TRUE(std::filesystem::exists(first.path() / kWordsFile));

    auto more = data;
    more.products = 22;
    more.content = {3, {0}, {}, {102, 103, 101}};  // the same words under other numbers, and a new one
    for (std::int32_t p = 0; p < 20; ++p) {
        more.content.feature.push_back(p % 2 == 0 ? 2 : 0);
        if (p == 5) more.content.feature.push_back(1);  // an old product has the new word too
        more.content.offsets.push_back(static_cast<std::int64_t>(more.content.feature.size()));
    }
    for (const std::int32_t feature : {1, 2}) {
        more.content.feature.push_back(feature);
        more.content.offsets.push_back(static_cast<std::int64_t>(more.content.feature.size()));
    }
    options.init_weights = first.path() / "model.safetensors";
    options.epochs_limit = 1;
    options.learning_rate = 1e-12;  // the extension alone
    ASSERT_TRUE(train(more, options, second.path()).ok());
    const auto before = model::Network::load(first.path() / "model.safetensors").value(), after = model::Network::load(second.path() / "model.safetensors").value();
    for (std::int32_t p = 0; p < 20; ++p)
        for (std::size_t i = 0; i < 16; ++i) EXPECT_NEAR(after.product_vector(p)[i], before.product_vector(p)[i], 1e-6) << "product " << p;
    std::vector<float> old_scores(20), new_scores(22);
    before.scores(before.start(), {}, old_scores);
    after.scores(after.start(), {}, new_scores);
    for (std::size_t p = 0; p < 20; ++p) EXPECT_NEAR(new_scores[p], old_scores[p], 1e-5);
    const auto words = model::Safetensors::open(first.path() / kWordsFile).value().floats("words", std::array<std::int64_t, 2>{2, 16}).value();
    double size = 0;
    for (std::size_t i = 0; i < 16; ++i) {
        EXPECT_NEAR(after.product_vector(21)[i], words[i], 1e-6);  // of word 101 alone
        size += std::abs(after.product_vector(20)[i]);
    }
    EXPECT_GT(size, 0.01);  // of the new word alone
}

TEST(Train, goes_on_from_a_checkpoint_with_and_without_content_and_with_sampled_products) {
    for (const int way : {0, 1, 2}) {
        const bool content = way == 1;
        auto data = ring(60, 9, 20);
        if (content) {
            data.content.features = 3;
            data.content.offsets = {0};
            for (std::int32_t p = 0; p < 20; ++p) {
                data.content.feature.push_back(p % 3);
                data.content.offsets.push_back(p + 1);
            }
        }
        const TempDir folder;
        TrainOptions options{.width = 16, .batch_positions = 256, .negatives = way == 2 ? 8 : 0, .epochs_limit = 4, .threads = 1};
        const auto whole = trained(data, options);
        options.checkpoints = {.resume = true, .keep = true, .seconds = 0, .steps = 1};
        options.epochs_limit = 2;
        ASSERT_TRUE(train(data, options, folder.path()).ok());
        options.epochs_limit = 4;
        const auto rest = train(data, options, folder.path());
        ASSERT_TRUE(rest.ok()) << rest.error().message;
        EXPECT_GT(rest->checkpoints, 4);
        EXPECT_TRUE(read_file(folder.path() / "model.safetensors").value() == whole) << way;
        data.role[3] = 0;
        EXPECT_EQ(train(data, options, folder.path()).error().code, Code::kInvalid) << "other data";
    }
}

TEST(Train, a_sample_of_the_catalogue_teaches_the_ring_too) {
    const auto data = ring(150, 9, 60);
    TrainOptions options{.width = 32, .learning_rate = 5e-3, .warmup_steps = 10, .batch_positions = 256, .negatives = 20, .epochs_limit = 25, .threads = 1};
    const TempDir scratch;
    EXPECT_GT(train(data, options, scratch.path()).value().valid_ndcg10, 0.9);
    options.epochs_limit = 2;
    const auto once = trained(data, options);
    options.threads = 3;
    EXPECT_TRUE(once == trained(data, options));
}

TEST(Train, refuses_what_cannot_be_trained_on) {
    const TempDir scratch;
    auto data = ring(3, 4, 5);
    EXPECT_NE(train(data, {.width = 10, .heads = 3}, scratch.path()).error().message.find("heads"), std::string::npos);
    EXPECT_NE(train(data, {.dropout = NAN}, scratch.path()).error().message.find("dropout"), std::string::npos);
    std::ranges::fill(data.role, model::kNoTarget);
    EXPECT_EQ(train(data, {}, scratch.path()).error().code, Code::kInvalid);
    EXPECT_EQ(train({}, {}, scratch.path()).error().code, Code::kInvalid);
}

TEST(Curriculum, every_target_is_asked_once_an_epoch_unless_a_window_starts_with_it) {
    const auto data = timed();
    const Curriculum curriculum(data, 4, {});
    Rng rng(1);
    const auto windows = curriculum.windows(rng);
    std::size_t inner_starts = 0;
    for (const auto& window : windows) {
        EXPECT_LE(window.end - window.begin, 8);
        const bool target = window.begin > data.offsets[window.sequence];
        inner_starts += target;
    }
    const auto batch = curriculum.pack(windows, rng);
    // An occasion cut by a window is shuffled on each side, so counts hold although the first line of a window may be any.
    EXPECT_LE(batch.target_row.size(), static_cast<std::size_t>(curriculum.train_targets()));
    EXPECT_GE(batch.target_row.size() + inner_starts, static_cast<std::size_t>(curriculum.train_targets()));
    for (std::size_t k = 0; k < batch.target_row.size(); ++k) EXPECT_LT(batch.target_row[k], batch.positions());
    EXPECT_TRUE(batch.time_row.empty());
}

TEST(Curriculum, time_targets_stand_at_occasion_ends_and_see_the_next_purchase) {
    model::TrainingData data;
    constexpr std::int64_t kDay = 86'400'000;
    data.offsets = {0, 5};
    data.product = {0, 1, 0, -1, 1};
    data.occasion = {0, 0, 1, 2, 3};
    data.time_ms = {0, 0, 2 * kDay, 3 * kDay, 10 * kDay};
    data.purchase = {1, 1, 1, 0, 1};
    data.role = {0, 0, 0, 0, 0};
    data.kind.resize(5);
    data.quantity.resize(5);
    data.end_ms = {14 * kDay};
    data.products = 2;
    data.has_time = true;
    const Curriculum curriculum(data, 50, {0, 1, 4, 100});
    Rng rng(1);
    const auto batch = curriculum.pack(std::vector<Window>{{0, 0, 5}}, rng);
    EXPECT_EQ(batch.time_row, (std::vector<std::int64_t>{1, 2, 3, 4}));
    EXPECT_EQ(batch.event, (std::vector<float>{0, 1, 0, 0, 0, 1, 0, 0, 1, 0, 0, 0}));
    EXPECT_EQ(batch.exposure, (std::vector<float>{1, 0, 0, 1, 1, 0, 1, 1, 0, 1, 1, 0}));
}

TEST(Curriculum, reversed_windows_predict_what_came_before_and_see_no_validation_event) {
    auto data = ring(20, 6, 9);  // the last of six validates
    const Curriculum curriculum(data, 50, {}, {.reversed = 1});
    Rng rng(1);
    const auto batch = curriculum.pack(curriculum.windows(rng), rng);
    EXPECT_EQ(batch.target_row.size(), 20u * 3);  // of the targets 4, 3, 2, 1 the first has nothing to be predicted from; 5 is not seen
    EXPECT_EQ(batch.backwards.size(), static_cast<std::size_t>(batch.positions()));
    for (std::size_t k = 0; k < batch.target_row.size(); ++k)
        EXPECT_EQ((batch.target_product[k] + 1) % 9, batch.product[static_cast<std::size_t>(batch.target_row[k])]);
}

TEST(Curriculum, later_targets_share_the_weight_geometrically) {
    auto data = ring(1, 5, 9);  // targets 1, 2, 3
    const Curriculum curriculum(data, 50, {}, {.later = 0.5});
    Rng rng(1);
    const auto batch = curriculum.pack(curriculum.windows(rng), rng);
    ASSERT_EQ(batch.target_product.size(), 3u);
    ASSERT_EQ(batch.later.size(), 3u);  // 2 and 3 after 1, 3 after 2
    EXPECT_FLOAT_EQ(batch.later[0].weight, 0.5f / 1.75f);
    EXPECT_FLOAT_EQ(batch.later[1].weight, 0.25f / 1.75f);
    EXPECT_FLOAT_EQ(batch.later[2].weight, 0.5f / 1.5f);
    EXPECT_EQ(batch.later[2].row, 1);
    EXPECT_EQ(batch.later[2].product, batch.target_product[2]);
}

TEST(Validation, units_ask_for_unseen_products_of_one_occasion) {
    auto data = ring(2, 4, 9);
    data.exclude_seen = true;
    data.product = {0, 1, 0, 5, 3, 3, 3, 3};
    data.occasion = {0, 1, 2, 2, 0, 1, 2, 3};
    data.role = {1, 1, 2, 2, 1, 1, 1, 2};
    const auto units = validation_units(data, 100, Rng(1));
    ASSERT_EQ(units.size(), 1u);  // the second sequence repeats what it has
    EXPECT_EQ(units[0].begin, 2);
    EXPECT_EQ(units[0].relevant, (std::vector<std::int32_t>{5}));
    EXPECT_EQ(units[0].seen, (std::vector<std::int32_t>{0, 1}));
}

TEST(Validation, quality_agrees_with_ranks_counted_by_hand) {
    auto data = ring(30, 6, 25);
    for (std::size_t i = 0; i < data.events(); ++i)
        if (data.role[i] == 1 && i % 6 == 4) data.role[i] = 2;  // two occasions a sequence
    const auto units = validation_units(data, 1000, Rng(1));
    ASSERT_EQ(units.size(), 60u);
    model::Config config;
    config.products = 25;
    config.width = 8;
    config.history_limit = 3;
    config.lags = 3;
    const TorchNetwork torch(config, Rng(3));
    const auto quality = evaluate(torch, data, units, 2);
    const TempDir scratch;
    ASSERT_TRUE(write_file(scratch.path() / "w", torch.weights()).ok());
    const auto network = model::Network::load(scratch.path() / "w").value();
    double ndcg = 0, recall = 0;
    for (const auto& unit : units) {
        auto session = network.start();
        for (auto i = data.offsets[unit.sequence]; i < unit.begin; ++i) network.extend(session, {.product = data.product[static_cast<std::size_t>(i)]});
        std::vector<float> logits(25);
        network.scores(session, {}, logits);
        const auto rank = std::ranges::count_if(logits, [&](float logit) { return logit > logits[static_cast<std::size_t>(unit.relevant[0])]; });
        if (rank < 10) ndcg += 1 / std::log2(static_cast<double>(rank) + 2), recall += 1;
    }
    EXPECT_NEAR(quality.ndcg10, ndcg / 60, 1e-9);
    EXPECT_NEAR(quality.recall10, recall / 60, 1e-9);
}

TEST(AdamW, touched_rows_step_as_dense_ones_and_others_rest) {
    std::vector<float> dense{1, 2, 3, 4, 5, 6}, sparse = dense;
    AdamW a({{dense, true}}, {.weight_decay = 0.1}), b({{sparse, true}}, {.weight_decay = 0.1});
    const std::vector<float> full{0.1f, -0.2f, 0, 0, 0.3f, 0.4f}, some{0.1f, -0.2f, 0.3f, 0.4f};
    const std::vector<std::int32_t> rows{0, 2};
    const TouchedRows touched{0, 2, rows};
    EXPECT_NEAR(a.step(std::vector<std::vector<const float*>>{{full.data()}}, 0.01, 1), b.step(std::vector<std::vector<const float*>>{{some.data()}}, 0.01, 2, {&touched, 1}), 1e-7);
    for (const std::size_t i : {0u, 1u, 4u, 5u}) EXPECT_EQ(dense[i], sparse[i]);
    EXPECT_EQ(sparse[2], 3);  // no decay either
    EXPECT_EQ(sparse[3], 4);
}

TEST(AdamW, agrees_with_the_published_rule_and_clips_the_whole_norm) {
    std::vector<float> a{1, -2}, b{0.5f};
    AdamW optimizer({{a, true}, {b, false}}, {.weight_decay = 0.1, .gradient_norm_limit = 1, .beta1 = 0.9, .beta2 = 0.99, .eps = 1e-8});
    const std::vector<float> ga1{2, 0}, ga2{1, 0}, gb{4};
    const std::vector<std::vector<const float*>> shards{{ga1.data(), gb.data()}, {ga2.data(), nullptr}};
    EXPECT_NEAR(optimizer.step(shards, 0.01, 2), 5, 1e-6);  // (3, 0, 4)
    // The first step of Adam moves by the rate in the gradient's direction, whatever its size.
    EXPECT_NEAR(a[0], 1 * (1 - 0.001) - 0.01, 1e-6);
    EXPECT_NEAR(a[1], -2 * (1 - 0.001), 1e-6);
    EXPECT_NEAR(b[0], 0.5 - 0.01, 1e-6);
    const std::vector<float> wrong{NAN, 0};
    const auto kept = a;
    EXPECT_FALSE(std::isfinite(optimizer.step(std::vector<std::vector<const float*>>{{wrong.data(), nullptr}}, 0.01, 1)));
    EXPECT_EQ(a, kept);
}

}  // namespace
}  // namespace perennial::train
