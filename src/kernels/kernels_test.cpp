#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <limits>
#include <string>
#include <vector>

#include "base/rng.h"
#include "kernels/attention.h"
#include "kernels/linear.h"
#include "kernels/norm_gate.h"

namespace perennial::kernels {
namespace {

std::vector<float> random(std::size_t count, Rng& rng, double scale = 1) {
    std::vector<float> values(count);
    for (auto& value : values) value = static_cast<float>(scale * rng.normal());
    return values;
}

// A sum of `terms` products of unit normals differs between two orders of summation by about terms^0.5 * eps times its
// terms' size; 16 standard deviations of that.
float tolerance(std::size_t terms) {
    return 16 * std::numeric_limits<float>::epsilon() * std::sqrt(static_cast<float>(terms + 1)) + 1e-6f;
}

void expect_near(const std::vector<float>& got, const std::vector<float>& want, float tolerance) {
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i)
        ASSERT_NEAR(got[i], want[i], tolerance * std::max(1.0f, std::abs(want[i]))) << "element " << i;
}

class Variants : public testing::TestWithParam<Isa> {
protected:
    void SetUp() override {
        if (!supported(GetParam())) GTEST_SKIP() << "this CPU has no " << name(GetParam());
    }
    const Table& scalar = table(Isa::kScalar);
    const Table& vectors() { return table(GetParam()); }
    Rng rng{7};
};
INSTANTIATE_TEST_SUITE_P(Isa, Variants, testing::Values(Isa::kAvx2, Isa::kAvx512),
                         [](const auto& test) { return std::string(name(test.param)); });

TEST_P(Variants, linear_agrees_for_every_width_up_to_three_vectors_and_odd_shapes) {
    for (std::size_t in = 1; in <= 25; ++in)
        for (const std::size_t rows : {1u, 2u, 3u, 5u})
            for (const std::size_t out : {1u, 3u, 4u, 7u, 9u}) {
                const auto x = random(rows * in, rng), w = random(out * in, rng), b = random(out, rng);
                std::vector<float> want(rows * out), got(rows * out);
                for (const float* bias : {static_cast<const float*>(nullptr), b.data()}) {
                    scalar.linear(x.data(), w.data(), bias, want.data(), rows, in, out);
                    vectors().linear(x.data(), w.data(), bias, got.data(), rows, in, out);
                    expect_near(got, want, tolerance(in));
                }
                const std::vector<std::int32_t> chosen{static_cast<std::int32_t>(out - 1), 0};
                std::vector<float> few_want(2), few_got(2);
                scalar.linear_rows(x.data(), w.data(), b.data(), chosen.data(), few_want.data(), in, 2);
                vectors().linear_rows(x.data(), w.data(), b.data(), chosen.data(), few_got.data(), in, 2);
                expect_near(few_got, few_want, tolerance(in));
            }
}

TEST_P(Variants, the_gradient_of_linear_agrees_for_every_width_up_to_six_vectors) {
    for (std::size_t in = 1; in <= 100; ++in)
        for (const std::size_t rows : {1u, 3u, 4u, 9u})
            for (const std::size_t out : {1u, 5u, 16u}) {
                const auto d_y = random(rows * out, rng), w = random(out * in, rng), before = random(rows * in, rng);
                for (const bool add : {false, true}) {
                    auto want = before, got = before;
                    scalar.linear_backward(d_y.data(), w.data(), want.data(), rows, in, out, add);
                    vectors().linear_backward(d_y.data(), w.data(), got.data(), rows, in, out, add);
                    expect_near(got, want, tolerance(out));
                }
            }
}

TEST(Linear, gradient_is_that_of_the_forward_formula) {
    Rng rng(3);
    const std::size_t rows = 3, in = 5, out = 4;
    const auto x = random(rows * in, rng), w = random(out * in, rng), d_y = random(rows * out, rng);
    std::vector<float> y(rows * out), d_x(rows * in);
    const auto value = [&](const std::vector<float>& at) {  // <d_y, x W^T>, linear in x: a difference is exact
        linear(at, w, {}, y, in, out);
        double sum = 0;
        for (std::size_t i = 0; i < y.size(); ++i) sum += static_cast<double>(d_y[i]) * y[i];
        return sum;
    };
    linear_backward(d_y, w, d_x, in, out);
    const double before = value(x);
    for (std::size_t i = 0; i < x.size(); ++i) {
        auto moved = x;
        moved[i] += 1;
        EXPECT_NEAR(value(moved) - before, d_x[i], 1e-5);
    }
}

TEST_P(Variants, norm_and_gates_agree_for_every_width_up_to_three_vectors) {
    for (std::size_t width = 1; width <= 49; ++width) {
        const std::size_t rows = 3;
        const auto x = random(rows * width, rng, 3), gain = random(width, rng), wide = random(rows * 2 * width, rng, 4);
        std::vector<float> want(rows * width), got(rows * width);
        scalar.rms_norm(x.data(), gain.data(), want.data(), rows, width, 1e-6f);
        vectors().rms_norm(x.data(), gain.data(), got.data(), rows, width, 1e-6f);
        expect_near(got, want, tolerance(width));
        scalar.swiglu(wide.data(), want.data(), rows, width);
        vectors().swiglu(wide.data(), got.data(), rows, width);
        expect_near(got, want, tolerance(4));
        want = got = x;
        scalar.gated_add(want.data(), wide.data(), wide.data() + x.size(), x.size());
        vectors().gated_add(got.data(), wide.data(), wide.data() + x.size(), x.size());
        expect_near(got, want, tolerance(4));
        scalar.softmax(x.data(), want.data(), rows, width);
        vectors().softmax(x.data(), got.data(), rows, width);
        expect_near(got, want, tolerance(width));
    }
}

TEST_P(Variants, gradients_of_norm_and_gates_agree_for_every_width_up_to_three_vectors) {
    for (std::size_t width = 1; width <= 49; ++width) {
        const std::size_t rows = 19, all = rows * width;
        const auto x = random(all, rng, 3), gain = random(width, rng), d_out = random(all, rng), wide = random(2 * all, rng, 4);
        std::vector<float> want(all), got(all), more_want(width, 0.5f), more_got(width, 0.5f);
        scalar.rms_norm_backward(x.data(), gain.data(), d_out.data(), want.data(), more_want.data(), rows, width, 1e-6f);
        vectors().rms_norm_backward(x.data(), gain.data(), d_out.data(), got.data(), more_got.data(), rows, width, 1e-6f);
        // Width 1 has no gradient but what eps leaves: two terms of up to g dy / x cancel.
        const float largest = 4 / std::abs(*std::ranges::min_element(x, {}, [](float v) { return std::abs(v); }));
        expect_near(got, want, tolerance(width) * (width == 1 ? 1 + largest : 1));
        expect_near(more_got, more_want, tolerance(width));
        want.resize(2 * all), got.resize(2 * all);
        scalar.swiglu_backward(wide.data(), d_out.data(), want.data(), rows, width);
        vectors().swiglu_backward(wide.data(), d_out.data(), got.data(), rows, width);
        expect_near(got, want, tolerance(16));
        want.resize(all), got.resize(all), more_want.resize(all), more_got.resize(all);
        scalar.gated_add_backward(wide.data(), x.data(), d_out.data(), want.data(), more_want.data(), all);
        vectors().gated_add_backward(wide.data(), x.data(), d_out.data(), got.data(), more_got.data(), all);
        expect_near(got, want, tolerance(16));
        expect_near(more_got, more_want, tolerance(16));
        vectors().gated_add_backward(got.data(), more_got.data(), d_out.data(), got.data(), more_got.data(), all);  // in place
    }
}

TEST_P(Variants, softmax_survives_masked_rows_huge_values_and_nan) {
    const float infinity = std::numeric_limits<float>::infinity();
    for (const std::size_t width : {3u, 8u, 13u})
        for (const Table* kernels : {&scalar, &vectors()}) {
            std::vector<float> x(width, -infinity), out(width, 9);
            kernels->softmax(x.data(), out.data(), 1, width);
            for (const float p : out) EXPECT_EQ(p, 0.0f);
            x[width - 1] = 3e38f;
            kernels->softmax(x.data(), out.data(), 1, width);
            EXPECT_EQ(out[width - 1], 1.0f);
            EXPECT_EQ(out[0], 0.0f);
            x[0] = std::nanf("");
            kernels->softmax(x.data(), out.data(), 1, width);
            EXPECT_TRUE(std::isnan(out[0]));
        }
}

TEST_P(Variants, exponentials_agree_over_the_whole_range) {
    // Through swiglu with value 1: silu(g) = g sigmoid(g), for g from far below to far above.
    std::vector<float> x;
    for (double g = -120; g <= 120; g += 0.37) x.push_back(static_cast<float>(g));
    const std::size_t width = x.size();
    x.resize(2 * width, 1.0f);
    std::vector<float> want(width), got(width);
    scalar.swiglu(x.data(), want.data(), 1, width);
    vectors().swiglu(x.data(), got.data(), 1, width);
    expect_near(got, want, 1e-6f);
}

TEST_P(Variants, attention_agrees_forward_and_backward_for_odd_heads_and_counts) {
    for (const std::size_t heads : {1u, 2u, 3u})
        for (const std::size_t d : {1u, 4u, 7u, 8u, 16u, 19u, 32u})
            for (const std::size_t count : {1u, 2u, 5u, 9u, 40u}) {
                const std::size_t width = heads * d, stride = 3 * width + 1;
                const auto q = random(width, rng), kv = random(count * stride, rng), bias = random(heads * count, rng),
                           d_out = random(width, rng);
                std::vector<float> results[2][6];
                for (const Isa isa : {Isa::kScalar, GetParam()}) {
                    auto& [weights, out, dq, dk, dv, db] = results[isa != Isa::kScalar];
                    weights.resize(heads * count), out.resize(width), db.resize(heads * count);
                    dq.resize(width, 0.5f), dk.resize(kv.size(), 0.25f), dv.resize(kv.size());
                    const AttendRow row{q.data(), kv.data(), kv.data() + width, bias.data(), weights.data(), stride, count, heads, d};
                    table(isa).attend_row(row, out.data());
                    table(isa).attend_row_backward(row, d_out.data(), dq.data(), dk.data(), dv.data(), db.data());
                }
                for (std::size_t k = 0; k < 6; ++k) expect_near(results[1][k], results[0][k], 2 * tolerance(width + count));
            }
}

// Central differences of `loss`, computed in double, by each of `values`, against `gradient`.
void expect_gradient(std::vector<float>& values, const std::vector<float>& gradient, const std::function<double()>& loss) {
    ASSERT_EQ(values.size(), gradient.size());
    for (std::size_t i = 0; i < values.size(); ++i) {
        // Small, because the loss bends; the differences are taken of what the floats really are.
        const float kept = values[i], up = kept + 0x1p-12f, down = kept - 0x1p-12f;
        values[i] = up;
        const double above = loss();
        values[i] = down;
        const double below = loss();
        values[i] = kept;
        EXPECT_NEAR(gradient[i], (above - below) / (double{up} - double{down}), 2e-5) << i;
    }
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

TEST(NormGate, gradients_agree_with_finite_differences_of_their_formulas) {
    Rng rng(9);
    const std::size_t rows = 2, width = 21, all = rows * width;
    auto x = random(all, rng), gain = random(width, rng), wide = random(2 * all, rng), y = random(all, rng);
    const auto d_out = random(all, rng);
    std::vector<float> d_x(all), d_gain(width), d_wide(2 * all), d_gate(all), d_y(all);

    rms_norm_backward(x, gain, d_out, d_x, d_gain, 1e-3f);
    const auto norm = [&] {
        double sum = 0;
        for (std::size_t r = 0; r < rows; ++r) {
            double squares = 0;
            for (std::size_t i = 0; i < width; ++i) squares += double{x[r * width + i]} * x[r * width + i];
            for (std::size_t i = 0; i < width; ++i)
                sum += double{d_out[r * width + i]} * x[r * width + i] * gain[i] / std::sqrt(squares / width + double{1e-3f});
        }
        return sum;
    };
    expect_gradient(x, d_x, norm);
    expect_gradient(gain, d_gain, norm);

    swiglu_backward(wide, d_out, d_wide, width);
    expect_gradient(wide, d_wide, [&] {
        double sum = 0;
        for (std::size_t k = 0; k < all; ++k) {
            const std::size_t at = k / width * 2 * width + k % width;
            sum += double{d_out[k]} * wide[at] * sigmoid(wide[at]) * wide[at + width];
        }
        return sum;
    });

    gated_add_backward(x, y, d_out, d_gate, d_y);
    const auto gated = [&] {
        double sum = 0;
        for (std::size_t k = 0; k < all; ++k) sum += double{d_out[k]} * sigmoid(x[k]) * y[k];
        return sum;
    };
    expect_gradient(x, d_gate, gated);
    expect_gradient(y, d_y, gated);
}

TEST(PairBias, follows_lags_and_stamp_buckets_in_any_order_of_stamps) {
    const std::vector<float> lag{0, 1, 2}, stamp{10, 20, 30};
    const std::vector<std::int64_t> edges{5, 50}, stamps{0, 97, 60, 96, 100};
    std::vector<float> bias(5);
    pair_bias({lag, stamp, edges, 1}, stamps, 5, bias);
    EXPECT_EQ(bias, (std::vector<float>{32, 12, 22, 11, 10}));
    pair_bias({lag, {}, {}, 1}, {}, 5, bias);
    EXPECT_EQ(bias, (std::vector<float>{2, 2, 2, 1, 0}));
}

struct Case {
    std::vector<float> qkv, lag, stamp;
    std::vector<std::int64_t> offsets{0, 1, 8, 8, 13}, stamps, edges{10, 100, 1000};
    std::size_t heads = 2, width = 6, window = 4;
    explicit Case(Rng& rng) : qkv(random(13 * 18, rng)), lag(random(2 * 3, rng)), stamp(random(2 * 4, rng)) {
        for (int i = 0; i < 13; ++i) stamps.push_back(static_cast<std::int64_t>(rng.below(3000)));
    }
    Packed packed() const { return {qkv, offsets, stamps, {lag, stamp, edges, heads}, width, window}; }
};

// Written from the formula of attention.h, in double.
double attended(const Case& c, std::size_t begin, std::size_t i, std::size_t channel) {
    const std::size_t d = c.width / c.heads, h = channel / d;
    double total = 0, sum = 0;
    for (std::size_t j = i + 1 >= begin + c.window ? i + 1 - c.window : begin; j <= i; ++j) {
        double score = 0;
        for (std::size_t k = h * d; k < (h + 1) * d; ++k) score += double{c.qkv[i * 18 + k]} * c.qkv[j * 18 + 6 + k];
        std::size_t bucket = 0;
        while (bucket < 3 && c.edges[bucket] <= c.stamps[i] - c.stamps[j]) ++bucket;
        score = score / std::sqrt(static_cast<double>(d)) + c.lag[h * 3 + std::min<std::size_t>(i - j, 2)] + c.stamp[h * 4 + bucket];
        total += std::exp(score) * c.qkv[j * 18 + 12 + channel];
        sum += std::exp(score);
    }
    return total / sum;
}

TEST(AttendPacked, follows_its_formula_within_sequences_and_window) {
    Rng rng(3);
    const Case c(rng);
    std::vector<float> out(13 * 6, NAN);
    attend_packed(c.packed(), 0, 2, out);
    attend_packed(c.packed(), 2, 4, out);
    for (std::size_t s = 0; s < 4; ++s)
        for (auto i = static_cast<std::size_t>(c.offsets[s]); i < static_cast<std::size_t>(c.offsets[s + 1]); ++i)
            for (std::size_t k = 0; k < 6; ++k)
                EXPECT_NEAR(out[i * 6 + k], attended(c, static_cast<std::size_t>(c.offsets[s]), i, k), 2e-6);
}

TEST(AttendPacked, gradients_agree_with_finite_differences) {
    Rng rng(5);
    Case c(rng);
    const auto d_out = random(13 * 6, rng);
    std::vector<float> d_qkv(c.qkv.size(), NAN), d_lag(c.lag.size()), d_stamp(c.stamp.size());
    attend_packed_backward(c.packed(), 0, 4, d_out, {d_qkv, d_lag, d_stamp});
    const auto loss = [&] {
        double sum = 0;
        for (std::size_t s = 0; s < 4; ++s)
            for (auto i = static_cast<std::size_t>(c.offsets[s]); i < static_cast<std::size_t>(c.offsets[s + 1]); ++i)
                for (std::size_t k = 0; k < 6; ++k) sum += d_out[i * 6 + k] * attended(c, static_cast<std::size_t>(c.offsets[s]), i, k);
        return sum;
    };
    expect_gradient(c.qkv, d_qkv, loss);
    expect_gradient(c.lag, d_lag, loss);
    expect_gradient(c.stamp, d_stamp, loss);
}

}  // namespace
}  // namespace perennial::kernels
