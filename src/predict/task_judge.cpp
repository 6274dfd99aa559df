#include "predict/task_judge.h"

#include <fmt/format.h>

#include <boost/json.hpp>
#include <map>

namespace perennial::predict {
namespace {

namespace json = boost::json;
using model::Metric;
using model::TaskKind;

std::vector<Metric> metrics_of(TaskKind kind) {
    if (kind == TaskKind::kBinary) return {Metric::kAuc, Metric::kPrAuc, Metric::kLogLoss, Metric::kBrier, Metric::kAccuracy};
    if (kind == TaskKind::kMulticlass) return {Metric::kLogLoss, Metric::kAccuracy};
    if (kind == TaskKind::kMultilabel) return {Metric::kAuc, Metric::kLogLoss, Metric::kHitRate};
    return {Metric::kRmse, Metric::kMae, Metric::kGini};
}

}  // namespace

Metric leading_metric(TaskKind kind) noexcept { return kind == TaskKind::kBinary || kind == TaskKind::kMultilabel ? Metric::kAuc : kind == TaskKind::kMulticlass ? Metric::kLogLoss : Metric::kRmse; }

Judge::Judge(const Frame& f, const TaskTable& table, std::size_t draws, std::uint64_t seed) : f_(f), draws_(draws), seed_(seed) {
    std::map<std::size_t, std::vector<std::size_t>> groups;
    for (std::size_t i = 0; i < f.judged.size(); ++i) groups[table.customer[f.judged[i]]].push_back(i);
    for (auto& [customer, rows] : groups) groups_.push_back(std::move(rows));
    if (f.kind != TaskKind::kMultilabel) return;
    std::vector<std::size_t> every(f.columns);
    for (std::size_t k = 0; k < f.columns; ++k) {
        every[k] = k;
        if (std::ranges::count_if(f.judged, [&](std::size_t r) { return f.target[r * f.columns + k] > 0.5f; }) >= static_cast<std::ptrdiff_t>(kRankedPositivesMin)) ranked_.push_back(k);
    }
    if (ranked_.empty()) ranked_ = std::move(every);
}

// `statistic` gets places among the judged rows.
Interval Judge::interval(const std::function<double(std::span<const std::size_t>)>& statistic) const {
    std::vector<std::size_t> rows;
    return bootstrap(groups_.size(), draws_, seed_, [&](std::span<const std::uint32_t> drawn) {
        rows.clear();
        for (const auto g : drawn) rows.insert(rows.end(), groups_[g].begin(), groups_[g].end());
        return statistic(rows);
    });
}

double Judge::measured(Metric metric, std::span<const double> predictions, std::span<const std::size_t> rows) const {
    std::vector<double> p;
    std::vector<float> y, w;
    const bool ranked = f_.kind == TaskKind::kMultilabel && metric == Metric::kAuc;
    const std::size_t targets = f_.target.size() / f_.weight.size();
    for (const auto i : rows) {
        w.push_back(f_.weight[f_.judged[i]]);
        if (ranked) {
            for (const auto k : ranked_) p.push_back(predictions[i * f_.columns + k]), y.push_back(f_.target[f_.judged[i] * targets + k]);
            continue;
        }
        p.insert(p.end(), predictions.begin() + static_cast<std::ptrdiff_t>(i * f_.columns), predictions.begin() + static_cast<std::ptrdiff_t>((i + 1) * f_.columns));
        for (std::size_t t = 0; t < targets; ++t) y.push_back(f_.target[f_.judged[i] * targets + t]);
    }
    return model::measure(metric, f_.kind, p, y, w);
}

TaskMethodResult Judge::judged(std::string name, std::vector<double> predictions) const {
    TaskMethodResult result{std::move(name), {}, std::move(predictions)};
    for (const auto metric : metrics_of(f_.kind))
        result.measures.push_back({metric, interval([&](std::span<const std::size_t> rows) { return measured(metric, result.predictions, rows); })});
    return result;
}

TaskComparison Judge::compared(const TaskMethodResult& a, const TaskMethodResult& b) const {
    const auto metric = leading_metric(f_.kind);
    return {a.name, b.name, interval([&](std::span<const std::size_t> rows) { return measured(metric, a.predictions, rows) - measured(metric, b.predictions, rows); })};
}

std::vector<double> prior_predictions(const Frame& f) {
    std::vector<double> one(f.columns, f.kind == TaskKind::kMulticlass ? 0.5 : 0.0);
    double mass = f.kind == TaskKind::kMulticlass ? 0.5 * static_cast<double>(f.columns) : 0;
    if (f.kind == TaskKind::kBinary || f.kind == TaskKind::kMultilabel) std::ranges::fill(one, 0.5), mass = 1;
    for (const auto r : f.learned) {
        mass += double{f.weight[r]};
        if (f.kind == TaskKind::kMulticlass) one[static_cast<std::size_t>(f.target[r])] += double{f.weight[r]};
        else for (std::size_t k = 0; k < f.columns; ++k) one[k] += double{f.weight[r]} * double{f.target[r * f.columns + k]};
    }
    std::vector<double> p;
    for (std::size_t i = 0; i < f.judged.size(); ++i)
        for (const double value : one) p.push_back(value / mass);
    return p;
}

boost::json::object to_json(const TaskEvaluation& e, const TaskSpec& spec, std::span<const std::string> classes) {
    const auto interval = [](const Interval& i) { return json::object{{"value", i.value}, {"low", i.low}, {"high", i.high}}; };
    json::array methods, comparisons;
    for (const auto& method : e.methods) {
        json::object object{{"name", method.name}};
        for (const auto& measure : method.measures) object[model::name(measure.metric)] = interval(measure.value);
        methods.push_back(std::move(object));
    }
    for (const auto& c : e.comparisons)
        comparisons.push_back({{"a", c.a}, {"b", c.b}, {"metric", std::string(model::name(leading_metric(spec.options.kind)))}, {"difference", c.difference.value}, {"low", c.difference.low}, {"high", c.difference.high}});
    json::object weights;
    for (const auto& [name, weight] : e.weights) weights[name] = weight;
    json::object object{{"task", spec.name}, {"kind", std::string(model::name(spec.options.kind))}, {"classes", json::value_from(std::vector<std::string>(classes.begin(), classes.end()))},
            {"options", json::parse(model::to_json(spec.options))}, {"backbone", spec.blind_backbone ? "blind" : "current"}, {"labels", e.labels}, {"customers", e.customers},
            {"served_labels", e.served_labels}, {"judged_labels", e.judged_labels}, {"judged_customers", e.judged_customers}, {"base_rate", e.base_rate}, {"methods", std::move(methods)},
            {"comparisons", std::move(comparisons)}, {"weights", std::move(weights)}, {"best_epoch", e.best_epoch}, {"epochs", e.epochs}, {"parameters", e.parameters},
            {"network_seconds", e.network_seconds}, {"trees_seconds", e.trees_seconds}};
    if (spec.options.kind == TaskKind::kMultilabel) object["ranked_categories"] = e.ranked_labels, object["left_out_categories"] = e.left_out, object["left_out_share"] = e.left_out_share;
    return object;
}

std::string to_text(const TaskEvaluation& e, const TaskSpec& spec) {
    auto text = fmt::format("Task {}: {} labels of {} customers to learn from, {} labels of {} other customers to judge by ({} {:.4g})\n", spec.name, e.labels, e.customers,
                            e.judged_labels, e.judged_customers, spec.options.kind == TaskKind::kBinary ? "share of class 1:" : spec.options.kind == TaskKind::kMultilabel ? "share of categories bought:" : "mean:", e.base_rate);
    if (spec.options.kind == TaskKind::kMultilabel)
        text += fmt::format("Categories: {}; auc is the mean over {} that {} or more judged labels are true of. Left out: {} rarer ones; with lines of no category {:.0f} % of what is bought\n", spec.options.classes,
                            e.ranked_labels, kRankedPositivesMin, e.left_out, 100 * e.left_out_share);
    text += fmt::format("Adapter: {}, {} parameters, best epoch {} of {}, {:.1f} s; trees {:.1f} s\n\n{:<10}", model::name(spec.options.method), e.parameters, e.best_epoch, e.epochs,
                        e.network_seconds, e.trees_seconds, "method");
    for (const auto& measure : e.methods.front().measures) text += fmt::format(" {:>24}", model::name(measure.metric));
    for (const auto& method : e.methods) {
        text += fmt::format("\n{:<10}", method.name);
        for (const auto& [metric, value] : method.measures) text += fmt::format(" {:>24}", fmt::format("{:.4g} ({:.4g}, {:.4g})", value.value, value.low, value.high));
    }
    text += "\n\nThe answer is";
    for (const auto& [name, weight] : e.weights)
        if (weight > 0) text += fmt::format(" {:.2f} {}", weight, name);
    if (e.served_labels > e.labels) text += fmt::format("\nWhat is saved has learned from all {} labels, with the settings and weights that were judged", e.served_labels);
    text += fmt::format("\nDifferences in {}:\n", model::name(leading_metric(spec.options.kind)));
    for (const auto& c : e.comparisons) text += fmt::format("  {} - {}: {:+.4g} ({:+.4g}, {:+.4g})\n", c.a, c.b, c.difference.value, c.difference.low, c.difference.high);
    return text;
}

}  // namespace perennial::predict
