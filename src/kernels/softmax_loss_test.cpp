#include "kernels/softmax_loss.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <limits>
#include <vector>

#include "base/rng.h"
#include "kernels/isa.h"

namespace perennial::kernels {
namespace {

std::vector<float> random(std::size_t count, Rng& rng, double scale = 1) {
    std::vector<float> values(count);
    for (auto& value : values) value = static_cast<float>(scale * rng.normal());
    return values;
}

struct Case {
    std::size_t rows, classes, width;
    std::vector<float> h, table, bias;
    std::vector<std::int32_t> targets;
    double scale = 0.5;

    Case(std::size_t rows_, std::size_t classes_, std::size_t width_, Rng& rng, double spread = 1)
        : rows(rows_), classes(classes_), width(width_), h(random(rows * width, rng)),
          table(random(classes * width, rng, spread / std::sqrt(static_cast<double>(width)))), bias(random(classes, rng)) {
        for (std::size_t r = 0; r < rows; ++r) targets.push_back(static_cast<std::int32_t>(rng.below(classes)));
        targets.front() = 0;  // both ends
        targets.back() = static_cast<std::int32_t>(classes - 1);
    }
    SoftmaxLoss input() const { return {h, table, bias, targets, width, scale}; }
};

struct Answer {
    double loss = 0;
    std::vector<float> h, table, bias;
    bool operator==(const Answer&) const = default;
};

Answer ours(const Case& c, unsigned threads = 1) {
    Answer answer{0, std::vector<float>(c.h.size(), NAN), std::vector<float>(c.table.size(), NAN), std::vector<float>(c.classes, NAN)};
    answer.loss = softmax_loss(c.input(), {answer.h, answer.table, answer.bias}, threads);
    return answer;
}

// The formula in double, from exact logits. `bound` of each gradient is the sum of the absolute values of its terms: float
// rounding of a logit or of a term is relative to that, not to what is left after they cancel.
struct Reference {
    double loss = 0, logit_size = 1;
    std::vector<double> h, table, bias, h_bound, table_bound, bias_bound;

    explicit Reference(const Case& c)
        : h(c.h.size()), table(c.table.size()), bias(c.classes), h_bound(h), table_bound(table), bias_bound(bias) {
        std::vector<double> p(c.classes);
        for (std::size_t r = 0; r < c.rows; ++r) {
            for (std::size_t k = 0; k < c.classes; ++k) {
                p[k] = c.bias[k];
                double size = std::abs(p[k]);
                for (std::size_t i = 0; i < c.width; ++i) {
                    const double term = double{c.h[r * c.width + i]} * c.table[k * c.width + i];
                    p[k] += term;
                    size += std::abs(term);
                }
                if (std::isfinite(size)) logit_size = std::max(logit_size, size);
            }
            const auto target = static_cast<std::size_t>(c.targets[r]);
            const double top = *std::ranges::max_element(p), own = p[target];
            double sum = 0;
            for (auto& value : p) sum += value = std::exp(value - top);
            loss += std::log(sum) + top - own;
            for (std::size_t k = 0; k < c.classes; ++k) {
                const double d = c.scale * (p[k] / sum - (k == target ? 1 : 0)), size = c.scale * (p[k] / sum + (k == target ? 1 : 0));
                bias[k] += d;
                bias_bound[k] += size;
                for (std::size_t i = 0; i < c.width; ++i) {
                    h[r * c.width + i] += d * c.table[k * c.width + i];
                    h_bound[r * c.width + i] += size * std::abs(c.table[k * c.width + i]);
                    table[k * c.width + i] += d * c.h[r * c.width + i];
                    table_bound[k * c.width + i] += size * std::abs(c.h[r * c.width + i]);
                }
            }
        }
    }
};

// Probabilities below e^-87 are flushed to zero.
constexpr double kFlushed = 1e-35;

void expect_close(const std::vector<float>& got, const std::vector<double>& want, const std::vector<double>& bound, double tolerance,
                  const char* what) {
    ASSERT_EQ(got.size(), want.size());
    for (std::size_t i = 0; i < got.size(); ++i)
        ASSERT_NEAR(got[i], want[i], tolerance * bound[i] + kFlushed) << what << ' ' << i;
}

// A logit of `width` terms is off by less than width + 1 roundings of its size, which moves p by that share; a gradient's own sum
// of n terms adds n roundings at worst. Roundings walk at random, so the square root of the counts times 8 deviations is enough.
void expect_right(const Case& c, const Answer& answer) {
    const Reference want(c);
    const double eps = std::numeric_limits<float>::epsilon();
    const double logit = 8 * eps * std::sqrt(static_cast<double>(c.width + 1)) * want.logit_size;
    EXPECT_NEAR(answer.loss, want.loss, 2 * logit * static_cast<double>(c.rows));
    const double sums = 8 * eps * std::sqrt(static_cast<double>(std::max(c.rows, c.classes)));
    expect_close(answer.h, want.h, want.h_bound, 2 * logit + sums, "d_h");
    expect_close(answer.table, want.table, want.table_bound, 2 * logit + sums, "d_table");
    expect_close(answer.bias, want.bias, want.bias_bound, 2 * logit + sums, "d_bias");
}

// The tests run on the variant in use; ctest runs this program once for each PERENNIAL_ISA.
TEST(SoftmaxLoss, agrees_with_double_arithmetic_for_odd_shapes) {
    Rng rng(11);
    for (const std::size_t width : {1u, 3u, 7u, 16u, 17u, 32u, 48u, 64u, 100u})
        for (const std::size_t rows : {1u, 2u, 31u, 33u, 70u})
            for (const std::size_t classes : {1u, 2u, 13u, 143u, 145u, 300u}) {
                const Case c(rows, classes, width, rng);
                SCOPED_TRACE(testing::Message() << rows << " rows, " << classes << " classes, width " << width);
                const Answer answer = ours(c);
                expect_right(c, answer);
                EXPECT_DOUBLE_EQ(softmax_loss(c.input(), 2), answer.loss);
                if (HasFatalFailure()) return;
            }
}

TEST(SoftmaxLoss, agrees_with_double_arithmetic_over_several_tiles) {
    Rng rng(12);
    const Case c(40, 270'000, 4, rng);  // one strip of rows a tile
    expect_right(c, ours(c, 2));
}

TEST(SoftmaxLoss, is_exact_where_the_true_probability_underflows) {
    Rng rng(13);
    for (const double far : {80.0, 300.0, 5000.0})
        for (const std::size_t best : {std::size_t{0}, std::size_t{200}, std::size_t{599}}) {  // first chunk, a later one, the last
            Case c(40, 600, 16, rng, 0.1);
            c.bias[best] = static_cast<float>(far);
            c.bias[best / 2 + 1] = static_cast<float>(-far);
            for (auto& target : c.targets) target = static_cast<std::int32_t>(best / 2 + 1);
            SCOPED_TRACE(testing::Message() << far << " at " << best);
            const Answer answer = ours(c);
            EXPECT_GT(answer.loss, 40 * (1.9 * far));
            expect_right(c, answer);
        }
}

TEST(SoftmaxLoss, follows_logits_that_rise_from_chunk_to_chunk) {
    Rng rng(14);
    Case c(33, 1000, 16, rng, 0.1);
    for (std::size_t k = 0; k < c.classes; ++k) c.bias[k] = static_cast<float>(k) * 0.4f;  // up by 400: the shift moves again and again
    expect_right(c, ours(c));
    for (std::size_t k = 0; k < c.classes; ++k) c.bias[k] = static_cast<float>(k) * -0.4f;
    expect_right(c, ours(c));
}

TEST(SoftmaxLoss, leaves_out_classes_whose_bias_is_minus_infinity) {
    Rng rng(15);
    Case c(5, 500, 16, rng);
    for (std::size_t k = 1; k < 400; ++k) c.bias[k] = -std::numeric_limits<float>::infinity();  // a whole chunk of them
    for (auto& target : c.targets) target = 499;
    expect_right(c, ours(c));
}

TEST(SoftmaxLoss, gradients_agree_with_finite_differences_of_the_loss) {
    Rng rng(16);
    Case c(6, 9, 5, rng);
    const Answer answer = ours(c);
    const auto compare = [&](std::vector<float>& values, const std::vector<float>& gradient) {
        for (std::size_t i = 0; i < values.size(); ++i) {
            const float kept = values[i], up = kept + 0x1p-10f, down = kept - 0x1p-10f;
            values[i] = up;
            const double above = Reference(c).loss;
            values[i] = down;
            const double below = Reference(c).loss;
            values[i] = kept;
            EXPECT_NEAR(gradient[i], c.scale * (above - below) / (double{up} - double{down}), 1e-5) << i;
        }
    };
    compare(c.h, answer.h);
    compare(c.table, answer.table);
    compare(c.bias, answer.bias);
}

TEST(SoftmaxLoss, gives_the_same_bits_for_every_number_of_threads) {
    Rng rng(17);
    const Case tiles(97, 100'000, 16, rng), small(97, 431, 24, rng);
    for (const Case* c : {&tiles, &small}) {
        const Answer one = ours(*c, 1);
        for (const unsigned threads : {2u, 3u, 4u}) EXPECT_TRUE(ours(*c, threads) == one) << threads;
    }
}

TEST(SoftmaxLoss, variants_agree_with_the_scalar_reference) {
    Rng rng(18);
    for (const std::size_t rows : {1u, 9u, 32u})
        for (const std::size_t width : {16u, 48u, 64u}) {
            const Case c(rows, 333, width, rng);
            std::vector<float> h(kLossRows * width), want_h, want_table, want_bias;
            std::copy(c.h.begin(), c.h.end(), h.begin());
            double want_loss = 0;
            for (const Isa isa : kEveryIsa) {
                if (!supported(isa)) continue;
                SCOPED_TRACE(name(isa));
                std::vector<float> columns(width * kLossRows), p(c.classes * kLossRows, NAN), weights(kLossRows, NAN),
                    weighted(kLossRows * width, NAN), d_h(rows * width, NAN), d_table(c.table.size(), 1), d_bias(c.classes, 1);
                std::vector<double> losses(rows);
                table(isa).loss_strip({h.data(), c.table.data(), c.bias.data(), c.targets.data(), rows, width, c.classes, c.scale,
                                       columns.data(), p.data(), weights.data(), weighted.data(), d_h.data(), losses.data()});
                table(isa).loss_table({p.data(), weights.data(), weighted.data(), 1, c.classes, width, 0, 200, false, d_table.data(), d_bias.data()});
                table(isa).loss_table({p.data(), weights.data(), weighted.data(), 1, c.classes, width, 200, 133, true, d_table.data(), d_bias.data()});
                double loss = 0;
                for (const double row : losses) loss += row;
                if (isa == Isa::kScalar) {
                    want_h = d_h, want_table = d_table, want_bias = d_bias, want_loss = loss;
                    continue;
                }
                EXPECT_NEAR(loss, want_loss, 1e-6 * want_loss);
                const auto near = [](const std::vector<float>& got, const std::vector<float>& want) {
                    for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], 2e-6 * std::max(1.0f, std::abs(want[i]))) << i;
                };
                near(d_h, want_h);
                near(d_table, want_table);
                near(d_bias, want_bias);
            }
        }
}

}  // namespace
}  // namespace perennial::kernels
