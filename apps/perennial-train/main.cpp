// perennial-train: trains a network from a training-data file. A process of its own, because libtorch costs every program
// that links it most of a second and 167 MB. Exit codes: 0 done, 1 failed, 2 wrong usage.
#include <fmt/format.h>
#include <signal.h>
#include <sys/prctl.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <memory>

#include "base/file.h"
#include "base/progress.h"
#include "train/task_train.h"
#include "train/train.h"

namespace {

using namespace perennial;

// A bar an epoch, and a line when it ends.
class Display {
public:
    void operator()(const train::Progress& now) {
        if (!bar_) bar_ = std::make_unique<Progress>(fmt::format("epoch {}", now.epoch), static_cast<std::uint64_t>(now.positions_total), "positions");
        if (now.finished == nullptr) {
            bar_->note(fmt::format("loss {:.4f}", now.loss));
            bar_->advance(static_cast<std::uint64_t>(now.positions - drawn_));
            drawn_ = now.positions;
            return;
        }
        bar_->note(fmt::format("loss {:.4f}  time {:.4f}  valid {:.4f}  ndcg@10 {:.4f}  recall@10 {:.4f}", now.finished->train_loss, now.finished->time_loss,
                               now.finished->valid_loss, now.finished->valid_ndcg10, now.finished->valid_recall10));
        bar_.reset();
        drawn_ = 0;
    }

private:
    std::unique_ptr<Progress> bar_;
    std::int64_t drawn_ = 0;
};

int fail(const Error& error, int code) {
    fmt::print(stderr, "perennial-train: {}\n", error.message);
    return code;
}

// The child goes with its parent. A parent that died before the call left us to init or to a reaper.
bool follow_parent(pid_t parent) {
    return ::prctl(PR_SET_PDEATHSIG, SIGTERM) == 0 && (parent == 0 || ::getppid() == parent);
}

int adapt(const model::TrainingData& data, const std::string& rows_file, const std::string& options_file, const std::string& weights, const std::string& out_dir) {
    auto rows = model::read_task_rows(rows_file, data);
    if (!rows) return fail(rows.error(), 1);
    auto text = read_file(options_file);
    if (!text) return fail(text.error(), 1);
    auto options = model::task_options_from_json(*text);
    if (!options) return fail({options.error().code, fmt::format("{}: {}", options_file, options.error().message)}, 2);
    Progress bar("adapter", static_cast<std::uint64_t>(options->epochs_limit), "epochs");
    const auto summary = train::train_task(data, *rows, *options, weights, out_dir, [&](const train::TaskEpoch& now) {
        bar.note(fmt::format("{} {:.4f}  loss {:.4f}", model::name(options->early_stop), now.metric, now.train_loss));
        if (now.epoch > 0) bar.advance(1);
    });
    if (!summary) return fail(summary.error(), 1);
    return 0;
}

}  // namespace

int main(int argc, char** argv) {
    std::string data_file, out_dir, init_weights;
    train::TrainOptions options;
    std::string task_data, task_options;
    pid_t parent = 0;
    CLI::App app{"Trains a network from a training-data file (docs/formats/training-data.md).", "perennial-train"};
    app.option_defaults()->always_capture_default()->multi_option_policy(CLI::MultiOptionPolicy::TakeLast);
    app.add_option("--data", data_file, "training data: a perennial.sequences file")->required();
    app.add_option("--out", out_dir, "folder for model.safetensors, curves.csv and run.json")->required();
    app.add_option("--width", options.width, "size of a vector");
    app.add_option("--blocks", options.blocks, "attention blocks");
    app.add_option("--heads", options.heads, "attention heads, a divisor of the width");
    app.add_option("--hidden", options.hidden, "size of the feed-forward part; 0: twice the width");
    app.add_option("--history-limit", options.history_limit, "positions that attention looks back over");
    app.add_option("--learning-rate", options.learning_rate, "AdamW's, between warm-up and the fall at the end");
    app.add_option("--weight-decay", options.weight_decay, "decoupled weight decay");
    app.add_option("--dropout", options.dropout, "share of activations dropped in training");
    app.add_option("--gradient-norm-limit", options.gradient_norm_limit, "longer gradients are scaled down");
    app.add_option("--warmup-steps", options.warmup_steps, "steps until the full learning rate");
    app.add_option("--batch-positions", options.batch_positions, "events a step");
    app.add_option("--negatives", options.negatives, "products that compete at a step; 0: all; -1: all of a small catalogue, a sample of a large one");
    app.add_option("--later-decay", options.later_decay, "weight of targets after the next one, per step; 0: the next one alone");
    app.add_option("--reversed-share", options.reversed_share, "share of windows read from the end");
    app.add_option("--masked-share", options.masked_share, "share of input products hidden");
    app.add_option("--average-decay", options.average_decay, "decay of the running mean of weights that is kept; 0: none");
    app.add_option("--id-dropout", options.id_dropout, "share of products that a step knows by their content alone");
    app.add_option("--hazard-weight", options.hazard_weight, "weight of the time-to-purchase loss");
    app.add_option("--epochs-limit", options.epochs_limit, "passes over the data at most");
    app.add_option("--patience", options.patience, "epochs without a better validation NDCG@10 before stopping");
    app.add_option("--cooldown-epochs", options.cooldown_epochs, "epochs at the end over which the learning rate falls to nothing; 0: it stays");
    app.add_option("--seconds-limit", options.seconds_limit, "stop after so long; 0: no limit");
    app.add_option("--validation-units-limit", options.validation_units_limit, "occasions to validate on at most");
    app.add_option("--seed", options.seed, "same seed, same weights");
    app.add_option("--threads", options.threads, "threads; the result does not depend on them");
    app.add_option("--init-weights", init_weights, "start from this weight file");
    app.add_flag("--resume", options.checkpoints.resume, "go on from the checkpoint in --out, if there is one");
    app.add_option("--checkpoint-seconds", options.checkpoints.seconds, "write a checkpoint every so often; 0: none by time");
    app.add_option("--checkpoint-steps", options.checkpoints.steps, "write a checkpoint every so many steps; 0: none by steps");
    app.add_flag("--keep-checkpoint", options.checkpoints.keep, "leave one behind at the end, for a larger --epochs-limit");
    app.add_option("--task-data", task_data, "train an adapter of --init-weights on these rows (docs/formats/task-rows.md) instead of a network");
    app.add_option("--task-options", task_options, "JSON file: how the adapter is trained");
    app.add_option("--parent", parent, "stop at once unless this process is the parent; 0: any");
    try {
        app.parse(argc, argv);
    } catch (const CLI::CallForHelp& help) {
        return app.exit(help);
    } catch (const CLI::ParseError& error) {
        return fail({Code::kInvalid, error.what()}, 2);
    }
    options.init_weights = init_weights;
    if (!follow_parent(parent)) return fail({Code::kInvalid, fmt::format("parent {} is gone", parent)}, 1);
    if (auto status = train::check(options); !status) return fail(status.error(), 2);

    auto data = model::read_training_data(data_file);
    if (!data) return fail(data.error(), 1);
    if (!task_data.empty()) return adapt(*data, task_data, task_options, init_weights, out_dir);
    Display display;
    const auto summary = train::train(*data, options, out_dir, [&](const train::Progress& now) { display(now); });
    if (!summary) return fail(summary.error(), 1);
    fmt::print(stderr, "best epoch {} of {}, ndcg@10 {:.4f}, {:.1f} s, {:.0f} targets/s\n", summary->best_epoch, summary->epochs, summary->valid_ndcg10,
               summary->train_seconds, summary->positions_per_second);
    return 0;
}
