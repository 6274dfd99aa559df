#include "predict/task_fit.h"

#include <algorithm>
#include <array>
#include <numeric>
#include <set>
#include <tuple>

#include "predict/category_fit.h"
#include "predict/task_parts.h"
#include "predict/task_stack.h"

namespace perennial::predict {
namespace {

// Out-of-fold scores of few labels depend on how the folds were dealt, so they are dealt again. The head alone is quick
// enough to do so for more labels.
constexpr std::size_t kDeals = 5, kDealsHead = 3, kDealsLabels = 300, kDealsLabelsHead = 3000;

std::size_t deals_of(std::size_t labels, model::Method method) {
    return labels <= kDealsLabels ? kDeals : method == model::Method::kHead && labels <= kDealsLabelsHead ? kDealsHead : 1;
}

// The learned rows alone, with other folds.
model::TaskRows learned_rows(const model::TaskRows& rows, std::span<const std::size_t> learned, std::span<const std::int32_t> fold) {
    model::TaskRows out;
    out.feature_names = rows.feature_names;
    const std::size_t columns = rows.feature_names.size();
    for (const auto r : learned) {
        out.sequence.push_back(rows.sequence[r]);
        out.end.push_back(rows.end[r]);
        out.gap_days.push_back(rows.gap_days[r]);
        out.target.push_back(rows.target[r]);
        out.weight.push_back(rows.weight[r]);
        out.fold.push_back(fold[r]);
        out.features.insert(out.features.end(), rows.features.begin() + static_cast<std::ptrdiff_t>(r * columns), rows.features.begin() + static_cast<std::ptrdiff_t>((r + 1) * columns));
    }
    return out;
}

// The slope of a method's score while labels are too few to say: 1 for what was learned from them. A purchase within the
// horizon speaks for every built-in question but churn; of a user's labels nothing is known.
double time_head_slope(const TaskSpec& spec) { return spec.builtin.empty() ? 0 : spec.builtin == "churn" ? -1 : 1; }

}  // namespace

Result<TaskFit> fit_task(const TaskTable& table, const TaskSpec& spec, std::vector<std::string> classes, const std::filesystem::path& weights,
                         const std::filesystem::path& directory, std::size_t draws) {
    if (spec.options.kind == model::TaskKind::kMultilabel) return fit_categories(table, spec, weights, directory, draws);
    TaskFit fit;
    auto& evaluation = fit.evaluation;
    auto& m = fit.model;
    Frame f{spec.options.kind, model::prediction_count(spec.options.kind, spec.options.classes), table.rows.target, table.rows.weight, {}, {}, {table.rows.fold}, 1, 1};
    for (std::size_t r = 0; r < table.rows.size(); ++r) (table.held_out[r] ? f.judged : f.learned).push_back(r);
    if (!is_class(f.kind)) {
        double n = 0, sum = 0, squares = 0;
        for (const auto r : f.learned) n += 1, sum += double{f.target[r]}, squares += double{f.target[r]} * double{f.target[r]};
        f.mean = std::max(sum / n, 1e-12);
        f.variance = std::max(squares / n - sum / n * (sum / n), 1e-12);
    }

    const auto deals = deals_of(f.learned.size(), spec.options.method);
    for (std::size_t deal = 1; deal < deals; ++deal) f.deals.push_back(dealt_again(table, is_class(f.kind), spec.options.seed + deal));

    auto base = NetworkRecommender::load(weights);
    if (!base) return base.error();
    m.base = std::make_shared<const NetworkRecommender>(std::move(*base));
    const auto returns = time_head(*m.base, table, spec);
    auto rows = table.rows;
    if (!spec.hand_features) rows.features.clear(), rows.feature_names.clear();
    rows.features = with_columns(rows.features, rows.feature_names.size(), returns, 1);
    rows.feature_names = head_feature_names(spec.hand_features);
    auto run = train_adapter(table.data, rows, spec.options, weights, directory);
    if (!run) return run.error();
    auto adapted = model::AdaptedNetwork::load(weights, run->adapter);
    if (!adapted) return adapted.error();
    const auto& scale = adapted->adapter().scale;
    SourceScores oof, all;
    oof[kNetwork] = network_scores(f, scale, run->out_of_fold);
    all[kNetwork] = network_scores(f, scale, served_outputs(*adapted, table, rows.features, spec.options.threads));
    for (std::size_t deal = 1; deal < deals; ++deal) {
        auto options = spec.options;
        options.seed += deal;
        const auto part = learned_rows(rows, f.learned, f.deals[deal]);
        auto again = train_adapter(table.data, part, options, weights, directory / "deal");
        if (!again) return again.error();
        auto own = f;
        own.target = part.target;
        const auto scores = network_scores(own, scale, again->out_of_fold);
        const auto start = oof[kNetwork].size();
        oof[kNetwork].resize(start + all[kNetwork].size());
        for (std::size_t i = 0; i < f.learned.size(); ++i)
            std::copy_n(scores.begin() + static_cast<std::ptrdiff_t>(i * f.columns), f.columns, oof[kNetwork].begin() + static_cast<std::ptrdiff_t>(start + f.learned[i] * f.columns));
    }
    std::error_code error;
    std::filesystem::remove_all(directory / "deal", error);

    const double trees_start = monotonic_seconds();
    const auto hand = hand_matrix(table);
    const std::size_t columns = table.rows.feature_names.size() + 1;
    auto trees = fit_trees(f, hand, hand, columns, spec);
    if (!trees) return trees.error();
    evaluation.trees_seconds = monotonic_seconds() - trees_start;
    std::vector<float> learn;
    const std::size_t size = all[kNetwork].size();
    const auto beside = [&](std::span<const double> scores) { return with_columns(with_columns(hand, columns, scores, f.columns), columns + f.columns, returns, 1); };
    for (std::size_t deal = 0; deal < deals; ++deal) {
        const auto part = beside(std::span(oof[kNetwork]).subspan(deal * size, size));
        learn.insert(learn.end(), part.begin(), part.end());
    }
    auto fused = fit_trees(f, learn, beside(all[kNetwork]), columns + f.columns + 1, spec);
    if (!fused) return fused.error();
    for (auto [source, made] : {std::pair{kTrees, &*trees}, {kFused, &*fused}}) oof[source] = made->out_of_fold, all[source] = made->all;
    double linear_scale = 1;
    if (f.kind == model::TaskKind::kBinary) {
        auto linear = fit_linear(f, hand, columns);
        linear_scale = linear.chosen;
        oof[kLinear] = std::move(linear.out_of_fold);
        all[kLinear] = std::move(linear.all);
        m.linear = std::move(linear.beta);
        m.linear_mean = std::move(linear.mean);
        m.linear_scale = std::move(linear.scale);
        all[kTimeHead].assign(returns.begin(), returns.end());
        for (std::size_t deal = 0; deal < deals; ++deal) oof[kTimeHead].insert(oof[kTimeHead].end(), returns.begin(), returns.end());
    }
    std::array<double, kSources> slopes;
    slopes.fill(1);
    slopes[kTimeHead] = time_head_slope(spec);
    m.stack = fit_stack(f, oof, slopes);

    const Judge judge(f, table, draws, spec.options.seed);
    evaluation.methods.push_back(judge.judged("prior", prior_predictions(f)));
    for (std::size_t s = 0; s < kSources; ++s)
        if (!oof[s].empty()) evaluation.methods.push_back(judge.judged(kSourceNames[s], judged_predictions(f, m.stack.parts[s], all[s])));
    evaluation.methods.push_back(judge.judged("combined", judged_predictions(f, m.stack.calibration, m.stack.mixed(f, all))));
    const auto compare = [&](const char* a, const char* b) {
        const auto of = [&](const char* name) { return std::ranges::find(evaluation.methods, name, &TaskMethodResult::name); };
        evaluation.comparisons.push_back(judge.compared(*of(a), *of(b)));
    };
    if (!m.linear.empty()) compare("combined", "linear");
    compare("combined", "trees");
    compare("combined", "network");
    compare("network", "trees");

    std::set<std::size_t> learners;
    for (const auto r : f.learned) learners.insert(table.customer[r]);
    evaluation.labels = evaluation.served_labels = f.learned.size();
    evaluation.customers = learners.size();
    evaluation.judged_labels = f.judged.size();
    evaluation.judged_customers = judge.customers();
    for (const auto r : f.judged) evaluation.base_rate += double{f.target[r]} / static_cast<double>(f.judged.size());
    for (std::size_t s = 0; s < kSources; ++s)
        if (!oof[s].empty()) evaluation.weights.emplace_back(kSourceNames[s], m.stack.weights[s]);
    evaluation.best_epoch = run->best_epoch;
    evaluation.epochs = run->epochs;
    evaluation.parameters = run->parameters;
    evaluation.network_seconds = run->seconds;

    m.name = spec.name;
    m.options = spec.options;
    m.classes = std::move(classes);
    m.horizon_days = spec.horizon_days;
    m.hand_features = spec.hand_features;
    m.rhythm = table.rhythm;
    m.network = std::make_shared<const model::AdaptedNetwork>(std::move(*adapted));
    m.trees = std::move(trees->trees);
    m.fused = std::move(fused->trees);
    if (!spec.refit) return fit;

    // What serves learns from the held-out labels too, with the settings, weights and calibrations that were judged. The
    // network's scores of held-out rows are out of fold already.
    auto whole = f;
    whole.learned.resize(f.target.size());
    std::iota(whole.learned.begin(), whole.learned.end(), std::size_t{0});
    auto refitted = refit_adapter(table, rows, spec, *run, weights, directory);
    if (!refitted) return refitted.error();
    if (*refitted) m.network = *refitted;
    auto unseen = all[kNetwork];
    for (const auto r : f.learned) std::copy_n(oof[kNetwork].begin() + static_cast<std::ptrdiff_t>(r * f.columns), f.columns, unseen.begin() + static_cast<std::ptrdiff_t>(r * f.columns));
    for (auto [to, matrix, width, chosen] : {std::tuple{&m.trees, hand, columns, trees->chosen}, {&m.fused, beside(unseen), columns + f.columns + 1, fused->chosen}}) {
        auto again = refit_trees(whole, matrix, width, chosen);
        if (!again) return again.error();
        *to = std::move(*again);
    }
    if (!m.linear.empty()) {
        auto again = fit_linear(whole, hand, columns, linear_scale);
        m.linear = std::move(again.beta);
        m.linear_mean = std::move(again.mean);
        m.linear_scale = std::move(again.scale);
    }
    evaluation.served_labels = whole.learned.size();
    return fit;
}

}  // namespace perennial::predict
