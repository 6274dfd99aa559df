// bench fewlabels: how many labels does a question need? Adapters, trees and their mixture at rising numbers of labels,
// all judged by the same held-out customers (docs/results/few-labels.md).
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>
#include <map>

#include "base/file.h"
#include "base/log.h"
#include "build_info.h"
#include "commands.h"
#include "shop.h"
#include "task.h"

namespace perennial::app {
namespace {

struct Spread { double sum = 0, low = INFINITY, high = -INFINITY, count = 0; };

// One line of the plot; seeds at one number of labels.
using Line = std::map<std::int64_t, Spread>;

void add(Spread& spread, double value) {
    spread.sum += value;
    spread.low = std::min(spread.low, value);
    spread.high = std::max(spread.high, value);
    spread.count += 1;
}

double mean(const Spread& spread) { return spread.sum / spread.count; }

// Labels on a logarithmic axis; a line is the mean over seeds, a bar from the worst seed to the best.
std::string plot(const std::map<std::string, Line>& lines, std::string_view title, std::string_view metric) {
    constexpr double kWidth = 640, kHeight = 400, kLeft = 60, kRight = 190, kTop = 40, kBottom = 50;
    constexpr const char* kColours[] = {"#555555", "#1f77b4", "#2ca02c", "#d62728", "#9467bd", "#ff7f0e", "#17becf", "#8c564b", "#e377c2"};
    double low = INFINITY, high = -INFINITY, few = INFINITY, many = 0;
    for (const auto& [name, line] : lines)
        for (const auto& [labels, spread] : line) {
            low = std::min(low, spread.low), high = std::max(high, spread.high);
            few = std::min(few, static_cast<double>(labels)), many = std::max(many, static_cast<double>(labels));
        }
    const double pad = std::max(0.01, 0.05 * (high - low));
    low -= pad, high += pad;
    const auto x = [&](double labels) { return kLeft + (many > few ? std::log(labels / few) / std::log(many / few) : 0.5) * (kWidth - kLeft - kRight); };
    const auto y = [&](double value) { return kTop + (high - value) / (high - low) * (kHeight - kTop - kBottom); };
    auto svg = fmt::format("<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {} {}\" font-family=\"sans-serif\" font-size=\"12\">\n<rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n"
                           "<text x=\"{}\" y=\"22\" font-size=\"14\">{}</text>\n", kWidth, kHeight, kLeft, title);
    for (int tick = 0; tick <= 4; ++tick) {
        const double value = low + (high - low) * tick / 4;
        svg += fmt::format("<line x1=\"{0}\" x2=\"{1}\" y1=\"{2:.1f}\" y2=\"{2:.1f}\" stroke=\"#dddddd\"/><text x=\"{3}\" y=\"{4:.1f}\" text-anchor=\"end\">{5:.3f}</text>\n", kLeft, kWidth - kRight,
                           y(value), kLeft - 6, y(value) + 4, value);
    }
    std::map<std::int64_t, bool> sizes;
    std::size_t colour = 0;
    for (const auto& [name, line] : lines) {
        const char* paint = kColours[colour % std::size(kColours)];
        std::string points;
        for (const auto& [labels, spread] : line) {
            sizes[labels] = true;
            const double at = x(static_cast<double>(labels)) + 2.0 * static_cast<double>(colour);
            points += fmt::format("{:.1f},{:.1f} ", at, y(mean(spread)));
            svg += fmt::format("<line x1=\"{0:.1f}\" x2=\"{0:.1f}\" y1=\"{1:.1f}\" y2=\"{2:.1f}\" stroke=\"{3}\" stroke-opacity=\"0.4\"/>", at, y(spread.low), y(spread.high), paint);
        }
        svg += fmt::format("<polyline points=\"{}\" fill=\"none\" stroke=\"{}\" stroke-width=\"2\"/>\n", points, paint);
        const double row = kTop + 18 * static_cast<double>(colour);
        svg += fmt::format("<line x1=\"{0}\" x2=\"{1}\" y1=\"{2}\" y2=\"{2}\" stroke=\"{3}\" stroke-width=\"3\"/><text x=\"{4}\" y=\"{5}\">{6}</text>\n", kWidth - kRight + 20, kWidth - kRight + 40, row, paint,
                           kWidth - kRight + 46, row + 4, name);
        ++colour;
    }
    for (const auto& [labels, unused] : sizes) svg += fmt::format("<text x=\"{:.1f}\" y=\"{}\" text-anchor=\"middle\">{}</text>\n", x(static_cast<double>(labels)), kHeight - kBottom + 18, labels);
    svg += fmt::format("<text x=\"{}\" y=\"{}\" text-anchor=\"middle\">labels</text><text x=\"14\" y=\"{}\" transform=\"rotate(-90 14 {})\" text-anchor=\"middle\">{}</text>\n</svg>\n",
                       (kLeft + kWidth - kRight) / 2, kHeight - 10, kHeight / 2, kHeight / 2, metric);
    return svg;
}

}  // namespace

Status bench_fewlabels(const FewLabelsCommand& options) {
    auto shop = open_shop(options.common.shop);
    if (!shop) return shop.error();
    auto spec = find_task(options.task);
    if (!spec) return spec.error();
    spec->options.threads = options.common.threads;
    spec->refit = false;  // nothing is kept
    auto store = open_for_reading(*shop);
    if (!store) return store.error();
    auto data = predict::load_shop_data(*store);
    if (!data) return data.error();
    const auto labels = read_labels(*data, *spec);
    if (!labels) return labels.error();
    const TempDir scratch("perennial-fewlabels");
    auto backbone = find_backbone(*data, shop->directory, *spec, *labels, options.seconds_limit, scratch.path());
    if (!backbone) return backbone.error();

    const auto metric = predict::leading_metric(spec->options.kind);
    std::map<std::string, Line> lines;
    boost::json::array points;
    std::size_t judged = 0;
    std::int64_t most = 0;
    for (const auto size : options.sizes) {
        for (std::int64_t seed = 1; seed <= options.seeds; ++seed) {
            spec->labels_limit = size;
            spec->options.seed = options.common.seed + static_cast<std::uint64_t>(seed) - 1;
            auto table = predict::make_task_table(*data, backbone->sequences, backbone->vocabulary.size(), *labels, *spec);
            if (!table) return table.error();
            const auto learned = static_cast<std::int64_t>(std::ranges::count(table->held_out, false));
            judged = table->rows.size() - static_cast<std::size_t>(learned);
            if (learned < size && learned <= most) continue;  // the data have no more
            most = std::max(most, learned);
            for (const auto& method : options.methods) {
                PERENNIAL_TRY(model::set_option(spec->options, "method", method));
                PERENNIAL_TRY(model::check(spec->options));
                const auto fit = predict::fit_task(*table, *spec, labels->classes, backbone->weights, scratch.path() / "fit", 0);
                if (!fit) return fit.error();
                boost::json::object point{{"labels", learned}, {"seed", spec->options.seed}, {"adapter", method}, {"best_epoch", fit->evaluation.best_epoch}, {"network_seconds", fit->evaluation.network_seconds}};
                for (const auto& result : fit->evaluation.methods) {
                    const double value = std::ranges::find(result.measures, metric, &predict::TaskMeasure::metric)->value.value;
                    point[result.name] = value;
                    const bool with_network = result.name == "network" || result.name == "combined" || result.name == "fused";
                    if (!with_network && method != options.methods.front()) continue;
                    add(lines[with_network ? fmt::format("{} ({})", result.name, method) : result.name][learned], value);
                }
                points.push_back(std::move(point));
                for (const auto& [name, weight] : fit->evaluation.weights) points.back().as_object()["weight_" + name] = weight;
                log::info("{} labels, seed {}, {}: {} combined {:.4f}", learned, spec->options.seed, method, model::name(metric), points.back().at("combined").as_double());
            }
        }
    }
    boost::json::object summary;
    for (const auto& [name, line] : lines) {
        boost::json::array row;
        for (const auto& [size, spread] : line) row.push_back({{"labels", size}, {"mean", mean(spread)}, {"low", spread.low}, {"high", spread.high}});
        summary[name] = std::move(row);
    }
    const boost::json::object result{{"bench", "fewlabels"}, {"commit", std::string(build_commit())}, {"machine", machine_description()}, {"task", spec->name}, {"metric", std::string(model::name(metric))},
                                     {"backbone", spec->blind_backbone ? "blind" : "current"}, {"judged_labels", judged}, {"seeds", options.seeds}, {"lines", std::move(summary)}, {"points", std::move(points)}};
    if (!options.svg.empty()) PERENNIAL_TRY(write_file(options.svg, plot(lines, fmt::format("{}: {} on {} held-out labels", spec->name, model::name(metric), judged), model::name(metric))));
    if (options.common.json) {
        fmt::print("{}\n", boost::json::serialize(result));
        return Done{};
    }
    fmt::print("Task {}, {} on {} held-out labels; mean of {} seeds (worst to best)\n\n{:<20}", spec->name, model::name(metric), judged, options.seeds, "labels");
    for (const auto& [size, spread] : lines.begin()->second) fmt::print(" {:>24}", size);
    for (const auto& [name, line] : lines) {
        fmt::print("\n{:<20}", name);
        for (const auto& [size, spread] : line) fmt::print(" {:>24}", fmt::format("{:.4f} ({:.4f}, {:.4f})", mean(spread), spread.low, spread.high));
    }
    fmt::print("\n");
    return Done{};
}

}  // namespace perennial::app
