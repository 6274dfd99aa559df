#include "predict/child_training.h"

#include <fmt/format.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <boost/json.hpp>

#include "base/file.h"
#include "base/log.h"
#include "model/safetensors.h"

extern char** environ;

namespace perennial::predict {
namespace {

namespace fs = std::filesystem;

Result<fs::path> trainer_program() {
    if (const char* named = std::getenv("PERENNIAL_TRAIN")) return fs::path(named);
    std::error_code error;
    const auto self = fs::read_symlink("/proc/self/exe", error);
    for (const auto& candidate : {self.parent_path() / "perennial-train", self.parent_path() / "../perennial-train/perennial-train"})
        if (fs::exists(candidate, error)) return candidate;
    return Error{Code::kUnsupported, fmt::format("training needs perennial-train beside {}; this build has none (PERENNIAL_WITH_TORCH=OFF)", self.string())};
}

Result<int> run(const std::vector<std::string>& arguments) {
    std::vector<char*> argv;
    for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
    argv.push_back(nullptr);
    pid_t child = 0;
    if (const int error = ::posix_spawn(&child, argv[0], nullptr, nullptr, argv.data(), environ); error != 0)
        return io_error("start " + arguments[0], error);
    int status = 0;
    while (::waitpid(child, &status, 0) < 0)
        if (errno != EINTR) return io_error("wait for perennial-train", errno);
    return WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
}

double number(const boost::json::object& object, std::string_view field) {
    const auto* value = object.if_contains(field);
    boost::system::error_code error;
    return value ? value->to_number<double>(error) : 0;
}

Result<boost::json::object> run_report(const fs::path& directory) {
    auto text = read_file(directory / "run.json");
    if (!text) return text.error();
    boost::system::error_code parse_error;
    auto parsed = boost::json::parse(*text, parse_error);
    if (parse_error || !parsed.is_object()) return Error{Code::kCorrupt, fmt::format("{}: not a JSON object", (directory / "run.json").string())};
    return std::move(parsed.as_object());
}

}  // namespace

Result<NetworkRun> read_network_run(const fs::path& directory) {
    const auto parsed = run_report(directory);
    if (!parsed) return parsed.error();
    const auto& report = *parsed;
    NetworkRun result;
    result.weights = directory / "model.safetensors";
    result.curves = directory / "curves.csv";
    result.epochs = static_cast<int>(number(report, "epochs"));
    result.best_epoch = static_cast<int>(number(report, "best_epoch"));
    result.train_seconds = number(report, "train_seconds");
    result.best_seconds = number(report, "train_seconds_to_best");
    result.targets_per_second = number(report, "positions_per_second");
    result.valid_ndcg10 = number(report, "valid_ndcg10");
    result.parameters = static_cast<std::int64_t>(number(report, "parameters"));
    return result;
}

Result<NetworkRun> train_network(const fs::path& data_file, const fs::path& directory, const NetworkOptions& options) {
    auto program = trainer_program();
    if (!program) return program.error();
    std::error_code error;
    fs::create_directories(directory, error);
    std::vector<std::string> arguments{program->string(), "--data", data_file.string(), "--out", directory.string(),
                                       "--seed", std::to_string(options.seed), "--threads", std::to_string(options.threads)};
    if (options.seconds_limit > 0) arguments.insert(arguments.end(), {"--seconds-limit", fmt::format("{}", options.seconds_limit)});
    if (options.resume) arguments.emplace_back("--resume");
    arguments.insert(arguments.end(), {"--parent", std::to_string(::getpid())});
    arguments.insert(arguments.end(), options.extra.begin(), options.extra.end());
    auto code = run(arguments);
    if (!code) return code.error();
    if (*code > 128) return Error{Code::kBusy, fmt::format("perennial-train was ended by signal {}", *code - 128)};
    if (*code != 0) return Error{Code::kIo, fmt::format("perennial-train ended with code {}; its message stands above", *code)};
    return read_network_run(directory);
}

Result<NetworkRun> train_network(const model::TrainingData& data, const fs::path& directory, const NetworkOptions& options) {
    std::error_code error;
    fs::create_directories(directory, error);
    if (!options.done.empty()) {
        for (const char* name : {"model.safetensors", "curves.csv", "run.json"}) {
            fs::copy_file(options.done / name, directory / name, fs::copy_options::overwrite_existing, error);
            if (error) return Error{Code::kIo, fmt::format("copy {}: {}", (options.done / name).string(), error.message())};
        }
        return read_network_run(directory);
    }
    if (options.resume && fs::exists(directory / "run.json", error)) return read_network_run(directory);  // written last
    const auto data_file = directory / "training-data.safetensors";
    PERENNIAL_TRY(model::write_training_data(data, data_file));
    log::info("training {}: {} sequences, {} events, {} products", options.label, data.sequences(), data.events(), data.products);
    auto result = train_network(data_file, directory, options);
    fs::remove(data_file, error);
    return result;
}

Result<AdapterRun> train_adapter(const model::TrainingData& data, const model::TaskRows& rows, const model::TaskOptions& options,
                                 const fs::path& weights, const fs::path& directory) {
    auto program = trainer_program();
    if (!program) return program.error();
    std::error_code error;
    fs::create_directories(directory, error);
    const auto data_file = directory / "training-data.safetensors", rows_file = directory / "task-rows.safetensors", options_file = directory / "task-options.json";
    PERENNIAL_TRY(model::write_training_data(data, data_file));
    PERENNIAL_TRY(model::write_task_rows(rows, data, rows_file));
    PERENNIAL_TRY(write_file(options_file, model::to_json(options) + "\n"));
    auto code = run({program->string(), "--data", data_file.string(), "--task-data", rows_file.string(), "--task-options", options_file.string(),
                     "--init-weights", weights.string(), "--out", directory.string(), "--parent", std::to_string(::getpid())});
    if (!code) return code.error();
    fs::remove(data_file, error);
    fs::remove(rows_file, error);
    if (*code != 0) return Error{Code::kIo, fmt::format("perennial-train ended with code {}; its message stands above", *code)};
    const auto report = run_report(directory);
    if (!report) return report.error();
    AdapterRun result;
    result.adapter = directory / "adapter.safetensors";
    result.best_epoch = static_cast<std::int64_t>(number(*report, "best_epoch"));
    result.epochs = static_cast<std::int64_t>(number(*report, "epochs"));
    result.parameters = static_cast<std::int64_t>(number(*report, "parameters"));
    result.metric = number(*report, "metric");
    result.seconds = number(*report, "seconds");
    auto outputs = model::Safetensors::open(directory / "outputs.safetensors");
    if (!outputs) return outputs.error();
    const std::array<std::int64_t, 2> shape{static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(model::output_count(options.kind, options.classes))};
    auto out_of_fold = outputs->floats("out_of_fold", shape), all = outputs->floats("all", shape);
    if (!out_of_fold) return out_of_fold.error();
    if (!all) return all.error();
    result.out_of_fold = std::move(*out_of_fold);
    result.all = std::move(*all);
    fs::remove(directory / "outputs.safetensors", error);
    return result;
}

}  // namespace perennial::predict
