// The search for settings as its users run it: killed and started again it ends as if nothing had happened.
#include <gtest/gtest.h>

#include <regex>

#include "base/file.h"
#include "base/rng.h"
#include "predict/settings_search.h"
#include "program.h"

namespace perennial::test {
namespace {

// Users who walk round a ring of items, each line a user.
void write_sequences(const fs::path& path, int users) {
    std::string text;
    Rng rng(11);
    for (int u = 0; u < users; ++u) {
        text += "u" + std::to_string(u);
        auto item = rng.below(40);
        for (int k = 0; k < 8; ++k) text += " i" + std::to_string(item = (item + 1 + rng.below(2)) % 40);
        text += "\n";
    }
    write_text(path, text);
}

std::vector<std::string> search_of(const fs::path& sequences, const fs::path& out, int trials, int seed = 1) {
    return {"bench", "nextitem", "--sequences", sequences, "--out", out, "--search", std::to_string(trials), "--search-epochs", "3", "--seed", std::to_string(seed), "--json"};
}

// What a search found, without how long it took.
json::value findings(std::string_view text) {
    auto search = json::parse(json::string_view(text.data(), text.size())).at("search").as_object();
    search.erase("seconds");
    for (auto& trial : search.at("trials").as_array()) trial.as_object().erase("seconds");
    return search;
}

#ifdef PERENNIAL_TRAINS

TEST(Search, killed_again_and_again_ends_as_one_that_was_never_killed) {
    const TempDir scratch("perennial-search");
    const auto sequences = scratch.path() / "sequences.txt";
    write_sequences(sequences, 150);
    const ProcessOptions patient{.time_limit = Seconds(300)};
    const auto whole = run_well(search_of(sequences, scratch.path() / "whole", 4), patient);
    const auto wanted = findings(whole.out);
    const auto& trials = wanted.at("trials").as_array();
    ASSERT_GE(trials.size(), 5u) << "four trials, and promotions";
    EXPECT_EQ(trials.at(0).at("trial"), 0);
    EXPECT_GE(wanted.at("best").at("valid_ndcg@10").as_double(), wanted.at("defaults").at("valid_ndcg@10").as_double());

    const auto out = scratch.path() / "killed";
    Rng rng(5);
    int kills = 0;
    while (kills < 15) {
        Process search(perennial(search_of(sequences, out, 4)), patient);
        if (search.wait_for_end(Seconds(rng.uniform(0.1, whole.seconds / 3)))) break;
        search.signal(SIGKILL);
        search.finish();
        ++kills;
    }
    EXPECT_GE(kills, 2);
    const auto resumed = run_well(search_of(sequences, out, 4), patient);
    EXPECT_EQ(findings(resumed.out), wanted) << "after " << kills << " kills";
    for (const char* key : {"ndcg@10", "recall@10"}) EXPECT_EQ(json::parse(resumed.out).at(key), json::parse(whole.out).at(key));

    // The folder belongs to this search: other data or another seed are refused, more trials are welcome.
    const auto other = run(search_of(sequences, out, 4, 2), patient);
    EXPECT_EQ(other.exit_code, 1);
    EXPECT_NE(other.err.find("another seed"), std::string::npos) << other.err;
    write_sequences(sequences, 151);
    const auto changed = run(search_of(sequences, out, 4), patient);
    EXPECT_EQ(changed.exit_code, 1);
    EXPECT_NE(changed.err.find("another data"), std::string::npos) << changed.err;
}

TEST(Search, starts_from_the_trainers_own_defaults) {
    const auto help = Process({fs::path(PERENNIAL_PROGRAM).parent_path() / "perennial-train", "--help"}, {}).finish();
    for (const auto& parameter : predict::network_space())
        EXPECT_TRUE(std::regex_search(help.out, std::regex("--" + parameter.name + " [A-Z]+[= []+" + tune::text(parameter, parameter.initial) + "\\b")))
            << parameter.name << ": predict/settings_search.cpp names another default than\n" << help.out;
}

#endif

TEST(Search, refuses_a_count_out_of_range_as_wrong_usage) {
    for (const char* count : {"0", "-1", "x"}) EXPECT_EQ(run({"bench", "nextitem", "--sequences", "none.txt", "--search", count}).exit_code, 2) << count;
    EXPECT_EQ(run({"train", "--shop", "none", "--search", "3", "--update"}).exit_code, 2);
}

}  // namespace
}  // namespace perennial::test
