// train --task: an adapter for a question that the user brings, judged on held-out customers.
#include "task.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <map>
#include <set>
#include <unordered_map>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"
#include "commands.h"
#include "ingest/csv.h"
#include "predict/protocols.h"
#include "predict/shop_models.h"
#include "predict/training_set.h"
#include "shop.h"

namespace perennial::app {
namespace {

using predict::Label;
using predict::Labels;
using predict::TaskSpec;

constexpr std::size_t kClassesLimit = 256;

Result<std::size_t> column_of(const std::vector<std::string>& header, const std::string& name, const TaskSpec& spec) {
    const auto found = std::ranges::find(header, name);
    if (found != header.end()) return static_cast<std::size_t>(found - header.begin());
    std::string known;
    for (const auto& column : header) known += (known.empty() ? "" : ", ") + column;
    return Error{Code::kInvalid, fmt::format("{}: want a column '{}' ([columns] of the task names others), got {}", spec.labels.string(), name, known)};
}

Result<Labels> labels_from_csv(const predict::ShopData& data, TaskSpec& spec) {
    auto reader = ingest::CsvReader::open(spec.labels);
    if (!reader) return reader.error();
    const auto& header = reader->header();
    const auto customer = column_of(header, spec.customer_column, spec), time = column_of(header, spec.time_column, spec), label = column_of(header, spec.label_column, spec);
    for (const auto* column : {&customer, &time, &label})
        if (!*column) return column->error();
    std::size_t weight = SIZE_MAX;
    if (!spec.weight_column.empty()) {
        auto found = column_of(header, spec.weight_column, spec);
        if (!found) return found.error();
        weight = *found;
    }
    std::unordered_map<std::string_view, std::size_t> places;
    for (std::size_t i = 0; i < data.sequences.size(); ++i)
        if (!data.timelines[i].empty()) places.emplace(data.sequences[i].customer, i);

    Labels labels;
    std::vector<std::string> texts;
    std::size_t unknown = 0;
    ingest::CsvRow row;
    for (;;) {
        auto more = reader->next(row);
        if (!more) return more.error();
        if (!*more) break;
        const auto wrong = [&](std::string_view column, std::string_view want, std::string_view got) {
            return Error{Code::kInvalid, fmt::format("{}:{}: {}: want {}, got '{}'", spec.labels.string(), row.line, column, want, clip(got, 80))};
        };
        if (!row.problem.empty()) return Error{Code::kInvalid, fmt::format("{}:{}: {}", spec.labels.string(), row.line, row.problem)};
        const auto moment = parse_iso8601(trim(row.fields[*time]));
        if (!moment) return wrong(spec.time_column, "an ISO 8601 time", row.fields[*time]);
        Label made{0, *moment, 0, 1};
        if (weight != SIZE_MAX) {
            const auto number = to_number(trim(row.fields[weight]));
            if (!number || !(*number > 0 && *number < 1e9)) return wrong(spec.weight_column, "a number above 0", row.fields[weight]);
            made.weight = static_cast<float>(*number);
        }
        const auto text = trim(row.fields[*label]);
        if (spec.classification) {
            if (text.empty()) return wrong(spec.label_column, "a class", text);
        } else {
            const auto number = to_number(text);
            if (!number || (spec.options.kind == model::TaskKind::kAmount && *number < 0)) return wrong(spec.label_column, spec.options.kind == model::TaskKind::kAmount ? "a number of 0 or more" : "a number", text);
            made.target = static_cast<float>(*number);
        }
        const auto id = trim(row.fields[*customer]);
        auto place = places.find(profile::user_key(id));
        if (place == places.end()) place = places.find(profile::anonymous_key(id));
        if (place == places.end()) {
            ++unknown;
            continue;
        }
        made.customer = place->second;
        labels.rows.push_back(made);
        texts.emplace_back(text);
    }
    if (labels.rows.empty()) return Error{Code::kInvalid, fmt::format("{}: want labels of customers of this shop, got {} rows of others", spec.labels.string(), unknown)};
    if (unknown > 0) log::info("{}: {} rows of customers whom the shop does not know are left out", spec.labels.string(), unknown);
    if (spec.classification) {
        labels.classes = spec.classes;
        if (labels.classes.empty()) {
            const std::set<std::string> found(texts.begin(), texts.end());
            labels.classes.assign(found.begin(), found.end());
            // Numbers in the order of numbers.
            if (std::ranges::all_of(labels.classes, [](const std::string& name) { return to_number(name).has_value(); }))
                std::ranges::stable_sort(labels.classes, {}, [](const std::string& name) { return *to_number(name); });
        }
        for (std::size_t i = 0; i < texts.size(); ++i) {
            const auto found = std::ranges::find(labels.classes, texts[i]);
            if (found == labels.classes.end()) return Error{Code::kInvalid, fmt::format("{}: {}: want one of the task's classes, got '{}'", spec.labels.string(), spec.label_column, texts[i])};
            labels.rows[i].target = static_cast<float>(found - labels.classes.begin());
        }
    }
    return labels;
}

// Every customer's answer once the last event is known.
Status write_predictions(const predict::TaskModel& model, const predict::ShopData& data, const Backbone& backbone, UtcTime last_event, const fs::path& path) {
    const UtcTime now{last_event.ms + 1};
    std::string out = "customer,as_of";
    if (model.classes.empty()) out += ",value";
    else if (model.options.kind == model::TaskKind::kBinary) out += fmt::format(",p_{}", model.classes[1]);
    else for (const auto& name : model.classes) out += fmt::format(",p_{}", name);
    out += '\n';
    std::size_t customers = 0;
    for (std::size_t i = 0; i < data.timelines.size(); ++i) {
        if (data.timelines[i].empty() || data.timelines[i].front().time >= now) continue;
        auto p = model.predict(data.timelines[i], backbone.sequences[i].steps, now);
        if (!p) return p.error();
        std::string id = data.sequences[i].customer.substr(2);
        if (id.find_first_of(",\"\n\r") != std::string::npos) {
            std::string quoted = "\"";
            for (const char c : id) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
            id = quoted + "\"";
        }
        out += fmt::format("{},{}", id, iso8601(now));
        for (const double value : *p) out += fmt::format(",{:.6g}", value);
        out += '\n';
        ++customers;
    }
    PERENNIAL_TRY(write_file(path, out));
    log::info("{}: answers for {} customers as of {}", path.string(), customers, iso_date(now));
    return Done{};
}

}  // namespace

Result<TaskSpec> find_task(const std::string& named) {
    std::error_code error;
    if (fs::exists(named, error)) return predict::read_task_spec(named);
    if (named.ends_with(".toml")) return Error{Code::kNotFound, fmt::format("{}: no such file", named)};
    return predict::builtin_task(named);
}

Result<Labels> read_labels(const predict::ShopData& data, TaskSpec& spec) {
    auto labels = spec.builtin.empty() ? labels_from_csv(data, spec) : predict::builtin_labels(data, spec);
    if (!labels) return labels;
    if (spec.classification) {
        if (labels->classes.size() < 2 || labels->classes.size() > kClassesLimit)
            return Error{Code::kInvalid, fmt::format("task {}: want 2 to {} classes, got {}", spec.name, kClassesLimit, labels->classes.size())};
        spec.options.kind = labels->classes.size() == 2 ? model::TaskKind::kBinary : model::TaskKind::kMulticlass;
        spec.options.classes = static_cast<std::int64_t>(labels->classes.size());
    }
    if (spec.options.kind == model::TaskKind::kMultilabel) spec.options.classes = static_cast<std::int64_t>(labels->classes.size());
    if (auto status = model::check(spec.options); !status) return Error{Code::kInvalid, fmt::format("task {}: {}", spec.name, status.error().message)};
    return labels;
}

Result<Backbone> find_backbone(const predict::ShopData& data, const fs::path& shop, const TaskSpec& spec, const Labels& labels, double seconds_limit, const fs::path& directory) {
    const auto run = predict::current_run(shop);
    if (run.empty()) return Error{Code::kNotFound, fmt::format("{}: no trained model to adapt; `perennial train --shop {}` makes one", shop.string(), shop.string())};
    auto vocabulary = sequence::Vocabulary::load(run / "vocabulary.txt");
    if (!vocabulary) return vocabulary.error();
    Backbone backbone{run / "model.safetensors", directory.empty() ? run / "tasks" / spec.name : directory, std::move(*vocabulary), {}};
    backbone.sequences = predict::sequences_of(data, backbone.vocabulary);
    if (!spec.blind_backbone) return backbone;

    UtcTime first{INT64_MAX};
    for (const auto& label : labels.rows) first = std::min(first, label.time);
    const auto end_ms = data.last_time.ms + 1;
    const auto split = predict::split_by_time(backbone.sequences, backbone.vocabulary.size(), end_ms, std::min(predict::kValidationDays, data.days() / 5),
                                              [&](const sequence::Sequence& s) { return predict::held_out(s.customer, spec.held_out) ? first.ms : end_ms; });
    predict::NetworkOptions options;
    options.seed = spec.options.seed;
    options.threads = spec.options.threads;
    options.seconds_limit = seconds_limit;
    options.label = "a backbone that has not seen what held-out customers did later";
    auto trained = predict::train_network(split.data, backbone.directory / "backbone", options);
    if (!trained) return trained.error();
    backbone.weights = trained->weights;
    return backbone;
}

Status train_task(const TrainCommand& options) {
    auto shop = open_shop(options.common.shop);
    if (!shop) return shop.error();
    auto spec = find_task(options.task);
    if (!spec) return spec.error();
    if (options.seed_given) spec->options.seed = options.common.seed;
    spec->options.threads = options.common.threads;
    auto store = open_for_reading(*shop);
    if (!store) return store.error();
    auto data = predict::load_shop_data(*store);
    if (!data) return data.error();
    auto labels = read_labels(*data, *spec);
    if (!labels) return labels.error();
    auto backbone = find_backbone(*data, shop->directory, *spec, *labels, options.seconds_limit);
    if (!backbone) return backbone.error();
    auto table = predict::make_task_table(*data, backbone->sequences, backbone->vocabulary.size(), *labels, *spec);
    if (!table) return table.error();
    auto fit = predict::fit_task(*table, *spec, labels->classes, backbone->weights, backbone->directory);
    if (!fit) return fit.error();
    std::error_code absent;
    if (!spec->blind_backbone) fs::remove_all(backbone->directory / "backbone", absent);  // of an earlier training: the task serves on the run's network now
    PERENNIAL_TRY(fit->model.save(backbone->directory));
    const auto result = predict::to_json(fit->evaluation, *spec, labels->classes);
    PERENNIAL_TRY(write_json(backbone->directory / "evaluation.json", result));
    if (!options.predictions.empty()) PERENNIAL_TRY(write_predictions(fit->model, *data, *backbone, std::max(data->last_time, store->last_event_time()), options.predictions));
    if (options.common.json) fmt::print("{}\n", boost::json::serialize(result));
    else fmt::print("{}", predict::to_text(fit->evaluation, *spec));
    return Done{};
}

}  // namespace perennial::app
