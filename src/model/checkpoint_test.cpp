#include "model/checkpoint.h"

#include <gtest/gtest.h>

#include <fstream>

#include "base/file.h"

namespace perennial::model {
namespace {

TrainingPosition somewhere() {
    TrainingPosition p;
    p.data = "d";
    p.options = "width=64 seed=1";
    p.epoch = 3, p.batch = 17, p.steps = 99, p.product_loss = 0.1, p.time_loss = 1.0 / 3, p.product_targets = 5, p.time_targets = 6;
    p.epochs = 2, p.best_epoch = 1, p.targets_done = 1000, p.cooling_epoch = 2, p.train_seconds = 1.5, p.stepping_seconds = 1.25, p.seconds_to_best = 0.7;
    p.valid_ndcg10 = 0.05, p.valid_recall10 = 0.1, p.valid_loss = 7.5, p.curves = "epoch,seconds\n1,0.7\n";
    return p;
}

TEST(Checkpoint, gives_back_every_field_to_the_last_bit) {
    const TempDir scratch("perennial-checkpoint");
    const auto path = scratch.path() / "checkpoint.safetensors";
    const std::vector<std::vector<float>> values{{1, 2, 3.5f}, {}, {-0.0f, 1e-40f}};
    const std::vector<std::span<const float>> views(values.begin(), values.end());
    const auto p = somewhere();
    ASSERT_TRUE(write_checkpoint(path, p, views));
    const auto read = read_checkpoint(path);
    ASSERT_TRUE(read.ok()) << read.error().message;
    EXPECT_EQ(read->values, values);
    const auto& q = read->position;
    EXPECT_TRUE(q.data == p.data && q.options == p.options && q.curves == p.curves);
    EXPECT_TRUE(q.epoch == p.epoch && q.batch == p.batch && q.steps == p.steps && q.product_targets == p.product_targets && q.time_targets == p.time_targets);
    EXPECT_TRUE(q.epochs == p.epochs && q.best_epoch == p.best_epoch && q.targets_done == p.targets_done && q.cooling_epoch == p.cooling_epoch);
    EXPECT_TRUE(q.product_loss == p.product_loss && q.time_loss == p.time_loss && q.train_seconds == p.train_seconds && q.stepping_seconds == p.stepping_seconds);
    EXPECT_TRUE(q.seconds_to_best == p.seconds_to_best && q.valid_ndcg10 == p.valid_ndcg10 && q.valid_recall10 == p.valid_recall10 && q.valid_loss == p.valid_loss);
}

TEST(Checkpoint, refuses_a_file_cut_anywhere_or_changed_in_any_byte_that_counts) {
    const TempDir scratch("perennial-checkpoint");
    const auto path = scratch.path() / "checkpoint.safetensors";
    const std::vector<float> value{1, 2, 3};
    const std::vector<std::span<const float>> views{value, value};
    ASSERT_TRUE(write_checkpoint(path, somewhere(), views));
    const auto bytes = read_file(path).value();
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) ASSERT_FALSE(parse_checkpoint(bytes.substr(0, cut), "x").ok()) << cut;
    // Blanks that pad the header may change; then nothing else does.
    for (std::size_t at = 0; at < bytes.size(); ++at) {
        if (bytes[at] == ' ') continue;
        auto changed = bytes;
        changed[at] = static_cast<char>(changed[at] ^ 1);
        const auto read = parse_checkpoint(changed, "x");
        ASSERT_FALSE(read.ok()) << "byte " << at << " of " << bytes.size() << " changed and nobody noticed";
    }
    EXPECT_EQ(read_checkpoint(scratch.path() / "none").error().code, Code::kNotFound);
}

}  // namespace
}  // namespace perennial::model
