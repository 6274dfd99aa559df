#include "model/attribution.h"

#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <numeric>

#include "model/buckets.h"
#include "model/random_network.h"

namespace perennial::model {
namespace {

using Doubles = std::vector<double>;

Config small_config(std::int64_t blocks = 2) {
    Config config;
    config.products = 9;
    config.width = 12;
    config.blocks = blocks;
    config.heads = 3;
    config.hidden = 10;
    config.history_limit = 5;
    config.lags = 3;
    config.hazard_buckets = 6;
    config.has_time = true;
    return config;
}

// The forward pass once more: plain loops in double precision, every product vector times a number of its position.
class Reference {
public:
    Reference(const Config& config, std::uint64_t seed, float scale) : config_(config) {
        const auto file = Safetensors::parse(random_weights(config, seed, scale).bytes(), "reference").value();
        for (const auto& [name, shape] : tensors(config)) {
            const auto values = file.floats(name, shape).value();
            weights_[name] = Doubles(values.begin(), values.end());
        }
    }

    Doubles hidden(std::span<const Step> steps, const Doubles& product_scale) const {
        const std::size_t d = size(config_.width), f = size(config_.hidden), heads = size(config_.heads), each = d / heads;
        std::vector<Doubles> x(steps.size(), Doubles(d));
        for (std::size_t i = 0; i < steps.size(); ++i) {
            const auto& step = steps[i];
            const std::size_t gap = i == 0 ? kUnknownGap : step.same_occasion ? kSameOccasionGap : timed_gap(step.time_ms - steps[i - 1].time_ms);
            for (std::size_t c = 0; c < d; ++c) {
                x[i][c] = at("kind.weight", step.kind * d + c) + at("quantity.weight", step.quantity * d + c) + at("gap.weight", gap * d + c);
                if (step.product >= 0 && step.product < config_.products) x[i][c] += product_scale[i] * at("product.weight", size(step.product) * d + c);
            }
        }
        for (std::int64_t b = 0; b < config_.blocks; ++b) {
            const std::string block = "block." + std::to_string(b) + ".";
            std::vector<Doubles> norm, qkv;
            for (const auto& row : x) {
                norm.push_back(rms(row, block + "attention.norm"));
                qkv.push_back(linear(norm.back(), block + "attention.qkv"));
            }
            for (std::size_t i = 0; i < x.size(); ++i) {
                const std::size_t first = i + 1 > size(config_.history_limit) ? i + 1 - size(config_.history_limit) : 0;
                Doubles attended(d);
                for (std::size_t h = 0; h < heads; ++h) {
                    Doubles weight;
                    double sum = 0;
                    for (std::size_t j = first; j <= i; ++j) {
                        double dot = 0;
                        for (std::size_t c = 0; c < each; ++c) dot += qkv[i][h * each + c] * qkv[j][d + h * each + c];
                        const std::size_t lag = std::min(i - j, size(config_.lags) - 1);
                        const std::size_t stamp = timed_gap(steps[i].time_ms - steps[j].time_ms) - kFirstTimedGap;
                        weight.push_back(std::exp(dot / std::sqrt(static_cast<double>(each)) + at(block + "attention.lag_bias", h * size(config_.lags) + lag) +
                                                  at(block + "attention.stamp_bias", h * kStampBuckets + stamp)));
                        sum += weight.back();
                    }
                    for (std::size_t j = first; j <= i; ++j)
                        for (std::size_t c = 0; c < each; ++c) attended[h * each + c] += weight[j - first] / sum * qkv[j][2 * d + h * each + c];
                }
                add_gated(x[i], linear(norm[i], block + "attention.gate.weight", block + "attention.gate.bias"), linear(attended, block + "attention.out"));
            }
            for (auto& row : x) {
                const auto n = rms(row, block + "ffn.norm"), wide = linear(n, block + "ffn.in");
                Doubles active(f);
                for (std::size_t c = 0; c < f; ++c) active[c] = wide[c] / (1 + std::exp(-wide[c])) * wide[f + c];
                add_gated(row, linear(n, block + "ffn.gate.weight", block + "ffn.gate.bias"), linear(active, block + "ffn.out"));
            }
        }
        return rms(x.back(), "norm");
    }

    // Logit of a product less the mean under `shares`.
    double contrast(const Doubles& h, const Request& request, std::int32_t product, std::span<const float> shares) const {
        const std::size_t d = h.size(), gap = timed_gap_days(request.gap_days);
        double sum = 0;
        for (std::size_t p = 0; p < shares.size(); ++p) {
            double logit = at("product.bias", p);
            for (std::size_t c = 0; c < d; ++c)
                logit += (h[c] * (1 + at("request.scale", gap * d + c)) + at("request.shift", gap * d + c)) * at("product.weight", p * d + c);
            sum += ((size(product) == p ? 1.0 : 0.0) - static_cast<double>(shares[p])) * logit;
        }
        return sum;
    }

private:
    static std::size_t size(std::int64_t n) { return static_cast<std::size_t>(n); }
    double at(const std::string& name, std::size_t i) const { return weights_.at(name)[i]; }
    Doubles rms(const Doubles& x, const std::string& gain) const {
        double squares = 0;
        for (const double v : x) squares += v * v;
        Doubles out = x;
        for (std::size_t i = 0; i < x.size(); ++i) out[i] *= at(gain, i) / std::sqrt(squares / static_cast<double>(x.size()) + static_cast<double>(kNormEps));
        return out;
    }
    Doubles linear(const Doubles& x, const std::string& weight, const std::string& bias = {}) const {
        const auto& w = weights_.at(weight);
        Doubles out(w.size() / x.size());
        for (std::size_t o = 0; o < out.size(); ++o) {
            out[o] = bias.empty() ? 0 : at(bias, o);
            for (std::size_t i = 0; i < x.size(); ++i) out[o] += x[i] * w[o * x.size() + i];
        }
        return out;
    }
    static void add_gated(Doubles& x, const Doubles& gate, const Doubles& y) {
        for (std::size_t i = 0; i < x.size(); ++i) x[i] += y[i] / (1 + std::exp(-gate[i]));
    }

    Config config_;
    std::map<std::string, Doubles> weights_;
};

std::vector<Step> random_steps(std::uint64_t seed, std::size_t count) {
    Rng rng(seed);
    std::vector<Step> steps;
    std::int64_t time = 1'300'000'000'000;
    for (std::size_t i = 0; i < count; ++i) {
        time += static_cast<std::int64_t>(rng.below(1u << 31));
        steps.push_back({static_cast<std::int32_t>(rng.below(11)) - 1, static_cast<std::uint8_t>(rng.below(4)), static_cast<std::uint8_t>(rng.below(16)), time, rng.chance(0.2)});
    }
    return steps;
}

const Request kRequest{.gap_days = 3};
const std::vector<std::int32_t> kProducts{2, 7};

std::vector<float> even_shares() { return std::vector<float>(9, 1.0f / 9); }

// Central differences of the double reference agree to about 1e-9; float gradients pass through some 20 layers of sums of a
// dozen terms, each good to 6e-8.
TEST(Explainer, gradients_agree_with_finite_differences_of_a_reference_in_double_precision) {
    constexpr double kMove = 1e-5;
    for (const std::int64_t blocks : {1, 2, 3}) {
        const auto config = small_config(blocks);
        const Reference reference(config, 5, 0.3f);
        const auto network = random_network(config, 5, 0.3f);
        const Explainer explainer(network);
        for (const std::size_t count : {1u, 4u, 13u}) {
            const auto steps = random_steps(count, count);
            const auto shares = even_shares();
            const auto got = explainer.attribute(steps, explainer.contrasts(kRequest, kProducts, shares), {.integrate = false});
            for (std::size_t r = 0; r < kProducts.size(); ++r)
                for (std::size_t i = 0; i < count; ++i) {
                    Doubles more(count, 1), less(count, 1);
                    more[i] += kMove;
                    less[i] -= kMove;
                    const double want = (reference.contrast(reference.hidden(steps, more), kRequest, kProducts[r], shares) -
                                         reference.contrast(reference.hidden(steps, less), kRequest, kProducts[r], shares)) / (2 * kMove);
                    EXPECT_NEAR(got[r].effects[i], want, 2e-5 * (1 + std::abs(want))) << blocks << " blocks, event " << i << " of " << count;
                }
        }
    }
}

// The same integral by 800 midpoints of a straight walk with finite differences.
TEST(Explainer, integrated_gradients_agree_with_a_fine_sum_in_double_precision) {
    const auto config = small_config();
    const Reference reference(config, 5, 0.3f);
    const auto network = random_network(config, 5, 0.3f);
    const Explainer explainer(network);
    const auto steps = random_steps(3, 4);
    const auto shares = even_shares();
    const auto got = explainer.attribute(steps, explainer.contrasts(kRequest, kProducts, shares), {.path_steps = 64});
    constexpr int kPoints = 800;
    for (std::size_t i = 0; i < steps.size(); ++i) {
        double sum = 0;
        for (int k = 0; k < kPoints; ++k) {
            const double place = (k + 0.5) / kPoints, move = 1e-5;
            Doubles more(steps.size(), place), less(steps.size(), place);
            more[i] += move;
            less[i] -= move;
            sum += (reference.contrast(reference.hidden(steps, more), kRequest, kProducts[0], shares) -
                    reference.contrast(reference.hidden(steps, less), kRequest, kProducts[0], shares)) / (2 * move) / kPoints;
        }
        EXPECT_NEAR(got[0].effects[i], sum, 1e-4 * (1 + std::abs(sum))) << "event " << i;
    }
}

TEST(Explainer, effects_sum_to_the_value_less_the_baseline_whatever_is_taken_away_and_whatever_is_read) {
    const auto network = random_network(small_config(), 6, 0.3f);
    const Explainer explainer(network);
    for (const std::size_t count : {1u, 3u, 9u, 20u}) {
        const auto steps = random_steps(100 + count, count);
        auto readouts = explainer.contrasts(kRequest, kProducts, even_shares());
        readouts.push_back(explainer.hazard(2, 40));
        readouts.push_back(explainer.hazard(10, 5000));
        for (const auto absent : {Absent::kProduct, Absent::kDetails})
            for (const auto& attribution : explainer.attribute(steps, readouts, {.absent = absent, .path_steps = 64})) {
                double size = 0;
                for (const double effect : attribution.effects) size += std::abs(effect);
                EXPECT_NEAR(attribution.missing(), 0, 1e-3 * size + 1e-5) << count << " events";
            }
    }
}

TEST(Explainer, values_are_those_of_the_network) {
    const auto network = random_network(small_config(), 7, 0.3f);
    const Explainer explainer(network);
    const auto steps = random_steps(4, 17);
    auto session = network.start();
    for (const auto& step : steps) network.extend(session, step);
    std::vector<float> logits(9);
    for (const Request& request : {kRequest, Request{.same_occasion = true}, Request{}}) {
        network.scores(session, request, logits);
        const double mean = std::accumulate(logits.begin(), logits.end(), 0.0) / 9;
        const auto got = explainer.attribute(steps, explainer.contrasts(request, kProducts, even_shares()), {.path_steps = 1});
        EXPECT_NEAR(got[0].value, static_cast<double>(logits[2]) - mean, 1e-5);
        EXPECT_NEAR(got[1].value, static_cast<double>(logits[7]) - mean, 1e-5);
    }
    for (const auto& [from, to] : {std::pair{0.0, 30.0}, {12.5, 400.0}, {800.0, 900.0}}) {
        const auto got = explainer.attribute(steps, std::vector<Readout>{explainer.hazard(from, to)}, {.path_steps = 1});
        EXPECT_NEAR(got[0].value, -std::log(network.survival(session, from, to)), 1e-5);
    }
    EXPECT_TRUE(explainer.attribute({}, explainer.contrasts(Request{}, kProducts, even_shares()), {})[0].effects.empty());
}

TEST(Explainer, an_event_out_of_reach_or_without_a_product_has_no_effect_and_the_others_have_one) {
    const auto config = small_config();
    const auto network = random_network(config, 8, 0.3f);
    const Explainer explainer(network);
    auto steps = random_steps(9, 30);
    for (auto& step : steps) step.product = std::max(step.product, 0) % 9;
    steps[27].product = -1;
    const auto got = explainer.attribute(steps, explainer.contrasts(kRequest, kProducts, even_shares()), {});
    const auto reach = static_cast<std::size_t>(config.blocks * (config.history_limit - 1) + 1);
    for (std::size_t i = 0; i < steps.size(); ++i) {
        const bool acts = i >= steps.size() - reach && i != 27;
        EXPECT_EQ(got[0].effects[i] != 0, acts) << "event " << i;
    }
}

TEST(Explainer, events_held_as_they_are_have_no_effect_and_the_others_the_one_they_have_beside_them) {
    constexpr double kMove = 1e-5;
    const auto config = small_config(3);
    const Reference reference(config, 5, 0.3f);
    const auto network = random_network(config, 5, 0.3f);
    const Explainer explainer(network);
    const auto steps = random_steps(3, 12);
    const auto shares = even_shares();
    const auto readouts = explainer.contrasts(kRequest, kProducts, shares);
    const auto got = explainer.attribute(steps, readouts, {.path_steps = 64, .latest = 5})[0];
    EXPECT_NEAR(got.missing(), 0, 1e-3 * (1 + std::abs(got.value)));
    EXPECT_NEAR(got.value, explainer.attribute(steps, readouts, {.path_steps = 1})[0].value, 1e-5);
    Doubles hidden(12, 1);
    for (std::size_t i = 7; i < 12; ++i) hidden[i] = 0;
    EXPECT_NEAR(got.baseline, reference.contrast(reference.hidden(steps, hidden), kRequest, kProducts[0], shares), 1e-4);
    const auto gradient = explainer.attribute(steps, readouts, {.latest = 5, .ends = false, .integrate = false})[0];
    EXPECT_EQ(gradient.value, 0);
    for (std::size_t i = 0; i < 12; ++i) {
        if (i < 7) {
            EXPECT_EQ(got.effects[i], 0);
            continue;
        }
        Doubles more(12, 1), less(12, 1);
        more[i] += kMove;
        less[i] -= kMove;
        const double want = (reference.contrast(reference.hidden(steps, more), kRequest, kProducts[0], shares) -
                             reference.contrast(reference.hidden(steps, less), kRequest, kProducts[0], shares)) / (2 * kMove);
        EXPECT_NEAR(gradient.effects[i], want, 2e-5 * (1 + std::abs(want))) << i;
    }
    const auto one = explainer.attribute(steps, readouts, {.latest = 1})[0];
    EXPECT_EQ(one.effects[10], 0);
}

TEST(Explainer, the_same_question_gets_the_same_answer_to_the_last_bit) {
    const auto network = random_network(small_config(), 8, 0.3f);
    const auto steps = random_steps(9, 30);
    const auto ask = [&](std::span<const std::int32_t> products) {
        const Explainer explainer(network);
        return explainer.attribute(steps, explainer.contrasts(kRequest, products, even_shares()), {});
    };
    const auto both = ask(kProducts);
    EXPECT_EQ(both[0].effects, ask(kProducts)[0].effects);
    EXPECT_EQ(both[1].effects, ask(std::span(kProducts).last(1))[0].effects);  // whatever is asked beside it
}

}  // namespace
}  // namespace perennial::model
