#include "predict/task_fit.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cmath>
#include <map>
#include <numeric>
#include <optional>
#include <set>

#include "base/file.h"
#include "base/parallel.h"
#include "base/rng.h"
#include "predict/churn.h"
#include "predict/network_recommender.h"

namespace perennial::predict {
namespace {

namespace json = boost::json;
using model::Metric;
using model::TaskKind;

enum Source : std::size_t { kLinear, kTrees, kNetwork, kFused, kSources };
constexpr std::array<const char*, kSources> kSourceNames{"linear", "trees", "network", "fused"};

// How strongly, in nats, mixture weights are held to equal shares of the single methods, and a calibration to none: what a
// few labels cannot tell stays as it is without them, and a thousand labels do not feel it.
constexpr double kEqualShares = 4, kNoCalibration = 1;
constexpr double kLeastShare = 1e-6;
constexpr std::array<double, 4> kLinearScales{0.03, 0.1, 0.3, 1.0};  // of standardised features: the smaller, the stronger the ridge
const std::array<TreeOptions, 4> kTreeChoices{TreeOptions{.rounds = 40, .depth = 2, .learning_rate = 0.1, .leaf_rows_min = 0.5},
                                              TreeOptions{.rounds = 100, .depth = 3, .learning_rate = 0.06, .leaf_rows_min = 2},
                                              TreeOptions{.rounds = 150, .depth = 4, .learning_rate = 0.06, .leaf_rows_min = 10},
                                              TreeOptions{.rounds = 400, .depth = 5, .learning_rate = 0.03, .leaf_rows_min = 10}};

bool is_class(TaskKind kind) noexcept { return kind == TaskKind::kBinary || kind == TaskKind::kMulticlass; }
double softplus(double x) noexcept { return x > 30 ? x : std::log1p(std::exp(x)); }

// What a task is in numbers, for all the helpers. Z columns of a score.
struct Frame {
    TaskKind kind;
    std::size_t columns;           // Z = C for classes more than two, else 1
    std::vector<float> target, weight;
    std::vector<std::size_t> learned, judged;
    std::vector<std::int32_t> fold;
    double variance = 1;           // of the targets that are learned
};

using Scores = std::vector<double>;  // [R, Z]: log odds, log shares, or values

// Calibrated predictions of a row from its score.
void calibrated(const Frame& f, const Calibration& c, std::span<const double> z, std::span<double> p) {
    if (f.kind == TaskKind::kBinary) {
        p[0] = 1 / (1 + std::exp(-(c.a * z[0] + c.b)));
    } else if (f.kind == TaskKind::kMulticlass) {
        const double most = c.a * std::ranges::max(z);
        double sum = 0;
        for (std::size_t k = 0; k < z.size(); ++k) sum += p[k] = std::exp(c.a * z[k] - most);
        for (double& share : p) share /= sum;
    } else {
        p[0] = c.a * z[0] + c.b;
        if (f.kind == TaskKind::kAmount) p[0] = std::max(p[0], 0.0);
    }
}

double loss_of(const Frame& f, const Calibration& c, std::span<const double> z, double y) {
    if (f.kind == TaskKind::kBinary) {
        const double x = c.a * z[0] + c.b;
        return softplus(x) - y * x;
    }
    if (f.kind == TaskKind::kMulticlass) {
        const double most = c.a * std::ranges::max(z);
        double sum = 0;
        for (const double value : z) sum += std::exp(c.a * value - most);
        return most + std::log(sum) - c.a * z[static_cast<std::size_t>(y)];
    }
    const double off = c.a * z[0] + c.b - y;
    return off * off / (2 * f.variance);
}

double total_loss(const Frame& f, const Calibration& c, std::span<const double> z) {
    double sum = 0;
    for (const auto r : f.learned) sum += double{f.weight[r]} * loss_of(f, c, z.subspan(r * f.columns, f.columns), double{f.target[r]});
    return sum;
}

// Held to a = 1, b = 0 by kNoCalibration. Newton for log odds, a search for classes, least squares for values.
Calibration calibrate(const Frame& f, std::span<const double> z) {
    Calibration c;
    if (f.kind == TaskKind::kMulticlass) {
        double best = INFINITY;
        for (int step = -12; step <= 8; ++step) {
            const Calibration tried{std::exp2(step / 4.0), 0};
            const double value = total_loss(f, tried, z) + kNoCalibration * std::pow(std::log(tried.a), 2);
            if (value < best) best = value, c = tried;
        }
        return c;
    }
    if (f.kind != TaskKind::kBinary) {
        double n = 0, zx = 0, zy = 0;
        for (const auto r : f.learned) n += double{f.weight[r]}, zx += double{f.weight[r]} * z[r], zy += double{f.weight[r]} * double{f.target[r]};
        zx /= n, zy /= n;
        double xx = kNoCalibration * f.variance, xy = xx;
        for (const auto r : f.learned) xx += double{f.weight[r]} * (z[r] - zx) * (z[r] - zx), xy += double{f.weight[r]} * (z[r] - zx) * (double{f.target[r]} - zy);
        c.a = std::max(0.0, xy / xx);
        c.b = zy - c.a * zx;
        return c;
    }
    for (int step = 0; step < 30; ++step) {
        double ga = kNoCalibration * (c.a - 1), gb = kNoCalibration * c.b, haa = kNoCalibration, hab = 0, hbb = kNoCalibration;
        for (const auto r : f.learned) {
            const double p = 1 / (1 + std::exp(-(c.a * z[r] + c.b))), w = double{f.weight[r]}, d = w * (p - double{f.target[r]}), h = w * p * (1 - p);
            ga += d * z[r], gb += d;
            haa += h * z[r] * z[r], hab += h * z[r], hbb += h;
        }
        const double det = haa * hbb - hab * hab, da = (hbb * ga - hab * gb) / det, db = (haa * gb - hab * ga) / det;
        const double length = std::min(1.0, 2 / std::max(1e-12, std::abs(da) + std::abs(db)));
        c.a -= length * da, c.b -= length * db;
        if (std::abs(da) + std::abs(db) < 1e-9) break;
    }
    return c;
}

Scores mixed(const std::array<Scores, kSources>& scores, std::span<const double> weights) {
    Scores out;
    for (std::size_t s = 0; s < kSources; ++s) {
        if (weights[s] == 0) continue;
        out.resize(scores[s].size());
        for (std::size_t i = 0; i < out.size(); ++i) out[i] += weights[s] * scores[s][i];
    }
    return out;
}

// Weights in tenths with the smallest calibrated out-of-fold loss, held to equal shares by kEqualShares.
std::vector<double> best_weights(const Frame& f, const std::array<Scores, kSources>& scores) {
    std::array<double, kSources> equal{};
    double singles = 0;
    for (const auto s : {kLinear, kTrees, kNetwork}) singles += scores[s].empty() ? 0 : 1;
    for (const auto s : {kLinear, kTrees, kNetwork}) equal[s] = scores[s].empty() ? 0 : 1 / singles;
    std::vector<double> best;
    double best_loss = INFINITY;
    constexpr int kTenths = 10;
    for (int a = 0; a <= (scores[kLinear].empty() ? 0 : kTenths); ++a)
        for (int b = 0; a + b <= kTenths; ++b)
            for (int c = 0; a + b + c <= kTenths; ++c) {
                const std::vector<double> weights{a / 10.0, b / 10.0, c / 10.0, (kTenths - a - b - c) / 10.0};
                if (weights[kFused] > 0 && scores[kFused].empty()) continue;
                const auto z = mixed(scores, weights);
                double loss = total_loss(f, calibrate(f, z), z);
                for (std::size_t s = 0; s < kSources; ++s) loss += kEqualShares * (weights[s] - equal[s]) * (weights[s] - equal[s]);
                if (loss < best_loss - 1e-9) best_loss = loss, best = weights;
            }
    return best;
}

Scores network_scores(const Frame& f, const model::TargetScale& scale, std::span<const float> outputs) {
    const std::size_t rows = f.target.size(), width = outputs.size() / rows;
    Scores z(rows * f.columns);
    std::vector<double> p(f.columns);
    for (std::size_t r = 0; r < rows; ++r) {
        const auto row = outputs.subspan(r * width, width);
        if (f.kind == TaskKind::kBinary) {
            z[r] = double{row[0]};
            continue;
        }
        model::to_prediction(f.kind, scale, row, p);
        for (std::size_t k = 0; k < f.columns; ++k) z[r * f.columns + k] = f.kind == TaskKind::kMulticlass ? std::log(std::max(p[k], kLeastShare)) : p[k];
    }
    return z;
}

void to_score(TaskKind kind, std::span<double> p) {
    for (double& x : p) x = kind == TaskKind::kBinary ? log_odds(x) : kind == TaskKind::kMulticlass ? std::log(std::max(x, kLeastShare)) : x;
}

std::vector<float> picked(std::span<const float> matrix, std::size_t columns, std::span<const std::size_t> rows) {
    std::vector<float> out;
    out.reserve(rows.size() * columns);
    for (const auto r : rows) out.insert(out.end(), matrix.begin() + static_cast<std::ptrdiff_t>(r * columns), matrix.begin() + static_cast<std::ptrdiff_t>((r + 1) * columns));
    return out;
}

std::vector<float> picked(const std::vector<float>& values, std::span<const std::size_t> rows) { return picked(values, 1, rows); }

struct TreeFit {
    BoostedTrees trees;
    Scores out_of_fold, all;  // [R, Z]; the first of learned rows, the second of all
};

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

// `learn` [R, columns] is what learned rows show, `ask` what is asked with in the end (the same for hand features).
Result<TreeFit> fit_trees(const Frame& f, std::span<const float> learn, std::span<const float> ask, std::size_t columns, const TaskSpec& spec) {
    TreeFit best;
    double best_loss = INFINITY;
    TreeOptions chosen;
    const std::size_t rows = f.target.size();
    const auto folds = *std::ranges::max_element(f.fold) + 1;
    for (auto options : kTreeChoices) {
        options.seed = spec.options.seed;
        options.threads = spec.options.threads;
        options.target = f.kind == TaskKind::kBinary ? TreeTarget::kBinary : f.kind == TaskKind::kMulticlass ? TreeTarget::kClass : f.kind == TaskKind::kAmount ? TreeTarget::kAmount : TreeTarget::kValue;
        options.classes = f.columns;
        Scores scores(rows * f.columns);
        for (std::int32_t k = 0; k < folds; ++k) {
            std::vector<std::size_t> own, others;
            for (const auto r : f.learned) (f.fold[r] == k ? own : others).push_back(r);
            auto trees = train_trees(f, learn, columns, others, options);
            if (!trees) return trees.error();
            PERENNIAL_TRY(put_scores(f, *trees, learn, columns, own, scores));
        }
        if (const double loss = total_loss(f, {}, scores); loss < best_loss) {
            best_loss = loss;
            best.out_of_fold = std::move(scores);
            chosen = options;
        }
    }
    auto trees = train_trees(f, learn, columns, f.learned, chosen);
    if (!trees) return trees.error();
    best.trees = std::move(*trees);
    best.all.resize(rows * f.columns);
    std::vector<std::size_t> every(rows);
    std::iota(every.begin(), every.end(), std::size_t{0});
    PERENNIAL_TRY(put_scores(f, best.trees, ask, columns, every, best.all));
    return best;
}

// Logistic rule on tamed, standardised features; missing is average.
struct LinearFit {
    std::vector<double> beta;
    std::vector<float> mean, scale;
    Scores out_of_fold, all;
};

LinearFit fit_linear(const Frame& f, std::span<const float> matrix, std::size_t columns) {
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
    const auto folds = *std::ranges::max_element(f.fold) + 1;
    double best_loss = INFINITY, best_scale = 1;
    for (const double scale : kLinearScales) {
        Scores scores(rows);
        for (std::int32_t k = 0; k < folds; ++k) {
            std::vector<std::size_t> others;
            for (const auto r : f.learned)
                if (f.fold[r] != k) others.push_back(r);
            const auto beta = learn(others, scale);
            for (const auto r : f.learned)
                if (f.fold[r] == k) scores[r] = score(beta, r);
        }
        if (const double loss = total_loss(f, {}, scores); loss < best_loss) best_loss = loss, best_scale = scale, fit.out_of_fold = std::move(scores);
    }
    fit.beta = learn(f.learned, best_scale);
    for (std::size_t r = 0; r < rows; ++r) fit.all.push_back(score(fit.beta, r));
    return fit;
}

model::Session session_of(const model::Network& network, std::span<const sequence::Step> known) {
    const std::size_t reach = static_cast<std::size_t>(network.config().history_limit), first = known.size() > reach ? known.size() - reach : 0;
    auto session = network.start();
    for (std::size_t i = first; i < known.size(); ++i) network.extend(session, to_model_step(known[i], i > first ? &known[i - 1] : nullptr));
    return session;
}

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
            network.outputs(session_of(network.network(), known), double{table.rows.gap_days[r]}, features.subspan(r * columns, columns), std::span(out).subspan(r * width, width));
        }
    });
    return out;
}

std::vector<Metric> metrics_of(TaskKind kind) {
    if (kind == TaskKind::kBinary) return {Metric::kAuc, Metric::kPrAuc, Metric::kLogLoss, Metric::kBrier, Metric::kAccuracy};
    if (kind == TaskKind::kMulticlass) return {Metric::kLogLoss, Metric::kAccuracy};
    return {Metric::kRmse, Metric::kMae, Metric::kGini};
}

// Held-out rows by customer, so that a draw of the bootstrap takes a customer whole.
class Judge {
public:
    Judge(const Frame& f, const TaskTable& table, std::size_t draws, std::uint64_t seed) : f_(f), draws_(draws), seed_(seed) {
        std::map<std::size_t, std::vector<std::size_t>> groups;
        for (std::size_t i = 0; i < f.judged.size(); ++i) groups[table.customer[f.judged[i]]].push_back(i);
        for (auto& [customer, rows] : groups) groups_.push_back(std::move(rows));
    }

    std::size_t customers() const { return groups_.size(); }

    // `statistic` gets places among the judged rows.
    Interval interval(const std::function<double(std::span<const std::size_t>)>& statistic) const {
        std::vector<std::size_t> rows;
        return bootstrap(groups_.size(), draws_, seed_, [&](std::span<const std::uint32_t> drawn) {
            rows.clear();
            for (const auto g : drawn) rows.insert(rows.end(), groups_[g].begin(), groups_[g].end());
            return statistic(rows);
        });
    }

    double measured(Metric metric, std::span<const double> predictions, std::span<const std::size_t> rows) const {
        std::vector<double> p;
        std::vector<float> y, w;
        for (const auto i : rows) {
            p.insert(p.end(), predictions.begin() + static_cast<std::ptrdiff_t>(i * f_.columns), predictions.begin() + static_cast<std::ptrdiff_t>((i + 1) * f_.columns));
            y.push_back(f_.target[f_.judged[i]]);
            w.push_back(f_.weight[f_.judged[i]]);
        }
        return model::measure(metric, f_.kind, p, y, w);
    }

    TaskMethodResult judged(std::string name, std::vector<double> predictions) const {
        TaskMethodResult result{std::move(name), {}, std::move(predictions)};
        for (const auto metric : metrics_of(f_.kind))
            result.measures.push_back({metric, interval([&](std::span<const std::size_t> rows) { return measured(metric, result.predictions, rows); })});
        return result;
    }

private:
    const Frame& f_;
    std::size_t draws_;
    std::uint64_t seed_;
    std::vector<std::vector<std::size_t>> groups_;
};

std::vector<double> judged_predictions(const Frame& f, const Calibration& c, std::span<const double> z) {
    std::vector<double> p(f.judged.size() * f.columns);
    for (std::size_t i = 0; i < f.judged.size(); ++i) calibrated(f, c, z.subspan(f.judged[i] * f.columns, f.columns), std::span(p).subspan(i * f.columns, f.columns));
    return p;
}

// The base rate, or the mean.
std::vector<double> prior_predictions(const Frame& f) {
    std::vector<double> one(f.columns, f.kind == TaskKind::kMulticlass ? 0.5 : 0.0);
    double mass = f.kind == TaskKind::kMulticlass ? 0.5 * static_cast<double>(f.columns) : 0;
    if (f.kind == TaskKind::kBinary) one[0] = 0.5, mass = 1;
    for (const auto r : f.learned) {
        mass += double{f.weight[r]};
        if (f.kind == TaskKind::kMulticlass) one[static_cast<std::size_t>(f.target[r])] += double{f.weight[r]};
        else one[0] += double{f.weight[r]} * double{f.target[r]};
    }
    std::vector<double> p;
    for (std::size_t i = 0; i < f.judged.size(); ++i)
        for (const double value : one) p.push_back(value / mass);
    return p;
}

std::vector<float> with_columns(std::span<const float> features, std::size_t columns, std::span<const double> extra, std::size_t extra_columns) {
    const std::size_t rows = extra_columns > 0 ? extra.size() / extra_columns : 0;
    std::vector<float> out;
    for (std::size_t r = 0; r < rows; ++r) {
        out.insert(out.end(), features.begin() + static_cast<std::ptrdiff_t>(r * columns), features.begin() + static_cast<std::ptrdiff_t>((r + 1) * columns));
        for (std::size_t k = 0; k < extra_columns; ++k) out.push_back(static_cast<float>(extra[r * extra_columns + k]));
    }
    return out;
}

// Hand features and the days since the last event: what trees and the linear rule read.
std::vector<float> hand_matrix(const TaskTable& table) {
    std::vector<double> gaps(table.rows.gap_days.begin(), table.rows.gap_days.end());
    return with_columns(table.rows.features, table.rows.feature_names.size(), gaps, 1);
}

}  // namespace

Metric leading_metric(TaskKind kind) noexcept { return kind == TaskKind::kBinary ? Metric::kAuc : kind == TaskKind::kMulticlass ? Metric::kLogLoss : Metric::kRmse; }

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
    if (f.kind == TaskKind::kBinary) {
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
    const auto leading = leading_metric(f.kind);
    const auto compare = [&](const char* a, const char* b) {
        const auto of = [&](const char* name) { return std::ranges::find(evaluation.methods, name, &TaskMethodResult::name); };
        const auto first = of(a), second = of(b);
        evaluation.comparisons.push_back({a, b, judge.interval([&](std::span<const std::size_t> drawn) { return judge.measured(leading, first->predictions, drawn) - judge.measured(leading, second->predictions, drawn); })});
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

Result<std::vector<double>> TaskModel::predict(std::span<const event::Event> timeline, std::span<const sequence::Step> steps, UtcTime time) const {
    Frame f{options.kind, model::prediction_count(options.kind, options.classes), {0}, {1}, {}, {0}, {}, 1};
    const auto known = sequence::before(steps, time.ms);
    const double gap = known.empty() ? 0 : std::clamp(days_between({known.back().time_ms}, time), 0.0, 1e5);
    auto features = task_features(timeline, time, rhythm);
    std::vector<float> outputs(model::output_count(options.kind, options.classes));
    network->outputs(session_of(network->network(), known), static_cast<double>(static_cast<float>(gap)), hand_features ? std::span<const float>(features) : std::span<const float>(), outputs);
    std::array<Scores, kSources> scores;
    scores[kNetwork] = network_scores(f, network->adapter().scale, outputs);
    features.push_back(static_cast<float>(gap));
    const auto ask = [&](const BoostedTrees& asked, Source source) -> Status {
        if (weights[source] == 0) return Done{};
        auto p = asked.probabilities(features, features.size());
        if (!p) return p.error();
        to_score(f.kind, *p);
        scores[source] = std::move(*p);
        return Done{};
    };
    PERENNIAL_TRY(ask(trees, kTrees));
    if (!linear.empty()) {
        double z = linear[0];
        for (std::size_t c = 0; c < features.size(); ++c)
            if (const auto x = double{model::tamed(features[c])}; !std::isnan(x)) z += linear[c + 1] * (x - double{linear_mean[c]}) * double{linear_scale[c]};
        scores[kLinear] = {std::clamp(z, -12.0, 12.0)};
    }
    for (const double score : scores[kNetwork]) features.push_back(static_cast<float>(score));
    PERENNIAL_TRY(ask(fused, kFused));
    std::vector<double> p(f.columns);
    calibrated(f, calibration, mixed(scores, weights), p);
    return p;
}

Status TaskModel::save(const std::filesystem::path& directory) const {
    PERENNIAL_TRY(trees.save(directory / "trees.json"));
    PERENNIAL_TRY(fused.save(directory / "fused-trees.json"));
    const json::object object{{"format", "perennial.task"}, {"version", 1}, {"name", name}, {"options", json::parse(model::to_json(options))}, {"classes", json::value_from(classes)},
                              {"horizon_days", horizon_days}, {"hand_features", hand_features}, {"rhythm", {rhythm.typical_gap_days, rhythm.log_spread, rhythm.gaps}},
                              {"linear", json::value_from(linear)}, {"linear_mean", json::value_from(linear_mean)}, {"linear_scale", json::value_from(linear_scale)},
                              {"weights", json::value_from(weights)}, {"calibration", {calibration.a, calibration.b}}};
    return write_file(directory / "task.json", json::serialize(object) + "\n");
}

Result<TaskModel> TaskModel::load(const std::filesystem::path& directory, const std::filesystem::path& weights_file) {
    auto text = read_file(directory / "task.json");
    if (!text) return text.error();
    TaskModel m;
    try {
        const auto object = json::parse(*text).as_object();
        if (object.at("format") != "perennial.task" || object.at("version") != 1) return Error{Code::kUnsupported, fmt::format("{}: want perennial.task version 1", (directory / "task.json").string())};
        m.name = object.at("name").as_string();
        auto options = model::task_options_from_json(json::serialize(object.at("options")));
        if (!options) return options.error();
        m.options = *options;
        m.classes = json::value_to<std::vector<std::string>>(object.at("classes"));
        m.horizon_days = object.at("horizon_days").to_number<double>();
        m.hand_features = object.at("hand_features").as_bool();
        const auto& rhythm = object.at("rhythm").as_array();
        m.rhythm = {rhythm.at(0).to_number<double>(), rhythm.at(1).to_number<double>(), rhythm.at(2).to_number<std::size_t>()};
        m.linear = json::value_to<std::vector<double>>(object.at("linear"));
        m.linear_mean = json::value_to<std::vector<float>>(object.at("linear_mean"));
        m.linear_scale = json::value_to<std::vector<float>>(object.at("linear_scale"));
        m.weights = json::value_to<std::vector<double>>(object.at("weights"));
        m.calibration = {object.at("calibration").at(0).to_number<double>(), object.at("calibration").at(1).to_number<double>()};
        const std::size_t columns = kChurnFeatures.size() + 1;
        if (m.weights.size() != kSources || (!m.linear.empty() && (m.linear.size() != columns + 1 || m.linear_mean.size() != columns || m.linear_scale.size() != columns)))
            return Error{Code::kCorrupt, fmt::format("{}: weights or linear: wrong length", (directory / "task.json").string())};
    } catch (const std::exception& problem) {
        return Error{Code::kCorrupt, fmt::format("{}: {}", (directory / "task.json").string(), problem.what())};
    }
    auto network = model::AdaptedNetwork::load(weights_file, directory / "adapter.safetensors");
    if (!network) return network.error();
    m.network = std::make_shared<const model::AdaptedNetwork>(std::move(*network));
    const auto& adapter = m.network->adapter();
    if (adapter.kind != m.options.kind || adapter.classes != m.options.classes || adapter.features != (m.hand_features ? feature_names() : std::vector<std::string>{}))
        return Error{Code::kCorrupt, fmt::format("{}: want the adapter that task.json describes, got another", (directory / "adapter.safetensors").string())};
    for (auto [file, to] : {std::pair{"trees.json", &m.trees}, {"fused-trees.json", &m.fused}}) {
        auto trees = BoostedTrees::load(directory / file);
        if (!trees) return trees.error();
        *to = std::move(*trees);
    }
    return m;
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
    return {{"task", spec.name}, {"kind", std::string(model::name(spec.options.kind))}, {"classes", json::value_from(std::vector<std::string>(classes.begin(), classes.end()))},
            {"options", json::parse(model::to_json(spec.options))}, {"backbone", spec.blind_backbone ? "blind" : "current"}, {"labels", e.labels}, {"customers", e.customers},
            {"judged_labels", e.judged_labels}, {"judged_customers", e.judged_customers}, {"base_rate", e.base_rate}, {"methods", std::move(methods)},
            {"comparisons", std::move(comparisons)}, {"weights", std::move(weights)}, {"best_epoch", e.best_epoch}, {"epochs", e.epochs}, {"parameters", e.parameters},
            {"network_seconds", e.network_seconds}, {"trees_seconds", e.trees_seconds}};
}

std::string to_text(const TaskEvaluation& e, const TaskSpec& spec) {
    auto text = fmt::format("Task {}: {} labels of {} customers to learn from, {} labels of {} other customers to judge by ({} {:.4g})\n", spec.name, e.labels, e.customers,
                            e.judged_labels, e.judged_customers, spec.options.kind == TaskKind::kBinary ? "share of class 1:" : "mean:", e.base_rate);
    text += fmt::format("Adapter: {}, {} parameters, best epoch {} of {}, {:.1f} s; trees {:.1f} s\n\n{:<10}", model::name(spec.options.method), e.parameters, e.best_epoch, e.epochs,
                        e.network_seconds, e.trees_seconds, "method");
    for (const auto& measure : e.methods.front().measures) text += fmt::format(" {:>24}", model::name(measure.metric));
    for (const auto& method : e.methods) {
        text += fmt::format("\n{:<10}", method.name);
        for (const auto& [metric, value] : method.measures) text += fmt::format(" {:>24}", fmt::format("{:.4g} ({:.4g}, {:.4g})", value.value, value.low, value.high));
    }
    text += "\n\nThe answer is";
    for (const auto& [name, weight] : e.weights)
        if (weight > 0) text += fmt::format(" {:.1f} {}", weight, name);
    text += fmt::format("\nDifferences in {}:\n", model::name(leading_metric(spec.options.kind)));
    for (const auto& c : e.comparisons) text += fmt::format("  {} - {}: {:+.4g} ({:+.4g}, {:+.4g})\n", c.a, c.b, c.difference.value, c.difference.low, c.difference.high);
    return text;
}

}  // namespace perennial::predict
