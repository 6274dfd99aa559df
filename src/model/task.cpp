#include "model/task.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cassert>
#include <cmath>
#include <numeric>

namespace perennial::model {
namespace {

namespace json = boost::json;

constexpr std::array<std::string_view, 5> kKinds{"binary", "multiclass", "regression", "amount", "multilabel"};
constexpr std::array<std::string_view, 4> kMethods{"head", "full", "lora", "prefix"};
constexpr std::array<std::string_view, 2> kOptimizers{"adamw", "sgd"};
constexpr std::array<std::string_view, 3> kSchedules{"constant", "linear", "cosine"};
constexpr std::array<std::string_view, 3> kClassWeights{"none", "balanced", "list"};
constexpr std::array<std::string_view, 10> kMetrics{"loss", "log_loss", "auc", "pr_auc", "brier", "accuracy", "mae", "rmse", "gini", "hit_rate"};
constexpr std::size_t kClassesLimit = 256;
constexpr double kLeastChance = 1e-7;  // a certainty that is wrong costs 16 nats, not infinity
constexpr double kLogAmountLimit = 30;  // e^30 of any currency is more than there is

using Whole = std::int64_t TaskOptions::*;
using Real = double TaskOptions::*;
struct WholeField { const char* name; Whole field; std::int64_t low, high; };
struct RealField { const char* name; Real field; double low, high; };

constexpr std::array<WholeField, 8> kWholes{{{"classes", &TaskOptions::classes, 2, kClassesLimit},
                                             {"rank", &TaskOptions::rank, 1, 1024},
                                             {"prefix_length", &TaskOptions::prefix_length, 1, 1024},
                                             {"head_hidden", &TaskOptions::head_hidden, 0, 1 << 14},
                                             {"warmup_steps", &TaskOptions::warmup_steps, 0, 1'000'000},
                                             {"batch_rows", &TaskOptions::batch_rows, 1, 1 << 16},
                                             {"epochs_limit", &TaskOptions::epochs_limit, 1, 100'000},
                                             {"patience", &TaskOptions::patience, 1, 100'000}}};
constexpr std::array<RealField, 11> kReals{{{"alpha", &TaskOptions::alpha, 0, 1e6},
                                            {"momentum", &TaskOptions::momentum, 0, 0.9999},
                                            {"learning_rate", &TaskOptions::learning_rate, 0, 10},
                                            {"backbone_learning_rate", &TaskOptions::backbone_learning_rate, 0, 10},
                                            {"weight_decay", &TaskOptions::weight_decay, 0, 10},
                                            {"dropout", &TaskOptions::dropout, 0, 0.95},
                                            {"gradient_norm_limit", &TaskOptions::gradient_norm_limit, 1e-6, 1e9},
                                            {"crop_share", &TaskOptions::crop_share, 0, 1},
                                            {"mask_share", &TaskOptions::mask_share, 0, 0.95},
                                            {"adversarial_epsilon", &TaskOptions::adversarial_epsilon, 0, 100},
                                            {"label_smoothing", &TaskOptions::label_smoothing, 0, 0.5}}};

std::string describe(const OptionValue& value) {
    struct Describe {
        std::string operator()(std::int64_t number) const { return fmt::format("{}", number); }
        std::string operator()(double number) const { return fmt::format("{}", number); }
        std::string operator()(const std::string& text) const { return fmt::format("'{}'", text); }
        std::string operator()(const std::vector<double>& list) const { return fmt::format("[{}]", fmt::join(list, ", ")); }
    };
    return std::visit(Describe{}, value);
}

Error wrong(std::string_view key, std::string_view want, const OptionValue& got) {
    return {Code::kInvalid, fmt::format("{}: want {}, got {}", key, want, describe(got))};
}

template <class Enum, std::size_t N>
Status set_named(std::string_view key, const std::array<std::string_view, N>& names, const OptionValue& value, Enum& to) {
    const auto* text = std::get_if<std::string>(&value);
    const auto found = text ? std::ranges::find(names, *text) : names.end();
    if (found == names.end()) return wrong(key, fmt::format("{}", fmt::join(names, "|")), value);
    to = static_cast<Enum>(found - names.begin());
    return Done{};
}

double sigmoid(double x) noexcept { return x >= 0 ? 1 / (1 + std::exp(-x)) : std::exp(x) / (1 + std::exp(x)); }
double softplus(double x) noexcept { return x > 30 ? x : std::log1p(std::exp(x)); }

std::vector<std::uint32_t> by_falling(std::span<const double> scores) {
    std::vector<std::uint32_t> order(scores.size());
    std::iota(order.begin(), order.end(), 0u);
    std::ranges::stable_sort(order, [&](std::uint32_t a, std::uint32_t b) { return scores[a] > scores[b]; });
    return order;
}

// Calls visit(sum of weights, sum of weighted targets) for each run of equal scores in falling order.
template <class Visit>
void for_each_tie(std::span<const double> scores, std::span<const float> targets, std::span<const float> weights, Visit&& visit) {
    const auto order = by_falling(scores);
    for (std::size_t i = 0; i < order.size();) {
        double weight = 0, positive = 0;
        std::size_t j = i;
        for (; j < order.size() && scores[order[j]] == scores[order[i]]; ++j) {
            weight += double{weights[order[j]]};
            positive += double{weights[order[j]]} * double{targets[order[j]]};
        }
        visit(weight, positive);
        i = j;
    }
}

double area_under_roc(std::span<const double> scores, std::span<const float> targets, std::span<const float> weights) {
    double positives = 0, negatives = 0, wins = 0;
    for_each_tie(scores, targets, weights, [&](double weight, double ones) {
        wins += (weight - ones) * (positives + 0.5 * ones);
        positives += ones;
        negatives += weight - ones;
    });
    return positives == 0 || negatives == 0 ? 0.5 : wins / (positives * negatives);
}

double average_precision(std::span<const double> scores, std::span<const float> targets, std::span<const float> weights) {
    double found = 0, seen = 0, sum = 0;
    for_each_tie(scores, targets, weights, [&](double weight, double ones) {
        found += ones;
        seen += weight;
        sum += ones * found / seen;
    });
    return found == 0 ? 0 : sum / found;
}

// Area between the diagonal and the curve of captured target, over the same for the perfect order.
double gini_of(std::span<const double> scores, std::span<const float> targets, std::span<const float> weights) {
    const auto area = [&](std::span<const double> by) {
        double total = 0, mass = 0, captured = 0, sum = 0;
        for (std::size_t i = 0; i < targets.size(); ++i) total += double{weights[i]} * double{targets[i]}, mass += double{weights[i]};
        if (total <= 0) return 0.0;
        for_each_tie(by, targets, weights, [&](double weight, double value) {
            sum += weight / mass * (captured + value / 2) / total;
            captured += value;
        });
        return sum - 0.5;
    };
    const std::vector<double> truth(targets.begin(), targets.end());
    const double best = area(truth);
    return best > 0 ? area(scores) / best : 0;
}

double measure_labels(Metric metric, std::span<const double> p, std::span<const float> y, std::span<const float> w) {
    const std::size_t rows = w.size(), labels = y.size() / rows;
    double sum = 0, mass = 0;
    if (metric == Metric::kAuc) {
        std::vector<double> scores(rows);
        std::vector<float> targets(rows);
        for (std::size_t k = 0; k < labels; ++k) {
            double truths = 0;
            for (std::size_t r = 0; r < rows; ++r) scores[r] = p[r * labels + k], truths += double{targets[r] = y[r * labels + k]};
            if (truths == 0 || truths == static_cast<double>(rows)) continue;
            sum += area_under_roc(scores, targets, w), mass += 1;
        }
        return mass > 0 ? sum / mass : 0.5;
    }
    for (std::size_t r = 0; r < rows; ++r) {
        const auto said = p.subspan(r * labels, labels);
        const auto truth = y.subspan(r * labels, labels);
        double value = 0;
        if (metric == Metric::kHitRate) {
            if (std::ranges::max(truth) <= 0.5f) continue;
            value = truth[static_cast<std::size_t>(std::ranges::max_element(said) - said.begin())] > 0.5f ? 1 : 0;
        } else {
            for (std::size_t k = 0; k < labels; ++k) {
                const double of_truth = truth[k] > 0.5f ? said[k] : 1 - said[k];
                value += (metric == Metric::kLogLoss ? -std::log(std::max(of_truth, kLeastChance)) : (1 - of_truth) * (1 - of_truth)) / static_cast<double>(labels);
            }
        }
        sum += double{w[r]} * value, mass += double{w[r]};
    }
    return mass > 0 ? sum / mass : 0;
}

}  // namespace

std::string_view name(TaskKind kind) noexcept { return kKinds[static_cast<std::size_t>(kind)]; }
std::string_view name(Method method) noexcept { return kMethods[static_cast<std::size_t>(method)]; }
std::string_view name(Metric metric) noexcept { return kMetrics[static_cast<std::size_t>(metric)]; }

double learning_rate(const TaskOptions& options) noexcept {
    if (options.learning_rate > 0) return options.learning_rate;
    return options.method == Method::kPrefix ? 3e-3 : 1e-3;
}

Status set_option(TaskOptions& o, std::string_view key, const OptionValue& value) {
    for (const auto& field : kWholes)
        if (key == field.name) {
            const auto* number = std::get_if<std::int64_t>(&value);
            if (!number || *number < field.low || *number > field.high) return wrong(key, fmt::format("a whole number {} to {}", field.low, field.high), value);
            o.*field.field = *number;
            return Done{};
        }
    for (const auto& field : kReals)
        if (key == field.name) {
            const auto* whole = std::get_if<std::int64_t>(&value);
            const auto* real = std::get_if<double>(&value);
            const double number = whole ? static_cast<double>(*whole) : real ? *real : std::nan("");
            if (!(number >= field.low && number <= field.high)) return wrong(key, fmt::format("a number {} to {}", field.low, field.high), value);
            o.*field.field = number;
            return Done{};
        }
    if (key == "kind") return set_named(key, kKinds, value, o.kind);
    if (key == "method") return set_named(key, kMethods, value, o.method);
    if (key == "optimizer") return set_named(key, kOptimizers, value, o.optimizer);
    if (key == "schedule") return set_named(key, kSchedules, value, o.schedule);
    if (key == "early_stop") return set_named(key, kMetrics, value, o.early_stop);
    if (key == "class_weights") {
        if (const auto* list = std::get_if<std::vector<double>>(&value)) {
            if (list->empty() || list->size() > kClassesLimit || !std::ranges::all_of(*list, [](double w) { return w > 0 && w < 1e6; }))
                return wrong(key, "none|balanced or a list of numbers above 0, one a class", value);
            o.class_weights = ClassWeights::kList;
            o.class_weight_list = *list;
            return Done{};
        }
        const auto* text = std::get_if<std::string>(&value);
        if (!text || (*text != "none" && *text != "balanced")) return wrong(key, "none|balanced or a list of numbers above 0, one a class", value);
        o.class_weight_list.clear();
        return set_named(key, kClassWeights, value, o.class_weights);
    }
    if (key == "seed" || key == "threads") {
        const auto* number = std::get_if<std::int64_t>(&value);
        const std::int64_t low = key == "seed" ? 0 : 1, high = key == "seed" ? INT64_MAX : 1024;
        if (!number || *number < low || *number > high) return wrong(key, fmt::format("a whole number {} to {}", low, high), value);
        if (key == "seed") o.seed = static_cast<std::uint64_t>(*number);
        else o.threads = static_cast<unsigned>(*number);
        return Done{};
    }
    return Error{Code::kNotFound, fmt::format("'{}': no option has that name", key)};
}

std::vector<std::string> option_names() {
    std::vector<std::string> names{"kind", "method", "optimizer", "schedule", "early_stop", "class_weights", "seed", "threads"};
    for (const auto& field : kWholes) names.emplace_back(field.name);
    for (const auto& field : kReals) names.emplace_back(field.name);
    std::ranges::sort(names);
    return names;
}

Status check(const TaskOptions& o) {
    const bool classes = o.kind == TaskKind::kBinary || o.kind == TaskKind::kMulticlass;
    if (!suits(o.early_stop, o.kind))
        return Error{Code::kInvalid, fmt::format("early_stop: want a metric of a {} task, got {}", name(o.kind), name(o.early_stop))};
    if (o.class_weights != ClassWeights::kNone && !classes)
        return Error{Code::kInvalid, fmt::format("class_weights: want none for a {} task, which has no classes", name(o.kind))};
    const auto count = static_cast<std::size_t>(o.kind == TaskKind::kBinary ? 2 : o.classes);
    if (o.class_weights == ClassWeights::kList && o.class_weight_list.size() != count)
        return Error{Code::kInvalid, fmt::format("class_weights: want {} numbers, one a class, got {}", count, o.class_weight_list.size())};
    if (o.label_smoothing > 0 && !classes && o.kind != TaskKind::kMultilabel) return Error{Code::kInvalid, fmt::format("label_smoothing: want 0 for a {} task, which has no classes", name(o.kind))};
    if (o.method == Method::kHead && (o.adversarial_epsilon > 0 || o.crop_share > 0 || o.mask_share > 0))
        return Error{Code::kInvalid, "adversarial_epsilon, crop_share, mask_share: want 0 with method head, whose states are computed once; lora, prefix and full can do it"};
    return Done{};
}

std::string to_json(const TaskOptions& o) {
    json::object object{{"kind", kKinds[static_cast<std::size_t>(o.kind)]}, {"method", kMethods[static_cast<std::size_t>(o.method)]},
                        {"optimizer", kOptimizers[static_cast<std::size_t>(o.optimizer)]}, {"schedule", kSchedules[static_cast<std::size_t>(o.schedule)]},
                        {"early_stop", kMetrics[static_cast<std::size_t>(o.early_stop)]}, {"seed", o.seed}, {"threads", o.threads}};
    for (const auto& field : kWholes) object[field.name] = o.*field.field;
    for (const auto& field : kReals) object[field.name] = o.*field.field;
    if (o.class_weights == ClassWeights::kList) object["class_weights"] = json::value_from(o.class_weight_list);
    else object["class_weights"] = kClassWeights[static_cast<std::size_t>(o.class_weights)];
    return json::serialize(object);
}

Result<TaskOptions> task_options_from_json(std::string_view text) {
    json::error_code failure;
    const auto parsed = json::parse(json::string_view(text.data(), text.size()), failure);
    if (failure || !parsed.is_object()) return Error{Code::kInvalid, "task options: want a JSON object"};
    TaskOptions options;
    for (const auto& item : parsed.get_object()) {
        const auto& v = item.value();
        OptionValue value = std::int64_t{0};
        if (v.is_int64()) value = v.get_int64();
        else if (v.is_double()) value = v.get_double();
        else if (v.is_string()) value = std::string(v.get_string());
        else if (v.is_array()) {
            std::vector<double> list;
            for (const auto& number : v.get_array()) {
                json::error_code not_a_number;
                list.push_back(number.to_number<double>(not_a_number));
                if (not_a_number) return Error{Code::kInvalid, fmt::format("task options: {}: want numbers in the list", std::string(item.key()))};
            }
            value = std::move(list);
        } else return Error{Code::kInvalid, fmt::format("task options: {}: want a number, a text or a list", std::string(item.key()))};
        if (auto status = set_option(options, {item.key().data(), item.key().size()}, value); !status)
            return Error{Code::kInvalid, "task options: " + status.error().message};
    }
    PERENNIAL_TRY(check(options));
    return options;
}

std::size_t target_count(TaskKind kind, std::int64_t classes) noexcept { return kind == TaskKind::kMultilabel ? static_cast<std::size_t>(classes) : 1; }
std::size_t output_count(TaskKind kind, std::int64_t classes) noexcept {
    return kind == TaskKind::kMulticlass || kind == TaskKind::kMultilabel ? static_cast<std::size_t>(classes) : kind == TaskKind::kAmount ? 3 : 1;
}
std::size_t prediction_count(TaskKind kind, std::int64_t classes) noexcept {
    return kind == TaskKind::kMulticlass || kind == TaskKind::kMultilabel ? static_cast<std::size_t>(classes) : 1;
}

double amount_sigma(double raw) noexcept { return kSigmaMin + softplus(raw); }

void to_prediction(TaskKind kind, const TargetScale& scale, std::span<const float> outputs, std::span<double> prediction) {
    assert(!outputs.empty() && !prediction.empty());
    switch (kind) {
        case TaskKind::kBinary: prediction[0] = sigmoid(double{outputs[0]}); return;
        case TaskKind::kRegression: prediction[0] = scale.mean + scale.scale * double{outputs[0]}; return;
        case TaskKind::kAmount: {
            const double sigma = amount_sigma(double{outputs[2]});
            prediction[0] = sigmoid(double{outputs[0]}) * std::exp(std::min(double{outputs[1]} + sigma * sigma / 2, kLogAmountLimit));
            return;
        }
        case TaskKind::kMultilabel:
            for (std::size_t k = 0; k < outputs.size(); ++k) prediction[k] = sigmoid(double{outputs[k]});
            return;
        case TaskKind::kMulticlass: {
            const double most = double{std::ranges::max(outputs)};
            double sum = 0;
            for (std::size_t c = 0; c < outputs.size(); ++c) sum += prediction[c] = std::exp(double{outputs[c]} - most);
            for (double& p : prediction) p /= sum;
            return;
        }
    }
}

double row_loss(TaskKind kind, const TargetScale& scale, std::span<const float> outputs, std::span<const float> target) {
    const double y = double{target[0]}, z = double{outputs[0]};
    switch (kind) {
        case TaskKind::kBinary: return softplus(z) - y * z;
        case TaskKind::kRegression: return 0.5 * std::pow(z - (y - scale.mean) / scale.scale, 2);
        case TaskKind::kAmount: {
            if (y <= 0) return softplus(z);
            const double sigma = amount_sigma(double{outputs[2]}), off = (std::log(y) - double{outputs[1]}) / sigma;
            return softplus(-z) + std::log(sigma) + 0.5 * off * off;
        }
        case TaskKind::kMulticlass: {
            const double most = double{std::ranges::max(outputs)};
            double sum = 0;
            for (const float output : outputs) sum += std::exp(double{output} - most);
            return most + std::log(sum) - double{outputs[static_cast<std::size_t>(target[0])]};
        }
        case TaskKind::kMultilabel: {
            double sum = 0;
            for (std::size_t k = 0; k < outputs.size(); ++k) sum += softplus(double{outputs[k]}) - double{target[k]} * double{outputs[k]};
            return sum / static_cast<double>(outputs.size());
        }
    }
    return 0;
}

bool suits(Metric metric, TaskKind kind) noexcept {
    switch (metric) {
        case Metric::kLoss: return true;
        case Metric::kLogLoss: return kind == TaskKind::kBinary || kind == TaskKind::kMulticlass || kind == TaskKind::kMultilabel;
        case Metric::kAccuracy: return kind == TaskKind::kBinary || kind == TaskKind::kMulticlass;
        case Metric::kAuc: case Metric::kBrier: return kind == TaskKind::kBinary || kind == TaskKind::kMultilabel;
        case Metric::kPrAuc: return kind == TaskKind::kBinary;
        case Metric::kHitRate: return kind == TaskKind::kMultilabel;
        case Metric::kMae: case Metric::kRmse: case Metric::kGini: return kind == TaskKind::kRegression || kind == TaskKind::kAmount;
    }
    return false;
}

bool higher_is_better(Metric metric) noexcept {
    return metric == Metric::kAuc || metric == Metric::kPrAuc || metric == Metric::kAccuracy || metric == Metric::kGini || metric == Metric::kHitRate;
}

double measure(Metric metric, TaskKind kind, std::span<const double> p, std::span<const float> y, std::span<const float> w) {
    assert(suits(metric, kind) && metric != Metric::kLoss && (w.empty() || p.size() % w.size() == 0));
    assert(y.size() == (kind == TaskKind::kMultilabel ? p.size() : w.size()));
    if (y.empty()) return 0;
    if (kind == TaskKind::kMultilabel) return measure_labels(metric, p, y, w);
    if (metric == Metric::kAuc) return area_under_roc(p, y, w);
    if (metric == Metric::kPrAuc) return average_precision(p, y, w);
    if (metric == Metric::kGini) return gini_of(p, y, w);
    const std::size_t columns = p.size() / y.size();
    double sum = 0, mass = 0;
    for (std::size_t i = 0; i < y.size(); ++i) {
        const auto row = p.subspan(i * columns, columns);
        const double target = double{y[i]};
        const auto chance = [&] {  // of the true class
            if (kind == TaskKind::kBinary) return target > 0.5 ? row[0] : 1 - row[0];
            return row[static_cast<std::size_t>(target)];
        };
        double value = 0;
        switch (metric) {
            case Metric::kLogLoss: value = -std::log(std::max(chance(), kLeastChance)); break;
            case Metric::kAccuracy:
                value = kind == TaskKind::kBinary ? (row[0] >= 0.5) == (target > 0.5)
                                                  : std::ranges::max_element(row) - row.begin() == static_cast<std::ptrdiff_t>(target);
                break;
            case Metric::kBrier: case Metric::kRmse: value = (row[0] - target) * (row[0] - target); break;
            default: value = std::abs(row[0] - target); break;
        }
        sum += double{w[i]} * value;
        mass += double{w[i]};
    }
    const double mean = sum / mass;
    return metric == Metric::kRmse ? std::sqrt(mean) : mean;
}

}  // namespace perennial::model
