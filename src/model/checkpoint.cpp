#include "model/checkpoint.h"

#include <fmt/format.h>

#include <array>
#include <bit>
#include <cmath>

#include "base/file.h"
#include "base/hash.h"
#include "model/safetensors.h"

namespace perennial::model {
namespace {

constexpr std::string_view kFormat = "perennial.checkpoint", kVersion = "2";
constexpr std::size_t kCounts = 9, kMeasures = 8;

std::array<std::int64_t*, kCounts> counts(TrainingPosition& p) {
    return {&p.epoch, &p.batch, &p.steps, &p.product_targets, &p.time_targets, &p.epochs, &p.best_epoch, &p.targets_done, &p.cooling_epoch};
}
std::array<double*, kMeasures> measures(TrainingPosition& p) {
    return {&p.product_loss, &p.time_loss, &p.train_seconds, &p.stepping_seconds, &p.seconds_to_best, &p.valid_ndcg10, &p.valid_recall10, &p.valid_loss};
}

// The container knows no F64: their bits, as I64.
struct Numbers {
    std::array<std::int64_t, kCounts> counts{};
    std::array<std::int64_t, kMeasures> measures{};
};

std::string value_name(std::size_t index) { return fmt::format("value.{:06}", index); }

template <class T, std::size_t N>
std::string_view bytes_of(const std::array<T, N>& values) { return {reinterpret_cast<const char*>(values.data()), sizeof values}; }

template <class Values>
std::string checksum(const TrainingPosition& position, const Numbers& numbers, const Values& values) {
    auto hash = hash64(position.data);
    for (const std::string_view part : {std::string_view(position.options), std::string_view(position.curves), bytes_of(numbers.counts), bytes_of(numbers.measures)})
        hash = hash64(part, hash);
    for (const auto& value : values) hash = hash64({reinterpret_cast<const char*>(value.data()), value.size() * sizeof(float)}, hash);
    return fmt::format("{:016x}", hash);
}

}  // namespace

Status write_checkpoint(const std::filesystem::path& path, const TrainingPosition& position, std::span<const std::span<const float>> values) {
    auto copy = position;
    Numbers numbers;
    for (std::size_t i = 0; i < kCounts; ++i) numbers.counts[i] = *counts(copy)[i];
    for (std::size_t i = 0; i < kMeasures; ++i) numbers.measures[i] = std::bit_cast<std::int64_t>(*measures(copy)[i]);
    SafetensorsWriter file;
    file.metadata("format", std::string(kFormat));
    file.metadata("version", std::string(kVersion));
    file.metadata("data", position.data);
    file.metadata("options", position.options);
    file.metadata("curves", position.curves);
    file.metadata("values", std::to_string(values.size()));
    file.metadata("checksum", checksum(position, numbers, values));
    file.add("counts", std::array{std::int64_t{kCounts}}, std::span<const std::int64_t>(numbers.counts));
    file.add("measures", std::array{std::int64_t{kMeasures}}, std::span<const std::int64_t>(numbers.measures));
    for (std::size_t i = 0; i < values.size(); ++i) file.refer(value_name(i), std::array{static_cast<std::int64_t>(values[i].size())}, values[i]);
    return file.write(path);
}

Result<Checkpoint> parse_checkpoint(std::string bytes, std::string_view source) {
    auto file = Safetensors::parse(std::move(bytes), source);
    if (!file) return file.error();
    const auto format = file->text("format"), version = file->text("version");
    if (!format || *format != kFormat || !version || *version != kVersion)
        return Error{Code::kUnsupported, fmt::format("{}: want {} version {}", source, kFormat, kVersion)};
    Checkpoint checkpoint;
    auto& position = checkpoint.position;
    for (const auto& [key, to] : {std::pair{"data", &position.data}, {"options", &position.options}, {"curves", &position.curves}}) {
        auto text = file->text(key);
        if (!text) return text.error();
        *to = std::move(*text);
    }
    Numbers numbers;
    const auto count_values = file->longs("counts", std::array{std::int64_t{kCounts}}), measure_values = file->longs("measures", std::array{std::int64_t{kMeasures}});
    if (!count_values) return count_values.error();
    if (!measure_values) return measure_values.error();
    for (std::size_t i = 0; i < kCounts; ++i) *counts(position)[i] = numbers.counts[i] = (*count_values)[i];
    for (std::size_t i = 0; i < kMeasures; ++i) *measures(position)[i] = std::bit_cast<double>(numbers.measures[i] = (*measure_values)[i]);
    for (std::size_t i = 0; file->tensors().contains(value_name(i)); ++i) {
        auto value = file->floats(value_name(i), std::array{std::int64_t{-1}});
        if (!value) return value.error();
        checkpoint.values.push_back(std::move(*value));
    }
    const auto stated = file->text("checksum"), number = file->text("values");
    if (!stated) return stated.error();
    if (!number || *number != std::to_string(checkpoint.values.size()) || file->tensors().size() != checkpoint.values.size() + 2)
        return Error{Code::kCorrupt, fmt::format("{}: values are missing", source)};
    if (*stated != checksum(position, numbers, checkpoint.values)) return Error{Code::kCorrupt, fmt::format("{}: the checksum does not fit", source)};
    for (const auto* count : counts(position))
        if (*count < 0) return Error{Code::kCorrupt, fmt::format("{}: a negative count", source)};
    for (const auto* measure : measures(position))
        if (!std::isfinite(*measure)) return Error{Code::kCorrupt, fmt::format("{}: a measure that is no number", source)};
    return checkpoint;
}

Result<Checkpoint> read_checkpoint(const std::filesystem::path& path) {
    auto bytes = read_file(path);
    if (!bytes) return bytes.error();
    return parse_checkpoint(std::move(*bytes), path.string());
}

}  // namespace perennial::model
