#include "train/task_train.h"

#include <torch/csrc/autograd/autograd.h>

#include <ATen/ATen.h>
#include <ATen/Parallel.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <chrono>
#include <cmath>
#include <exception>
#include <mutex>
#include <numbers>
#include <numeric>
#include <optional>

#include "base/file.h"
#include "base/parallel.h"
#include "model/safetensors.h"
#include "train/sgd.h"
#include "train/task_network.h"

namespace perennial::train {
namespace {

using model::Method;
using model::TaskKind;
using model::TaskOptions;

// Rows of one shard: some hundred positions, enough to fill its matrix products.
constexpr std::size_t kShardRows = 16, kPredictRows = 64;
// An epoch passes over a small set several times, so that an epoch of ten labels is worth a look at the metric too.
constexpr std::size_t kEpochRows = 256, kPassesLimit = 16;
constexpr double kOddsPrior = 0.5;  // a count added to each class, so that no base rate is 0 or 1

struct Task {
    const model::TrainingData& data;
    const model::TaskRows& rows;
    const TaskOptions& options;
    const TorchNetwork& base;
    model::Adapter shape;
    std::vector<float> weight;         // [R] row weight times class weight
    std::vector<float> states;         // [R, D] with method head: computed once
    std::size_t targets() const { return model::target_count(options.kind, options.classes); }
    std::span<const float> target(std::size_t row) const { return std::span(rows.target).subspan(row * targets(), targets()); }
    std::size_t outputs() const { return model::output_count(options.kind, options.classes); }
};

// Runs body(i) for i below count on the threads; the first exception comes out again.
template <class Body>
void for_each(std::size_t count, unsigned threads, Body&& body) {
    std::exception_ptr failure;
    std::mutex mutex;
    parallel_for(count, 1, threads, [&](std::size_t i, std::size_t) {
        try {
            at::set_num_threads(1);
            body(i);
        } catch (...) {
            const std::lock_guard lock(mutex);
            failure = std::current_exception();
        }
    });
    if (failure) std::rethrow_exception(failure);
}

TaskBatch packed(const Task& task, std::span<const std::size_t> chosen, Rng* chance) {
    TaskBatch batch;
    const auto limit = task.shape.config.history_limit;
    const auto& o = task.options;
    for (const auto row : chosen) {
        auto kept = limit;
        if (chance && o.crop_share > 0 && chance->chance(o.crop_share)) {
            const auto known = std::min(limit, task.rows.end[row]);
            if (known > 1) kept = 1 + static_cast<std::int64_t>(chance->below(static_cast<std::uint64_t>(known)));
        }
        append_row(task.data, task.rows, row, kept, task.shape, batch);
        const auto target = task.target(row);
        batch.target.insert(batch.target.end(), target.begin(), target.end());
        batch.weight.push_back(task.weight[row]);
    }
    if (chance && o.mask_share > 0)
        for (auto& product : batch.histories.product)
            if (chance->chance(o.mask_share)) product = -1;
    finish(task.shape, batch);
    return batch;
}

at::Tensor frozen_states(const Task& task, std::span<const std::size_t> chosen) {
    const auto width = task.shape.config.width;
    auto out = at::empty({static_cast<std::int64_t>(chosen.size()), width}, at::kFloat);
    float* to = out.data_ptr<float>();
    for (const auto row : chosen) to = std::copy_n(task.states.data() + row * static_cast<std::size_t>(width), width, to);
    return out;
}

// Where the head begins: what it should say of a row of which nothing is known.
std::vector<float> starting_bias(const Task& task, std::span<const std::size_t> rows) {
    const auto& o = task.options;
    const auto weight = [&](std::size_t r) { return double{task.weight[r]}; };
    const auto target = [&](std::size_t r) { return double{task.target(r)[0]}; };
    if (o.kind == TaskKind::kRegression) return {0};
    if (o.kind == TaskKind::kAmount) {
        double any = kOddsPrior, none = kOddsPrior, mass = 0, mean = 0, squares = 0;
        for (const auto r : rows) {
            (target(r) > 0 ? any : none) += weight(r);
            if (target(r) <= 0) continue;
            const double x = std::log(target(r)), before = mean;
            mass += weight(r);
            mean += weight(r) / mass * (x - mean);
            squares += weight(r) * (x - before) * (x - mean);
        }
        const double sigma = std::max(mass > 0 ? std::sqrt(squares / mass) : 1.0, 2 * model::kSigmaMin) - model::kSigmaMin;
        return {static_cast<float>(std::log(any / none)), static_cast<float>(mean), static_cast<float>(std::log(std::expm1(sigma)))};
    }
    if (o.kind == TaskKind::kMultilabel) {
        std::vector<float> bias;
        for (std::size_t k = 0; k < task.targets(); ++k) {
            double yes = kOddsPrior, no = kOddsPrior;
            for (const auto r : rows) (task.target(r)[k] > 0.5f ? yes : no) += weight(r);
            bias.push_back(static_cast<float>(std::log(yes / no)));
        }
        return bias;
    }
    const std::size_t classes = o.kind == TaskKind::kBinary ? 2 : static_cast<std::size_t>(o.classes);
    std::vector<double> counts(classes, kOddsPrior);
    for (const auto r : rows) counts[static_cast<std::size_t>(target(r))] += weight(r);
    if (o.kind == TaskKind::kBinary) return {static_cast<float>(std::log(counts[1] / counts[0]))};
    std::vector<float> bias;
    for (const double count : counts) bias.push_back(static_cast<float>(std::log(count)));
    return bias;
}

class Learner {
public:
    Learner(const Task& task, std::vector<std::size_t> rows, Rng rng)
        : task_(task), rows_(std::move(rows)), rng_(rng), network_(task.base, task.shape, starting_bias(task, rows_), rng.fork(0)) {
        const auto& o = task.options;
        for (const auto& parameters : {network_.trainable_head(), network_.trainable_body()}) {
            if (o.optimizer == model::Optimizer::kSgd)
                sgd_.emplace_back(parameters, Sgd::Options{o.momentum, o.weight_decay, o.gradient_norm_limit});
            else
                adamw_.emplace_back(parameters, AdamW::Options{.weight_decay = o.weight_decay, .gradient_norm_limit = o.gradient_norm_limit});
        }
        passes_ = std::clamp<std::size_t>(kEpochRows / std::max<std::size_t>(rows_.size(), 1), 1, kPassesLimit);
        const auto batches = passes_ * ((rows_.size() + static_cast<std::size_t>(o.batch_rows) - 1) / static_cast<std::size_t>(o.batch_rows));
        steps_total_ = static_cast<double>(batches) * static_cast<double>(o.epochs_limit);
    }

    // Returns the mean loss. Throws what libtorch throws.
    double epoch(unsigned threads) {
        const Rng epoch_rng = rng_.fork(static_cast<std::uint64_t>(++epoch_));
        double loss = 0, weight = 0;
        const auto size = static_cast<std::size_t>(task_.options.batch_rows);
        for (std::size_t pass = 0; pass < passes_; ++pass) {
            Rng rng = epoch_rng.fork(pass);
            auto order = rows_;
            rng.shuffle(order);
            for (std::size_t begin = 0; begin < order.size(); begin += size)
                step(std::span(order).subspan(begin, std::min(size, order.size() - begin)), rng.fork(begin + 1), threads, loss, weight);
        }
        return weight > 0 ? loss / weight : 0;
    }

    // Raw outputs of rows, [rows, O].
    void predict(std::span<const std::size_t> rows, unsigned threads, std::vector<float>& all) const {
        const std::size_t shards = (rows.size() + kPredictRows - 1) / kPredictRows;
        for_each(shards, threads, [&](std::size_t s) {
            const at::NoGradGuard no_gradients;
            const auto chosen = rows.subspan(s * kPredictRows, std::min(kPredictRows, rows.size() - s * kPredictRows));
            Rng unused(0);
            const auto batch = packed(task_, chosen, nullptr);
            const auto states = task_.states.empty() ? network_.states(batch, {}, 0, unused) : frozen_states(task_, chosen);
            const auto out = network_.outputs(states, batch.extra, 0, unused).contiguous();
            const auto width = task_.outputs();
            for (std::size_t i = 0; i < chosen.size(); ++i) std::copy_n(out.data_ptr<float>() + i * width, width, all.data() + chosen[i] * width);
        });
    }

    const TaskNetwork& network() const { return network_; }

private:
    void step(std::span<const std::size_t> rows, Rng rng, unsigned threads, double& loss_sum, double& weight_sum) {
        const auto& o = task_.options;
        double weight = 0;
        for (const auto r : rows) weight += double{task_.weight[r]};
        const std::size_t shards = (rows.size() + kShardRows - 1) / kShardRows;
        std::vector<std::vector<at::Tensor>> gradients(shards);
        std::vector<double> losses(shards);
        const std::size_t heads = network_.head().size();
        auto parameters = network_.head();
        parameters.insert(parameters.end(), network_.body().begin(), network_.body().end());
        for_each(shards, threads, [&](std::size_t s) {
            Rng chance = rng.fork(s);
            const auto chosen = rows.subspan(s * kShardRows, std::min(kShardRows, rows.size() - s * kShardRows));
            const auto batch = packed(task_, chosen, &chance);
            const auto loss_of = [&](const at::Tensor& products) {
                const auto states = task_.states.empty() ? network_.states(batch, products, o.dropout, chance) : frozen_states(task_, chosen);
                return task_loss(network_.outputs(states, batch.extra, o.dropout, chance), o.kind, task_.shape.scale, batch.target, batch.weight, o.label_smoothing);
            };
            auto total = loss_of({});
            losses[s] = double{total.item<float>()};
            if (o.adversarial_epsilon > 0 && batch.histories.positions() > 0) total = 0.5 * (total + loss_of(attacked(batch, loss_of)));
            gradients[s] = torch::autograd::grad({total / weight}, parameters, {}, c10::nullopt, false, true);
            for (auto& gradient : gradients[s])
                if (gradient.defined()) gradient = gradient.contiguous();
        });
        std::array<std::vector<std::vector<const float*>>, 2> pointers{std::vector<std::vector<const float*>>(shards), std::vector<std::vector<const float*>>(shards)};
        for (std::size_t s = 0; s < shards; ++s) {
            loss_sum += losses[s];
            for (std::size_t p = 0; p < parameters.size(); ++p)
                pointers[p < heads ? 0 : 1][s].push_back(gradients[s][p].defined() ? gradients[s][p].data_ptr<float>() : nullptr);
        }
        weight_sum += weight;
        const double rate = scheduled_rate();
        for (std::size_t group = 0; group < 2; ++group) {
            const double own = group == 1 && o.method == Method::kFull ? o.backbone_learning_rate > 0 ? o.backbone_learning_rate / model::learning_rate(o) : 0.1 : 1;
            const double norm = sgd_.empty() ? adamw_[group].step(pointers[group], rate * own, threads) : sgd_[group].step(pointers[group], rate * own);
            if (!std::isfinite(norm)) throw std::runtime_error("the gradient is not finite: lower the learning rate");
        }
    }

    // Product vectors moved by epsilon along the gradient of each history's loss (fast gradient method, Miyato, Dai and
    // Goodfellow 2017, arXiv:1605.07725). The dropout of the attack is its own draw.
    template <class Loss>
    at::Tensor attacked(const TaskBatch& batch, const Loss& loss_of) const {
        const auto start = network_.products(batch);
        const auto leaf = start.detach().clone().set_requires_grad(true);
        at::Tensor direction = torch::autograd::grad({loss_of(leaf)}, {leaf}, {}, c10::nullopt, false, true)[0];
        if (!direction.defined()) return start;
        direction = direction.contiguous();
        const auto width = static_cast<std::size_t>(direction.size(1));
        float* g = direction.data_ptr<float>();
        for (std::size_t h = 0; h + 1 < batch.histories.offsets.size(); ++h) {
            const std::span<float> own(g + static_cast<std::size_t>(batch.histories.offsets[h]) * width, static_cast<std::size_t>(batch.histories.offsets[h + 1] - batch.histories.offsets[h]) * width);
            double squares = 0;
            for (const float x : own) squares += double{x} * double{x};
            const auto scale = static_cast<float>(squares > 0 ? task_.options.adversarial_epsilon / std::sqrt(squares) : 0);
            for (float& x : own) x *= scale;
        }
        return start + direction;
    }

    double scheduled_rate() {
        const auto& o = task_.options;
        const double rate = model::learning_rate(o), step = static_cast<double>(++step_), warm = static_cast<double>(o.warmup_steps);
        if (step <= warm) return rate * step / (warm + 1);
        const double progress = std::clamp((step - 1 - warm) / std::max(steps_total_ - warm, 1.0), 0.0, 1.0);
        if (o.schedule == model::Schedule::kLinear) return rate * (1 - progress);
        if (o.schedule == model::Schedule::kCosine) return rate * 0.5 * (1 + std::cos(std::numbers::pi * progress));
        return rate;
    }

    const Task& task_;
    std::vector<std::size_t> rows_;
    Rng rng_;
    TaskNetwork network_;
    std::vector<AdamW> adamw_;
    std::vector<Sgd> sgd_;
    std::size_t passes_ = 1;
    std::int64_t epoch_ = 0, step_ = 0;
    double steps_total_ = 1;
};

std::vector<float> row_weights(const model::TaskRows& rows, const TaskOptions& o) {
    auto weight = rows.weight;
    if (o.class_weights == model::ClassWeights::kNone) return weight;
    const std::size_t classes = o.kind == TaskKind::kBinary ? 2 : static_cast<std::size_t>(o.classes);
    std::vector<double> factor = o.class_weight_list;
    if (o.class_weights == model::ClassWeights::kBalanced) {
        std::vector<double> counts(classes, 0);
        double all = 0;
        for (std::size_t r = 0; r < rows.size(); ++r)
            if (rows.fold[r] >= 0) counts[static_cast<std::size_t>(rows.target[r])] += double{weight[r]}, all += double{weight[r]};
        factor.resize(classes);
        for (std::size_t c = 0; c < classes; ++c) factor[c] = counts[c] > 0 ? all / (static_cast<double>(classes) * counts[c]) : 1;
    }
    for (std::size_t r = 0; r < rows.size(); ++r)
        if (rows.fold[r] >= 0) weight[r] *= static_cast<float>(factor[static_cast<std::size_t>(rows.target[r])]);
    return weight;
}

model::Adapter adapter_shape(const model::TaskRows& rows, const TaskOptions& o, const model::Config& config, std::string fingerprint) {
    model::Adapter shape;
    shape.kind = o.kind;
    shape.classes = o.classes;
    shape.method = o.method;
    shape.rank = o.rank;
    shape.alpha = o.alpha;
    shape.prefix_length = o.prefix_length;
    shape.head_hidden = o.head_hidden;
    shape.backbone = std::move(fingerprint);
    shape.config = config;
    shape.features = rows.feature_names;
    const std::size_t features = rows.feature_names.size();
    auto& mean = shape.tensors["input.mean"];
    auto& scale = shape.tensors["input.scale"];
    for (std::size_t e = 0; e < 1 + features; ++e) {
        double count = 0, sum = 0, squares = 0;
        for (std::size_t r = 0; r < rows.size(); ++r) {
            const float value = model::tamed(e == 0 ? rows.gap_days[r] : rows.features[r * features + e - 1]);
            if (rows.fold[r] < 0 || std::isnan(value)) continue;
            count += 1, sum += double{value}, squares += double{value} * double{value};
        }
        const double m = count > 0 ? sum / count : 0, variance = count > 0 ? squares / count - m * m : 0;
        mean.push_back(static_cast<float>(m));
        scale.push_back(variance > 1e-10 ? static_cast<float>(1 / std::sqrt(variance)) : 0.0f);
    }
    if (o.kind == TaskKind::kRegression) {
        double weight = 0, sum = 0, squares = 0;
        for (std::size_t r = 0; r < rows.size(); ++r)
            if (rows.fold[r] >= 0) weight += double{rows.weight[r]}, sum += double{rows.weight[r]} * double{rows.target[r]};
        shape.scale.mean = weight > 0 ? sum / weight : 0;
        for (std::size_t r = 0; r < rows.size(); ++r)
            if (rows.fold[r] >= 0) squares += double{rows.weight[r]} * std::pow(double{rows.target[r]} - shape.scale.mean, 2);
        const double spread = weight > 0 ? std::sqrt(squares / weight) : 0;
        shape.scale.scale = spread > 0 ? spread : 1;
    }
    return shape;
}

double metric_of(const Task& task, std::span<const std::size_t> rows, std::span<const float> outputs) {
    const auto& o = task.options;
    const std::size_t width = task.outputs(), columns = model::prediction_count(o.kind, o.classes);
    std::vector<double> predictions(rows.size() * columns);
    std::vector<float> targets, weights;
    double loss = 0, mass = 0;
    for (std::size_t i = 0; i < rows.size(); ++i) {
        const auto row = outputs.subspan(rows[i] * width, width);
        model::to_prediction(o.kind, task.shape.scale, row, std::span(predictions).subspan(i * columns, columns));
        const auto target = task.target(rows[i]);
        targets.insert(targets.end(), target.begin(), target.end());
        weights.push_back(task.rows.weight[rows[i]]);
        loss += double{task.weight[rows[i]]} * model::row_loss(o.kind, task.shape.scale, row, target);
        mass += double{task.weight[rows[i]]};
    }
    return o.early_stop == model::Metric::kLoss ? loss / mass : model::measure(o.early_stop, o.kind, predictions, targets, weights);
}

Status check_targets(const model::TaskRows& rows, const TaskOptions& o) {
    const std::size_t wanted = model::target_count(o.kind, o.classes);
    if (rows.targets() != wanted) return Error{Code::kInvalid, fmt::format("task rows: target: want {} numbers a row, got {}", wanted, rows.targets())};
    for (std::size_t t = 0; t < rows.target.size(); ++t) {
        const auto r = t / wanted;
        if (rows.fold[r] < 0) continue;
        const float y = rows.target[t];
        const float classes = o.kind == TaskKind::kMulticlass ? static_cast<float>(o.classes) : 2;
        const bool discrete = o.kind == TaskKind::kBinary || o.kind == TaskKind::kMulticlass || o.kind == TaskKind::kMultilabel;
        if (discrete ? !(y >= 0 && y < classes && y == std::floor(y)) : o.kind == TaskKind::kAmount && y < 0)
            return Error{Code::kInvalid, fmt::format("task rows: target: want {}, got {} at row {}", discrete ? fmt::format("a class 0 to {}", classes - 1) : "an amount of 0 or more", y, r)};
    }
    if (rows.folds() < 1) return Error{Code::kInvalid, "task rows: want a row to learn from, got none"};
    return Done{};
}

Result<TaskSummary> run(const model::TrainingData& data, const model::TaskRows& rows, const TaskOptions& options, const std::filesystem::path& weights,
                        const std::filesystem::path& out_dir, const std::function<void(const TaskEpoch&)>& progress) {
    const auto start = std::chrono::steady_clock::now();
    at::set_num_threads(1);
    auto bytes = read_file(weights);
    if (!bytes) return bytes.error();
    auto print = model::fingerprint(*bytes);
    auto tensors = model::read_network(std::move(*bytes), weights.string());
    if (!tensors) return tensors.error();
    if (data.products != tensors->config.products)
        return Error{Code::kInvalid, fmt::format("{}: want a network of {} products as in the data, got {}", weights.string(), data.products, tensors->config.products)};
    const Rng rng(options.seed);
    TorchNetwork base(tensors->config, rng.fork(0));
    PERENNIAL_TRY(base.load(weights));

    Task task{data, rows, options, base, adapter_shape(rows, options, tensors->config, std::move(print)), row_weights(rows, options), {}};
    const auto folds = static_cast<std::size_t>(rows.folds());
    std::vector<std::size_t> every(rows.size()), learned;
    std::iota(every.begin(), every.end(), std::size_t{0});
    std::vector<std::vector<std::size_t>> own(folds), others(folds);
    for (std::size_t r = 0; r < rows.size(); ++r) {
        if (rows.fold[r] < 0) continue;
        learned.push_back(r);
        for (std::size_t k = 0; k < folds; ++k) (static_cast<std::size_t>(rows.fold[r]) == k ? own : others)[k].push_back(r);
    }
    for (std::size_t k = 0; k < folds && folds > 1; ++k)
        if (others[k].empty()) return Error{Code::kInvalid, fmt::format("task rows: want labels outside of fold {}, got none", k)};

    if (options.method == Method::kHead) {
        const auto width = static_cast<std::size_t>(tensors->config.width);
        std::vector<float> states(rows.size() * width);
        const TaskNetwork frozen(base, task.shape, starting_bias(task, learned), rng.fork(1));
        for_each((rows.size() + kPredictRows - 1) / kPredictRows, options.threads, [&](std::size_t s) {
            const at::NoGradGuard no_gradients;
            Rng unused(0);
            const auto chosen = std::span<const std::size_t>(every).subspan(s * kPredictRows, std::min(kPredictRows, every.size() - s * kPredictRows));
            const auto batch = packed(task, chosen, nullptr);
            const auto out = frozen.states(batch, {}, 0, unused).contiguous();
            std::copy_n(out.data_ptr<float>(), chosen.size() * width, states.data() + chosen.front() * width);
        });
        task.states = std::move(states);
    }

    std::vector<Learner> learners;
    learners.reserve(folds);
    for (std::size_t k = 0; k < folds && folds > 1; ++k) learners.emplace_back(task, others[k], rng.fork(2 + k));
    TaskSummary summary;
    summary.rows = static_cast<std::int64_t>(learned.size());
    std::vector<float> out_of_fold(rows.size() * task.outputs()), best;
    std::string curves = "epoch,metric,train_loss\n";
    if (learners.empty()) best = out_of_fold, summary.best_epoch = summary.epochs = options.epochs_limit;
    // More folds than threads: a fold is the unit of work, and each runs on one thread.
    for (std::int64_t epoch = 0; epoch <= options.epochs_limit && !learners.empty(); ++epoch) {
        std::vector<double> losses(folds);
        for_each(folds, options.threads, [&](std::size_t k) {
            if (epoch > 0) losses[k] = learners[k].epoch(1);
            learners[k].predict(own[k], 1, out_of_fold);
        });
        TaskEpoch now{epoch, metric_of(task, learned, out_of_fold), 0};
        for (const double loss : losses) now.train_loss += loss / static_cast<double>(folds);
        summary.curve.push_back(now);
        summary.epochs = epoch;
        curves += fmt::format("{},{:.6f},{:.6f}\n", epoch, now.metric, now.train_loss);
        if (progress) progress(now);
        if (best.empty() || (model::higher_is_better(options.early_stop) ? now.metric > summary.metric : now.metric < summary.metric)) {
            best = out_of_fold;
            summary.best_epoch = epoch;
            summary.metric = now.metric;
        }
        if (epoch - summary.best_epoch >= options.patience) break;
    }

    Learner last(task, learned, rng.fork(1));
    summary.parameters = last.network().parameter_count();
    for (std::int64_t epoch = 0; epoch < summary.best_epoch; ++epoch) last.epoch(options.threads);
    std::vector<float> all(rows.size() * task.outputs());
    last.predict(every, options.threads, all);
    summary.seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();

    model::SafetensorsWriter outputs;
    const std::array<std::int64_t, 2> shape{static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(task.outputs())};
    outputs.add("out_of_fold", shape, std::span<const float>(best));
    outputs.add("all", shape, std::span<const float>(all));
    PERENNIAL_TRY(outputs.write(out_dir / "outputs.safetensors"));
    PERENNIAL_TRY(write_file(out_dir / "adapter.safetensors", last.network().adapter().bytes()));
    PERENNIAL_TRY(write_file(out_dir / "curves.csv", curves));
    const boost::json::object report{{"best_epoch", summary.best_epoch}, {"epochs", summary.epochs}, {"parameters", summary.parameters}, {"rows", summary.rows},
                                     {"metric", summary.metric}, {"metric_name", std::string(model::name(options.early_stop))}, {"seconds", summary.seconds}};
    PERENNIAL_TRY(write_file(out_dir / "run.json", boost::json::serialize(report) + "\n"));
    return summary;
}

}  // namespace

Result<TaskSummary> train_task(const model::TrainingData& data, const model::TaskRows& rows, const TaskOptions& options, const std::filesystem::path& weights,
                               const std::filesystem::path& out_dir, const std::function<void(const TaskEpoch&)>& progress) {
    PERENNIAL_TRY(model::check(options));
    PERENNIAL_TRY(model::check(data));
    PERENNIAL_TRY(model::check(rows, data));
    PERENNIAL_TRY(check_targets(rows, options));
    std::error_code failure;
    std::filesystem::create_directories(out_dir, failure);
    if (failure) return Error{Code::kIo, fmt::format("create {}: {}", out_dir.string(), failure.message())};
    try {
        return run(data, rows, options, weights, out_dir, progress);
    } catch (const c10::Error& error) {
        return Error{Code::kUnsupported, fmt::format("libtorch: {}", error.what_without_backtrace())};
    } catch (const std::bad_alloc&) {
        return Error{Code::kFull, "training: out of memory: lower batch_rows or threads"};
    } catch (const std::exception& error) {
        return Error{Code::kInvalid, fmt::format("training: {}", error.what())};
    }
}

}  // namespace perennial::train
