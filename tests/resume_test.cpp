// A training that is killed again and again, and goes on each time, ends with the bytes of one that was never disturbed.
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/rng.h"
#include "model/training_data.h"
#include "program.h"

namespace perennial::test {
namespace {

#ifdef PERENNIAL_TRAINS

// Customers who walk round a ring of products, some days apart; the last purchase validates.
model::TrainingData ring(int customers, std::uint64_t seed) {
    model::TrainingData data;
    data.products = 50;
    data.has_time = true;
    Rng rng(seed);
    for (int c = 0; c < customers; ++c) {
        auto product = static_cast<std::int32_t>(rng.below(50));
        std::int64_t time = 0;
        const int length = 4 + static_cast<int>(rng.below(20));
        for (int i = 0; i < length; ++i) {
            product = (product + 1 + static_cast<std::int32_t>(rng.below(3))) % 50;
            time += static_cast<std::int64_t>(rng.exponential(5) * 86'400'000);
            data.product.push_back(product);
            data.kind.push_back(0);
            data.time_ms.push_back(time);
            data.quantity.push_back(1);
            data.occasion.push_back(i);
            data.role.push_back(i + 1 < length ? model::kTrainTarget : model::kValidationTarget);
            data.purchase.push_back(1);
        }
        data.offsets.push_back(static_cast<std::int64_t>(data.product.size()));
        data.end_ms.push_back(time + 86'400'000);
    }
    return data;
}

struct Training {
    fs::path data, out;
    std::vector<std::string> command(std::vector<std::string> more = {}) const {
        std::vector<std::string> all{fs::path(PERENNIAL_PROGRAM).parent_path() / "perennial-train", "--data", data, "--out", out, "--width", "16", "--history-limit", "10",
                                     "--batch-positions", "256", "--epochs-limit", "6", "--patience", "4", "--checkpoint-steps", "3"};
        all.insert(all.end(), more.begin(), more.end());
        return all;
    }
    Outcome finish(std::vector<std::string> more = {}) const { return Process(command(std::move(more)), {.time_limit = Seconds(300)}).finish(); }
};

// What a training leaves behind, without how long it took.
struct Left {
    std::string weights;
    std::vector<std::string> curves;
    json::object run;
    bool operator==(const Left&) const = default;
};

Left left_in(const fs::path& out) {
    Left left{read_text(out / "model.safetensors"), {}, json::parse(read_text(out / "run.json")).as_object()};
    for (const auto& row : lines(read_text(out / "curves.csv"))) {
        auto cells = split(row, ',');
        cells[1].clear();  // seconds
        std::string joined;
        for (const auto& cell : cells) joined += cell + ",";
        left.curves.push_back(joined);
    }
    for (const char* key : {"train_seconds", "train_seconds_to_best", "positions_per_second", "threads", "checkpoints", "checkpoint_seconds"}) left.run.erase(key);
    return left;
}

TEST(Resume, a_training_killed_again_and_again_ends_with_the_same_bytes) {
    const TempDir scratch("perennial-resume");
    Training whole{scratch.path() / "data.safetensors", scratch.path() / "whole"};
    ASSERT_TRUE(model::write_training_data(ring(400, 1), whole.data));
    const auto undisturbed = whole.finish();
    ASSERT_EQ(undisturbed.exit_code, 0) << undisturbed;
    EXPECT_FALSE(fs::exists(whole.out / "checkpoint.safetensors")) << "nothing is left to go on from";
    const auto wanted = left_in(whole.out);

    // Every other kill comes at any moment from the start on, the others just after a checkpoint was written. A training
    // that gets to its end is looked at and makes room for a new one.
    Training killed{whole.data, scratch.path() / "killed"};
    const auto checkpoint = killed.out / "checkpoint.safetensors";
    Rng rng(3);
    int kills = 0, after_progress = 0, ends = 0;
    const auto expect_the_same = [&] {
        const auto got = left_in(killed.out);
        EXPECT_TRUE(got.weights == wanted.weights) << "after " << kills << " kills the weights differ";
        EXPECT_EQ(got.curves, wanted.curves);
        EXPECT_EQ(json::serialize(got.run), json::serialize(wanted.run));
        fs::remove_all(killed.out);
        ++ends;
    };
    while (kills < 40) {
        std::error_code error;
        const auto before = fs::last_write_time(checkpoint, error);
        Process training(killed.command({"--resume", "--threads", kills % 2 == 0 ? "1" : "2"}), {.time_limit = Seconds(300)});
        bool ended = false;
        if (kills % 2 == 0) {
            ended = training.wait_for_end(Seconds(rng.uniform(0, undisturbed.seconds)));
        } else {
            while (!ended && fs::last_write_time(checkpoint, error) == before) ended = training.wait_for_end(Seconds(0.001));
            ended = ended || training.wait_for_end(Seconds(0.03 * rng.uniform()));
        }
        if (ended) {
            const auto outcome = training.finish();
            ASSERT_EQ(outcome.exit_code, 0) << outcome;
            expect_the_same();
            ++kills;  // none, but another way of waiting comes next
            continue;
        }
        training.signal(SIGKILL);
        training.finish();
        ++kills;
        after_progress += fs::exists(checkpoint, error) && fs::last_write_time(checkpoint, error) != before;
    }
    const auto last = killed.finish({"--resume"});
    ASSERT_EQ(last.exit_code, 0) << last;
    expect_the_same();
    RecordProperty("kills_after_progress", after_progress);
    RecordProperty("trainings", ends);
    EXPECT_GE(after_progress, 8) << "the kills missed the training";
}

TEST(Resume, a_kept_checkpoint_goes_on_to_more_epochs_as_if_they_had_been_asked_for_at_once) {
    const TempDir scratch("perennial-resume");
    Training whole{scratch.path() / "data.safetensors", scratch.path() / "whole"};
    ASSERT_TRUE(model::write_training_data(ring(150, 2), whole.data));
    ASSERT_EQ(whole.finish().exit_code, 0);
    Training steps{whole.data, scratch.path() / "steps"};
    for (const char* epochs : {"1", "3", "3", "6"}) ASSERT_EQ(steps.finish({"--resume", "--keep-checkpoint", "--epochs-limit", epochs}).exit_code, 0) << epochs;
    EXPECT_TRUE(left_in(steps.out) == left_in(whole.out));
}

TEST(Resume, refuses_a_checkpoint_that_is_damaged_or_not_of_this_training) {
    const TempDir scratch("perennial-resume");
    Training training{scratch.path() / "data.safetensors", scratch.path() / "out"};
    ASSERT_TRUE(model::write_training_data(ring(60, 1), training.data));
    ASSERT_EQ(training.finish({"--keep-checkpoint", "--epochs-limit", "2"}).exit_code, 0);
    const auto path = training.out / "checkpoint.safetensors";
    const auto good = read_text(path);
    const auto refused = [&](std::string_view why, std::vector<std::string> flags = {}) {
        flags.insert(flags.begin(), "--resume");
        const auto outcome = training.finish(flags);
        EXPECT_EQ(outcome.exit_code, 1) << why << outcome;
        EXPECT_NE(outcome.err.find(why), std::string::npos) << outcome.err;
        EXPECT_NE(outcome.err.find("checkpoint.safetensors"), std::string::npos) << outcome.err;
    };
    refused("was written with other options (wanted width=32, the file has width=16)", {"--width", "32"});
    refused("wanted seed=7, the file has seed=1", {"--seed", "7"});
    write_text(path, std::string_view(good).substr(0, good.size() / 2));
    refused("");
    auto flipped = good;
    flipped[flipped.size() - 100] = static_cast<char>(flipped[flipped.size() - 100] ^ 16);
    write_text(path, flipped);
    refused("checksum");
    write_text(path, good);
    fs::rename(training.out / "model.safetensors", training.out / "hidden");
    refused("not beside it");
    fs::rename(training.out / "hidden", training.out / "model.safetensors");
    ASSERT_TRUE(model::write_training_data(ring(61, 1), training.data));
    refused("was written for other training data");
    EXPECT_EQ(training.finish().exit_code, 0) << "without --resume training starts anew";
}

TEST(Resume, a_shops_training_goes_on_in_the_folder_of_the_run_that_was_killed) {
    const TempDir scratch("perennial-resume");
    const auto made = scratch.path() / "made";
    run_well({"simulate", "--out", made, "--customers", "250", "--products", "60", "--days", "150"});
    const auto train = [](const fs::path& shop) {
        return std::vector<std::string>{"train", "--shop", shop, "--json", "--seconds", "0", "--train=--epochs-limit=3", "--train=--width=32", "--train=--checkpoint-steps=2"};
    };
    const auto whole = scratch.path() / "whole", killed = scratch.path() / "killed";
    for (const auto& shop : {whole, killed}) run_well({"import", "--shop", shop, made / "events.jsonl"});
    const auto undisturbed = run_well(train(whole), {.time_limit = Seconds(300)});

    const auto runs = [&] {
        std::vector<fs::path> found;
        std::error_code error;
        for (const auto& entry : fs::directory_iterator(killed / "models", error))
            if (entry.is_directory()) found.push_back(entry.path());
        return found;
    };
    Rng rng(1);
    int kills = 0;
    for (; kills < 8; ++kills) {
        Process training(perennial(train(killed)), {.time_limit = Seconds(300)});
        const bool ended = training.wait_for_end(Seconds(undisturbed.seconds * rng.uniform(0.2, 0.6)));
        ASSERT_FALSE(ended && training.finish().exit_code != 0) << training.finish();
        if (ended) break;
        training.signal(SIGKILL);
        training.finish();
        ASSERT_LE(runs().size(), 1u) << "a killed training's folder is used again";
    }
    const bool complete = fs::exists(killed / "models" / "current");
    if (!complete) run_well(train(killed), {.time_limit = Seconds(300)});
    EXPECT_GE(kills, 1);
    ASSERT_EQ(runs().size(), 1u);
    const auto run_of = [](const fs::path& shop) { return shop / "models" / lines(read_text(shop / "models" / "current")).front(); };
    EXPECT_FALSE(fs::exists(run_of(killed) / "plan"));
    for (const char* file : {"model.safetensors", "churn/model.safetensors", "next-purchase.json", "churn.json", "vocabulary.txt"}) {
        ASSERT_EQ(fs::exists(run_of(whole) / file), fs::exists(run_of(killed) / file)) << file;
        if (!fs::exists(run_of(whole) / file)) continue;
        EXPECT_TRUE(read_text(run_of(whole) / file) == read_text(run_of(killed) / file)) << file << " after " << kills << " kills";
    }
    run_well(train(killed), {.time_limit = Seconds(300)});
    EXPECT_EQ(runs().size(), 2u) << "a complete run is not touched again";
}

#endif

}  // namespace
}  // namespace perennial::test
