#include "measure/evaluation_json.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/file.h"
#include "base/text.h"

namespace perennial::measure {
namespace {

namespace json = boost::json;

json::object measure(const predict::Interval& interval) { return {{"value", interval.value}, {"low", interval.low}, {"high", interval.high}}; }
json::object words(const predict::Text& text) { return {{"en", text.en}, {"zh", text.zh}}; }

std::string cell(const predict::Interval& i) { return fmt::format("{:.4f} [{:.4f}, {:.4f}]", i.value, i.low, i.high); }

}  // namespace

json::object to_json(const predict::NetworkRun& run) {
    return {{"epochs", run.epochs}, {"best_epoch", run.best_epoch}, {"train_seconds", run.train_seconds}, {"train_seconds_to_best", run.best_seconds},
            {"positions_per_second", run.targets_per_second}, {"parameters", run.parameters}, {"valid_ndcg@10", run.valid_ndcg10}};
}

json::object to_json(const predict::SearchResult& search) {
    const auto last = [](const auto& result) {
        json::object object{{"trial", result.trial}, {"epochs", result.epochs}, {"valid_ndcg@10", nullptr}};
        if (result.value) object["valid_ndcg@10"] = *result.value;
        return object;
    };
    json::array trials, importances;
    double seconds = 0;
    for (const auto& result : search.results) {
        auto trial = last(result);
        trial["rung"] = result.rung;
        trial["seconds"] = result.seconds;
        json::object values;
        for (std::size_t j = 0; j < search.space.size(); ++j) values[search.space[j].name] = tune::text(search.space[j], result.values[j]);
        trial["settings"] = std::move(values);
        if (!result.problem.empty()) trial["problem"] = result.problem;
        trials.push_back(std::move(trial));
        seconds += result.seconds;
    }
    for (const auto& importance : tune::importances(search.space, search.results))
        importances.push_back(json::object{{"setting", importance.name}, {"rank_correlation", importance.correlation}, {"effect", importance.effect}});
    return {{"best", last(search.best)}, {"defaults", last(search.defaults)}, {"flags", json::array(search.flags.begin(), search.flags.end())},
            {"rungs", json::array(search.rungs.begin(), search.rungs.end())}, {"seconds", seconds}, {"stopped_by_time", search.stopped_by_time},
            {"trials", std::move(trials)}, {"importance_hint", std::move(importances)}};
}

std::string to_text(const predict::SearchResult& search) {
    std::string out = fmt::format("{:>5} {:>6} {:>9} {:>8}", "trial", "epochs", "NDCG@10", "seconds");
    for (const auto& parameter : search.space) out += fmt::format("  {:>{}}", parameter.name, std::max<std::size_t>(parameter.name.size(), 9));
    double seconds = 0;
    for (const auto& result : search.results) {
        out += fmt::format("\n{:>5} {:>6} {:>9} {:>8.1f}", result.trial, result.epochs, result.value ? fmt::format("{:.4f}", *result.value) : "failed", result.seconds);
        for (std::size_t j = 0; j < search.space.size(); ++j)
            out += fmt::format("  {:>{}}", tune::text(search.space[j], result.values[j]), std::max<std::size_t>(search.space[j].name.size(), 9));
        seconds += result.seconds;
    }
    const double best = search.best.value.value_or(0), defaults = search.defaults.value.value_or(0);
    out += fmt::format("\nBest on validation: trial {}, NDCG@10 {:.4f}; the defaults {:.4f} ({:+.4f}). {:.0f} s{}.\nFlags: {}\n", search.best.trial, best, defaults,
                       best - defaults, seconds, search.stopped_by_time ? ", stopped by time" : "", fmt::join(search.flags, " "));
    const auto importances = tune::importances(search.space, search.results);
    if (!importances.empty()) {
        out += "What seemed to matter (share of the first rung's ranks; a hint):";
        for (const auto& importance : importances) {
            out += fmt::format(" {} {:.2f}", importance.name, importance.effect);
            if (importance.correlation != 0) out += importance.correlation > 0 ? " (more is better)" : " (less is better)";
            out += &importance == &importances.back() ? "\n" : ",";
        }
    }
    return out;
}

json::object to_json(const predict::NextPurchaseResult& result) {
    json::array methods;
    for (const auto& method : result.methods) {
        json::object metrics;
        for (std::size_t c = 0; c < predict::kCutoffs.size(); ++c) {
            metrics[fmt::format("ndcg@{}", predict::kCutoffs[c])] = measure(method.ndcg[c]);
            metrics[fmt::format("recall@{}", predict::kCutoffs[c])] = measure(method.recall[c]);
        }
        methods.push_back(json::object{{"name", method.name}, {"metrics", std::move(metrics)}});
    }
    const auto& s = result.settings;
    json::object object{{"protocol", result.protocol}, {"description", words(result.description)}, {"customers", result.customers},
                        {"items", result.items}, {"methods", std::move(methods)}, {"verdict", words(result.verdict)},
                        {"network", to_json(result.network)},
                        {"chosen_on_validation", json::object{{"popularity_half_life_days", s.popularity_half_life_days},
                            {"weights", json::object{{"own_repeats", s.weight_repeats}, {"pair_counts", s.weight_pairs}, {"network", s.weight_network}}},
                            {"pairs", json::object{{"decay", s.pairs.decay}, {"back", s.pairs.back}, {"from", s.pairs.from}, {"to", s.pairs.to}, {"recall", s.pairs.recall}}},
                            {"ranker_rounds", result.ranker_rounds}}}};
    if (result.cut_ms > 0) object["cut"] = iso_date({result.cut_ms});
    return object;
}

json::object to_json(const predict::ChurnEvaluation& e) {
    json::array methods, comparisons;
    for (const auto& m : e.methods) {
        json::array bins, gain;
        for (const auto& bin : m.calibration) bins.push_back(json::object{{"predicted", bin.predicted}, {"observed", bin.observed}, {"count", bin.count}});
        for (const auto& point : m.gain) gain.push_back(json::object{{"share", point.share}, {"captured", point.captured}});
        methods.push_back(json::object{{"name", m.name}, {"auc", measure(m.auc)}, {"pr_auc", measure(m.pr_auc)}, {"brier", measure(m.brier)},
                                       {"lift10", measure(m.lift10)}, {"calibration", std::move(bins)}, {"gain", std::move(gain)}});
    }
    for (const auto& c : e.comparisons)
        comparisons.push_back(json::object{{"a", c.a}, {"b", c.b}, {"metric", "auc"}, {"difference", c.auc_difference.value},
                                           {"low", c.auc_difference.low}, {"high", c.auc_difference.high}, {"verdict", words(c.verdict)}});
    json::array silences;
    const auto measures = [](const predict::SilenceResult::Measures& m) { return json::object{{"auc", measure(m.auc)}, {"brier", measure(m.brier)}, {"calibration_error", measure(m.calibration_error)}}; };
    for (const auto& s : e.silences)
        silences.push_back(json::object{{"days", s.days}, {"stayed_away", s.stayed_away}, {"time_head", measures(s.time_head)}, {"forecast", measures(s.forecast)}});
    return {{"cut", iso_date(e.cut)}, {"horizon_days", e.horizon_days}, {"customers", e.customers}, {"churned", e.churned}, {"silences", std::move(silences)},
            {"methods", std::move(methods)}, {"comparisons", std::move(comparisons)}, {"verdict", words(e.verdict)}, {"network", to_json(e.network)}};
}

json::object training_json(const std::string& run, const predict::Text& note, const std::filesystem::path& curves_csv) {
    json::array points;
    double best = -1;
    int best_epoch = 0;
    const auto text = read_file(curves_csv);
    std::string_view rest = text ? std::string_view(*text) : std::string_view{};
    for (bool header = true; !rest.empty(); header = false) {
        const auto line = rest.substr(0, rest.find('\n'));
        rest.remove_prefix(std::min(rest.size(), line.size() + 1));
        if (header) continue;
        std::vector<double> values;  // epoch,seconds,train_loss,time_loss,valid_loss,valid_ndcg10,valid_recall10
        for (std::size_t at = 0; at <= line.size();) {
            const auto end = std::min(line.find(',', at), line.size());
            values.push_back(to_number(trim(line.substr(at, end - at))).value_or(0));
            at = end + 1;
        }
        if (values.size() < 6) continue;
        if (values[5] > best) best = values[5], best_epoch = static_cast<int>(values[0]);
        points.push_back(json::object{{"epoch", values[0]}, {"seconds", values[1]}, {"train_loss", values[2]}, {"valid_loss", values[4]}, {"valid_ndcg10", values[5]}});
    }
    return {{"run", run}, {"note", words(note)}, {"best_epoch", best_epoch}, {"points", std::move(points)}};
}

std::string to_text(const predict::NextPurchaseResult& result) {
    std::string text = fmt::format("Next purchase, {}: {} customers, {} products\n  {}\n", result.protocol, result.customers, result.items, result.description.en);
    text += fmt::format("  {:<14} {:<26} {:<26} {:<26}\n", "method", "ndcg@10 [95 %]", "recall@10 [95 %]", "recall@20 [95 %]");
    for (const auto& m : result.methods) text += fmt::format("  {:<14} {:<26} {:<26} {:<26}\n", m.name, cell(m.ndcg[1]), cell(m.recall[1]), cell(m.recall[2]));
    return text + "  " + result.verdict.en + "\n";
}

std::string to_text(const predict::ChurnEvaluation& e) {
    std::string text = fmt::format("Churn: no purchase in the {:.0f} days after {}: {} active customers, {} left\n", e.horizon_days, iso_date(e.cut), e.customers, e.churned);
    text += fmt::format("  {:<14} {:<26} {:<26} {:<26} {:<26}\n", "method", "auc [95 %]", "pr_auc [95 %]", "brier [95 %]", "lift@10% [95 %]");
    for (const auto& m : e.methods) text += fmt::format("  {:<14} {:<26} {:<26} {:<26} {:<26}\n", m.name, cell(m.auc), cell(m.pr_auc), cell(m.brier), cell(m.lift10));
    text += "  " + e.verdict.en + "\n";
    if (e.silences.empty()) return text;
    text += fmt::format("No purchase within other numbers of days, same customers: the time head as pretrained, and the forecast carried there\n  {:<6} {:<6} {:<10} {:<26} {:<26} {:<26}\n", "days", "left",
                        "method", "auc [95 %]", "brier [95 %]", "calibration error [95 %]");
    for (const auto& s : e.silences)
        for (const auto& [name, m] : {std::pair{"time_head", &s.time_head}, {"forecast", &s.forecast}})
            text += fmt::format("  {:<6.0f} {:<6} {:<10} {:<26} {:<26} {:<26}\n", s.days, s.stayed_away, name, cell(m->auc), cell(m->brier), cell(m->calibration_error));
    return text;
}

}  // namespace perennial::measure
