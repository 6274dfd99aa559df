#include "predict/task_parts.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <numeric>

#include "base/parallel.h"
#include "predict/churn.h"
#include "predict/task_model.h"

namespace perennial::predict {
namespace {

using model::TaskKind;

constexpr std::array<double, 5> kLinearScales{0.01, 0.03, 0.1, 0.3, 1.0};  // of standardised features: the smaller, the stronger the ridge
const std::array<TreeOptions, 4> kTreeChoices{TreeOptions{.rounds = 40, .depth = 2, .learning_rate = 0.1, .leaf_rows_min = 0.5},
                                              TreeOptions{.rounds = 100, .depth = 3, .learning_rate = 0.06, .leaf_rows_min = 2},
                                              TreeOptions{.rounds = 150, .depth = 4, .learning_rate = 0.06, .leaf_rows_min = 10},
                                              TreeOptions{.rounds = 400, .depth = 5, .learning_rate = 0.03, .leaf_rows_min = 10}};

std::vector<sequence::Step> known_steps(const TaskTable& table, std::size_t row) {
    const auto& d = table.data;
    const auto first = d.offsets[static_cast<std::size_t>(table.rows.sequence[row])];
    std::vector<sequence::Step> known;
    for (auto i = static_cast<std::size_t>(first); i < static_cast<std::size_t>(first + table.rows.end[row]); ++i)
        known.push_back({d.product[i], d.kind[i], d.quantity[i], d.time_ms[i], d.occasion[i]});
    return known;
}

std::vector<float> picked(std::span<const float> matrix, std::size_t columns, std::span<const std::size_t> rows) {
    std::vector<float> out;
    out.reserve(rows.size() * columns);
    for (const auto r : rows) out.insert(out.end(), matrix.begin() + static_cast<std::ptrdiff_t>(r * columns), matrix.begin() + static_cast<std::ptrdiff_t>((r + 1) * columns));
    return out;
}

std::vector<float> picked(const std::vector<float>& values, std::span<const std::size_t> rows) { return picked(values, 1, rows); }

Result<BoostedTrees> train_trees(const Frame& f, std::span<const float> matrix, std::size_t columns, std::span<const std::size_t> rows, TreeOptions options) {
    return BoostedTrees::train(picked(matrix, columns, rows), columns, picked(f.target, rows), picked(f.weight, rows), options);
}

Status put_scores(const Frame& f, const BoostedTrees& trees, std::span<const float> matrix, std::size_t columns, std::span<const std::size_t> rows, Scores& to) {
    auto p = trees.probabilities(picked(matrix, columns, rows), columns);
    if (!p) return p.error();
    to_score(f.kind, *p);
    for (std::size_t i = 0; i < rows.size(); ++i) std::copy_n(p->begin() + static_cast<std::ptrdiff_t>(i * f.columns), f.columns, to.begin() + static_cast<std::ptrdiff_t>(rows[i] * f.columns));
    return Done{};
}

}  // namespace

Result<TreeFit> fit_trees(const Frame& f, std::span<const float> learn, std::span<const float> ask, std::size_t columns, const TaskSpec& spec) {
    TreeFit best;
    const std::size_t rows = f.target.size();
    const auto shown = [&](std::size_t deal) { return learn.size() > rows * columns ? learn.subspan(deal * rows * columns, rows * columns) : learn; };
    const auto out_of_fold = [&](const TreeOptions& options, std::size_t deal) -> Result<Scores> {
        Scores scores(rows * f.columns);
        const auto& fold = f.deals[deal];
        for (std::int32_t k = 0; k <= *std::ranges::max_element(fold); ++k) {
            std::vector<std::size_t> own, others;
            for (const auto r : f.learned) (fold[r] == k ? own : others).push_back(r);
            auto trees = train_trees(f, shown(deal), columns, others, options);
            if (!trees) return trees.error();
            PERENNIAL_TRY(put_scores(f, *trees, shown(deal), columns, own, scores));
        }
        return scores;
    };
    double best_loss = INFINITY;
    TreeOptions chosen;
    for (auto options : kTreeChoices) {
        options.seed = spec.options.seed;
        options.threads = spec.options.threads;
        options.target = f.kind == TaskKind::kBinary ? TreeTarget::kBinary : f.kind == TaskKind::kMulticlass ? TreeTarget::kClass : f.kind == TaskKind::kAmount ? TreeTarget::kAmount : TreeTarget::kValue;
        options.classes = f.columns;
        auto scores = out_of_fold(options, 0);
        if (!scores) return scores.error();
        if (const double loss = total_loss(f, {}, *scores); loss < best_loss) {
            best_loss = loss;
            best.out_of_fold = std::move(*scores);
            chosen = options;
        }
    }
    for (std::size_t deal = 1; deal < f.deals.size(); ++deal) {
        auto scores = out_of_fold(chosen, deal);
        if (!scores) return scores.error();
        best.out_of_fold.insert(best.out_of_fold.end(), scores->begin(), scores->end());
    }
    auto trees = train_trees(f, shown(0), columns, f.learned, chosen);
    if (!trees) return trees.error();
    best.trees = std::move(*trees);
    best.chosen = chosen;
    best.all.resize(rows * f.columns);
    std::vector<std::size_t> every(rows);
    std::iota(every.begin(), every.end(), std::size_t{0});
    PERENNIAL_TRY(put_scores(f, best.trees, ask, columns, every, best.all));
    return best;
}

Result<BoostedTrees> refit_trees(const Frame& f, std::span<const float> matrix, std::size_t columns, const TreeOptions& chosen) {
    return train_trees(f, matrix, columns, f.learned, chosen);
}

LinearFit fit_linear(const Frame& f, std::span<const float> matrix, std::size_t columns, std::optional<double> settled) {
    LinearFit fit;
    const std::size_t rows = f.target.size();
    std::vector<double> x(rows * columns);
    for (std::size_t c = 0; c < columns; ++c) {
        double n = 0, sum = 0, squares = 0;
        for (const auto r : f.learned)
            if (const auto v = double{model::tamed(matrix[r * columns + c])}; !std::isnan(v)) n += 1, sum += v, squares += v * v;
        const double mean = n > 0 ? sum / n : 0, variance = n > 0 ? squares / n - mean * mean : 0;
        fit.mean.push_back(static_cast<float>(mean));
        fit.scale.push_back(variance > 1e-10 ? static_cast<float>(1 / std::sqrt(variance)) : 0.0f);
        for (std::size_t r = 0; r < rows; ++r) {
            const double v = double{model::tamed(matrix[r * columns + c])};
            x[r * columns + c] = std::isnan(v) ? 0 : (v - double{fit.mean[c]}) * double{fit.scale[c]};
        }
    }
    const auto learn = [&](std::span<const std::size_t> chosen, double scale) {
        std::vector<double> part;
        std::vector<std::uint8_t> labels;
        for (const auto r : chosen) {
            for (std::size_t c = 0; c < columns; ++c) part.push_back(scale * x[r * columns + c]);
            labels.push_back(f.target[r] > 0.5f);
        }
        auto beta = fit_logistic(part, columns, labels);
        for (std::size_t c = 1; c <= columns; ++c) beta[c] *= scale;
        return beta;
    };
    const auto score = [&](std::span<const double> beta, std::size_t r) {
        double z = beta[0];
        for (std::size_t c = 0; c < columns; ++c) z += beta[c + 1] * x[r * columns + c];
        return std::clamp(z, -12.0, 12.0);
    };
    const auto out_of_fold = [&](double scale, const std::vector<std::int32_t>& fold) {
        Scores scores(rows);
        for (std::int32_t k = 0; k <= *std::ranges::max_element(fold); ++k) {
            std::vector<std::size_t> others;
            for (const auto r : f.learned)
                if (fold[r] != k) others.push_back(r);
            const auto beta = learn(others, scale);
            for (const auto r : f.learned)
                if (fold[r] == k) scores[r] = score(beta, r);
        }
        return scores;
    };
    double best_loss = INFINITY, best_scale = settled.value_or(1);
    for (const double scale : kLinearScales) {
        if (settled) break;
        auto scores = out_of_fold(scale, f.deals[0]);
        if (const double loss = total_loss(f, {}, scores); loss < best_loss) best_loss = loss, best_scale = scale, fit.out_of_fold = std::move(scores);
    }
    for (std::size_t deal = 1; deal < f.deals.size() && !settled; ++deal) {
        const auto scores = out_of_fold(best_scale, f.deals[deal]);
        fit.out_of_fold.insert(fit.out_of_fold.end(), scores.begin(), scores.end());
    }
    fit.chosen = best_scale;
    fit.beta = learn(f.learned, best_scale);
    for (std::size_t r = 0; r < rows; ++r) fit.all.push_back(score(fit.beta, r));
    return fit;
}

namespace {

template <class Number>
std::vector<float> beside(std::span<const float> features, std::size_t columns, std::span<const Number> extra, std::size_t extra_columns) {
    std::vector<float> out;
    for (std::size_t r = 0; r < extra.size() / extra_columns; ++r) {
        out.insert(out.end(), features.begin() + static_cast<std::ptrdiff_t>(r * columns), features.begin() + static_cast<std::ptrdiff_t>((r + 1) * columns));
        for (std::size_t k = 0; k < extra_columns; ++k) out.push_back(static_cast<float>(extra[r * extra_columns + k]));
    }
    return out;
}

}  // namespace

std::vector<float> with_columns(std::span<const float> features, std::size_t columns, std::span<const float> extra, std::size_t extra_columns) {
    return beside(features, columns, extra, extra_columns);
}

std::vector<float> with_columns(std::span<const float> features, std::size_t columns, std::span<const double> extra, std::size_t extra_columns) {
    return beside(features, columns, extra, extra_columns);
}

std::vector<float> time_head(const NetworkRecommender& network, const TaskTable& table, const TaskSpec& spec) {
    std::vector<float> out(table.rows.size());
    parallel_for(out.size(), 64, spec.options.threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) out[r] = return_log_odds(network, known_steps(table, r), table.time[r], spec.horizon_days);
    });
    return out;
}

std::vector<float> served_outputs(const model::AdaptedNetwork& network, const TaskTable& table, std::span<const float> features, unsigned threads) {
    const std::size_t rows = table.rows.size(), width = model::output_count(network.adapter().kind, network.adapter().classes);
    const std::size_t columns = rows > 0 ? features.size() / rows : 0;
    std::vector<float> out(rows * width);
    parallel_for(rows, 64, threads, [&](std::size_t begin, std::size_t end) {
        for (std::size_t r = begin; r < end; ++r) {
            network.outputs(task_session(network.network(), known_steps(table, r)), double{table.rows.gap_days[r]}, features.subspan(r * columns, columns), std::span(out).subspan(r * width, width));
        }
    });
    return out;
}

Result<std::shared_ptr<const model::AdaptedNetwork>> refit_adapter(const TaskTable& table, model::TaskRows rows, const TaskSpec& spec, const AdapterRun& run,
                                                                   const std::filesystem::path& weights, const std::filesystem::path& directory) {
    if (run.best_epoch == 0) return std::shared_ptr<const model::AdaptedNetwork>{};
    auto options = spec.options;
    options.epochs_limit = run.best_epoch;
    std::ranges::fill(rows.fold, 0);
    auto again = train_adapter(table.data, rows, options, weights, directory / "refit");
    if (!again) return again.error();
    std::error_code error;
    std::filesystem::rename(again->adapter, run.adapter, error);
    if (error) return Error{Code::kIo, "rename " + again->adapter.string() + ": " + error.message()};
    std::filesystem::remove_all(directory / "refit", error);
    auto refitted = model::AdaptedNetwork::load(weights, run.adapter);
    if (!refitted) return refitted.error();
    return std::make_shared<const model::AdaptedNetwork>(std::move(*refitted));
}

std::vector<float> hand_matrix(const TaskTable& table) {
    return with_columns(table.rows.features, table.rows.feature_names.size(), table.rows.gap_days, 1);
}

}  // namespace perennial::predict
