#include "predict/task_fit.h"

#include <algorithm>
#include <array>
#include <set>

#include "base/parallel.h"
#include "predict/task_parts.h"
#include "predict/task_stack.h"

namespace perennial::predict {
namespace {

// The table's rows through the network that serves, not the one that trained. [R, O]
std::vector<float> served_outputs(const model::AdaptedNetwork& network, const TaskTable& table, std::span<const float> features, unsigned threads) {
    const std::size_t rows = table.rows.size(), width = model::output_count(network.adapter().kind, network.adapter().classes);
    const std::size_t columns = rows > 0 ? features.size() / rows : 0;
    std::vector<float> out(rows * width);
    parallel_for(rows, 64, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) {
            const auto& d = table.data;
            const auto first = d.offsets[static_cast<std::size_t>(table.rows.sequence[r])];
            std::vector<sequence::Step> known;
            for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(first + table.rows.end[r]); ++i)
                known.push_back({d.product[i], d.kind[i], d.quantity[i], d.time_ms[i], d.occasion[i]});
            network.outputs(task_session(network.network(), known), double{table.rows.gap_days[r]}, features.subspan(r * columns, columns), std::span(out).subspan(r * width, width));
        }
    });
    return out;
}

}  // namespace

Result<TaskFit> fit_task(const TaskTable& table, const TaskSpec& spec, std::vector<std::string> classes, const std::filesystem::path& weights,
                         const std::filesystem::path& directory, std::size_t draws) {
    TaskFit fit;
    auto& evaluation = fit.evaluation;
    auto& m = fit.model;
    Frame f{spec.options.kind, model::prediction_count(spec.options.kind, spec.options.classes), table.rows.target, table.rows.weight, {}, {}, table.rows.fold, 1};
    for (std::size_t r = 0; r < table.rows.size(); ++r) (table.held_out[r] ? f.judged : f.learned).push_back(r);
    if (!is_class(f.kind)) {
        double n = 0, sum = 0, squares = 0;
        for (const auto r : f.learned) n += 1, sum += double{f.target[r]}, squares += double{f.target[r]} * double{f.target[r]};
        f.variance = std::max(squares / n - sum / n * (sum / n), 1e-12);
    }

    auto rows = table.rows;
    if (!spec.hand_features) rows.features.clear(), rows.feature_names.clear();
    auto run = train_adapter(table.data, rows, spec.options, weights, directory);
    if (!run) return run.error();
    auto adapted = model::AdaptedNetwork::load(weights, run->adapter);
    if (!adapted) return adapted.error();
    const auto outputs = served_outputs(*adapted, table, rows.features, spec.options.threads);
    const auto network_oof = network_scores(f, adapted->adapter().scale, run->out_of_fold), network_all = network_scores(f, adapted->adapter().scale, outputs);

    const double trees_start = monotonic_seconds();
    const auto hand = hand_matrix(table);
    const std::size_t columns = table.rows.feature_names.size() + 1;
    std::array<Scores, kSources> oof, all;
    oof[kNetwork] = network_oof;
    all[kNetwork] = network_all;
    auto trees = fit_trees(f, hand, hand, columns, spec);
    if (!trees) return trees.error();
    evaluation.trees_seconds = monotonic_seconds() - trees_start;
    auto fused = fit_trees(f, with_columns(hand, columns, network_oof, f.columns), with_columns(hand, columns, network_all, f.columns), columns + f.columns, spec);
    if (!fused) return fused.error();
    for (auto [source, made] : {std::pair{kTrees, &*trees}, {kFused, &*fused}}) oof[source] = made->out_of_fold, all[source] = made->all;
    if (f.kind == model::TaskKind::kBinary) {
        auto linear = fit_linear(f, hand, columns);
        oof[kLinear] = std::move(linear.out_of_fold);
        all[kLinear] = std::move(linear.all);
        m.linear = std::move(linear.beta);
        m.linear_mean = std::move(linear.mean);
        m.linear_scale = std::move(linear.scale);
    }
    m.weights = best_weights(f, oof);
    const auto z = mixed(oof, m.weights);
    m.calibration = calibrate(f, z);

    const Judge judge(f, table, draws, spec.options.seed);
    evaluation.methods.push_back(judge.judged("prior", prior_predictions(f)));
    for (const auto source : {kLinear, kTrees, kNetwork, kFused})
        if (!oof[source].empty()) evaluation.methods.push_back(judge.judged(kSourceNames[source], judged_predictions(f, calibrate(f, oof[source]), all[source])));
    evaluation.methods.push_back(judge.judged("combined", judged_predictions(f, m.calibration, mixed(all, m.weights))));
    const auto compare = [&](const char* a, const char* b) {
        const auto of = [&](const char* name) { return std::ranges::find(evaluation.methods, name, &TaskMethodResult::name); };
        evaluation.comparisons.push_back(judge.compared(*of(a), *of(b)));
    };
    compare("combined", "trees");
    compare("combined", "network");
    compare("network", "trees");

    std::set<std::size_t> learners;
    for (const auto r : f.learned) learners.insert(table.customer[r]);
    evaluation.labels = f.learned.size();
    evaluation.customers = learners.size();
    evaluation.judged_labels = f.judged.size();
    evaluation.judged_customers = judge.customers();
    for (const auto r : f.judged) evaluation.base_rate += double{f.target[r]} / static_cast<double>(f.judged.size());
    for (std::size_t s = 0; s < kSources; ++s)
        if (!oof[s].empty()) evaluation.weights.emplace_back(kSourceNames[s], m.weights[s]);
    evaluation.best_epoch = run->best_epoch;
    evaluation.epochs = run->epochs;
    evaluation.parameters = run->parameters;
    evaluation.network_seconds = run->seconds;

    m.name = spec.name;
    m.options = spec.options;
    m.classes = std::move(classes);
    m.horizon_days = spec.builtin.empty() ? 0 : spec.horizon_days;
    m.hand_features = spec.hand_features;
    m.rhythm = table.rhythm;
    m.network = std::make_shared<const model::AdaptedNetwork>(std::move(*adapted));
    m.trees = std::move(trees->trees);
    m.fused = std::move(fused->trees);
    return fit;
}

}  // namespace perennial::predict
