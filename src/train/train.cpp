#include "train/train.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>
#include <cmath>
#include <cstring>
#include <exception>
#include <mutex>
#include <optional>
#include <stdexcept>

#include "base/file.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "model/buckets.h"
#include "model/checkpoint.h"
#include "model/config.h"
#include "train/batches.h"
#include "train/catalog_loss.h"
#include "train/evaluate.h"
#include "train/optimizer.h"
#include "train/product_table.h"
#include "train/torch_network.h"

namespace perennial::train {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

// A shard is differentiated on one thread: enough positions to fill its matrix products.
constexpr std::int64_t kShardPositions = 256, kShardsLimit = 16;
constexpr std::uint64_t kIdDropoutStream = 1'000'000, kNegativesStream = 1'000'001;  // beyond the two streams of each shard
constexpr std::int64_t kLagsLimit = 128;  // lags beyond share a row; the stamp table tells them apart where times are known

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

std::size_t shard_count(const TrainOptions& options) {
    return static_cast<std::size_t>(std::clamp<std::int64_t>(options.batch_positions / kShardPositions, 1, kShardsLimit));
}

// Cuts windows into runs of about `positions` each.
std::vector<std::span<const Window>> runs(std::span<const Window> windows, std::int64_t positions) {
    std::vector<std::span<const Window>> out;
    std::size_t begin = 0;
    std::int64_t held = 0;
    for (std::size_t w = 0; w < windows.size(); ++w) {
        held += windows[w].end - windows[w].begin;
        if (held < positions && w + 1 < windows.size()) continue;
        out.push_back(windows.subspan(begin, w + 1 - begin));
        begin = w + 1;
        held = 0;
    }
    return out;
}

std::int64_t positions_of(std::span<const Window> windows) {
    std::int64_t sum = 0;
    for (const auto& window : windows) sum += window.end - window.begin;
    return sum;
}

struct BatchLoss {
    double product = 0, time = 0;  // sums
    std::int64_t products = 0, times = 0;
};

class Trainer {
public:
    Trainer(const model::TrainingData& data, const TrainOptions& options)
        : options_(options),
          rng_(options.seed),
          network_(network_config(data, options), rng_.fork(0)),
          averaged_(network_config(data, options), rng_.fork(0)),
          curriculum_(data, options.history_limit, time_edges(data, options), {options.later_decay, options.reversed_share, options.masked_share}),
          table_(product_table(data, network_, rng_.fork(1))),
          optimizer_(trainable(network_, table_), {.weight_decay = options.weight_decay, .gradient_norm_limit = options.gradient_norm_limit}),
          shards_(shard_count(options)),
          negatives_(negatives(data, options)) {
        if (negatives_ > 0 && table_) throw std::invalid_argument(fmt::format("content needs the full softmax (--negatives 0, or at most {} products)", kFullSoftmaxProducts));
        if (negatives_ > 0) find_target_shares(data);
    }

    Status load(const std::filesystem::path& weights) {
        const auto table = floats(network_.product_table());
        const std::vector<float> random(table.begin(), table.end());
        PERENNIAL_TRY(network_.load(weights));
        if (table_) {  // the file holds whole vectors: what it knows of a product goes into the product's own part
            const auto width = static_cast<std::size_t>(options_.width);
            std::vector<std::size_t> loaded;
            for (std::size_t p = 0; p * width < table.size(); ++p)
                if (!std::equal(table.begin() + static_cast<std::ptrdiff_t>(p * width), table.begin() + static_cast<std::ptrdiff_t>((p + 1) * width), random.begin() + static_cast<std::ptrdiff_t>(p * width)))
                    loaded.push_back(p);
            table_->start_from(table, loaded);
        }
        return averaged_.load(weights);
    }
    // What is judged and kept.
    const TorchNetwork& network() {
        if (!averages()) average(0);
        if (table_) table_->write_averaged(floats(averaged_.product_table()), floats(averaged_.product_bias()), options_.threads);
        return averaged_;
    }
    const Curriculum& curriculum() const { return curriculum_; }

    // All that the next step reads and changes, and how many there were.
    std::vector<std::span<float>> state() {
        std::vector<std::span<float>> all;
        for (const auto* network : {&network_, &averaged_})
            for (const auto& parameter : network->trainable()) all.push_back(parameter.values);
        if (table_)
            for (const auto values : table_->memory()) all.push_back(values);
        for (const auto values : optimizer_.memory()) all.push_back(values);
        return all;
    }
    std::int64_t steps() const { return steps_; }
    // kCorrupt when the values are not those of this network.
    Status restore(const model::Checkpoint& checkpoint) {
        const auto all = state();
        bool fits = all.size() == checkpoint.values.size();
        for (std::size_t i = 0; fits && i < all.size(); ++i) fits = all[i].size() == checkpoint.values[i].size();
        if (!fits) return Error{Code::kCorrupt, "checkpoint: its values are those of another network"};
        for (std::size_t i = 0; i < all.size(); ++i) std::ranges::copy(checkpoint.values[i], all[i].begin());
        optimizer_.steps() = steps_ = checkpoint.position.steps;
        return Done{};
    }

    // One optimiser step. Throws what libtorch throws.
    BatchLoss step(std::span<const Window> windows, Rng rng) {
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
        const double norm = optimizer_.step(gradients_of(shards), options_.learning_rate * warm, options_.threads, std::span(touched).first(negatives_ > 0 ? 2 : 0));
        if (!std::isfinite(norm)) throw std::runtime_error(fmt::format("the gradient is not finite at step {}: lower the learning rate", steps_));
        // A short past at the start, so that the random start is soon forgotten.
        if (averages())
            average(static_cast<float>(std::min(options_.average_decay, (1.0 + static_cast<double>(steps_)) / (10.0 + static_cast<double>(steps_)))));
        return loss;
    }

private:
    struct Shard {
        Batch batch;
        TorchNetwork::Pass pass;
        at::Tensor d_queries;
        std::vector<at::Tensor> gradients;  // of pass.inputs, then of trainable() from the third on
    };

    template <class Body>
    void for_each(std::vector<Shard>& shards, Body&& body) {
        std::exception_ptr failure;
        std::mutex failure_mutex;
        parallel_for(shards.size(), 1, options_.threads, [&](std::size_t s, std::size_t) {
            try {
                at::set_num_threads(1);  // of this thread: the shards are the parallelism
                body(s);
            } catch (...) {
                const std::lock_guard lock(failure_mutex);
                failure = std::current_exception();
            }
        });
        if (failure) std::rethrow_exception(failure);
    }

    // A sampled step touches few rows of the table; a mean of all of them at each step would cost more than the step.
    bool averages() const { return options_.average_decay > 0 && negatives_ == 0; }

    // The queries of all shards meet the catalogue, or a sample of it, at once. Fills the shards' d_queries and the
    // gradient of the table: of every row, or of rows_.
    double product_loss(std::vector<Shard>& shards, std::int64_t rows, Rng rng) {
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

    // Logarithm of the chance that a product is among a step's candidates, as one of `rows` targets or drawn (logQ
    // correction; Bengio and Senecal 2008, for mixed samples Yang et al. 2020).
    float log_chance(std::size_t product, std::int64_t rows) const {
        const double drawn = static_cast<double>(negatives_) / static_cast<double>(target_share_.size());
        const double expected = drawn + static_cast<double>(rows) * target_share_[product];
        return static_cast<float>(std::log(-std::expm1(-expected)));
    }

    void find_target_shares(const model::TrainingData& data) {
        target_share_.assign(static_cast<std::size_t>(data.products), 0.0f);
        const auto share = 1.0f / static_cast<float>(std::max<std::int64_t>(curriculum_.train_targets(), 1));
        for (std::size_t i = 0; i < data.events(); ++i)
            if (data.role[i] == model::kTrainTarget) target_share_[static_cast<std::size_t>(data.product[i])] += share;
    }

    static std::int64_t negatives(const model::TrainingData& data, const TrainOptions& options) {
        if (options.negatives >= 0) return options.negatives >= data.products ? 0 : options.negatives;
        return data.products > kFullSoftmaxProducts ? kNegatives : 0;
    }

    static void make_distinct(std::vector<std::int32_t>& values) {
        std::ranges::sort(values);
        values.erase(std::unique(values.begin(), values.end()), values.end());
    }

    // Where the gradient of a product's row lies.
    std::size_t row_of(std::int64_t product) const {
        if (negatives_ == 0) return static_cast<std::size_t>(product);
        return static_cast<std::size_t>(std::ranges::lower_bound(rows_, product) - rows_.begin());
    }

    std::vector<std::vector<const float*>> gradients_of(const std::vector<Shard>& shards) {
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

    // Running mean of the weights.
    void average(float keep) {
        for (std::size_t p = 0; p < network_.parameters().size(); ++p) {
            const auto from = floats(network_.parameters()[p]), to = floats(averaged_.parameters()[p]);
            for (std::size_t i = 0; i < from.size(); ++i) to[i] = keep * to[i] + (1 - keep) * from[i];
        }
        if (table_) table_->average(keep);
    }

    static std::span<float> floats(const at::Tensor& tensor) { return {tensor.data_ptr<float>(), static_cast<std::size_t>(tensor.numel())}; }

    static std::optional<ProductTable> product_table(const model::TrainingData& data, const TorchNetwork& network, Rng rng) {
        if (data.content.features == 0) return std::nullopt;
        return std::optional<ProductTable>(std::in_place, data, floats(network.product_table()), static_cast<std::size_t>(network.config().width), rng);
    }

    // With content the table itself is no parameter: its two parts are, in its place and at the end.
    static std::vector<Parameter> trainable(const TorchNetwork& network, std::optional<ProductTable>& table) {
        auto all = network.trainable();
        if (table) {
            all[0] = table->own();
            all.push_back(table->words());
        }
        return all;
    }

    static std::vector<float> time_edges(const model::TrainingData& data, const TrainOptions& options) {
        if (!data.has_time || options.hazard_weight <= 0) return {};
        return model::hazard_edges(static_cast<std::size_t>(network_config(data, options).hazard_buckets));
    }

    const TrainOptions& options_;
    Rng rng_;
    TorchNetwork network_, averaged_;
    Curriculum curriculum_;
    std::optional<ProductTable> table_;  // with content only
    AdamW optimizer_;
    std::size_t shards_;
    std::int64_t steps_ = 0;
    std::int64_t negatives_;            // 0: full softmax
    std::vector<float> target_share_;   // [P] of the training targets, when sampling
    std::vector<std::int32_t> rows_;    // touched by this step, when sampling
    std::vector<float> d_table_, d_bias_, d_queries_;
};

std::string curve_row(const EpochReport& report) {
    return fmt::format("{},{:.3f},{:.6f},{:.6f},{:.6f},{:.6f},{:.6f}\n", report.epoch, report.seconds, report.train_loss, report.time_loss,
                       report.valid_loss, report.valid_ndcg10, report.valid_recall10);
}

std::string run_json(const TrainSummary& summary, const TrainOptions& options) {
    const boost::json::object object{{"best_epoch", summary.best_epoch},
                                     {"epochs", summary.epochs},
                                     {"train_seconds", summary.train_seconds},
                                     {"train_seconds_to_best", summary.train_seconds_to_best},
                                     {"positions_per_second", summary.positions_per_second},
                                     {"parameters", summary.parameters},
                                     {"train_targets", summary.train_targets},
                                     {"validation_units", summary.validation_units},
                                     {"valid_ndcg10", summary.valid_ndcg10},
                                     {"valid_recall10", summary.valid_recall10},
                                     {"valid_loss", summary.valid_loss},
                                     {"stopped_by_time", summary.stopped_by_time},
                                     {"checkpoints", summary.checkpoints},
                                     {"checkpoint_seconds", summary.checkpoint_seconds},
                                     {"seed", options.seed},
                                     {"threads", options.threads}};
    return boost::json::serialize(object) + "\n";
}

// A new member of either struct breaks the binding, so that it cannot be forgotten here.
std::string data_hash(const model::TrainingData& data) {
    const auto& [offsets, product, kind, time_ms, quantity, occasion, role, purchase, end_ms, products, kinds, has_time, content, exclude_seen] = data;
    const auto& [features, content_offsets, feature] = content;
    std::uint64_t hash = hash64(fmt::format("{} {} {} {} {}", products, kinds, has_time, exclude_seen, features));
    const auto add = [&](const auto&... column) { ((hash = hash64({reinterpret_cast<const char*>(column.data()), column.size() * sizeof(column[0])}, hash)), ...); };
    add(offsets, product, kind, time_ms, quantity, occasion, role, purchase, end_ms, content_offsets, feature);
    return fmt::format("{:016x}", hash);
}

// Every option that the weights depend on. A new member breaks the binding below, so that it cannot be forgotten here.
// When to stop (epochs, patience, seconds) may change from one start to the next, and threads change nothing.
Result<std::string> options_text(const TrainOptions& options) {
    const auto& [width, blocks, heads, hidden, history_limit, learning_rate, weight_decay, dropout, gradient_norm_limit, warmup_steps, batch_positions,
                 negatives, later_decay, reversed_share, masked_share, average_decay, id_dropout, hazard_weight, epochs_limit, patience, seconds_limit, validation_units_limit, seed,
                 threads, init_weights, checkpoints] = options;
    std::string start = "none";
    if (!init_weights.empty()) {
        const auto bytes = read_file(init_weights);
        if (!bytes) return bytes.error();
        start = hex(hash128(*bytes));
    }
    return fmt::format("width={} blocks={} heads={} hidden={} history-limit={} learning-rate={} weight-decay={} dropout={} gradient-norm-limit={} warmup-steps={} "
                       "batch-positions={} negatives={} later-decay={} reversed-share={} masked-share={} average-decay={} id-dropout={} hazard-weight={} validation-units-limit={} seed={} init-weights={}",
                       width, blocks, heads, hidden, history_limit, learning_rate, weight_decay, dropout, gradient_norm_limit, warmup_steps, batch_positions,
                       negatives, later_decay, reversed_share, masked_share, average_decay, id_dropout, hazard_weight, validation_units_limit, seed, start);
}

// The words of `text` that `other` does not have.
std::string words_missing(std::string_view text, std::string_view other) {
    std::string missing;
    const std::string padded = fmt::format(" {} ", other);
    while (!text.empty()) {
        const auto end = std::min(text.find(' '), text.size());
        const auto word = text.substr(0, end);
        if (padded.find(fmt::format(" {} ", word)) == std::string::npos) missing += (missing.empty() ? "" : " ") + std::string(word);
        text.remove_prefix(std::min(end + 1, text.size()));
    }
    return missing;
}

// Writes checkpoints when they are due.
class Checkpoints {
public:
    Checkpoints(const CheckpointOptions& options, std::filesystem::path path) : options_(options), path_(std::move(path)) {}

    bool due(std::int64_t steps) const {
        if (options_.steps > 0 && steps - last_steps_ >= options_.steps) return true;
        return options_.seconds > 0 && seconds_since(last_) >= std::max(options_.seconds, kCostLimit * last_seconds_);
    }
    Status write(const model::TrainingPosition& position, Trainer& trainer) {
        const auto begin = Clock::now();
        const auto state = trainer.state();
        const std::vector<std::span<const float>> values(state.begin(), state.end());
        PERENNIAL_TRY(model::write_checkpoint(path_, position, values));
        last_ = Clock::now();
        last_steps_ = position.steps;
        last_seconds_ = std::chrono::duration<double>(last_ - begin).count();
        total_seconds_ += last_seconds_;
        ++count_;
        return Done{};
    }
    const std::filesystem::path& path() const { return path_; }
    std::int64_t count() const { return count_; }
    double seconds() const { return total_seconds_; }

private:
    static constexpr double kCostLimit = 100;  // of the training time, at most a hundredth goes into checkpoints
    const CheckpointOptions& options_;
    std::filesystem::path path_;
    Clock::time_point last_ = Clock::now();
    std::int64_t last_steps_ = 0, count_ = 0;
    double last_seconds_ = 0, total_seconds_ = 0;
};

// The checkpoint in the folder, if there is one and it is wanted. kInvalid when it belongs to another training.
Result<std::optional<model::Checkpoint>> earlier(const std::filesystem::path& path, const model::TrainingPosition& wanted, const TrainOptions& options) {
    std::error_code error;
    if (!options.checkpoints.resume) {
        std::filesystem::remove(path, error);
        return std::optional<model::Checkpoint>();
    }
    if (!std::filesystem::exists(path, error)) return std::optional<model::Checkpoint>();
    auto read = model::read_checkpoint(path);
    if (!read) return read.error();
    const auto& found = read->position;
    if (found.data != wanted.data)
        return Error{Code::kInvalid, fmt::format("{}: was written for other training data (wanted {}, the file has {}); train without resuming, or into another folder", path.string(), wanted.data, found.data)};
    if (found.options != wanted.options)
        return Error{Code::kInvalid, fmt::format("{}: was written with other options (wanted {}, the file has {}); give the same, train without resuming, or into another folder", path.string(),
                                                 words_missing(wanted.options, found.options), words_missing(found.options, wanted.options))};
    if (found.best_epoch > 0 && !std::filesystem::exists(path.parent_path() / "model.safetensors", error))
        return Error{Code::kNotFound, fmt::format("{}: model.safetensors, the best epoch so far, is not beside it; train without resuming", path.string())};
    return std::optional(std::move(*read));
}

Result<TrainSummary> run(const model::TrainingData& data, const TrainOptions& options, const std::filesystem::path& out_dir,
                         const OnProgress& progress) {
    at::set_num_threads(1);
    Trainer trainer(data, options);
    if (!options.init_weights.empty()) PERENNIAL_TRY(trainer.load(options.init_weights));
    const Rng rng(options.seed);
    const auto units = validation_units(data, options.validation_units_limit, rng.fork(1));

    model::TrainingPosition now;
    now.curves = "epoch,seconds,train_loss,time_loss,valid_loss,valid_ndcg10,valid_recall10\n";
    now.data = data_hash(data);
    auto text = options_text(options);
    if (!text) return text.error();
    now.options = std::move(*text);
    Checkpoints checkpoints(options.checkpoints, out_dir / "checkpoint.safetensors");
    auto before = earlier(checkpoints.path(), now, options);
    if (!before) return before.error();
    if (*before) {
        PERENNIAL_TRY(trainer.restore(**before));
        now = std::move((*before)->position);
        before->reset();
    }

    TrainSummary summary;
    summary.parameters = trainer.network().parameter_count();
    summary.train_targets = trainer.curriculum().train_targets();
    summary.validation_units = static_cast<std::int64_t>(units.size());
    if (summary.train_targets == 0) return Error{Code::kInvalid, "training data: no event has role 1 (training target)"};

    const auto start = Clock::now() - std::chrono::duration_cast<Clock::duration>(std::chrono::duration<double>(now.train_seconds));
    const auto out_of_time = [&] { return options.seconds_limit > 0 && seconds_since(start) >= options.seconds_limit; };
    const auto has_patience = [&] { return now.best_epoch == 0 || now.epochs - now.best_epoch < options.patience; };
    while (now.epoch <= options.epochs_limit && has_patience() && !summary.stopped_by_time) {
        const Rng epoch_rng = rng.fork(static_cast<std::uint64_t>(now.epoch) + 1);
        Rng window_rng = epoch_rng.fork(0);
        const auto windows = trainer.curriculum().windows(window_rng);
        Progress report{.epoch = now.epoch, .positions_total = positions_of(windows)};
        auto batch_start = Clock::now();
        std::int64_t batch = 0;
        for (const auto& part : runs(windows, options.batch_positions)) {
            report.positions += positions_of(part);
            if (++batch <= now.batch) continue;  // done before the training was cut off
            const auto loss = trainer.step(part, epoch_rng.fork(static_cast<std::uint64_t>(batch)));
            now.batch = batch;
            now.steps = trainer.steps();
            now.product_loss += loss.product;
            now.time_loss += loss.time;
            now.product_targets += loss.products;
            now.time_targets += loss.times;
            report.loss = now.product_loss / static_cast<double>(std::max<std::int64_t>(now.product_targets, 1));
            if (progress) progress(report);
            now.stepping_seconds += seconds_since(batch_start);
            if (checkpoints.due(now.steps)) {
                now.train_seconds = seconds_since(start);
                PERENNIAL_TRY(checkpoints.write(now, trainer));
            }
            batch_start = Clock::now();
            if (out_of_time()) {
                summary.stopped_by_time = true;
                break;
            }
        }

        const auto quality = evaluate(trainer.network(), data, units, options.threads);
        report.loss = now.product_loss / static_cast<double>(std::max<std::int64_t>(now.product_targets, 1));
        const EpochReport finished{now.epoch, seconds_since(start), report.loss, now.time_loss / static_cast<double>(std::max<std::int64_t>(now.time_targets, 1)),
                                   quality.loss, quality.ndcg10, quality.recall10};
        report.finished = &finished;
        if (progress) progress(report);
        now.curves += curve_row(finished);
        PERENNIAL_TRY(write_file(out_dir / "curves.csv", now.curves));
        now.epochs = now.epoch;
        now.train_seconds = finished.seconds;
        // Without validation the last epoch counts as the best. Equal quality keeps the earlier weights.
        if (units.empty() || now.best_epoch == 0 || quality.ndcg10 > now.valid_ndcg10) {
            PERENNIAL_TRY(write_file(out_dir / "model.safetensors", trainer.network().weights()));
            now.best_epoch = now.epoch;
            now.seconds_to_best = finished.seconds;
            now.valid_ndcg10 = quality.ndcg10;
            now.valid_recall10 = quality.recall10;
            now.valid_loss = quality.loss;
        }
        now.targets_done += now.product_targets;
        ++now.epoch;
        now.batch = now.product_targets = now.time_targets = 0;
        now.product_loss = now.time_loss = 0;
    }
    summary.best_epoch = now.best_epoch;
    summary.epochs = now.epochs;
    summary.train_seconds = now.train_seconds;
    summary.train_seconds_to_best = now.seconds_to_best;
    summary.valid_ndcg10 = now.valid_ndcg10;
    summary.valid_recall10 = now.valid_recall10;
    summary.valid_loss = now.valid_loss;
    summary.positions_per_second = static_cast<double>(now.targets_done) / std::max(now.stepping_seconds, 1e-9);
    // An epoch that the clock cut short cannot be gone on from: the rest of it was not learned.
    const bool keep = options.checkpoints.keep && !summary.stopped_by_time;
    if (keep) PERENNIAL_TRY(checkpoints.write(now, trainer));
    summary.checkpoints = checkpoints.count();
    summary.checkpoint_seconds = checkpoints.seconds();
    PERENNIAL_TRY(write_file(out_dir / "run.json", run_json(summary, options)));
    std::error_code error;
    if (!keep) std::filesystem::remove(checkpoints.path(), error);
    return summary;
}

}  // namespace

Status check(const TrainOptions& options) {
    const auto in = [](const char* name, auto value, auto low, auto high) -> Status {
        if (value >= low && value <= high) return Done{};  // NaN is in no range
        return Error{Code::kInvalid, fmt::format("{}: want {} to {}, got {}", name, low, high, value)};
    };
    using Whole = std::int64_t;
    PERENNIAL_TRY(in("hidden", options.hidden, Whole{0}, Whole{1 << 16}));
    PERENNIAL_TRY(in("learning-rate", options.learning_rate, 0.0, 10.0));
    PERENNIAL_TRY(in("weight-decay", options.weight_decay, 0.0, 10.0));
    PERENNIAL_TRY(in("dropout", options.dropout, 0.0, 0.95));
    PERENNIAL_TRY(in("gradient-norm-limit", options.gradient_norm_limit, 1e-6, 1e9));
    PERENNIAL_TRY(in("warmup-steps", options.warmup_steps, Whole{0}, Whole{1'000'000'000}));
    PERENNIAL_TRY(in("batch-positions", options.batch_positions, Whole{1}, Whole{1 << 24}));
    PERENNIAL_TRY(in("later-decay", options.later_decay, 0.0, 1.0));
    PERENNIAL_TRY(in("reversed-share", options.reversed_share, 0.0, 1.0));
    PERENNIAL_TRY(in("masked-share", options.masked_share, 0.0, 0.95));
    PERENNIAL_TRY(in("average-decay", options.average_decay, 0.0, 0.99999));
    PERENNIAL_TRY(in("id-dropout", options.id_dropout, 0.0, 1.0));
    PERENNIAL_TRY(in("negatives", options.negatives, Whole{-1}, Whole{1} << 24));
    PERENNIAL_TRY(in("hazard-weight", options.hazard_weight, 0.0, 1000.0));
    PERENNIAL_TRY(in("epochs-limit", options.epochs_limit, Whole{1}, Whole{1'000'000}));
    PERENNIAL_TRY(in("patience", options.patience, Whole{1}, Whole{1'000'000}));
    PERENNIAL_TRY(in("seconds-limit", options.seconds_limit, 0.0, 1e9));
    PERENNIAL_TRY(in("validation-units-limit", options.validation_units_limit, Whole{0}, Whole{1'000'000'000}));
    PERENNIAL_TRY(in("threads", options.threads, 1u, 1024u));
    PERENNIAL_TRY(in("checkpoint-seconds", options.checkpoints.seconds, 0.0, 1e9));
    PERENNIAL_TRY(in("checkpoint-steps", options.checkpoints.steps, Whole{0}, Whole{1'000'000'000}));
    model::TrainingData one;
    one.products = 1;
    return model::check(network_config(one, options));
}

Result<TrainSummary> train(const model::TrainingData& data, const TrainOptions& options, const std::filesystem::path& out_dir,
                           const OnProgress& progress) {
    PERENNIAL_TRY(check(options));
    PERENNIAL_TRY(model::check(data));
    std::error_code failure;
    std::filesystem::create_directories(out_dir, failure);
    if (failure) return Error{Code::kIo, fmt::format("create {}: {}", out_dir.string(), failure.message())};
    try {
        return run(data, options, out_dir, progress);
    } catch (const c10::Error& error) {
        return Error{Code::kUnsupported, fmt::format("libtorch: {}", error.what_without_backtrace())};
    } catch (const std::bad_alloc&) {
        return Error{Code::kFull, "training: out of memory: lower width, batch-positions or threads"};
    } catch (const std::exception& error) {
        return Error{Code::kInvalid, fmt::format("training: {}", error.what())};
    }
}

}  // namespace perennial::train
