#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include "train/trainer.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <stdexcept>

#include "model/buckets.h"
#include "model/config.h"
#include "train/catalog_loss.h"

namespace perennial::train {
namespace {

// A shard is differentiated on one thread: enough positions to fill its matrix products.
constexpr std::int64_t kShardPositions = 256, kShardsLimit = 16;
constexpr std::uint64_t kIdDropoutStream = 1'000'000, kNegativesStream = 1'000'001;  // beyond the two streams of each shard
constexpr std::int64_t kLagsLimit = 128;  // lags beyond share a row; the stamp table tells them apart where times are known

std::size_t shard_count(const TrainOptions& options) {
    return static_cast<std::size_t>(std::clamp<std::int64_t>(options.batch_positions / kShardPositions, 1, kShardsLimit));
}

}  // namespace

model::Config network_config(const model::TrainingData& data, const TrainOptions& options) {
    model::Config config;
    config.products = data.products;
    config.width = options.width;
    config.blocks = options.blocks;
    config.heads = options.heads;
    config.hidden = options.hidden > 0 ? options.hidden : 2 * options.width;
    config.history_limit = options.history_limit;
    config.lags = std::min(options.history_limit, kLagsLimit);
    config.has_time = data.has_time;
    return config;
}

Trainer::Trainer(const model::TrainingData& data, const TrainOptions& options)
    : options_(options),
      rng_(options.seed),
      network_(network_config(data, options), rng_.fork(0)),
      curriculum_(data, options.history_limit, time_edges(data, options), {options.later_decay, options.reversed_share, options.masked_share}),
      table_(product_table(data, network_, rng_.fork(1))),
      optimizer_(trainable(network_, table_), {.weight_decay = options.weight_decay, .gradient_norm_limit = options.gradient_norm_limit}),
      shards_(shard_count(options)),
      negatives_(negatives(data, options)) {
    set_first_bias(data);
    if (averages() || table_) {
        averaged_.emplace(network_config(data, options), rng_.fork(0));
        std::ranges::copy(floats(network_.product_bias()), floats(averaged_->product_bias()).begin());
    }
    if (negatives_ > 0 && table_) throw std::invalid_argument(fmt::format("content needs the full softmax (--negatives 0, or at most {} products)", kFullSoftmaxProducts));
    if (negatives_ > 0) find_target_shares(data);
}

Status Trainer::load(const std::filesystem::path& weights) {
    const auto table = floats(network_.product_table());
    const std::vector<float> random(table.begin(), table.end());
    PERENNIAL_TRY(network_.load(weights));
    if (table_) {  // the file holds whole vectors: what it knows of a product goes into the product's own part
        // Words first: whatever they are, products of the file keep their vectors.
        std::error_code absent;
        if (const auto words = weights.parent_path() / kWordsFile; std::filesystem::exists(words, absent)) PERENNIAL_TRY(table_->load_words(words));
        const auto width = static_cast<std::size_t>(options_.width);
        std::vector<std::size_t> loaded;
        for (std::size_t p = 0; p * width < table.size(); ++p)
            if (!std::equal(table.begin() + static_cast<std::ptrdiff_t>(p * width), table.begin() + static_cast<std::ptrdiff_t>((p + 1) * width), random.begin() + static_cast<std::ptrdiff_t>(p * width)))
                loaded.push_back(p);
        table_->start_from(table, loaded);
    }
    return averaged_ ? averaged_->load(weights) : Done{};
}

const TorchNetwork& Trainer::network() {
    if (!averaged_) return network_;
    if (!averages()) average(0);
    if (table_) table_->write_averaged(floats(averaged_->product_table()), floats(averaged_->product_bias()), options_.threads);
    return *averaged_;
}

Status Trainer::save(const std::filesystem::path& directory) {
    PERENNIAL_TRY(network().save(directory / "model.safetensors"));
    return table_ ? table_->save_words(directory / kWordsFile) : Done{};
}

std::vector<std::span<float>> Trainer::state() {
    std::vector<std::span<float>> all;
    for (const auto* network : {&network_, averaged_ ? &*averaged_ : nullptr})
        if (network)
            for (const auto& parameter : network->trainable()) all.push_back(parameter.values);
    if (table_)
        for (const auto values : table_->memory()) all.push_back(values);
    for (const auto values : optimizer_.memory()) all.push_back(values);
    return all;
}

Status Trainer::restore(const model::Checkpoint& checkpoint) {
    const auto all = state();
    bool fits = all.size() == checkpoint.values.size();
    for (std::size_t i = 0; fits && i < all.size(); ++i) fits = all[i].size() == checkpoint.values[i].size();
    if (!fits) return Error{Code::kCorrupt, "checkpoint: its values are those of another network"};
    for (std::size_t i = 0; i < all.size(); ++i) std::ranges::copy(checkpoint.values[i], all[i].begin());
    optimizer_.steps() = steps_ = checkpoint.position.steps;
    return Done{};
}

BatchLoss Trainer::step(std::span<const Window> windows, double rate_share, Rng rng) {
    const auto parts = runs(windows, (positions_of(windows) + static_cast<std::int64_t>(shards_) - 1) / static_cast<std::int64_t>(shards_));
    std::vector<Shard> shards(parts.size());
    if (table_) table_->write(floats(network_.product_table()), options_.id_dropout, rng.fork(kIdDropoutStream), options_.threads);
    for_each(shards, [&](std::size_t s) {
        Rng chance = rng.fork(2 * s), drops = rng.fork(2 * s + 1);
        shards[s].batch = curriculum_.pack(parts[s], chance);
        shards[s].pass = network_.forward(shards[s].batch, options_.dropout, drops);
    });
    BatchLoss loss;
    for (const auto& shard : shards) {
        loss.products += static_cast<std::int64_t>(shard.batch.target_row.size());
        loss.times += static_cast<std::int64_t>(shard.batch.time_row.size());
        if (shard.pass.time.defined()) loss.time += shard.pass.time.item<float>();
    }
    if (loss.products + loss.times == 0) return loss;
    const double time_scale = options_.hazard_weight / static_cast<double>(std::max<std::int64_t>(loss.times, 1));
    loss.product = product_loss(shards, loss.products, rng.fork(kNegativesStream));

    for_each(shards, [&](std::size_t s) { shards[s].gradients = network_.backward(shards[s].pass, shards[s].d_queries, time_scale); });
    ++steps_;
    const double warm = std::min(1.0, static_cast<double>(steps_) / static_cast<double>(std::max<std::int64_t>(options_.warmup_steps, 1)));
    const TouchedRows touched[] = {{0, static_cast<std::size_t>(options_.width), rows_}, {1, 1, rows_}};
    const double norm = optimizer_.step(gradients_of(shards), options_.learning_rate * warm * rate_share, options_.threads, std::span(touched).first(negatives_ > 0 ? 2 : 0));
    if (!std::isfinite(norm)) throw std::runtime_error(fmt::format("the gradient is not finite at step {}: lower the learning rate", steps_));
    // A short past at the start, so that the random start is soon forgotten.
    if (averages())
        average(static_cast<float>(std::min(options_.average_decay, (1.0 + static_cast<double>(steps_)) / (10.0 + static_cast<double>(steps_)))));
    return loss;
}

double Trainer::product_loss(std::vector<Shard>& shards, std::int64_t rows, Rng rng) {
    const auto width = static_cast<std::size_t>(options_.width);
    std::vector<float> queries(static_cast<std::size_t>(rows) * width);
    std::vector<std::int32_t> targets;
    std::vector<LaterTarget> later;
    d_queries_.resize(queries.size());
    for (auto& [batch, pass, d_queries, gradients] : shards) {
        if (!pass.queries.defined()) continue;
        const auto first = targets.size();
        std::memcpy(queries.data() + first * width, pass.queries.data_ptr<float>(), static_cast<std::size_t>(pass.queries.numel()) * sizeof(float));
        d_queries = at::from_blob(d_queries_.data() + first * width, pass.queries.sizes(), at::kFloat);
        for (const auto& [row, product, weight] : batch.later) later.push_back({row + static_cast<std::int32_t>(first), product, weight});
        targets.insert(targets.end(), batch.target_product.begin(), batch.target_product.end());
    }
    const double scale = 1.0 / static_cast<double>(std::max<std::int64_t>(rows, 1));
    const auto network_bias = floats(network_.product_bias());
    if (negatives_ == 0) {
        d_table_.assign(network_bias.size() * width, 0.0f);
        d_bias_.assign(network_bias.size(), 0.0f);
        if (rows == 0) return 0;
        std::vector<float> bias(network_bias.begin(), network_bias.end());
        if (table_)
            for (std::size_t p = 0; p < bias.size(); ++p) bias[p] += table_->bias_mask()[p];
        return catalog_loss({queries, floats(network_.product_table()), bias, targets, later, width, scale}, {d_queries_, d_table_, d_bias_}, options_.threads);
    }
    // Candidates: the step's targets and a uniform sample; the inputs' rows are touched too, but do not compete.
    auto candidates = targets;
    for (const auto& one : later) candidates.push_back(one.product);
    for (std::int64_t n = 0; n < negatives_; ++n) candidates.push_back(static_cast<std::int32_t>(rng.below(network_bias.size())));
    make_distinct(candidates);
    rows_ = candidates;
    for (const auto& shard : shards)
        for (const auto product : shard.batch.product)
            if (product >= 0) rows_.push_back(static_cast<std::int32_t>(product));
    make_distinct(rows_);
    d_table_.assign(rows_.size() * width, 0.0f);
    d_bias_.assign(rows_.size(), 0.0f);
    if (rows == 0) return 0;
    const auto table = floats(network_.product_table());
    std::vector<float> some(candidates.size() * width), bias, d_some(some.size()), d_some_bias(candidates.size());
    for (std::size_t k = 0; k < candidates.size(); ++k) {
        const auto p = static_cast<std::size_t>(candidates[k]);
        std::memcpy(some.data() + k * width, table.data() + p * width, width * sizeof(float));
        bias.push_back(network_bias[p] - log_chance(p, rows));
    }
    const auto place = [&](std::int32_t product) { return static_cast<std::int32_t>(std::ranges::lower_bound(candidates, product) - candidates.begin()); };
    for (auto& target : targets) target = place(target);
    for (auto& one : later) one.product = place(one.product);
    const double loss = catalog_loss({queries, some, bias, targets, later, width, scale}, {d_queries_, d_some, d_some_bias}, options_.threads);
    for (std::size_t k = 0; k < candidates.size(); ++k) {
        const auto row = row_of(candidates[k]);
        std::memcpy(d_table_.data() + row * width, d_some.data() + k * width, width * sizeof(float));
        d_bias_[row] = d_some_bias[k];
    }
    return loss;
}

float Trainer::log_chance(std::size_t product, std::int64_t rows) const {
    const double drawn = static_cast<double>(negatives_) / static_cast<double>(target_share_.size());
    const double expected = drawn + static_cast<double>(rows) * target_share_[product];
    return static_cast<float>(std::log(-std::expm1(-expected)));
}

void Trainer::find_target_shares(const model::TrainingData& data) {
    target_share_.assign(static_cast<std::size_t>(data.products), 0.0f);
    const auto share = 1.0f / static_cast<float>(std::max<std::int64_t>(curriculum_.train_targets(), 1));
    for (std::size_t i = 0; i < data.events(); ++i)
        if (data.role[i] == model::kTrainTarget) target_share_[static_cast<std::size_t>(data.product[i])] += share;
}

void Trainer::set_first_bias(const model::TrainingData& data) {
    const auto bias = floats(network_.product_bias());
    if (bias.empty()) return;
    std::vector<double> count(bias.size(), 0.5);  // so that a product that was never a target is rarer than any that was
    for (std::size_t i = 0; i < data.events(); ++i)
        if (data.role[i] == model::kTrainTarget) ++count[static_cast<std::size_t>(data.product[i])];
    double mean = 0;
    for (double& c : count) mean += (c = std::log(c)) / static_cast<double>(count.size());
    for (std::size_t p = 0; p < bias.size(); ++p) bias[p] = static_cast<float>(count[p] - mean);
}

std::int64_t Trainer::negatives(const model::TrainingData& data, const TrainOptions& options) {
    if (options.negatives >= 0) return options.negatives >= data.products ? 0 : options.negatives;
    return data.products > kFullSoftmaxProducts ? kNegatives : 0;
}

void Trainer::make_distinct(std::vector<std::int32_t>& values) {
    std::ranges::sort(values);
    values.erase(std::unique(values.begin(), values.end()), values.end());
}

std::size_t Trainer::row_of(std::int64_t product) const {
    if (negatives_ == 0) return static_cast<std::size_t>(product);
    return static_cast<std::size_t>(std::ranges::lower_bound(rows_, product) - rows_.begin());
}

std::vector<std::vector<const float*>> Trainer::gradients_of(const std::vector<Shard>& shards) {
    const auto width = static_cast<std::size_t>(options_.width);
    std::vector<std::vector<const float*>> pointers(shards.size());
    for (std::size_t s = 0; s < shards.size(); ++s) {
        const auto& [batch, pass, d_queries, gradients] = shards[s];
        if (gradients[0].defined()) {
            const float* from = gradients[0].data_ptr<float>();
            for (const auto product : batch.product) {
                if (product >= 0) {
                    float* to = d_table_.data() + row_of(product) * width;
                    for (std::size_t i = 0; i < width; ++i) to[i] += from[i];
                }
                from += width;
            }
        }
        pointers[s] = {nullptr, nullptr};
        for (std::size_t g = 1; g < gradients.size(); ++g) pointers[s].push_back(gradients[g].defined() ? gradients[g].data_ptr<float>() : nullptr);
    }
    pointers[0][0] = d_table_.data();
    pointers[0][1] = d_bias_.data();
    if (table_) {
        table_->backward(d_table_, options_.threads);
        pointers[0][0] = table_->own_gradient().data();
        for (auto& shard : pointers) shard.push_back(nullptr);
        pointers[0].back() = table_->words_gradient().data();
    }
    return pointers;
}

void Trainer::average(float keep) {
    for (std::size_t p = 0; p < network_.parameters().size(); ++p) {
        const auto from = floats(network_.parameters()[p]), to = floats(averaged_->parameters()[p]);
        for (std::size_t i = 0; i < from.size(); ++i) to[i] = keep * to[i] + (1 - keep) * from[i];
    }
    if (table_) table_->average(keep);
}

std::optional<ProductTable> Trainer::product_table(const model::TrainingData& data, const TorchNetwork& network, Rng rng) {
    if (data.content.features == 0) return std::nullopt;
    return std::optional<ProductTable>(std::in_place, data, floats(network.product_table()), static_cast<std::size_t>(network.config().width), rng);
}

std::vector<Parameter> Trainer::trainable(const TorchNetwork& network, std::optional<ProductTable>& table) {
    auto all = network.trainable();
    if (table) {
        all[0] = table->own();
        all.push_back(table->words());
    }
    return all;
}

std::vector<float> Trainer::time_edges(const model::TrainingData& data, const TrainOptions& options) {
    if (!data.has_time || options.hazard_weight <= 0) return {};
    return model::hazard_edges(static_cast<std::size_t>(network_config(data, options).hazard_buckets));
}

}  // namespace perennial::train
