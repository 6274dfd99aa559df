#include "train/train.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <chrono>

#include "base/file.h"
#include "train/batches.h"
#include "train/evaluate.h"
#include "train/resume.h"
#include "train/trainer.h"

namespace perennial::train {
namespace {

using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

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
                                     {"targets_done", summary.targets_done},
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
    auto before = earlier_checkpoint(checkpoints.path(), now, options);
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
    const auto cooling = [&] { return now.cooling_epoch > 0; };
    const auto goes_on = [&] { return cooling() ? now.epoch < now.cooling_epoch + options.cooldown_epochs : has_patience() || options.cooldown_epochs > 0; };
    while (now.epoch <= options.epochs_limit && goes_on() && !summary.stopped_by_time) {
        const Rng epoch_rng = rng.fork(static_cast<std::uint64_t>(now.epoch) + 1);
        Rng window_rng = epoch_rng.fork(0);
        const auto windows = trainer.curriculum().windows(window_rng);
        Progress report{.epoch = now.epoch, .positions_total = positions_of(windows)};
        auto batch_start = Clock::now();
        std::int64_t batch = 0;
        for (const auto& part : runs(windows, options.batch_positions)) {
            report.positions += positions_of(part);
            if (++batch <= now.batch) continue;  // done before the training was cut off
            const double done = static_cast<double>(now.epoch - now.cooling_epoch) + static_cast<double>(report.positions) / static_cast<double>(report.positions_total);
            const double rate_share = cooling() ? std::max(0.0, 1 - done / static_cast<double>(options.cooldown_epochs)) : 1;
            const auto loss = trainer.step(part, rate_share, epoch_rng.fork(static_cast<std::uint64_t>(batch)));
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
                PERENNIAL_TRY(checkpoints.write(now, trainer.state()));
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
        const bool plateau = now.best_epoch > 0 && quality.ndcg10 < (1 + kPlateauGain) * now.valid_ndcg10 && quality.loss >= now.valid_loss;
        // Without validation the last epoch counts as the best. Equal quality keeps the earlier weights.
        if (units.empty() || now.best_epoch == 0 || quality.ndcg10 > now.valid_ndcg10) {
            PERENNIAL_TRY(trainer.save(out_dir));
            now.best_epoch = now.epoch;
            now.seconds_to_best = finished.seconds;
            now.valid_ndcg10 = quality.ndcg10;
            now.valid_recall10 = quality.recall10;
            now.valid_loss = quality.loss;
        }
        now.targets_done += now.product_targets;
        ++now.epoch;
        if (!units.empty() && !cooling() && options.cooldown_epochs > 0 && (plateau || !has_patience())) now.cooling_epoch = now.epoch;
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
    summary.targets_done = now.targets_done;
    summary.positions_per_second = static_cast<double>(now.targets_done) / std::max(now.stepping_seconds, 1e-9);
    // An epoch that the clock cut short cannot be gone on from: the rest of it was not learned.
    const bool keep = options.checkpoints.keep && !summary.stopped_by_time;
    if (keep) PERENNIAL_TRY(checkpoints.write(now, trainer.state()));
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
    PERENNIAL_TRY(in("cooldown-epochs", options.cooldown_epochs, Whole{0}, Whole{1'000}));
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
