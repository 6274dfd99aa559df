#include "train/resume.h"

#include <fmt/format.h>

#include <algorithm>
#include <string_view>
#include <vector>

#include "base/file.h"
#include "base/hash.h"
#include "train/product_table.h"

namespace perennial::train {
namespace {

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

}  // namespace

// A new member of either struct breaks the binding, so that it cannot be forgotten here.
std::string data_hash(const model::TrainingData& data) {
    const auto& [offsets, product, kind, time_ms, quantity, occasion, role, purchase, end_ms, products, kinds, has_time, content, exclude_seen] = data;
    const auto& [features, content_offsets, feature, name] = content;
    std::uint64_t hash = hash64(fmt::format("{} {} {} {} {}", products, kinds, has_time, exclude_seen, features));
    const auto add = [&](const auto&... column) { ((hash = hash64({reinterpret_cast<const char*>(column.data()), column.size() * sizeof(column[0])}, hash)), ...); };
    add(offsets, product, kind, time_ms, quantity, occasion, role, purchase, end_ms, content_offsets, feature, name);
    return fmt::format("{:016x}", hash);
}

// Every option that the weights depend on. A new member breaks the binding below, so that it cannot be forgotten here.
// When to stop (epochs, patience, seconds) may change from one start to the next, and threads change nothing.
Result<std::string> options_text(const TrainOptions& options) {
    const auto& [width, blocks, heads, hidden, history_limit, learning_rate, weight_decay, dropout, gradient_norm_limit, warmup_steps, batch_positions,
                 negatives, later_decay, reversed_share, masked_share, average_decay, id_dropout, hazard_weight, epochs_limit, patience, cooldown_epochs, seconds_limit, validation_units_limit, seed,
                 threads, init_weights, checkpoints] = options;
    std::string start = "none";
    if (!init_weights.empty()) {
        const auto bytes = read_file(init_weights);
        if (!bytes) return bytes.error();
        const auto words = read_file(init_weights.parent_path() / kWordsFile);
        start = hex(hash128(*bytes)) + (words ? hex(hash128(*words)) : "");
    }
    return fmt::format("width={} blocks={} heads={} hidden={} history-limit={} learning-rate={} weight-decay={} dropout={} gradient-norm-limit={} warmup-steps={} "
                       "batch-positions={} negatives={} later-decay={} reversed-share={} masked-share={} average-decay={} id-dropout={} hazard-weight={} cooldown-epochs={} validation-units-limit={} seed={} init-weights={}",
                       width, blocks, heads, hidden, history_limit, learning_rate, weight_decay, dropout, gradient_norm_limit, warmup_steps, batch_positions,
                       negatives, later_decay, reversed_share, masked_share, average_decay, id_dropout, hazard_weight, cooldown_epochs, validation_units_limit, seed, start);
}

bool Checkpoints::due(std::int64_t steps) const {
    if (options_.steps > 0 && steps - last_steps_ >= options_.steps) return true;
    const double passed = std::chrono::duration<double>(Clock::now() - last_).count();
    return options_.seconds > 0 && passed >= std::max(options_.seconds, kCostLimit * last_seconds_);
}

Status Checkpoints::write(const model::TrainingPosition& position, std::span<const std::span<float>> state) {
    const auto begin = Clock::now();
    const std::vector<std::span<const float>> values(state.begin(), state.end());
    PERENNIAL_TRY(model::write_checkpoint(path_, position, values));
    last_ = Clock::now();
    last_steps_ = position.steps;
    last_seconds_ = std::chrono::duration<double>(last_ - begin).count();
    total_seconds_ += last_seconds_;
    ++count_;
    return Done{};
}

Result<std::optional<model::Checkpoint>> earlier_checkpoint(const std::filesystem::path& path, const model::TrainingPosition& wanted, const TrainOptions& options) {
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

}  // namespace perennial::train
