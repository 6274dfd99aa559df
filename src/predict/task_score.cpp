#include "predict/task_score.h"

#include <algorithm>
#include <cmath>

#include "predict/churn.h"

namespace perennial::predict {
namespace {

using model::TaskKind;

// How strongly, in nats, a calibration is held to none: what a few labels cannot tell stays as it is without them.
constexpr double kNoCalibration = 1;
constexpr double kLeastShare = 1e-6, kLeastAmount = 1e-3;

double softplus(double x) noexcept { return x > 30 ? x : std::log1p(std::exp(x)); }

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
    if (f.kind == TaskKind::kAmount) {
        const double mean = std::max(c.a * z[0] + c.b, kLeastAmount);
        return 2 * (y / std::sqrt(mean) + std::sqrt(mean)) / std::sqrt(f.mean);
    }
    const double off = c.a * z[0] + c.b - y;
    return off * off / (2 * f.variance);
}

}  // namespace

bool is_class(TaskKind kind) noexcept { return kind == TaskKind::kBinary || kind == TaskKind::kMulticlass; }

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

double total_loss(const Frame& f, const Calibration& c, std::span<const double> z) {
    double sum = 0;
    for (const auto r : f.learned) sum += double{f.weight[r]} * loss_of(f, c, z.subspan(r * f.columns, f.columns), double{f.target[r]});
    return sum;
}

Calibration calibrate(const Frame& f, std::span<const double> z, double slope) {
    Calibration c{slope, 0};
    if (f.kind == TaskKind::kMulticlass) {
        double best = INFINITY;
        for (int step = -12; step <= 8; ++step) {
            const Calibration tried{std::exp2(step / 4.0), 0};
            const double value = total_loss(f, tried, z) + kNoCalibration * std::pow(std::log(tried.a), 2);
            if (value < best) best = value, c = tried;
        }
        return c;
    }
    if (f.kind == TaskKind::kAmount) {  // a scale alone: where the deviance of a z is least
        double up = kNoCalibration * slope, down = kNoCalibration;
        for (const auto r : f.learned) {
            const double x = std::sqrt(std::max(z[r], kLeastAmount) / f.mean);
            up += double{f.weight[r]} * double{f.target[r]} / f.mean / x, down += double{f.weight[r]} * x;
        }
        c.a = up / down;
        return c;
    }
    if (f.kind != TaskKind::kBinary) {
        double n = 0, zx = 0, zy = 0;
        for (const auto r : f.learned) n += double{f.weight[r]}, zx += double{f.weight[r]} * z[r], zy += double{f.weight[r]} * double{f.target[r]};
        zx /= n, zy /= n;
        double xx = kNoCalibration * f.variance, xy = slope * xx;
        for (const auto r : f.learned) xx += double{f.weight[r]} * (z[r] - zx) * (z[r] - zx), xy += double{f.weight[r]} * (z[r] - zx) * (double{f.target[r]} - zy);
        c.a = std::max(0.0, xy / xx);
        c.b = zy - c.a * zx;
        return c;
    }
    const auto objective = [&](const Calibration& at) { return total_loss(f, at, z) + kNoCalibration / 2 * (std::pow(at.a - slope, 2) + at.b * at.b); };
    double reached = objective(c);
    for (int step = 0; step < 30; ++step) {
        double ga = kNoCalibration * (c.a - slope), gb = kNoCalibration * c.b, haa = kNoCalibration, hab = 0, hbb = kNoCalibration;
        for (const auto r : f.learned) {
            const double p = 1 / (1 + std::exp(-(c.a * z[r] + c.b))), w = double{f.weight[r]}, d = w * (p - double{f.target[r]}), h = w * p * (1 - p);
            ga += d * z[r], gb += d;
            haa += h * z[r] * z[r], hab += h * z[r], hbb += h;
        }
        const double det = haa * hbb - hab * hab, da = (hbb * ga - hab * gb) / det, db = (haa * gb - hab * ga) / det;
        // Far from the answer a whole step can overshoot, and for ever: from a to -a when the score says nothing.
        Calibration next{c.a - da, c.b - db};
        double value = objective(next);
        for (int half = 0; half < 20 && value > reached; ++half) {
            next = {(next.a + c.a) / 2, (next.b + c.b) / 2};
            value = objective(next);
        }
        if (value > reached) break;
        c = next, reached = value;
        if (std::abs(da) + std::abs(db) < 1e-9) break;
    }
    return c;
}

std::vector<double> judged_predictions(const Frame& f, const Calibration& c, std::span<const double> z) {
    std::vector<double> p(f.judged.size() * f.columns);
    for (std::size_t i = 0; i < f.judged.size(); ++i) calibrated(f, c, z.subspan(f.judged[i] * f.columns, f.columns), std::span(p).subspan(i * f.columns, f.columns));
    return p;
}

Scores rescaled(const Frame& f, const Calibration& c, Scores z) {
    for (double& x : z) x = f.kind == TaskKind::kMulticlass ? c.a * x : c.a * x + c.b;
    return z;
}

Frame of_all_deals(const Frame& f) {
    Frame all{f.kind, f.columns, {}, {}, {}, {}, {}, f.mean, f.variance};
    for (std::size_t d = 0; d < f.deals.size(); ++d) {
        for (const auto r : f.learned) all.learned.push_back(d * f.target.size() + r);
        all.target.insert(all.target.end(), f.target.begin(), f.target.end());
        for (const float weight : f.weight) all.weight.push_back(weight / static_cast<float>(f.deals.size()));
    }
    return all;
}

Frame flattened(const Frame& f) {
    Frame flat{TaskKind::kBinary, 1, f.target, {}, {}, {}, {std::vector<std::int32_t>(f.target.size(), 0)}, 1, 1};
    for (const float weight : f.weight) flat.weight.insert(flat.weight.end(), f.columns, weight / static_cast<float>(f.columns));
    for (auto [rows, to] : {std::pair{&f.learned, &flat.learned}, {&f.judged, &flat.judged}})
        for (const auto r : *rows)
            for (std::size_t k = 0; k < f.columns; ++k) to->push_back(r * f.columns + k);
    return flat;
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

}  // namespace perennial::predict
