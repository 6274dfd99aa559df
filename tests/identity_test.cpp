// Identity as its users meet it: one customer across channels, merged, explained, taken back; and the benchmark's figures on
// public data, where that is there.
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

#include "base/file.h"
#include "program.h"

namespace perennial::test {
namespace {

constexpr const char* kEvents = R"({"type":"track","messageId":"1","event":"Product Viewed","anonymousId":"browser1","channel":"browser","timestamp":"2024-03-01T10:00:00Z","properties":{"product_id":"P1","name":"Tea"}}
{"type":"identify","messageId":"2","userId":"web1","anonymousId":"browser1","channel":"browser","timestamp":"2024-03-02T10:00:00Z","traits":{"email":"ann@x.com"}}
{"type":"identify","messageId":"3","userId":"app9","channel":"mobile","timestamp":"2024-03-03T10:00:00Z","traits":{"email":" ANN@x.com"}}
{"type":"track","messageId":"4","event":"Order Completed","userId":"card77","channel":"store","timestamp":"2024-03-04T10:00:00Z","properties":{"order_id":"R-9","currency":"EUR","email":"ann@x.com","products":[{"product_id":"P1","price":4.5,"quantity":2}]}}
{"type":"track","messageId":"5","event":"Support Opened","userId":"web1","channel":"support","timestamp":"2024-03-05T10:00:00Z","properties":{"order_id":"R-9","text":"Where is my tea?"}}
)";

TEST(Identity, joins_web_app_store_and_support_says_why_and_takes_it_back) {
    const TempDir scratch("perennial-identity");
    const auto shop = scratch.path() / "shop";
    std::string events = kEvents;
    for (int i = 0; i < 30; ++i)  // the desk's own address, in thirty accounts
        events += R"({"type":"identify","messageId":"g)" + std::to_string(i) + R"(","userId":"g)" + std::to_string(i) + R"(","timestamp":"2024-03-06T10:00:00Z","traits":{"email":"desk@shop.com"}})" + "\n";
    write_text(scratch.path() / "events.jsonl", events);
    run_well({"import", "--shop", shop, scratch.path() / "events.jsonl"});
    const auto timeline = [&](const char* user) { return run_well({"customer", "--shop", shop, user, "--timeline", "--json"}).out; };
    const auto alone = timeline("web1") + timeline("app9") + timeline("card77");

    const auto proposed = json::parse(run_well({"identity", "propose", "--shop", shop, "--json"}).out);
    EXPECT_EQ(proposed.at("proposals").as_array().size(), 3u);
    EXPECT_TRUE(proposed.at("applied").as_array().empty()) << "nothing is merged without a rule";
    ASSERT_EQ(proposed.at("super_nodes").as_array().size(), 1u);
    EXPECT_EQ(proposed.at("super_nodes").at(0).at("customers"), 30);
    std::vector<std::string> ids;
    for (const auto& p : proposed.at("proposals").as_array()) ids.emplace_back(p.at("id").as_string());

    run_well({"identity", "accept", "--shop", shop, ids[0], "--by", "kim", "--why", "same address"});
    run_well({"identity", "accept", "--shop", shop, ids[1], "--by", "kim"});
    const auto joined = json::parse(timeline("card77"));
    EXPECT_EQ(joined.at("timeline").as_array().size(), 5u);
    EXPECT_EQ(joined.at("channels"), (json::object{{"app", 1}, {"store", 1}, {"support", 1}, {"web", 2}}));
    const auto explained = json::parse(run_well({"identity", "explain", "--shop", shop, "u:web1", "--json"}).out);
    EXPECT_EQ(explained.at("keys").as_array().size(), 3u);
    EXPECT_EQ(explained.at("links").at(0).at("who"), "kim");
    EXPECT_EQ(explained.at("links").at(0).at("grounds").at(0).at("field"), "email");

    run_well({"identity", "undo", "--shop", shop, ids[0], "--by", "kim"});
    run_well({"identity", "undo", "--shop", shop, ids[1], "--by", "kim"});
    EXPECT_EQ(timeline("web1") + timeline("app9") + timeline("card77"), alone);
    EXPECT_EQ(run({"identity", "undo", "--shop", shop, ids[0]}).exit_code, 1);
    EXPECT_NE(run({"identity", "accept", "--shop", shop, "u:web1", "u:nobody"}).err.find("no events of u:nobody"), std::string::npos);

    // A rule applies what it states, and not what would join again those that were taken apart.
    write_text(shop / "identity.toml", "[apply]\nidentifiers = [\"email\"]\n");
    const auto ruled = json::parse(run_well({"identity", "propose", "--shop", shop, "--json"}).out);
    EXPECT_EQ(ruled.at("applied").as_array().size(), 1u);
    EXPECT_EQ(ruled.at("applied").at(0).at("who"), "rule");
    write_text(shop / "identity.toml", "[apply]\nalways = true\n");
    const auto wrong = run({"identity", "propose", "--shop", shop});
    EXPECT_EQ(wrong.exit_code, 1);
    EXPECT_NE(wrong.err.find("identity.toml:2: apply.always: want identifiers or probability"), std::string::npos) << wrong.err;
    EXPECT_EQ(run({"identity", "accept", "--shop", shop}).exit_code, 2);
}

fs::path data(const char* file) {
    const char* folder = std::getenv("PERENNIAL_DATA");
    return folder ? fs::path(folder) / file : fs::path();
}

TEST(Identity, public_records_are_linked_as_well_as_documented) {
    if (!fs::exists(data("splink_fake_1000/fake_1000.csv.gz"))) GTEST_SKIP() << "PERENNIAL_DATA has no splink_fake_1000";
    const auto fake = json::parse(run_well({"bench", "identity", "--csv", data("splink_fake_1000/fake_1000.csv.gz"), "--truth", "cluster", "--json"}).out);
    EXPECT_GE(fake.at("clustered").at("f1").to_number<double>(), 0.95);
    EXPECT_EQ(fake.at("clustered").at("pairs_true").to_number<double>(), 2975);
    if (!fs::exists(data("febrl/dataset4a.csv.gz"))) GTEST_SKIP() << "PERENNIAL_DATA has no febrl";
    const auto febrl = json::parse(run_well({"bench", "identity", "--csv", data("febrl/dataset4a.csv.gz"), "--csv2", data("febrl/dataset4b.csv.gz"), "--truth", "rec_id",
                                             "--truth-match", "rec-([0-9]+)-", "--json"}).out);
    EXPECT_GE(febrl.at("one_to_one").at("f1").to_number<double>(), 0.99);
    EXPECT_EQ(febrl.at("records"), 10'000);
}

TEST(Identity, made_people_are_found_and_wrong_flags_refused) {
    const auto made = json::parse(run_well({"bench", "identity", "--generate", "20000", "--json"}, {.time_limit = Seconds(120)}).out);
    EXPECT_GE(made.at("clustered").at("f1").to_number<double>(), 0.98);
    EXPECT_EQ(run({"bench", "identity"}).exit_code, 1);
    const TempDir scratch("perennial-identity");
    write_text(scratch.path() / "x.csv", "a,b\n1,2\n");
    EXPECT_NE(run({"bench", "identity", "--csv", scratch.path() / "x.csv", "--truth", "a"}).err.find("--field COLUMN=KIND"), std::string::npos);
    EXPECT_NE(run({"bench", "identity", "--csv", scratch.path() / "x.csv", "--truth", "c", "--field", "b=text"}).err.find("want a column 'c'"), std::string::npos);
    EXPECT_NE(run({"bench", "identity", "--csv", scratch.path() / "x.csv", "--truth", "a", "--field", "b=words"}).err.find("KIND one of"), std::string::npos);
}

}  // namespace
}  // namespace perennial::test
