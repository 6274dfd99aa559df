// The public protocols as a user runs them: both forms of a sequence file, items, cold start, and files that are wrong.
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/rng.h"
#include "program.h"

namespace perennial::test {
namespace {

// Users walk along one of five series of ten items, whose titles name the series.
struct Files {
    TempDir scratch{"perennial-bench-test"};
    fs::path lines = scratch.path() / "lines.txt", pairs = scratch.path() / "pairs.txt", items = scratch.path() / "items.csv";

    explicit Files(int users) {
        Rng rng(4);
        std::string line_text, pair_text, item_text = "item_id,title,price\n";
        for (int u = 0; u < users; ++u) {
            const auto series = rng.below(5);
            auto at = rng.below(10);
            line_text += "u" + std::to_string(u);
            for (int k = 0; k < 7; ++k) {
                const auto item = "i" + std::to_string(10 * series + at);
                at = (at + 1 + rng.below(2)) % 10;
                line_text += " " + item;
                pair_text += "u" + std::to_string(u) + " " + item + "\n";
            }
            line_text += "\n";
        }
        const char* names[] = {"red porcelain cup", "garden steel chair", "silver pearl ring", "winter wool scarf", "wooden toy train"};
        for (int i = 0; i < 50; ++i) item_text += "i" + std::to_string(i) + "," + names[i / 10] + " no " + std::to_string(i % 10) + "," + std::to_string(5 + i % 7) + "\n";
        write_text(lines, line_text);
        write_text(pairs, pair_text);
        write_text(items, item_text);
    }
    fs::path file(const std::string& name, std::string_view bytes) const {
        write_text(scratch.path() / name, bytes);
        return scratch.path() / name;
    }
};

void expect_refused(const std::vector<std::string>& arguments, const std::vector<std::string>& wanted) {
    const auto outcome = run(arguments);
    EXPECT_EQ(outcome.exit_code, 1) << outcome;
    EXPECT_EQ(outcome.out, "");
    for (const auto& text : wanted) EXPECT_NE(complaint(outcome).find(text), std::string::npos) << "want \"" << text << "\" in: " << complaint(outcome);
}

TEST(Bench, says_what_is_wrong_with_a_file) {
    const Files f(5);
    expect_refused({"bench", "nextitem", "--sequences", f.file("empty.txt", "")}, {"empty.txt", "empty"});
    expect_refused({"bench", "nextitem", "--sequences", f.file("alone.txt", "u1 a b c\nu2\n")}, {"alone.txt:2", "u2"});
    expect_refused({"bench", "nextitem", "--sequences", f.file("twice.txt", "u1 a b c\nu1 d e f\n")}, {"twice.txt:2", "user"});
    expect_refused({"bench", "nextitem", "--sequences", f.file("mixed.txt", "u1 a\nu1 b\nu2 a b c\n")}, {"mixed.txt:3", "two words"});
    expect_refused({"bench", "nextitem", "--sequences", f.file("short.txt", "u1 a b\nu2 b a\n")}, {"short.txt", "three items"});
    expect_refused({"bench", "nextitem", "--sequences", f.lines, "--items", f.file("strange.csv", "item_id,title\nx,y\n")}, {"strange.csv", "items that are in the sequences"});
    expect_refused({"bench", "nextitem", "--sequences", f.lines, "--items", f.file("list.json", "[1,2]")}, {"list.json", "JSON object"});
    expect_refused({"bench", "nextitem", "--sequences", f.lines, "--items", f.file("torn.csv", "item_id,title\ni1\n")}, {"torn.csv:2"});
    expect_refused({"bench", "coldstart", "--sequences", f.lines, "--items", f.items, "--cold-share", "0.01"}, {"left out", "--cold-share"});
}

#ifdef PERENNIAL_TRAINS

json::object result(const std::vector<std::string>& arguments) {
    const auto outcome = run_well(arguments, {.time_limit = Seconds(240)});
    return json::parse(outcome.out).as_object();
}

TEST(Bench, reads_a_line_a_user_and_a_line_an_action_alike) {
    const Files f(300);
    auto one = result({"bench", "nextitem", "--sequences", f.lines, "--json", "--train=--epochs-limit=2"});
    auto other = result({"bench", "nextitem", "--sequences", f.pairs, "--json", "--train=--epochs-limit=2"});
    for (const char* key : {"users", "users_tested", "items", "recall@10", "ndcg@10", "method", "chosen_on_validation"}) EXPECT_EQ(one.at(key), other.at(key)) << key;
    EXPECT_EQ(one.at("users"), 300);
    EXPECT_EQ(one.at("items"), 50);
    EXPECT_EQ(one.at("features"), 0);
    EXPECT_GT(one.at("ndcg@10").as_double(), 0.4);  // two items may follow, so half of the gain and more is there to be had
}

TEST(Bench, finds_items_that_nobody_had_by_what_they_are) {
    const Files f(600);
    const auto cold = result({"bench", "coldstart", "--sequences", f.lines, "--items", f.items, "--cold-share", "0.5", "--json", "--train=--epochs-limit=8"});
    const auto& recall = cold.at("recall@10").as_object();
    EXPECT_GT(recall.at("network").as_double(), 1.3 * recall.at("chance").as_double());
    EXPECT_GT(cold.at("questions").as_int64(), 100);
}

#endif

}  // namespace
}  // namespace perennial::test
