// The server as a shop's programs meet it: what it acknowledged survives its death, what it knows is used at once.
#include <gtest/gtest.h>

#include <cmath>
#include <limits>

#include <map>
#include <set>
#include <thread>

#include "base/file.h"
#include "base/rng.h"
#include "profile/store.h"
#include "program.h"
#include "server.h"

namespace perennial::test {
namespace {

std::string view(const std::string& user, int number, const std::string& product) {
    return json::serialize(json::object{{"type", "track"}, {"messageId", "m-" + user + "-" + std::to_string(number)}, {"event", "Product Viewed"}, {"userId", user},
                                        {"properties", {{"product_id", product}, {"name", "Thing " + product}, {"price", 4.5}, {"currency", "EUR"}}}});
}
std::string order(const std::string& user, int number, const std::string& product) {
    return json::serialize(json::object{{"type", "track"}, {"messageId", "o-" + user + "-" + std::to_string(number)}, {"event", "Order Completed"}, {"userId", user},
                                        {"properties", {{"order_id", user + "-" + std::to_string(number)}, {"currency", "EUR"},
                                                        {"products", json::array{json::object{{"product_id", product}, {"name", "Thing " + product}, {"price", 4.5}, {"quantity", 1}}}}}}});
}

std::uint64_t events_known(const Server& server, const std::string& user) {
    const auto answer = server.get("/v1/recommendations?user_id=" + user + "&n=5");
    EXPECT_EQ(answer.status, 200) << answer.body;
    return answer.status == 200 ? json::parse(answer.body).at("events_known").to_number<std::uint64_t>() : 0;
}

class Serve : public ::testing::Test {
protected:
    void SetUp() override {
        write_text(scratch_.path() / "orders.csv", online_retail_export(3'000, Rng(5)).csv);
        run_well({"import", "--shop", shop(), scratch_.path() / "orders.csv"});
    }
    fs::path shop() const { return scratch_.path() / "shop"; }
    TempDir scratch_{"perennial-serve"};
};

TEST_F(Serve, the_next_recommendation_knows_an_event_that_was_just_acknowledged) {
    Server server(shop());
    EXPECT_EQ(server.get("/healthz").status, 200);
    EXPECT_EQ(server.get("/readyz").status, 200);
    EXPECT_EQ(events_known(server, "newcomer"), 0u);
    for (int i = 1; i <= 20; ++i) {
        const auto answer = server.post("/v1/track", view("newcomer", i, "20001"));
        ASSERT_EQ(answer.status, 200) << answer.body;
        EXPECT_EQ(events_known(server, "newcomer"), static_cast<std::uint64_t>(i));
    }
    EXPECT_EQ(server.post("/v1/track", view("newcomer", 20, "20001")).status, 200);
    EXPECT_EQ(events_known(server, "newcomer"), 20u) << "the same message twice is one event";
    const auto body = json::parse(server.get("/v1/recommendations?user_id=newcomer&n=5").body);
    EXPECT_EQ(body.at("recommendations").as_array().size(), 5u);
    EXPECT_EQ(body.at("known_customer"), true);
    const auto customer = json::parse(server.get("/v1/customers/newcomer").body);
    EXPECT_EQ(customer.at("events_total").to_number<int>(), 20);
}

TEST_F(Serve, what_was_just_bought_and_does_not_run_out_is_not_offered_next) {
    Server server(shop());
    const auto offered = [&] {
        std::vector<std::string> products;
        const auto body = json::parse(server.get("/v1/recommendations?user_id=buyer&n=5").body);
        for (const auto& r : body.at("recommendations").as_array()) products.emplace_back(r.at("product_id").as_string());
        return products;
    };
    ASSERT_EQ(server.post("/v1/track", view("buyer", 1, "20001")).status, 200);
    const auto first = offered().at(0);
    ASSERT_EQ(server.post("/v1/track", order("buyer", 1, first)).status, 200);
    const auto after = offered();
    EXPECT_EQ(std::ranges::count(after, first), 0) << first << " is offered right after it was bought";
}

TEST_F(Serve, every_event_acknowledged_before_a_kill_is_there_after_the_restart) {
    std::map<std::string, std::uint64_t> acknowledged;
    for (int round = 0; round < 4; ++round) {
        Server server(shop());
        for (const auto& [user, count] : acknowledged) ASSERT_EQ(events_known(server, user), count) << "of " << user << " after kill " << round;
        for (int i = 0; i < 25; ++i) {
            const std::string user = "u" + std::to_string(round) + "-" + std::to_string(i % 5);
            json::array batch;
            for (int k = 0; k < 4; ++k) batch.push_back(json::parse(view(user, i * 10 + k, "20007")));
            const auto answer = server.post("/v1/batch", json::serialize(json::object{{"batch", batch}}));
            ASSERT_EQ(answer.status, 200) << answer.body;
            acknowledged[user] += 4;
        }
        server.process().signal(SIGKILL);  // right behind the last acknowledgement
        EXPECT_EQ(server.process().finish().signal, SIGKILL);
    }
    Server server(shop());  // folds what the journal had before the profiles had it
    for (const auto& [user, count] : acknowledged) EXPECT_EQ(events_known(server, user), count) << user;
}

TEST_F(Serve, a_kill_among_many_busy_clients_loses_nothing_that_any_of_them_was_told_is_kept) {
    constexpr int kClients = 4;
    Rng rng(17);
    std::array<std::vector<int>, kClients> acknowledged;  // numbers of the messages that were answered with 200
    std::array<int, kClients> sent{};
    for (int round = 0; round < 3; ++round) {
        Server server(shop());
        std::vector<std::thread> clients;
        for (std::size_t c = 0; c < kClients; ++c)
            clients.emplace_back([&, c] {
                for (int failures = 0; failures == 0;) {
                    const int n = sent[c]++;
                    if (server.post("/v1/track", view("busy" + std::to_string(c), n, "20001")).status == 200) acknowledged[c].push_back(n);
                    else ++failures;
                }
            });
        server.process().wait_for_end(Seconds(0.2 + 0.3 * rng.uniform()));
        server.process().signal(SIGKILL);
        for (auto& client : clients) client.join();
    }
    const auto store = profile::Store::open(shop());  // folds what the journal had before the profiles had it
    ASSERT_TRUE(store.ok()) << store.error().message;
    for (std::size_t c = 0; c < kClients; ++c) {
        ASSERT_GT(acknowledged[c].size(), 5u);
        const auto user = "busy" + std::to_string(c);
        std::set<std::string> kept;
        const auto events = store->timeline(profile::user_key(user));
        ASSERT_TRUE(events.ok());
        for (const auto& event : *events) kept.insert(event.message_id);
        EXPECT_EQ(kept.size(), events->size()) << "an event is there twice";
        for (const int n : acknowledged[c]) EXPECT_TRUE(kept.contains("m-" + user + "-" + std::to_string(n))) << user << " message " << n;
    }
}

TEST_F(Serve, what_was_done_before_signing_in_belongs_to_the_customer_afterwards) {
    const Server server(shop());
    const auto post = [&](const std::string& path, const json::object& message) { EXPECT_EQ(server.post(path, json::serialize(message)).status, 200); };
    post("/v1/track", {{"type", "track"}, {"messageId", "a1"}, {"event", "Product Viewed"}, {"anonymousId", "device"}, {"properties", {{"product_id", "20001"}}}});
    EXPECT_EQ(server.get("/v1/customers/lea").status, 404);
    post("/v1/identify", {{"type", "identify"}, {"messageId", "a2"}, {"userId", "lea"}, {"anonymousId", "device"}});
    post("/v1/track", {{"type", "track"}, {"messageId", "a3"}, {"event", "Product Viewed"}, {"userId", "lea"}, {"properties", {{"product_id", "20002"}}}});
    const auto answer = server.get("/v1/customers/lea");
    ASSERT_EQ(answer.status, 200) << answer.body;
    EXPECT_EQ(json::parse(answer.body).at("events_total").to_number<int>(), 3);
}

TEST_F(Serve, a_stop_signal_ends_the_server_with_exit_code_0_and_keeps_everything) {
    for (const int signal : {SIGTERM, SIGINT}) {
        Server server(shop());
        const std::string user = "s" + std::to_string(signal);
        ASSERT_EQ(server.post("/v1/track", view(user, 1, "20001")).status, 200);
        server.process().signal(signal);
        const auto outcome = server.process().finish();
        EXPECT_EQ(outcome.exit_code, 0) << outcome;
        EXPECT_LT(outcome.seconds, 60);
        EXPECT_EQ(json::parse(run_well({"customer", "--shop", shop(), user, "--json"}).out).at("events_total").to_number<int>(), 1);
    }
}

TEST_F(Serve, commands_that_read_work_beside_a_running_server_and_see_its_events) {
    Server server(shop());
    for (int i = 1; i <= 3; ++i) ASSERT_EQ(server.post("/v1/track", view("beside", i, "20001")).status, 200);
    ASSERT_EQ(server.get("/v1/customers/beside").status, 200);  // waits for the profiles; another process cannot
    EXPECT_EQ(json::parse(run_well({"customer", "--shop", shop(), "beside", "--json"}).out).at("events_total").to_number<int>(), 3);
    EXPECT_EQ(json::parse(run_well({"recommend", "--shop", shop(), "--customer", "beside", "--json"}).out).at("events_known").to_number<int>(), 3);
    EXPECT_EQ(run({"check", "--shop", shop()}).exit_code, 0);
    EXPECT_EQ(server.get("/healthz").status, 200);
}

TEST_F(Serve, an_import_beside_a_running_server_says_which_process_holds_the_shop) {
    Server server(shop());
    const auto outcome = run({"import", "--shop", shop(), scratch_.path() / "orders.csv"});
    EXPECT_EQ(outcome.exit_code, 1);
    const auto said = complaint(outcome);
    EXPECT_NE(said.find("in use by process " + std::to_string(server.process().pid())), std::string::npos) << said;
    EXPECT_EQ(server.post("/v1/track", view("after", 1, "20001")).status, 200) << "the server goes on";
}

TEST_F(Serve, a_second_server_on_the_same_shop_or_port_is_refused) {
    Server server(shop());
    const auto same_shop = run({"serve", "--shop", shop(), "--listen", "127.0.0.1:0"});
    EXPECT_EQ(same_shop.exit_code, 1);
    EXPECT_NE(complaint(same_shop).find("in use by process"), std::string::npos);

    const auto other = scratch_.path() / "other";
    run_well({"init", other});
    const auto same_port = run({"serve", "--shop", other, "--listen", "127.0.0.1:" + std::to_string(server.port())});
    EXPECT_EQ(same_port.exit_code, 1);
    const auto said = complaint(same_port);
    EXPECT_NE(said.find(std::to_string(server.port())), std::string::npos) << "which port: " << said;
    EXPECT_NE(said.find("in use"), std::string::npos) << said;
    EXPECT_TRUE(same_port.out.empty()) << same_port;
}

TEST_F(Serve, an_address_that_others_can_reach_is_refused_without_keys) {
    const auto outcome = run({"serve", "--shop", shop(), "--listen", "0.0.0.0:0"});
    EXPECT_EQ(outcome.exit_code, 1);
    EXPECT_NE(complaint(outcome).find("key"), std::string::npos);
}

TEST_F(Serve, a_bad_event_in_a_batch_is_quarantined_with_its_reason_and_its_neighbours_are_kept) {
    Server server(shop());
    json::array batch{json::parse(view("mixed", 1, "20001")), json::object{{"type", "track"}, {"userId", "mixed"}}, json::parse(view("mixed", 2, "20001"))};
    EXPECT_EQ(server.post("/v1/batch", json::serialize(json::object{{"batch", batch}})).status, 200);
    EXPECT_EQ(events_known(server, "mixed"), 2u);
    const auto quarantine = lines(read_text(shop() / "quarantine" / "quarantine.jsonl"));
    ASSERT_EQ(quarantine.size(), 1u);
    EXPECT_EQ(json::parse(quarantine[0]).at("file"), "http");
    EXPECT_FALSE(json::parse(quarantine[0]).at("reason").as_string().empty());
}

TEST_F(Serve, a_shop_without_any_event_can_be_served_and_answers_sensibly) {
    const auto empty = scratch_.path() / "empty";
    run_well({"init", empty});
    Server server(empty);
    EXPECT_EQ(events_known(server, "nobody"), 0u);
    EXPECT_EQ(server.get("/v1/customers/nobody").status, 404);
    ASSERT_EQ(server.post("/v1/track", view("first", 1, "p1")).status, 200);
    ASSERT_EQ(server.post("/v1/track", order("first", 2, "p1")).status, 200);
    EXPECT_EQ(events_known(server, "first"), 2u);
    EXPECT_EQ(server.get("/v1/customers/first").status, 200);
}

#ifdef PERENNIAL_TRAINS

// What a client reads of an explanation (docs/formats/http.md), from a simulated shop with a trained network.
TEST_F(Serve, explanations_have_their_fields_and_add_up) {
    const auto shop = scratch_.path() / "simulated", made = scratch_.path() / "made";
    run_well({"simulate", "--out", made, "--customers", "120", "--products", "60", "--days", "200", "--seed", "3"});
    run_well({"init", shop});
    run_well({"import", "--shop", shop, made / "events.jsonl"});
    run_well({"train", "--shop", shop, "--seconds", "8", "--train=--width=32"}, {.time_limit = Seconds(300)});
    const Server server(shop);
    const auto ask = [&](const std::string& user, const std::string& reasons) {
        const auto answer = server.get("/v1/recommendations?user_id=" + user + "&n=10&reasons=" + reasons);
        EXPECT_EQ(answer.status, 200) << answer.body;
        return json::parse(answer.body).at("recommendations").as_array();
    };
    int explained = 0;
    double missing_sum = 0;
    for (int c = 1; c <= 40; ++c) {
        const auto user = "C" + std::string(c < 10 ? "00000" : "0000") + std::to_string(c);
        const auto full = ask(user, "full"), brief = ask(user, "short"), bare = ask(user, "none");
        ASSERT_EQ(full.size(), brief.size());
        ASSERT_EQ(full.size(), bare.size());
        for (std::size_t k = 0; k < full.size(); ++k) {
            const auto& r = full[k].as_object();
            EXPECT_EQ(r.at("product_id"), brief[k].at("product_id"));
            EXPECT_EQ(r.at("product_id"), bare[k].at("product_id"));
            EXPECT_FALSE(bare[k].as_object().contains("reason"));
            EXPECT_FALSE(brief[k].as_object().contains("explanation"));
            EXPECT_EQ(r.at("reason"), brief[k].at("reason"));
            EXPECT_FALSE(r.at("reason").at("en").as_string().empty());
            EXPECT_FALSE(r.at("reason").at("zh").as_string().empty());
            if (r.contains("moved_by")) {
                double before = std::numeric_limits<double>::infinity();
                std::set<std::string> groups;
                for (const auto& group : r.at("moved_by").as_array()) {
                    EXPECT_LE(group.at("effect").to_number<double>(), before);
                    before = group.at("effect").to_number<double>();
                    groups.insert(std::string(group.at("group").as_string()));
                }
                EXPECT_EQ(groups, (std::set<std::string>{"network", "alike", "together", "popularity", "own_past", "recency", "history"}));
            }
            if (!r.contains("explanation")) continue;  // a customer without events, a product new to the network
            ++explained;
            const auto& e = r.at("explanation").as_object();
            const auto& events = e.at("events").as_array();
            ASSERT_LE(events.size(), 5u);
            double effects = 0, sizes = 0, shares = 0;
            for (const auto& event : events) {
                for (const char* field : {"kind", "time", "product_id", "title"}) EXPECT_TRUE(event.at(field).is_string()) << field;
                const double effect = event.at("effect").to_number<double>(), share = event.at("share").to_number<double>();
                effects += effect;
                sizes += std::abs(effect);
                shares += share;
                EXPECT_GT(share, 0);
                EXPECT_NEAR(share * sizes, std::abs(effect) * shares, 1e-6 * (1 + sizes));  // in proportion to the effects
            }
            EXPECT_LE(shares, 1 + 1e-9);
            const double others = e.at("others").to_number<double>();
            if (events.size() < 5) {
                EXPECT_NEAR(shares, 1, 1e-9);
            }
            const double all = shares > 0 ? sizes / shares : 0, difference = e.at("value").to_number<double>() - e.at("baseline").to_number<double>();
            const double missing = std::abs(effects + others - difference) / (all + 1e-6);
            EXPECT_LT(missing, 0.06) << json::serialize(e);
            missing_sum += missing;
        }
    }
    ASSERT_GT(explained, 100);
    EXPECT_LT(missing_sum / explained, 0.03);
}

#endif

}  // namespace
}  // namespace perennial::test
