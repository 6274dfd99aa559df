#include "predict/task_spec.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <optional>

#include "base/file.h"
#include "base/toml.h"

namespace perennial::predict {
namespace {

constexpr std::uint64_t kSpecBytesLimit = 1 << 20;
constexpr std::size_t kNameBytesLimit = 64;

// One walk over a task's file; the first thing wrong becomes the error.
class SpecParser {
public:
    explicit SpecParser(std::string origin) : origin_(std::move(origin)) {}

    Result<TaskSpec> parse(const toml::table& root) {
        for (const auto& [key, node] : root)
            if (!read_root(key.str(), node)) return Error{Code::kInvalid, problem_};
        if (spec_.builtin.empty() == spec_.labels.empty())
            return Error{Code::kInvalid, fmt::format("{}: want either labels = \"FILE.csv\" or builtin = \"{}\", got {}", origin_, fmt::join(kBuiltinTasks, "|"), spec_.builtin.empty() ? "neither" : "both")};
        if (spec_.name.empty()) spec_.name = spec_.builtin.empty() ? spec_.labels.stem().string() : spec_.builtin;
        if (spec_.builtin == "category") spec_.classification = false, spec_.options.kind = model::TaskKind::kMultilabel;
        if (spec_.builtin == "amount") spec_.classification = false, spec_.options.kind = model::TaskKind::kAmount;
        if (auto status = checked(); !status) return Error{Code::kInvalid, fmt::format("{}: {}", origin_, status.error().message)};
        return std::move(spec_);
    }

private:
    // What needs the number of classes is checked again when the labels are known.
    Status checked() {
        auto options = spec_.options;
        if (options.class_weights == model::ClassWeights::kList) options.class_weights = model::ClassWeights::kBalanced;
        if (spec_.classification && options.early_stop != model::Metric::kLoss && !model::suits(options.early_stop, model::TaskKind::kBinary))
            return model::check(options);
        if (spec_.classification) options.early_stop = model::Metric::kLoss;
        return model::check(options);
    }

    bool fail(std::string_view key, const toml::node& node, std::string_view want) {
        problem_ = fmt::format("{}:{}: {}: want {}, got {}", origin_, node.source().begin.line, key, want, describe(node));
        return false;
    }

    static std::string describe(const toml::node& node) {
        if (const auto text = node.value<std::string>(); text && node.is_string()) return "'" + *text + "'";
        if (node.is_boolean()) return *node.value<bool>() ? "true" : "false";
        if (node.is_integer()) return fmt::format("{}", *node.value<std::int64_t>());
        if (node.is_floating_point()) return fmt::format("{}", *node.value<double>());
        return node.is_table() ? "a table" : node.is_array() ? "a list" : "a date";
    }

    bool text(std::string_view key, const toml::node& node, std::string& to) {
        if (!node.is_string() || node.value<std::string>()->empty()) return fail(key, node, "a text in quotes");
        to = *node.value<std::string>();
        return true;
    }
    bool whole(std::string_view key, const toml::node& node, std::int64_t low, std::int64_t high, std::int64_t& to) {
        if (!node.is_integer() || *node.value<std::int64_t>() < low || *node.value<std::int64_t>() > high) return fail(key, node, fmt::format("a whole number {} to {}", low, high));
        to = *node.value<std::int64_t>();
        return true;
    }
    bool real(std::string_view key, const toml::node& node, double low, double high, double& to) {
        const auto value = node.is_number() ? node.value<double>() : std::nullopt;
        if (!value || !(*value >= low && *value <= high)) return fail(key, node, fmt::format("a number {} to {}", low, high));
        to = *value;
        return true;
    }
    bool flag(std::string_view key, const toml::node& node, bool& to) {
        if (!node.is_boolean()) return fail(key, node, "true or false");
        to = *node.value<bool>();
        return true;
    }
    bool texts(std::string_view key, const toml::node& node, std::vector<std::string>& to) {
        const auto* list = node.as_array();
        if (!list || list->empty()) return fail(key, node, "a list of texts");
        for (const auto& item : *list) {
            if (!item.is_string()) return fail(key, item, "a text in quotes");
            to.push_back(*item.value<std::string>());
        }
        return true;
    }

    bool read_root(std::string_view key, const toml::node& node) {
        if (key == "name") {
            if (!text(key, node, spec_.name)) return false;
            const bool plain = spec_.name.size() <= kNameBytesLimit && std::ranges::all_of(spec_.name, [](char c) { return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '-'; });
            return plain || fail(key, node, fmt::format("at most {} of a-z, 0-9, - and _: it names a folder", kNameBytesLimit));
        }
        if (key == "kind") {
            const auto value = node.value<std::string>();
            if (!node.is_string() || (*value != "classification" && *value != "regression" && *value != "amount")) return fail(key, node, "classification|regression|amount");
            spec_.classification = *value == "classification";
            spec_.options.kind = *value == "regression" ? model::TaskKind::kRegression : *value == "amount" ? model::TaskKind::kAmount : model::TaskKind::kBinary;
            return true;
        }
        if (key == "labels") {
            std::string file;
            if (!text(key, node, file)) return false;
            spec_.labels = std::filesystem::path(origin_).parent_path() / file;
            return true;
        }
        if (key == "builtin") {
            if (!text(key, node, spec_.builtin)) return false;
            return std::ranges::find(kBuiltinTasks, spec_.builtin) != std::end(kBuiltinTasks) || fail(key, node, fmt::format("{}", fmt::join(kBuiltinTasks, "|")));
        }
        if (key == "classes") return texts(key, node, spec_.classes);
        if (key == "horizon_days") return real(key, node, 1, 3650, spec_.horizon_days);
        if (key == "as_of_count") return whole(key, node, 1, 1000, spec_.as_of_count);
        if (key == "as_of_every_days") return real(key, node, 1, 3650, spec_.as_of_every_days);
        if (key == "categories") return whole(key, node, 2, 200, spec_.categories);
        if (key == "category_level") {
            const auto value = node.value<std::string>();
            if (!node.is_string() || (*value != "leaf" && *value != "top")) return fail(key, node, "leaf|top");
            spec_.top_level_categories = *value == "top";
            return true;
        }
        if (key == "as_of") {
            std::vector<std::string> moments;
            if (!texts(key, node, moments)) return false;
            for (const auto& moment : moments) {
                const auto time = parse_iso8601(moment);
                if (!time) return fail(key, node, fmt::format("ISO 8601 times (got '{}')", moment));
                spec_.as_of.push_back(*time);
            }
            return true;
        }
        if (key == "columns") return table(key, node, &SpecParser::read_column);
        if (key == "split") return table(key, node, &SpecParser::read_split);
        if (key == "train") return table(key, node, &SpecParser::read_train);
        problem_ = fmt::format("{}:{}: '{}': want one of name, kind, labels, builtin, classes, horizon_days, as_of, as_of_count, as_of_every_days, categories, category_level, [columns], [split], [train]",
                               origin_, node.source().begin.line, key);
        return false;
    }

    bool table(std::string_view key, const toml::node& node, bool (SpecParser::*read)(std::string_view, const toml::node&)) {
        const auto* values = node.as_table();
        if (!values) return fail(key, node, "a table");
        for (const auto& [name, value] : *values)
            if (!(this->*read)(name.str(), value)) return false;
        return true;
    }

    bool read_column(std::string_view key, const toml::node& node) {
        for (auto [name, to] : {std::pair{"customer", &spec_.customer_column}, {"time", &spec_.time_column}, {"label", &spec_.label_column}, {"weight", &spec_.weight_column}})
            if (key == name) return text(fmt::format("columns.{}", key), node, *to);
        problem_ = fmt::format("{}:{}: columns.{}: want one of customer, time, label, weight", origin_, node.source().begin.line, key);
        return false;
    }

    bool read_split(std::string_view key, const toml::node& node) {
        const auto full = fmt::format("split.{}", key);
        if (key == "held_out") return real(full, node, 0.01, 0.99, spec_.held_out);
        if (key == "folds") return whole(full, node, 2, 20, spec_.folds);
        if (key == "labels_limit") return whole(full, node, 0, 1'000'000'000, spec_.labels_limit);
        if (key == "refit") return flag(full, node, spec_.refit);
        problem_ = fmt::format("{}:{}: {}: want one of held_out, folds, labels_limit, refit", origin_, node.source().begin.line, full);
        return false;
    }

    bool read_train(std::string_view key, const toml::node& node) {
        const auto full = fmt::format("train.{}", key);
        if (key == "hand_features") return flag(full, node, spec_.hand_features);
        if (key == "backbone") {
            if (!node.is_string() || (*node.value<std::string>() != "current" && *node.value<std::string>() != "blind")) return fail(full, node, "current|blind");
            spec_.blind_backbone = *node.value<std::string>() == "blind";
            return true;
        }
        if (key == "kind" || key == "classes") {
            problem_ = fmt::format("{}:{}: {}: want it outside of [train]", origin_, node.source().begin.line, full);
            return false;
        }
        model::OptionValue value;
        if (node.is_integer()) value = *node.value<std::int64_t>();
        else if (node.is_floating_point()) value = *node.value<double>();
        else if (node.is_string()) value = *node.value<std::string>();
        else if (const auto* list = node.as_array()) {
            std::vector<double> numbers;
            for (const auto& item : *list) {
                if (!item.is_number()) return fail(full, item, "a number");
                numbers.push_back(*item.value<double>());
            }
            value = std::move(numbers);
        } else return fail(full, node, "a number, a text or a list of numbers");
        const auto status = model::set_option(spec_.options, key, value);
        if (status.ok()) return true;
        if (status.error().code == Code::kNotFound) {
            auto names = model::option_names();
            std::erase_if(names, [](const std::string& name) { return name == "kind" || name == "classes"; });
            problem_ = fmt::format("{}:{}: {}: want one of backbone, hand_features, {}", origin_, node.source().begin.line, full, fmt::join(names, ", "));
        } else {
            problem_ = fmt::format("{}:{}: train.{}", origin_, node.source().begin.line, status.error().message);
        }
        return false;
    }

    std::string origin_, problem_;
    TaskSpec spec_;
};

}  // namespace

Result<TaskSpec> parse_task_spec(std::string_view toml, const std::filesystem::path& origin) {
    auto table = parse_toml(toml, origin.string());
    if (!table) return table.error();
    return SpecParser(origin.string()).parse(*table);
}

Result<TaskSpec> read_task_spec(const std::filesystem::path& path) {
    auto text = read_file(path, kSpecBytesLimit);
    if (!text) return text.error();
    auto spec = parse_task_spec(*text, path);
    if (spec && spec->builtin.empty() && spec->name.empty()) spec->name = path.stem().string();
    return spec;
}

Result<TaskSpec> builtin_task(std::string_view name) {
    if (std::ranges::find(kBuiltinTasks, name) == std::end(kBuiltinTasks))
        return Error{Code::kNotFound, fmt::format("task: want a TOML file or one of {}, got '{}'", fmt::join(kBuiltinTasks, ", "), name)};
    return parse_task_spec(fmt::format("builtin = \"{}\"\n", name), "built-in task");
}

}  // namespace perennial::predict
