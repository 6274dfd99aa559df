// The whole way of a shop, by the program alone: simulate, import, check, train, evaluate, recommend; and whether what was
// learned comes near what is true, which only the simulator knows.
#include <gtest/gtest.h>

#include <cmath>
#include <map>
#include <set>

#include "base/file.h"
#include "predict/replenishment.h"
#include "predict/shop_data.h"
#include "profile/store.h"
#include "program.h"
#include "server.h"

namespace perennial::test {
namespace {

double number(const json::value& value) { return value.to_number<double>(); }
std::string text(const json::value& value) { return std::string(value.as_string()); }

[[maybe_unused]] const json::value& named_entry(const json::value& list, std::string_view name) {
    for (const auto& entry : list.as_array())
        if (entry.at("name").as_string() == name) return entry;
    throw std::runtime_error("no entry named " + std::string(name));
}

// How often a value of `above` beats one of `below`; ties count half.
[[maybe_unused]] double auc(const std::vector<double>& above, const std::vector<double>& below) {
    double wins = 0;
    for (const double a : above)
        for (const double b : below) wins += a > b ? 1 : a == b ? 0.5 : 0;
    return wins / (static_cast<double>(above.size()) * static_cast<double>(below.size()));
}

// Everything after the time limit of a training depends on the machine's speed: a result that must not is dropped here.
[[maybe_unused]] json::value without_timings(json::value value) {
    if (auto* object = value.if_object()) {
        for (const auto* name : {"run", "train_seconds", "train_seconds_to_best", "positions_per_second"}) object->erase(name);
        for (auto& member : *object) member.value() = without_timings(std::move(member.value()));
    } else if (auto* list = value.if_array()) {
        for (auto& entry : *list) entry = without_timings(std::move(entry));
    }
    return value;
}

// Where ctest's browser test looks for the page that the journey makes; kept after the run.
const fs::path kKept = PERENNIAL_JOURNEY_DIR;

// Simulated and imported once for all tests; trained and evaluated as well where this build can.
class Journey : public ::testing::Test {
protected:
    static fs::path simulated() { return kKept / "simulated"; }
    static fs::path shop() { return kKept / "shop"; }
    static inline json::value imported, trained, evaluated;

    static void SetUpTestSuite() {
        fs::remove_all(kKept);
        fs::create_directories(kKept);
        run_well({"simulate", "--out", simulated(), "--customers", "600", "--products", "150", "--days", "400", "--seed", "7"});
        imported = json::parse(run_well({"import", "--shop", shop(), simulated() / "events.jsonl", "--json"}).out).at(0);
#ifdef PERENNIAL_TRAINS
        trained = json::parse(run_well({"train", "--shop", shop(), "--seconds", "15", "--seed", "7", "--json"}, {.time_limit = Seconds(180)}).out);
        evaluated = json::parse(run_well({"evaluate", "--shop", shop(), "--seconds", "15", "--seed", "7", "--json"}, {.time_limit = Seconds(180)}).out);
#endif
    }
    static const Table& truth() {
        static const Table table(simulated() / "truth.csv");
        return table;
    }
    static const Table& products() {
        static const Table table(simulated() / "products.csv");
        return table;
    }
    static json::value recommend(const Server& server, const std::string& customer, int count) {
        const auto answer = server.get("/v1/recommendations?user_id=" + customer + "&n=" + std::to_string(count));
        EXPECT_EQ(answer.status, 200) << answer.body;
        return json::parse(answer.body);
    }
};

TEST_F(Journey, every_message_of_the_simulator_is_imported_and_the_fates_add_up) {
    const auto messages = lines(read_text(simulated() / "events.jsonl")).size();
    EXPECT_EQ(number(imported.at("rows")), static_cast<double>(messages));
    EXPECT_EQ(number(imported.at("events")), number(imported.at("accepted")));
    const auto reports = json::parse(run_well({"check", "--shop", shop(), "--json"}).out);
    ASSERT_EQ(reports.as_array().size(), 1u);
    EXPECT_EQ(sum_of_fates(reports.at(0)), messages);
    for (const auto& fate : reports.at(0).at("fates").as_array())
        EXPECT_TRUE(fate.at("name") != "quarantined" || number(fate.at("rows")) == 0) << json::serialize(fate);
}

TEST_F(Journey, importing_the_same_file_twice_adds_no_event) {
    const auto again = json::parse(run_well({"import", "--shop", shop(), simulated() / "events.jsonl", "--json"}).out).at(0);
    EXPECT_EQ(number(again.at("accepted")), 0);
    EXPECT_EQ(number(again.at("already_known")), number(imported.at("accepted")));
    EXPECT_EQ(json::parse(run_well({"check", "--shop", shop(), "--json"}).out).as_array().size(), 1u);
}

TEST_F(Journey, the_same_seed_simulates_the_same_bytes_and_another_seed_others) {
    const TempDir scratch("perennial-journey");
    const auto made = [&](const char* folder, const char* seed) {
        run_well({"simulate", "--out", scratch.path() / folder, "--customers", "30", "--products", "20", "--days", "60", "--seed", seed});
        return read_text(scratch.path() / folder / "events.jsonl");
    };
    const auto first = made("a", "5");
    EXPECT_TRUE(first == made("b", "5"));
    EXPECT_FALSE(first == made("c", "6"));
}

TEST_F(Journey, the_money_of_the_shop_is_the_money_that_the_simulator_took) {
    const TempDir scratch("perennial-journey");
    const auto summary = json::parse(run_well({"simulate", "--out", scratch.path(), "--customers", "600", "--products", "150", "--days", "400", "--seed", "7", "--json"}).out);
    const auto report = json::parse(run_well({"report", "--shop", shop(), "--json"}).out);
    EXPECT_NEAR(number(report.at("summary").at("revenue")), number(summary.at("revenue")), 0.01);
    EXPECT_EQ(number(report.at("summary").at("orders")), number(summary.at("orders")));
    EXPECT_EQ(number(report.at("summary").at("products")), number(summary.at("products")));
    EXPECT_EQ(number(report.at("summary").at("customers")), number(summary.at("customers")));
}

TEST_F(Journey, what_runs_out_and_after_how_long_is_learned_from_the_repeats_of_its_buyers) {
    auto store = profile::Store::open(shop(), {.read_only = true});
    ASSERT_TRUE(store.ok());
    auto data = predict::load_shop_data(*store);
    ASSERT_TRUE(data.ok());
    const predict::Replenishment learned(data->sequences, data->vocabulary.size());
    std::map<std::string, double> true_days;
    for (std::size_t i = 0; i < products().rows.size(); ++i) true_days[products().at(i, "product")] = std::stod(products().at(i, "replenishment_days"));
    // A customer's staple comes back at its own interval; the shop's median mixes it with chance repeats, so only
    // products that are somebody's staple can be compared.
    std::map<std::string, std::vector<double>> staple_days;
    for (std::size_t i = 0; i < truth().rows.size(); ++i)
        if (const auto& staple = truth().at(i, "staple_product"); !staple.empty()) staple_days[staple].push_back(std::stod(truth().at(i, "staple_days")));
    std::vector<double> ratios;
    std::size_t durable = 0, durable_right = 0;
    for (std::size_t i = 0; i < data->vocabulary.size(); ++i) {
        const auto& id = data->vocabulary[static_cast<std::int32_t>(i)];
        const double days = learned.interval_days(static_cast<std::int32_t>(i));
        if (true_days.at(id) == 0) ++durable, durable_right += days == 0;
        else if (days > 0 && staple_days[id].size() >= 3) ratios.push_back(days / true_days.at(id));
    }
    ASSERT_GE(ratios.size(), 5u);
    std::ranges::sort(ratios);
    RecordProperty("median_ratio", std::to_string(ratios[ratios.size() / 2]));
    RecordProperty("durable_right", std::to_string(durable_right) + " of " + std::to_string(durable));
    EXPECT_GT(ratios[ratios.size() / 2], 0.7) << "learned intervals are far below the true ones";
    EXPECT_LT(ratios[ratios.size() / 2], 1.5) << "learned intervals are far above the true ones";
}

TEST_F(Journey, a_customers_own_rhythm_is_near_their_true_one) {
    const Server server(shop());
    std::vector<double> errors, shop_errors;
    for (std::size_t i = 0; i < truth().rows.size(); ++i) {
        const double rhythm = std::stod(truth().at(i, "rhythm_days"));
        if (!truth().at(i, "staple_product").empty()) continue;  // bought at the staple's interval as well
        const auto answer = server.get("/v1/customers/" + truth().at(i, "customer"));
        if (answer.status != 200) continue;  // never came
        const auto known = json::parse(answer.body);
        if (known.at("rhythm").at("gaps_days").as_array().size() < 6) continue;
        errors.push_back(std::abs(std::log(number(known.at("rhythm").at("typical_gap_days")) / rhythm)));
        shop_errors.push_back(std::abs(std::log(50.0 / rhythm)));  // the simulator's median rhythm for everybody
    }
    ASSERT_GE(errors.size(), 20u);
    std::ranges::sort(errors);
    std::ranges::sort(shop_errors);
    const double median = errors[errors.size() / 2];
    RecordProperty("median_log_error", std::to_string(median));
    EXPECT_LT(median, 0.4) << "typical gaps are more than half off";  // campaigns add and take orders, so not exact
    EXPECT_LT(median, shop_errors[shop_errors.size() / 2]) << "the shop's median would know as much of each customer";
}

TEST(PublicData, the_fates_of_the_541909_rows_of_online_retail_add_up_and_a_second_import_adds_nothing) {
    const char* named = std::getenv("PERENNIAL_DATA");
    const auto file = (named ? fs::path(named) : fs::path(PERENNIAL_SOURCE_DIR) / "../shared/data") / "online_retail" / "online_retail.csv.gz";
    if (!fs::exists(file)) GTEST_SKIP() << file << " is not here; PERENNIAL_DATA names the folder of the public data sets";
    const TempDir scratch("perennial-retail");
    const auto import = [&] { return json::parse(run_well({"import", "--shop", scratch.path() / "shop", file, "--json"}, {.time_limit = Seconds(120)}).out).at(0); };
    const auto first = import();
    EXPECT_EQ(number(first.at("rows")), 541'909);
    EXPECT_EQ(sum_of_fates(first), 541'909u);
    EXPECT_EQ(number(named_entry(first.at("facts"), "invoices").at("value")), 25'900);
    EXPECT_EQ(number(named_entry(first.at("fates"), "duplicate_row").at("rows")), 5'268);
    EXPECT_EQ(number(named_entry(first.at("fates"), "quarantined").at("rows")), 0);
    const auto second = import();
    EXPECT_EQ(number(second.at("accepted")), 0);
    EXPECT_EQ(number(second.at("already_known")), number(first.at("accepted")));
    const auto summary = json::parse(run_well({"report", "--shop", scratch.path() / "shop", "--json"}, {.time_limit = Seconds(120)}).out).at("summary");
    EXPECT_EQ(number(summary.at("customers")), 4'372);
}

#ifdef PERENNIAL_TRAINS

TEST_F(Journey, the_report_stands_alone_and_asks_no_other_machine_for_anything) {
    const auto page = read_text(shop() / "report.html");
    EXPECT_GT(page.size(), 50'000u);
    for (const std::string scheme : {"http://", "https://"})
        for (auto at = page.find(scheme); at != std::string::npos; at = page.find(scheme, at + 1))
            EXPECT_TRUE(page.substr(at).starts_with("http://www.w3.org/2000/svg")) << page.substr(at, 80);
    EXPECT_EQ(page.find("{{"), std::string::npos) << "a marker of the template was left";
    EXPECT_NE(page.find("perennial.report"), std::string::npos);
    const auto report = json::parse(run_well({"report", "--shop", shop(), "--json"}).out);
    for (const auto& file : report.at("quality").at("files").as_array()) EXPECT_EQ(sum_of_fates(file), number(file.at("rows")));
    for (const auto* part : {"summary", "lifecycle", "cohorts", "rfm", "training", "next_purchase", "churn"}) EXPECT_FALSE(report.at(part).is_null()) << part;
}

TEST_F(Journey, the_forecast_of_churn_ranks_those_who_have_truly_left_above_those_who_have_not) {
    const Server server(shop());
    std::vector<double> gone, here;
    for (std::size_t i = 0; i < truth().rows.size(); ++i) {
        const auto answer = server.get("/v1/customers/" + truth().at(i, "customer"));
        if (answer.status != 200) continue;  // never came
        const auto churn = json::parse(answer.body).at("churn");
        if (churn.at("probability").is_null()) continue;  // no longer an active customer
        const double p = number(churn.at("probability"));
        EXPECT_GE(p, number(churn.at("low")));
        EXPECT_LE(p, number(churn.at("high")));
        (truth().at(i, "churned_by_end") == "1" ? gone : here).push_back(p);
    }
    ASSERT_GE(gone.size(), 15u);
    ASSERT_GE(here.size(), 15u);
    const double found = auc(gone, here);
    RecordProperty("auc", std::to_string(found));
    RecordProperty("customers", std::to_string(gone.size()) + " gone, " + std::to_string(here.size()) + " here");
    // Of 15 and 300 customers the standard error of an AUC of 0.5 is 0.08.
    EXPECT_GT(found, 0.75);
}

TEST_F(Journey, the_method_that_answers_for_churn_is_not_worse_than_the_humblest_rule) {
    const auto& churn = trained.at("churn");
    std::string answering;
    for (std::size_t i = 0; i < truth().rows.size() && answering.empty(); ++i) {
        const auto outcome = run({"customer", "--shop", shop(), truth().at(i, "customer"), "--json"});
        if (outcome.exit_code != 0) continue;
        const auto forecast = json::parse(outcome.out).at("churn");
        if (!forecast.at("probability").is_null()) answering = text(forecast.at("method"));
    }
    ASSERT_NE(answering, "");
    EXPECT_GE(number(named_entry(churn.at("methods"), answering).at("auc").at("high")), number(named_entry(churn.at("methods"), "recency").at("auc").at("value")));
    EXPECT_GT(number(named_entry(churn.at("methods"), answering).at("auc").at("low")), 0.5);
}

TEST_F(Journey, recommendations_meet_the_tastes_of_the_customer_more_often_than_chance) {
    std::map<std::string, std::string> category;
    for (std::size_t i = 0; i < products().rows.size(); ++i) category[products().at(i, "product")] = products().at(i, "category");
    const Server server(shop());
    double hits = 0, chance = 0, asked = 0;
    std::size_t customers = 0;
    for (std::size_t i = 0; i < truth().rows.size(); ++i) {
        const auto body = recommend(server, truth().at(i, "customer"), 10);
        if (body.at("known_customer") != true) continue;
        ++customers;
        std::set<std::string> liked;
        for (const auto& taste : split(truth().at(i, "tastes"), ';')) liked.insert(taste.substr(0, taste.find(':')));
        double share = 0;
        for (const auto& [id, name] : category) share += liked.contains(name);
        share /= static_cast<double>(category.size());
        for (const auto& r : body.at("recommendations").as_array()) {
            hits += liked.contains(category.at(text(r.at("product_id"))));
            chance += share;
            ++asked;
        }
    }
    ASSERT_GE(customers, 400u);
    RecordProperty("hits_share", std::to_string(hits / asked));
    RecordProperty("chance_share", std::to_string(chance / asked));
    EXPECT_GT(hits, 1.5 * chance);
}

TEST_F(Journey, nothing_out_of_stock_nothing_twice_and_nothing_unknown_is_recommended) {
    const auto last_day = text(json::parse(run_well({"report", "--shop", shop(), "--json"}).out).at("shop").at("last_day"));
    std::set<std::string> empty, all;
    for (std::size_t i = 0; i < products().rows.size(); ++i) {
        all.insert(products().at(i, "product"));
        for (const auto& window : split(products().at(i, "stock_outs"), ';')) {
            const auto ends = split(window, '/');
            if (ends.size() == 2 && ends[0] <= last_day && last_day <= ends[1]) empty.insert(products().at(i, "product"));
        }
    }
    RecordProperty("out_of_stock_at_the_end", static_cast<int>(empty.size()));
    ASSERT_FALSE(empty.empty()) << "the simulated shop has everything: another seed is needed";
    const Server server(shop());
    std::string offered_empty;
    for (std::size_t i = 0; i < truth().rows.size(); i += 5) {
        const auto body = recommend(server, truth().at(i, "customer"), 100);
        std::set<std::string> seen;
        for (const auto& r : body.at("recommendations").as_array()) {
            const auto id = text(r.at("product_id"));
            EXPECT_TRUE(all.contains(id)) << id;
            if (empty.contains(id)) offered_empty += " " + id + " to " + truth().at(i, "customer");
            EXPECT_TRUE(seen.insert(id).second) << id << " twice";
            EXPECT_FALSE(text(r.at("reason").at("en")).empty());
            EXPECT_FALSE(text(r.at("reason").at("zh")).empty());
        }
        EXPECT_GE(seen.size(), 20u);
    }
    EXPECT_EQ(offered_empty, "") << "out of stock on " << last_day;
}

TEST_F(Journey, the_mixture_that_serves_is_not_clearly_worse_than_the_best_simple_rule) {
    for (const auto& protocol : evaluated.at("next_purchase").as_array()) {
        const auto measure = [&](const char* name) -> const json::value& { return named_entry(protocol.at("methods"), name).at("metrics").at("ndcg@10"); };
        for (const auto* rule : {"popular", "own_repeats", "pair_counts"})
            EXPECT_GE(number(measure("mixture").at("high")), number(measure(rule).at("value")))
                << text(protocol.at("protocol")) << ": the mixture was chosen on validation data and loses to " << rule << ": " << text(protocol.at("verdict").at("en"));
    }
}

TEST_F(Journey, the_command_answers_what_the_server_answers) {
    const Server server(shop());
    for (std::size_t i = 0; i < 3; ++i) {
        const auto id = truth().at(i, "customer");
        EXPECT_EQ(json::parse(run_well({"recommend", "--shop", shop(), "--customer", id, "--json"}).out), recommend(server, id, 10));
        EXPECT_EQ(json::parse(run_well({"customer", "--shop", shop(), id, "--json"}).out), json::parse(server.get("/v1/customers/" + id).body));
    }
}

TEST_F(Journey, the_same_seed_trains_the_same_model_and_answers_the_same) {
    const TempDir scratch("perennial-journey");
    const auto in = [&](const char* name) { return (scratch.path() / name).string(); };
    run_well({"simulate", "--out", in("simulated"), "--customers", "80", "--products", "20", "--days", "250", "--seed", "3"});
    const auto learn = [&](const char* name, const char* seed, const char* threads) {
        run_well({"import", "--shop", in(name), in("simulated") + "/events.jsonl"});
        return without_timings(json::parse(run_well({"train", "--shop", in(name), "--seconds", "0", "--seed", seed, "--threads", threads, "--json"}, {.time_limit = Seconds(120)}).out));
    };
    const auto first = learn("a", "5", "2");
    EXPECT_EQ(first, learn("b", "5", "2"));
    EXPECT_EQ(first, learn("c", "5", "1")) << "for any number of threads";
    EXPECT_NE(first, learn("d", "6", "2"));
    const auto answer = [&](const char* name) {
        auto body = json::parse(run_well({"recommend", "--shop", in(name), "--customer", "C000005", "--json"}).out);
        body.as_object().erase("model");
        return body;
    };
    EXPECT_EQ(answer("a"), answer("b"));
    const auto weights = [&](const char* name) { return read_text(fs::path(in(name)) / "models" / lines(read_text(in(name) + "/models/current")).at(0) / "model.safetensors"); };
    EXPECT_TRUE(weights("a") == weights("b")) << "weights differ in their bytes";
    EXPECT_TRUE(weights("a") == weights("c")) << "weights differ between 1 and 2 threads";
}

TEST_F(Journey, one_command_runs_all_of_it_and_a_second_run_imports_nothing_anew) {
    const TempDir scratch("perennial-journey");
    const auto whole = scratch.path() / "whole";
    run_well({"simulate", "--out", scratch.path() / "simulated", "--customers", "60", "--products", "20", "--days", "200"});
    const std::vector<std::string> command{"run", "--shop", whole, "--import", scratch.path() / "simulated" / "events.jsonl", "--seconds", "1", "--no-serve"};
    run_well(command, {.time_limit = Seconds(120)});
    EXPECT_TRUE(fs::exists(whole / "report.html"));
    const auto events = profile::Store::open(whole, {.read_only = true})->folded().value;
    run_well(command, {.time_limit = Seconds(120)});
    EXPECT_EQ(profile::Store::open(whole, {.read_only = true})->folded().value, events);
}

#endif

}  // namespace
}  // namespace perennial::test
