// train --update as its users meet it: a shop goes on from the model it has.
#include <gtest/gtest.h>

#include "base/file.h"
#include "program.h"

namespace perennial::test {
namespace {

#ifdef PERENNIAL_TRAINS

// The messages of a simulated shop before and from a moment on.
std::pair<std::string, std::string> cut(const fs::path& events, std::string_view moment) {
    std::pair<std::string, std::string> parts;
    for (const auto& line : lines(read_text(events))) {
        const std::string_view field = "\"timestamp\":\"";
        const auto at = line.find(field);
        if (at == std::string::npos) throw std::runtime_error("a message without timestamp: " + line);
        (std::string_view(line).substr(at + field.size(), moment.size()) < moment ? parts.first : parts.second) += line + "\n";
    }
    return parts;
}

std::vector<std::string> vocabulary(const fs::path& run) { return lines(read_text(run / "vocabulary.txt")); }

TEST(Update, goes_on_from_the_current_run_and_keeps_its_products_numbers) {
    const TempDir scratch("perennial-update");
    const auto shop = scratch.path() / "shop";
    run_well({"simulate", "--out", scratch.path() / "made", "--customers", "250", "--products", "60", "--days", "150"});
    const auto [first, rest] = cut(scratch.path() / "made" / "events.jsonl", "2023-05-01");
    write_text(scratch.path() / "first.jsonl", first);
    write_text(scratch.path() / "rest.jsonl", rest);
    const std::vector<std::string> small{"train", "--shop", shop, "--json", "--seconds", "0", "--train=--epochs-limit=2", "--train=--width=32"};
    auto update = small;
    update.push_back("--update");

    run_well({"import", "--shop", shop, scratch.path() / "first.jsonl"});
    const auto early = run(update);
    EXPECT_EQ(early.exit_code, 1);
    EXPECT_NE(early.err.find("train once without --update"), std::string::npos) << early.err;

    const auto trained = json::parse(run_well(small, {.time_limit = Seconds(300)}).out);
    const auto parent = shop / "models" / std::string(trained.at("run").as_string());
    EXPECT_TRUE(trained.at("parent").is_null());
    const auto nothing_new = run(update);
    EXPECT_EQ(nothing_new.exit_code, 1);
    EXPECT_NE(nothing_new.err.find("nothing has happened since"), std::string::npos) << nothing_new.err;

    run_well({"import", "--shop", shop, scratch.path() / "rest.jsonl"});
    // The parent's width is kept without being named again.
    const auto updated = json::parse(run_well({"train", "--shop", shop, "--json", "--seconds", "0", "--update"}, {.time_limit = Seconds(300)}).out);
    EXPECT_EQ(updated.at("parent"), trained.at("run"));
    const auto child = shop / "models" / std::string(updated.at("run").as_string());
    EXPECT_NE(child, parent);
    EXPECT_EQ(lines(read_text(shop / "models" / "current")).front(), child.filename());
    const auto lineage = json::parse(read_text(child / "lineage.json"));
    EXPECT_EQ(lineage.at("parent"), trained.at("run"));
    EXPECT_EQ(lineage.at("train_flags"), json::parse(read_text(parent / "lineage.json")).at("train_flags"));
    EXPECT_GT(lineage.at("learned_until_ms").as_int64(), json::parse(read_text(parent / "lineage.json")).at("learned_until_ms").as_int64());

    const auto before = vocabulary(parent), after = vocabulary(child);
    ASSERT_GE(after.size(), before.size());
    EXPECT_TRUE(std::equal(before.begin(), before.end(), after.begin())) << "known products keep their numbers";
    EXPECT_TRUE(fs::exists(parent / "content.safetensors") && fs::exists(child / "content.safetensors"));
    EXPECT_TRUE(fs::exists(child / "churn.json") == fs::exists(parent / "churn.json"));
    run_well({"check", "--shop", shop});
    run_well({"evaluate", "--shop", shop, "--seconds", "2"}, {.time_limit = Seconds(300)});  // reads the run and writes the report
}

#endif

}  // namespace
}  // namespace perennial::test
