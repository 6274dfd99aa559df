#include "model/training_data.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "base/text.h"
#include "model/safetensors.h"

namespace perennial::model {
namespace {

constexpr std::string_view kFormat = "perennial.sequences", kVersion = "1";
constexpr std::array<std::int64_t, 1> kAny{-1};

Result<std::int64_t> number(const Safetensors& file, const std::string& key, std::int64_t low, std::int64_t high) {
    auto text = file.text(key);
    if (!text) return text.error();
    const auto value = to_integer(*text);
    if (!value || *value < low || *value > high)
        return Error{Code::kCorrupt, fmt::format("metadata '{}': want {} to {}, got '{}'", key, low, high, *text)};
    return *value;
}

}  // namespace

Status check(const TrainingData& data) {
    const auto n = data.product.size();
    const auto invalid = [](std::string message) { return Error{Code::kInvalid, "training data: " + message}; };
    if (data.offsets.empty() || data.offsets.front() != 0 || data.offsets.back() != static_cast<std::int64_t>(n))
        return invalid(fmt::format("offsets: want 0 first and {} last", n));
    for (const auto size : {data.kind.size(), data.time_ms.size(), data.quantity.size(), data.occasion.size(), data.role.size(), data.purchase.size()})
        if (size != n) return invalid(fmt::format("columns differ in length: {} and {}", n, size));
    if (data.end_ms.size() != data.sequences()) return invalid(fmt::format("end_ms: want {} values, got {}", data.sequences(), data.end_ms.size()));
    if (data.products < 0) return invalid("products: want >= 0");
    if (data.kinds < 1 || data.kinds > static_cast<std::int32_t>(kKindsLimit)) return invalid(fmt::format("kinds: want 1 to {}, got {}", kKindsLimit, data.kinds));
    // Offsets are proved ascending before any of them is used as an index.
    for (std::size_t s = 0; s < data.sequences(); ++s)
        if (data.offsets[s + 1] < data.offsets[s]) return invalid(fmt::format("offsets: {} after {} at sequence {}", data.offsets[s + 1], data.offsets[s], s));
    for (std::size_t s = 0; s < data.sequences(); ++s) {
        const auto begin = static_cast<std::size_t>(data.offsets[s]), end = static_cast<std::size_t>(data.offsets[s + 1]);
        for (std::size_t i = begin; i < end; ++i) {
            const auto wrong = [&](std::string_view column, std::int64_t value, std::string_view want) {
                return invalid(fmt::format("{}: want {}, got {} at sequence {}, position {}", column, want, value, s, i - begin));
            };
            if (data.product[i] < -1 || data.product[i] >= data.products) return wrong("product", data.product[i], fmt::format("-1 to {}", data.products - 1));
            if (data.kind[i] >= data.kinds) return wrong("kind", data.kind[i], fmt::format("below {}", data.kinds));
            if (data.quantity[i] >= kQuantityBuckets) return wrong("quantity", data.quantity[i], "below 16");
            if (data.role[i] > kValidationTarget) return wrong("role", data.role[i], "0 to 2");
            if (data.role[i] != kNoTarget && data.product[i] < 0) return wrong("role", data.role[i], "0 for an event without a product");
            if (data.purchase[i] > 1) return wrong("purchase", data.purchase[i], "0 or 1");
            if (i > begin && data.occasion[i] < data.occasion[i - 1]) return wrong("occasion", data.occasion[i], "no decrease");
            if (i > begin && data.has_time && data.time_ms[i] < data.time_ms[i - 1]) return wrong("time_ms", data.time_ms[i], "no decrease");
        }
    }
    const auto& content = data.content;
    if (content.features < 0) return invalid("content: want features >= 0");
    if (content.features == 0) {
        if (!content.offsets.empty() || !content.feature.empty() || !content.name.empty()) return invalid("content: want no columns without features");
        return Done{};
    }
    if (content.offsets.size() != static_cast<std::size_t>(data.products) + 1 || content.offsets.front() != 0 ||
        content.offsets.back() != static_cast<std::int64_t>(content.feature.size()) || !std::ranges::is_sorted(content.offsets))
        return invalid(fmt::format("content offsets: want {} rising numbers from 0 to {}", data.products + 1, content.feature.size()));
    if (!content.name.empty() && std::cmp_not_equal(content.name.size(), content.features))
        return invalid(fmt::format("content names: want none or {}, got {}", content.features, content.name.size()));
    for (const auto feature : content.feature)
        if (feature < 0 || feature >= content.features) return invalid(fmt::format("content feature: want 0 to {}, got {}", content.features - 1, feature));
    return Done{};
}

Result<TrainingData> read_training_data(const std::filesystem::path& path) {
    auto file = Safetensors::open(path);
    if (!file) return file.error();
    const auto at = [&](const Error& error) {
        const bool named = error.message.starts_with(path.string());
        return Error{error.code, named ? error.message : fmt::format("{}: {}", path.string(), error.message)};
    };
    const auto format = file->text("format"), version = file->text("version");
    if (!format || *format != kFormat)
        return Error{Code::kInvalid, fmt::format("{}: want format '{}', got '{}'", path.string(), kFormat, format ? *format : "")};
    if (!version || *version != kVersion)
        return Error{Code::kUnsupported, fmt::format("{}: want version {}, got '{}'", path.string(), kVersion, version ? *version : "")};

    TrainingData data;
    const auto take = [&](auto result, auto& to) -> Status {
        if (!result) return at(result.error());
        to = static_cast<std::remove_reference_t<decltype(to)>>(std::move(*result));
        return Done{};
    };
    PERENNIAL_TRY(take(file->longs("offsets", kAny), data.offsets));
    PERENNIAL_TRY(take(file->ints("product", kAny), data.product));
    PERENNIAL_TRY(take(file->bytes("kind", kAny), data.kind));
    PERENNIAL_TRY(take(file->longs("time_ms", kAny), data.time_ms));
    PERENNIAL_TRY(take(file->bytes("quantity", kAny), data.quantity));
    PERENNIAL_TRY(take(file->ints("occasion", kAny), data.occasion));
    PERENNIAL_TRY(take(file->bytes("role", kAny), data.role));
    PERENNIAL_TRY(take(file->bytes("purchase", kAny), data.purchase));
    PERENNIAL_TRY(take(file->longs("end_ms", kAny), data.end_ms));
    PERENNIAL_TRY(take(number(*file, "products", 0, INT32_MAX), data.products));
    PERENNIAL_TRY(take(number(*file, "kinds", 1, static_cast<std::int64_t>(kKindsLimit)), data.kinds));
    PERENNIAL_TRY(take(number(*file, "has_time", 0, 1), data.has_time));
    PERENNIAL_TRY(take(number(*file, "exclude_seen", 0, 1), data.exclude_seen));
    if (file->metadata().contains("features")) {
        PERENNIAL_TRY(take(number(*file, "features", 0, INT32_MAX), data.content.features));
        PERENNIAL_TRY(take(file->longs("content.offsets", kAny), data.content.offsets));
        PERENNIAL_TRY(take(file->ints("content.feature", kAny), data.content.feature));
        if (file->metadata().contains("names")) PERENNIAL_TRY(take(file->longs("content.name", kAny), data.content.name));
    }
    if (auto status = check(data); !status) return at(status.error());
    return data;
}

Status write_training_data(const TrainingData& data, const std::filesystem::path& path) {
    PERENNIAL_TRY(check(data));
    SafetensorsWriter file;
    file.metadata("format", std::string(kFormat));
    file.metadata("version", std::string(kVersion));
    file.metadata("products", std::to_string(data.products));
    file.metadata("kinds", std::to_string(data.kinds));
    file.metadata("has_time", data.has_time ? "1" : "0");
    file.metadata("exclude_seen", data.exclude_seen ? "1" : "0");
    const auto add = [&](const char* tensor, const auto& column) {
        const std::array<std::int64_t, 1> shape{static_cast<std::int64_t>(column.size())};
        file.add(tensor, shape, std::span(column));
    };
    add("offsets", data.offsets);
    add("product", data.product);
    add("kind", data.kind);
    add("time_ms", data.time_ms);
    add("quantity", data.quantity);
    add("occasion", data.occasion);
    add("role", data.role);
    add("purchase", data.purchase);
    add("end_ms", data.end_ms);
    if (data.content.features > 0) {
        file.metadata("features", std::to_string(data.content.features));
        add("content.offsets", data.content.offsets);
        add("content.feature", data.content.feature);
        if (!data.content.name.empty()) {
            file.metadata("names", "1");
            add("content.name", data.content.name);
        }
    }
    return file.write(path);
}

}  // namespace perennial::model
