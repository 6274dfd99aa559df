// Measures and losses of several labels, against counts made by hand.
#include <gtest/gtest.h>

#include <cmath>

#include "model/task.h"

namespace perennial::model {
namespace {

// Three rows, two labels, [R, C].
const std::vector<double> kSaid{0.9, 0.2, 0.6, 0.7, 0.1, 0.3};
const std::vector<float> kTrue{1, 0, 1, 0, 0, 0};
const std::vector<float> kWeights{1, 1, 1};

double measured(Metric metric, std::span<const double> said, std::span<const float> truth) { return measure(metric, TaskKind::kMultilabel, said, truth, kWeights); }

TEST(Labels, auc_is_the_mean_over_labels_that_are_true_of_some) {
    EXPECT_EQ(measured(Metric::kAuc, kSaid, kTrue), 1) << "the second label is true of none: only the first counts";
    const std::vector<float> both{1, 0, 1, 0, 0, 1};  // the second: 0.3 is above 0.2 and below 0.7
    EXPECT_EQ(measured(Metric::kAuc, kSaid, both), 0.75);
    EXPECT_EQ(measured(Metric::kAuc, kSaid, std::vector<float>(6, 0)), 0.5);
}

TEST(Labels, the_hit_rate_asks_rows_with_a_label_whether_their_top_one_is_true) {
    EXPECT_EQ(measured(Metric::kHitRate, kSaid, kTrue), 0.5);  // row 0 hits, row 1 does not, row 2 has none
    EXPECT_EQ(measured(Metric::kHitRate, kSaid, std::vector<float>(6, 0)), 0);
}

TEST(Labels, log_loss_is_the_mean_over_rows_and_labels_and_agrees_with_the_loss_that_is_trained) {
    const double want = -(std::log(0.9) + std::log(0.8) + std::log(0.6) + std::log(0.3) + std::log(0.9) + std::log(0.7)) / 6;
    EXPECT_NEAR(measured(Metric::kLogLoss, kSaid, kTrue), want, 1e-12);
    double loss = 0;
    for (std::size_t r = 0; r < 3; ++r) {
        std::vector<float> odds;
        for (std::size_t k = 0; k < 2; ++k) odds.push_back(static_cast<float>(std::log(kSaid[2 * r + k] / (1 - kSaid[2 * r + k]))));
        loss += row_loss(TaskKind::kMultilabel, {}, odds, std::span(kTrue).subspan(2 * r, 2)) / 3;
        std::vector<double> back(2);
        to_prediction(TaskKind::kMultilabel, {}, odds, back);
        for (std::size_t k = 0; k < 2; ++k) EXPECT_NEAR(back[k], kSaid[2 * r + k], 1e-6);
    }
    EXPECT_NEAR(loss, want, 1e-6);
}

TEST(Labels, options_are_read_back_and_those_of_classes_refused) {
    TaskOptions options;
    options.kind = TaskKind::kMultilabel;
    options.classes = 7;
    options.early_stop = Metric::kHitRate;
    const auto back = task_options_from_json(to_json(options));
    ASSERT_TRUE(back.ok()) << back.error().message;
    EXPECT_EQ(back->kind, TaskKind::kMultilabel);
    EXPECT_EQ(back->classes, 7);
    EXPECT_EQ(back->early_stop, Metric::kHitRate);
    EXPECT_EQ(target_count(back->kind, 7), 7u);
    EXPECT_EQ(output_count(back->kind, 7), 7u);
    EXPECT_EQ(prediction_count(back->kind, 7), 7u);
    options.class_weights = ClassWeights::kBalanced;
    EXPECT_EQ(check(options).error().message, "class_weights: want none for a multilabel task, which has no classes");
    options.class_weights = ClassWeights::kNone;
    options.early_stop = Metric::kAccuracy;
    EXPECT_EQ(check(options).error().message, "early_stop: want a metric of a multilabel task, got accuracy");
}

}  // namespace
}  // namespace perennial::model
