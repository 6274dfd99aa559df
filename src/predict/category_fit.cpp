#include "predict/category_fit.h"

#include <algorithm>
#include <numeric>
#include <set>

#include "base/parallel.h"
#include "predict/task_parts.h"

namespace perennial::predict {
namespace {

// One category's rows, as a question of two classes.
Frame of_category(const Frame& f, std::size_t category) {
    Frame one = f;
    one.kind = model::TaskKind::kBinary;
    one.columns = 1;
    for (std::size_t r = 0; r < f.weight.size(); ++r) one.target[r] = f.target[r * f.columns + category];
    one.target.resize(f.weight.size());
    return one;
}

// What category k's rule reads of each row, [R, kCategoryColumns].
std::vector<float> category_matrix(const TaskTable& table, std::span<const float> hand, std::span<const float> returns, std::size_t category) {
    const std::size_t rows = table.rows.size(), columns = hand.size() / rows, own = table.categories.size() * kOwnColumns;
    std::vector<float> out;
    out.reserve(rows * (columns + kOwnColumns + 1));
    for (std::size_t r = 0; r < rows; ++r) {
        const auto row = hand.subspan(r * columns, columns);
        const auto history = std::span(table.own).subspan(r * own + category * kOwnColumns, kOwnColumns);
        out.insert(out.end(), row.begin(), row.end());
        out.insert(out.end(), history.begin(), history.end());
        out.push_back(returns[r]);
    }
    return out;
}

void put_column(Scores& to, std::span<const double> column, std::size_t category, std::size_t columns) {
    to.resize(column.size() * columns);
    for (std::size_t r = 0; r < column.size(); ++r) to[r * columns + category] = column[r];
}

}  // namespace

Result<TaskFit> fit_categories(const TaskTable& table, const TaskSpec& spec, const std::filesystem::path& weights, const std::filesystem::path& directory,
                               std::size_t draws) {
    TaskFit fit;
    auto& evaluation = fit.evaluation;
    auto& m = fit.model;
    const std::size_t columns = table.categories.size(), rows = table.rows.size();
    Frame f{spec.options.kind, columns, table.rows.target, table.rows.weight, {}, {}, {table.rows.fold}, 1, 1};
    for (std::size_t r = 0; r < rows; ++r) (table.held_out[r] ? f.judged : f.learned).push_back(r);
    const auto flat = flattened(f);

    auto base = NetworkRecommender::load(weights);
    if (!base) return base.error();
    m.base = std::make_shared<const NetworkRecommender>(std::move(*base));
    const auto returns = time_head(*m.base, table, spec);
    std::vector<float> shares;  // [R, C] log odds of the own share
    for (std::size_t i = 0; i < table.own.size(); i += kOwnColumns) shares.push_back(table.own[i]);
    auto head_rows = table.rows;
    if (!spec.hand_features) head_rows.features.clear(), head_rows.feature_names.clear();
    head_rows.features = with_columns(with_columns(head_rows.features, head_rows.feature_names.size(), returns, 1), head_rows.feature_names.size() + 1, shares, columns);
    head_rows.feature_names = head_feature_names(spec.hand_features, table.categories.names);
    auto run = train_adapter(table.data, head_rows, spec.options, weights, directory);
    if (!run) return run.error();
    auto adapted = model::AdaptedNetwork::load(weights, run->adapter);
    if (!adapted) return adapted.error();

    SourceScores oof, all;
    oof[kNetwork].assign(run->out_of_fold.begin(), run->out_of_fold.end());
    const auto served = served_outputs(*adapted, table, head_rows.features, spec.options.threads);
    all[kNetwork].assign(served.begin(), served.end());
    all[kOwnShare].assign(shares.begin(), shares.end());
    oof[kOwnShare] = all[kOwnShare];

    const auto hand = hand_matrix(table);
    std::vector<LinearFit> rules(columns);
    const auto fit_rules = [&](const Frame& frame, bool settled) {
        parallel_for(columns, 1, spec.options.threads, [&](std::size_t k, std::size_t) {
            const auto matrix = category_matrix(table, hand, returns, k);
            rules[k] = fit_linear(of_category(frame, k), matrix, kCategoryColumns, settled ? std::optional(rules[k].chosen) : std::nullopt);
        });
        m.linear.clear(), m.linear_mean.clear(), m.linear_scale.clear();
        for (const auto& rule : rules) {
            m.linear.insert(m.linear.end(), rule.beta.begin(), rule.beta.end());
            m.linear_mean.insert(m.linear_mean.end(), rule.mean.begin(), rule.mean.end());
            m.linear_scale.insert(m.linear_scale.end(), rule.scale.begin(), rule.scale.end());
        }
    };
    fit_rules(f, false);
    for (std::size_t k = 0; k < columns; ++k) put_column(oof[kLinear], rules[k].out_of_fold, k, columns), put_column(all[kLinear], rules[k].all, k, columns);

    std::array<double, kSources> slopes;
    slopes.fill(1);
    m.stack = fit_stack(flat, oof, slopes);

    const Judge judge(f, table, std::min(draws, kLabelDraws), spec.options.seed);
    evaluation.methods.push_back(judge.judged("prior", prior_predictions(f)));
    for (const auto s : {kOwnShare, kLinear, kNetwork}) evaluation.methods.push_back(judge.judged(kSourceNames[s], judged_predictions(flat, m.stack.parts[s], all[s])));
    evaluation.methods.push_back(judge.judged("combined", judged_predictions(flat, m.stack.calibration, m.stack.mixed(flat, all))));
    const auto of = [&](const char* name) { return std::ranges::find(evaluation.methods, name, &TaskMethodResult::name); };
    for (const auto& [a, b] : {std::pair{"combined", "own_share"}, {"combined", "linear"}, {"combined", "network"}, {"network", "own_share"}})
        evaluation.comparisons.push_back(judge.compared(*of(a), *of(b)));

    std::set<std::size_t> learners;
    for (const auto r : f.learned) learners.insert(table.customer[r]);
    evaluation.labels = evaluation.served_labels = f.learned.size();
    evaluation.customers = learners.size();
    evaluation.judged_labels = f.judged.size();
    evaluation.judged_customers = judge.customers();
    for (const auto i : flat.judged) evaluation.base_rate += double{flat.target[i]} / static_cast<double>(flat.judged.size());
    for (const auto s : {kLinear, kNetwork, kOwnShare}) evaluation.weights.emplace_back(kSourceNames[s], m.stack.weights[s]);
    evaluation.best_epoch = run->best_epoch;
    evaluation.epochs = run->epochs;
    evaluation.parameters = run->parameters;
    evaluation.network_seconds = run->seconds;
    evaluation.ranked_labels = judge.ranked_labels();
    evaluation.left_out = table.categories.left_out;
    evaluation.left_out_share = table.categories.left_out_share;

    m.name = spec.name;
    m.options = spec.options;
    m.classes = table.categories.names;
    m.categories = table.categories;
    m.horizon_days = spec.horizon_days;
    m.hand_features = spec.hand_features;
    m.rhythm = table.rhythm;
    m.network = std::make_shared<const model::AdaptedNetwork>(std::move(*adapted));
    if (!spec.refit) return fit;

    auto whole = f;
    whole.learned.resize(rows);
    std::iota(whole.learned.begin(), whole.learned.end(), std::size_t{0});
    auto refitted = refit_adapter(table, head_rows, spec, *run, weights, directory);
    if (!refitted) return refitted.error();
    if (*refitted) m.network = *refitted;
    fit_rules(whole, true);
    evaluation.served_labels = rows;
    return fit;
}

}  // namespace perennial::predict
