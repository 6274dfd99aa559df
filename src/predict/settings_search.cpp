#include "predict/settings_search.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/time.h"
#include "tune/journal.h"

namespace perennial::predict {
namespace {

namespace fs = std::filesystem;
using Kind = tune::Parameter::Kind;

constexpr std::size_t kRungs = 3;        // with a reduction of 3: a ninth of the epochs, a third, all
constexpr std::int64_t kReduction = 3;

}  // namespace

tune::Space network_space() {
    return {{"learning-rate", Kind::kLog, 3e-4, 2e-2, 6e-3},
            {"dropout", Kind::kLinear, 0, 0.6, 0.2},
            {"weight-decay", Kind::kLog, 1e-3, 1, 0.1},
            {"width", Kind::kCategory, 0, 0, 1, {"32", "64", "96", "128"}},
            {"blocks", Kind::kInteger, 1, 4, 2},
            {"batch-positions", Kind::kCategory, 0, 0, 1, {"512", "1024", "2048", "4096"}},
            {"history-limit", Kind::kCategory, 0, 0, 1, {"20", "50", "100"}},
            {"reversed-share", Kind::kLinear, 0, 0.5, 0},
            {"later-decay", Kind::kLinear, 0, 0.9, 0},
            {"masked-share", Kind::kLinear, 0, 0.4, 0}};
}

std::vector<std::string> flags_of(const tune::Space& space, const tune::Values& values) {
    std::vector<std::string> flags;
    for (std::size_t j = 0; j < space.size(); ++j) flags.push_back(fmt::format("--{}={}", space[j].name, tune::text(space[j], values[j])));
    return flags;
}

Result<SearchResult> search_settings(const model::TrainingData& data, const fs::path& directory, const NetworkOptions& network, const SearchOptions& options) {
    if (options.trials < 1 || options.trials > tune::kTrialsLimit)
        return Error{Code::kInvalid, fmt::format("search: want 1 to {} trials, got {}", tune::kTrialsLimit, options.trials)};
    SearchResult found;
    found.space = network_space();
    found.rungs = tune::rungs_up_to(options.epochs_limit, kReduction, kRungs);
    const tune::Plan plan{.rungs = found.rungs, .reduction = kReduction, .seed = network.seed};
    if (auto status = tune::check(plan); !status) return status.error();

    std::error_code error;
    fs::create_directories(directory, error);
    const auto data_file = directory / "training-data.safetensors", own_file = directory / fmt::format("training-data.{}", ::getpid());
    PERENNIAL_TRY(model::write_training_data(data, own_file));
    auto bytes = read_file(own_file);
    if (!bytes) return bytes.error();
    // What the trials' results depend on beside their own values. Threads change nothing; a time limit does.
    std::string shared = hex(hash128(*bytes)) + fmt::format(" seconds {}", network.seconds_limit);
    for (const auto& flag : network.extra) shared += " " + flag;
    bytes = std::string();
    auto journal = tune::Journal::open(directory / "search.jsonl", found.space, plan, hex(hash128(shared)));
    if (!journal) {
        fs::remove(own_file, error);
        return journal.error();
    }
    fs::rename(own_file, data_file, error);  // ours alone from here on: the journal is locked
    if (error) return Error{Code::kIo, fmt::format("rename to {}: {}", data_file.string(), error.message())};
    if (!journal->results().empty()) log::info("search: going on behind {} results in {}", journal->results().size(), directory.string());

    double spent = 0;
    for (const auto& result : journal->results()) spent += result.seconds;
    auto trials = options.trials;
    for (;;) {
        if (options.seconds_limit > 0 && spent >= options.seconds_limit && !found.stopped_by_time) {
            std::int32_t started = 1;  // the defaults always run
            for (const auto& result : journal->results()) started = std::max(started, result.trial + 1);
            found.stopped_by_time = started < trials;
            trials = std::min(trials, started);
        }
        const auto job = tune::next_job(found.space, plan, journal->results(), trials);
        if (!job) break;
        NetworkOptions trial = network;
        trial.label = fmt::format("trial {}", job->trial);
        const auto flags = flags_of(found.space, job->values);
        trial.extra.insert(trial.extra.end(), flags.begin(), flags.end());
        trial.extra.push_back(fmt::format("--epochs-limit={}", found.rungs[static_cast<std::size_t>(job->rung)]));
        trial.extra.emplace_back("--keep-checkpoint");  // a promotion goes on from the rung before, a restart from the kill
        trial.resume = true;
        log::info("trial {} of {}, {} epochs: {}", job->trial, options.trials, found.rungs[static_cast<std::size_t>(job->rung)], fmt::join(flags, " "));
        const double start = monotonic_seconds();
        auto run = train_network(data_file, directory / fmt::format("trial-{}", job->trial), trial);
        tune::TrialResult result{job->trial, job->rung, job->values, std::nullopt, monotonic_seconds() - start, 0, {}};
        if (run) {
            result.value = run->valid_ndcg10;
            result.epochs = run->epochs;
        } else if (run.error().code != Code::kIo || job->trial == 0) {
            return run.error();  // interrupted, or nothing works here
        } else {
            result.problem = run.error().message;
        }
        spent += result.seconds;
        PERENNIAL_TRY(journal->append(result));
    }
    fs::remove(data_file, error);
    found.results.assign(journal->results().begin(), journal->results().end());
    const auto* best = tune::best(found.results);
    if (!best) return Error{Code::kInvalid, "search: no trial ended well"};
    found.best = *best;
    for (const auto& result : found.results)
        if (result.trial == 0) found.defaults = result;
    found.flags = flags_of(found.space, found.best.values);
    found.flags.push_back(fmt::format("--epochs-limit={}", found.rungs[static_cast<std::size_t>(found.best.rung)]));
    found.winner = directory / fmt::format("trial-{}", found.best.trial);
    if (!fs::exists(found.winner / "run.json", error)) found.winner.clear();
    return found;
}

}  // namespace perennial::predict
