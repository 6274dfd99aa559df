#include "model/task_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cmath>

#include "model/safetensors.h"

namespace perennial::model {
namespace {

constexpr std::string_view kFormat = "perennial.task-rows", kVersion = "2";
constexpr std::array<std::int64_t, 1> kAny{-1};
constexpr std::array<std::int64_t, 2> kAnyMatrix{-1, -1};

}  // namespace

std::int32_t TaskRows::folds() const noexcept { return fold.empty() ? 0 : std::max(0, std::ranges::max(fold) + 1); }

float tamed(float value) noexcept { return std::copysign(std::log1p(std::abs(value)), value); }

Status check(const TaskRows& rows, const TrainingData& data) {
    const auto invalid = [](std::string message) { return Error{Code::kInvalid, "task rows: " + message}; };
    const std::size_t n = rows.size();
    for (const auto size : {rows.end.size(), rows.gap_days.size(), rows.weight.size(), rows.fold.size()})
        if (size != n) return invalid(fmt::format("columns differ in length: {} and {}", n, size));
    if (rows.target.size() % std::max<std::size_t>(n, 1) != 0 || rows.target.size() < n) return invalid(fmt::format("target: want as many numbers for each of {} rows, got {}", n, rows.target.size()));
    if (rows.features.size() != n * rows.feature_names.size()) return invalid(fmt::format("features: want {} x {} values, got {}", n, rows.feature_names.size(), rows.features.size()));
    for (std::size_t r = 0; r < n; ++r) {
        const auto wrong = [&](std::string_view column, std::string_view want, auto got) { return invalid(fmt::format("{}: want {}, got {} at row {}", column, want, got, r)); };
        if (rows.sequence[r] < 0 || rows.sequence[r] >= static_cast<std::int64_t>(data.sequences())) return wrong("sequence", fmt::format("0 to {}", data.sequences()), rows.sequence[r]);
        const auto s = static_cast<std::size_t>(rows.sequence[r]);
        const auto length = data.offsets[s + 1] - data.offsets[s];
        if (rows.end[r] < 0 || rows.end[r] > length) return wrong("end", fmt::format("0 to {}", length), rows.end[r]);
        if (!(rows.gap_days[r] >= 0 && rows.gap_days[r] < 1e6f)) return wrong("gap_days", "0 to a million", rows.gap_days[r]);
        if (!(rows.weight[r] > 0 && rows.weight[r] < 1e9f)) return wrong("weight", "a number above 0", rows.weight[r]);
        if (rows.fold[r] < kOnlyPredicted || rows.fold[r] >= kFoldsLimit) return wrong("fold", fmt::format("-1 to {}", kFoldsLimit - 1), rows.fold[r]);
        for (std::size_t t = r * rows.targets(); rows.fold[r] >= 0 && t < (r + 1) * rows.targets(); ++t)
            if (!std::isfinite(rows.target[t])) return wrong("target", "a number", rows.target[t]);
    }
    return Done{};
}

Result<TaskRows> read_task_rows(const std::filesystem::path& path, const TrainingData& data) {
    auto file = Safetensors::open(path);
    if (!file) return file.error();
    const auto format = file->text("format"), version = file->text("version"), names = file->text("features");
    if (!format || *format != kFormat) return Error{Code::kInvalid, fmt::format("{}: want format '{}', got '{}'", path.string(), kFormat, format ? *format : "")};
    if (!version || *version != kVersion) return Error{Code::kUnsupported, fmt::format("{}: want version {}, got '{}'", path.string(), kVersion, version ? *version : "")};
    if (!names) return names.error();
    TaskRows rows;
    boost::json::error_code failure;
    const auto list = boost::json::parse(*names, failure);
    if (failure || !list.is_array()) return Error{Code::kCorrupt, fmt::format("{}: features: want a JSON list of names", path.string())};
    for (const auto& name : list.get_array()) {
        if (!name.is_string()) return Error{Code::kCorrupt, fmt::format("{}: features: want texts", path.string())};
        rows.feature_names.emplace_back(name.get_string());
    }
    const auto take = [](auto result, auto& to) -> Status {
        if (!result) return result.error();
        to = std::move(*result);
        return Done{};
    };
    const std::array<std::int64_t, 2> matrix{-1, static_cast<std::int64_t>(rows.feature_names.size())};
    PERENNIAL_TRY(take(file->longs("sequence", kAny), rows.sequence));
    PERENNIAL_TRY(take(file->longs("end", kAny), rows.end));
    PERENNIAL_TRY(take(file->floats("gap_days", kAny), rows.gap_days));
    PERENNIAL_TRY(take(file->floats("target", kAnyMatrix), rows.target));
    PERENNIAL_TRY(take(file->floats("weight", kAny), rows.weight));
    PERENNIAL_TRY(take(file->ints("fold", kAny), rows.fold));
    PERENNIAL_TRY(take(file->floats("features", matrix), rows.features));
    if (auto status = check(rows, data); !status) return Error{status.error().code, fmt::format("{}: {}", path.string(), status.error().message)};
    return rows;
}

Status write_task_rows(const TaskRows& rows, const TrainingData& data, const std::filesystem::path& path) {
    PERENNIAL_TRY(check(rows, data));
    SafetensorsWriter file;
    file.metadata("format", std::string(kFormat));
    file.metadata("version", std::string(kVersion));
    file.metadata("features", boost::json::serialize(boost::json::value_from(rows.feature_names)));
    const auto add = [&](const char* tensor, const auto& column) {
        const std::array<std::int64_t, 1> shape{static_cast<std::int64_t>(column.size())};
        file.add(tensor, shape, std::span(column));
    };
    add("sequence", rows.sequence);
    add("end", rows.end);
    add("gap_days", rows.gap_days);
    const std::array<std::int64_t, 2> targets{static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(rows.targets())};
    file.add("target", targets, std::span(rows.target));
    add("weight", rows.weight);
    add("fold", rows.fold);
    const std::array<std::int64_t, 2> matrix{static_cast<std::int64_t>(rows.size()), static_cast<std::int64_t>(rows.feature_names.size())};
    file.add("features", matrix, std::span(rows.features));
    return file.write(path);
}

}  // namespace perennial::model
