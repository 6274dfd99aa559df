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

#include "base/file.h"
#include "base/parallel.h"
#include "model/buckets.h"
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
constexpr std::uint64_t kIdDropoutStream = 1'000'000;  // beyond the two streams of each shard
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
          shards_(shard_count(options)) {}

    Status load(const std::filesystem::path& weights) {
        PERENNIAL_TRY(network_.load(weights));
        return averaged_.load(weights);
    }
    // What is judged and kept.
    const TorchNetwork& network() {
        if (options_.average_decay == 0) average(0);
        if (table_) table_->write_averaged(floats(averaged_.product_table()), floats(averaged_.product_bias()), options_.threads);
        return averaged_;
    }
    const Curriculum& curriculum() const { return curriculum_; }

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
        loss.product = product_loss(shards, loss.products);

        for_each(shards, [&](std::size_t s) { shards[s].gradients = network_.backward(shards[s].pass, shards[s].d_queries, time_scale); });
        ++steps_;
        const double warm = std::min(1.0, static_cast<double>(steps_) / static_cast<double>(std::max<std::int64_t>(options_.warmup_steps, 1)));
        const double norm = optimizer_.step(gradients_of(shards), options_.learning_rate * warm, options_.threads);
        if (!std::isfinite(norm)) throw std::runtime_error(fmt::format("the gradient is not finite at step {}: lower the learning rate", steps_));
        // A short past at the start, so that the random start is soon forgotten.
        if (options_.average_decay > 0)
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

    // The queries of all shards meet the catalogue at once. Fills the shards' d_queries and the gradient of the table.
    double product_loss(std::vector<Shard>& shards, std::int64_t rows) {
        const auto width = static_cast<std::size_t>(options_.width);
        const auto products = static_cast<std::size_t>(network_.product_bias().numel());
        d_table_.assign(products * width, 0.0f);
        d_bias_.assign(products, 0.0f);
        if (rows == 0) return 0;
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
        const auto network_bias = floats(network_.product_bias());
        std::vector<float> bias(network_bias.begin(), network_bias.end());
        if (table_)
            for (std::size_t p = 0; p < products; ++p) bias[p] += table_->bias_mask()[p];
        return catalog_loss({queries, floats(network_.product_table()), bias, targets, later, width, 1.0 / static_cast<double>(rows)}, {d_queries_, d_table_, d_bias_}, options_.threads);
    }

    std::vector<std::vector<const float*>> gradients_of(const std::vector<Shard>& shards) {
        const auto width = static_cast<std::size_t>(options_.width);
        std::vector<std::vector<const float*>> pointers(shards.size());
        for (std::size_t s = 0; s < shards.size(); ++s) {
            const auto& [batch, pass, d_queries, gradients] = shards[s];
            if (gradients[0].defined()) {
                const float* from = gradients[0].data_ptr<float>();
                for (const auto product : batch.product) {
                    if (product >= 0)
                        for (std::size_t i = 0; i < width; ++i) d_table_[static_cast<std::size_t>(product) * width + i] += from[i];
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
                                     {"seed", options.seed},
                                     {"threads", options.threads}};
    return boost::json::serialize(object) + "\n";
}

Result<TrainSummary> run(const model::TrainingData& data, const TrainOptions& options, const std::filesystem::path& out_dir,
                         const OnProgress& progress) {
    at::set_num_threads(1);
    Trainer trainer(data, options);
    if (!options.init_weights.empty()) PERENNIAL_TRY(trainer.load(options.init_weights));
    const Rng rng(options.seed);
    const auto units = validation_units(data, options.validation_units_limit, rng.fork(1));

    TrainSummary summary;
    summary.parameters = trainer.network().parameter_count();
    summary.train_targets = trainer.curriculum().train_targets();
    summary.validation_units = static_cast<std::int64_t>(units.size());
    if (summary.train_targets == 0) return Error{Code::kInvalid, "training data: no event has role 1 (training target)"};

    std::string curves = "epoch,seconds,train_loss,time_loss,valid_loss,valid_ndcg10,valid_recall10\n";
    const auto start = Clock::now();
    double stepping_seconds = 0;
    std::int64_t targets_done = 0;
    const auto out_of_time = [&] { return options.seconds_limit > 0 && seconds_since(start) >= options.seconds_limit; };
    for (std::int64_t epoch = 1; epoch <= options.epochs_limit && !summary.stopped_by_time; ++epoch) {
        const Rng epoch_rng = rng.fork(static_cast<std::uint64_t>(epoch) + 1);
        Rng window_rng = epoch_rng.fork(0);
        const auto windows = trainer.curriculum().windows(window_rng);
        Progress report{.epoch = epoch, .positions_total = positions_of(windows)};
        BatchLoss sum;
        std::uint64_t batch = 0;
        const auto epoch_start = Clock::now();
        for (const auto& part : runs(windows, options.batch_positions)) {
            const auto loss = trainer.step(part, epoch_rng.fork(++batch));
            sum.product += loss.product;
            sum.time += loss.time;
            sum.products += loss.products;
            sum.times += loss.times;
            report.positions += positions_of(part);
            report.loss = sum.product / static_cast<double>(std::max<std::int64_t>(sum.products, 1));
            if (progress) progress(report);
            if (out_of_time()) {
                summary.stopped_by_time = true;
                break;
            }
        }
        stepping_seconds += seconds_since(epoch_start);
        targets_done += sum.products;

        const auto quality = evaluate(trainer.network(), data, units, options.threads);
        const EpochReport finished{epoch, seconds_since(start), report.loss, sum.time / static_cast<double>(std::max<std::int64_t>(sum.times, 1)),
                                   quality.loss, quality.ndcg10, quality.recall10};
        report.finished = &finished;
        if (progress) progress(report);
        curves += curve_row(finished);
        PERENNIAL_TRY(write_file(out_dir / "curves.csv", curves));
        summary.epochs = epoch;
        summary.train_seconds = finished.seconds;
        // Without validation the last epoch counts as the best. Equal quality keeps the earlier weights.
        if (units.empty() || summary.best_epoch == 0 || quality.ndcg10 > summary.valid_ndcg10) {
            PERENNIAL_TRY(write_file(out_dir / "model.safetensors", trainer.network().weights()));
            summary.best_epoch = epoch;
            summary.train_seconds_to_best = finished.seconds;
            summary.valid_ndcg10 = quality.ndcg10;
            summary.valid_recall10 = quality.recall10;
            summary.valid_loss = quality.loss;
        }
        if (epoch - summary.best_epoch >= options.patience) break;
    }
    summary.positions_per_second = static_cast<double>(targets_done) / std::max(stepping_seconds, 1e-9);
    PERENNIAL_TRY(write_file(out_dir / "run.json", run_json(summary, options)));
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
    PERENNIAL_TRY(in("hazard-weight", options.hazard_weight, 0.0, 1000.0));
    PERENNIAL_TRY(in("epochs-limit", options.epochs_limit, Whole{1}, Whole{1'000'000}));
    PERENNIAL_TRY(in("patience", options.patience, Whole{1}, Whole{1'000'000}));
    PERENNIAL_TRY(in("seconds-limit", options.seconds_limit, 0.0, 1e9));
    PERENNIAL_TRY(in("validation-units-limit", options.validation_units_limit, Whole{0}, Whole{1'000'000'000}));
    PERENNIAL_TRY(in("threads", options.threads, 1u, 1024u));
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
