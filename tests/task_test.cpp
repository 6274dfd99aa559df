// train --task as its users meet it: labels of their own beside a shop, an adapter, figures, answers for everybody.
#include <gtest/gtest.h>

#include <cmath>
#include <set>
#include <sstream>
#include <thread>

#include "base/file.h"
#include "program.h"
#include "server.h"

namespace perennial::test {
namespace {

#ifdef PERENNIAL_TRAINS

TEST(Task, a_users_labels_become_an_adapter_figures_and_answers) {
    const TempDir scratch("perennial-task");
    const auto shop = scratch.path() / "shop", labels = scratch.path() / "labels.csv", task = scratch.path() / "mine.toml";
    run_well({"simulate", "--out", scratch.path() / "made", "--customers", "250", "--products", "60", "--days", "200"});
    run_well({"import", "--shop", shop, scratch.path() / "made" / "events.jsonl"});
    const auto untrained = run({"train", "--shop", shop, "--task", "churn"});
    EXPECT_EQ(untrained.exit_code, 1);
    EXPECT_NE(untrained.err.find("no trained model to adapt"), std::string::npos) << untrained.err;
    const auto trained = json::parse(run_well({"train", "--shop", shop, "--json", "--seconds", "0", "--train=--epochs-limit=2", "--train=--width=32"}, {.time_limit = Seconds(300)}).out);
    const auto directory = shop / "models" / std::string(trained.at("run").as_string());
    const auto backbone = read_text(directory / "model.safetensors");

    // Customers by number: class by number, so that there is something of each, and one whom nobody knows.
    std::set<std::string> customers;
    for (const auto& line : lines(read_text(scratch.path() / "made" / "events.jsonl"))) {
        const auto message = json::parse(line).as_object();
        if (const auto* user = message.if_contains("userId"); user && user->is_string()) customers.insert(std::string(user->as_string()));
    }
    ASSERT_GT(customers.size(), 50u);
    std::string csv = "who,when,answer\nnobody,2023-05-01,c\n";
    std::size_t number = 0;
    for (const auto& customer : customers) csv += customer + ",2023-05-01," + (++number % 3 == 0 ? "c" : number % 3 == 1 ? "a" : "b") + "\n";
    write_text(labels, csv);
    const std::string columns = "[columns]\ncustomer = \"who\"\ntime = \"when\"\nlabel = \"answer\"\n";
    write_text(task, "labels = \"labels.csv\"\nname = \"mine\"\n" + columns + "[train]\nmethod = \"lora\"\nepochs_limit = 2\n");
    const auto outcome = run_well({"train", "--shop", shop, "--json", "--task", task, "--predict", scratch.path() / "out.csv"}, {.time_limit = Seconds(300)});
    EXPECT_NE(outcome.err.find("1 rows of customers whom the shop does not know"), std::string::npos) << outcome.err;
    const auto result = json::parse(outcome.out);
    EXPECT_EQ(result.at("kind"), "multiclass");
    EXPECT_EQ(result.at("classes"), (json::array{"a", "b", "c"}));
    EXPECT_EQ(result.at("labels").as_int64() + result.at("judged_labels").as_int64(), static_cast<std::int64_t>(customers.size()));
    std::set<std::string> methods;
    for (const auto& method : result.at("methods").as_array()) {
        methods.emplace(method.at("name").as_string());
        EXPECT_GE(method.at("log_loss").at("high").to_number<double>(), method.at("log_loss").at("low").to_number<double>());
    }
    EXPECT_EQ(methods, (std::set<std::string>{"prior", "trees", "network", "fused", "combined"}));
    const auto answers = lines(read_text(scratch.path() / "out.csv"));
    EXPECT_EQ(answers.front(), "customer,as_of,p_a,p_b,p_c");
    EXPECT_GT(answers.size(), 50u);
    double sum = 0;
    std::istringstream row(answers[1]);
    std::string field;
    for (int column = 0; std::getline(row, field, ','); ++column)
        if (column >= 2) sum += std::stod(field);
    EXPECT_NEAR(sum, 1, 1e-4);
    EXPECT_EQ(read_text(directory / "model.safetensors"), backbone) << "the backbone is read, never written";
    EXPECT_TRUE(fs::exists(directory / "tasks/mine/adapter.safetensors"));

    // What was fitted, then saved and loaded, says the same: on the command line and over HTTP.
    Server server(shop);
    for (std::size_t at = 1; at < 6; ++at) {
        std::vector<std::string> fields;
        std::istringstream line(answers[at]);
        for (std::string text; std::getline(line, text, ',');) fields.push_back(text);
        const auto command = json::parse(run_well({"customer", "--shop", shop, fields[0], "--json"}).out).as_object();
        const auto http = json::parse(server.get("/v1/customers/" + fields[0] + "?horizon_days=400").body).as_object();
        for (const auto* customer : {&command, &http}) {
            const auto& tasks = customer->at("tasks").as_array();
            ASSERT_EQ(tasks.size(), 1u);
            EXPECT_EQ(tasks[0].at("task"), "mine");
            EXPECT_EQ(tasks[0].at("model"), trained.at("run"));
            EXPECT_EQ(tasks[0].at("as_of"), customer->at("as_of"));
            for (const auto& [column, name] : {std::pair{2, "a"}, {3, "b"}, {4, "c"}})
                EXPECT_NEAR(tasks[0].at("probabilities").at(name).to_number<double>(), std::stod(fields[static_cast<std::size_t>(column)]), 1e-5) << fields[0];
        }
        EXPECT_FALSE(command.contains("silence"));
        double before = 1;
        for (const char* days : {"1", "14", "90", "730"}) {
            const auto silence = json::parse(run_well({"customer", "--shop", shop, fields[0], "--json", "--horizon", days}).out).at("silence").at("probability").to_number<double>();
            EXPECT_LE(silence, before) << days;
            EXPECT_GE(silence, 0);
            before = silence;
        }
        EXPECT_GE(http.at("silence").at("probability").to_number<double>(), before);
    }
    // A server that runs takes up a task that is trained beside it.
    write_text(scratch.path() / "returns.toml", "builtin = \"purchase\"\nname = \"returns\"\nhorizon_days = 40\nas_of_count = 2\n[train]\nepochs_limit = 2\n");
    const auto returns = json::parse(run_well({"train", "--shop", shop, "--json", "--task", scratch.path() / "returns.toml"}, {.time_limit = Seconds(300)}).out);
    EXPECT_EQ(returns.at("served_labels").as_int64(), returns.at("labels").as_int64() + returns.at("judged_labels").as_int64());
    const auto served = [&] { return json::parse(server.get("/v1/customers/" + *customers.begin()).body).at("tasks").as_array(); };
    for (int second = 0; second < 60 && served().size() < 2; ++second) std::this_thread::sleep_for(Seconds(1));
    ASSERT_EQ(served().size(), 2u);
    EXPECT_EQ(served()[1].at("task"), "returns");
    EXPECT_GT(served()[1].at("probability").to_number<double>(), 0);
    EXPECT_LT(served()[1].at("probability").to_number<double>(), 1);

    const auto refused = [&](const std::string& toml, std::string_view words) {
        write_text(task, toml);
        const auto got = run({"train", "--shop", shop, "--task", task});
        EXPECT_EQ(got.exit_code, 1);
        EXPECT_NE(got.err.find(words), std::string::npos) << got.err;
    };
    refused("labels = \"labels.csv\"\n", "want a column 'customer' ([columns] of the task names others), got who, when, answer");
    refused("labels = \"labels.csv\"\nkind = \"regression\"\n" + columns, "labels.csv:2: answer: want a number, got 'c'");
    refused("labels = \"labels.csv\"\nclasses = [\"a\", \"b\"]\n" + columns, "want one of the task's classes, got 'c'");
    refused("labels = \"labels.csv\"\n" + columns + "[train]\nearly_stop = \"auc\"\n", "want a metric of a multiclass task, got auc");
    write_text(labels, "who,when,answer\nx,soon,a\n");
    refused("labels = \"labels.csv\"\n" + columns, "labels.csv:2: when: want an ISO 8601 time, got 'soon'");
}

TEST(Task, amounts_and_categories_are_judged_and_answered) {
    const TempDir scratch("perennial-task");
    const auto shop = scratch.path() / "shop";
    run_well({"simulate", "--out", scratch.path() / "made", "--customers", "250", "--products", "60", "--days", "200"});
    run_well({"import", "--shop", shop, scratch.path() / "made" / "events.jsonl"});
    run_well({"train", "--shop", shop, "--json", "--seconds", "0", "--train=--epochs-limit=1", "--train=--width=32"}, {.time_limit = Seconds(300)});
    write_text(scratch.path() / "amount.toml", "builtin = \"amount\"\nhorizon_days = 40\nas_of_count = 2\n[train]\nepochs_limit = 3\n");
    const auto result = json::parse(run_well({"train", "--shop", shop, "--json", "--task", scratch.path() / "amount.toml"}, {.time_limit = Seconds(300)}).out);
    EXPECT_EQ(result.at("kind"), "amount");
    double prior = 0, combined = 0;
    for (const auto& method : result.at("methods").as_array()) {
        if (method.at("name") == "prior") prior = method.at("rmse").at("value").to_number<double>();
        if (method.at("name") == "combined") combined = method.at("rmse").at("value").to_number<double>();
    }
    EXPECT_GT(prior, 0);
    EXPECT_LT(combined, 1.05 * prior);

    // Of each category by itself: figures, and what was fitted, saved and loaded says the same.
    write_text(scratch.path() / "category.toml", "builtin = \"category\"\ncategories = 6\nhorizon_days = 40\nas_of_count = 2\n[train]\nmethod = \"lora\"\nepochs_limit = 3\n");
    const auto out = scratch.path() / "out.csv";
    const auto labels = json::parse(run_well({"train", "--shop", shop, "--json", "--task", scratch.path() / "category.toml", "--predict", out}, {.time_limit = Seconds(300)}).out);
    EXPECT_EQ(labels.at("kind"), "multilabel");
    ASSERT_EQ(labels.at("classes").as_array().size(), 6u);
    EXPECT_EQ(labels.at("left_out_categories"), 6);
    EXPECT_GT(labels.at("left_out_share").to_number<double>(), 0.05);
    std::vector<std::string> methods;
    double rate = 0, mixed = 0;
    for (const auto& method : labels.at("methods").as_array()) {
        methods.emplace_back(method.at("name").as_string());
        if (methods.back() == "prior") rate = method.at("log_loss").at("value").to_number<double>();
        if (methods.back() == "combined") mixed = method.at("log_loss").at("value").to_number<double>();
        EXPECT_GE(method.at("auc").at("high").to_number<double>(), method.at("auc").at("low").to_number<double>());
        EXPECT_GE(method.at("hit_rate").at("value").to_number<double>(), 0);
    }
    EXPECT_EQ(methods, (std::vector<std::string>{"prior", "own_share", "linear", "network", "combined"}));
    EXPECT_LT(mixed, 1.02 * rate);
    const auto answers = lines(read_text(out));
    std::vector<std::string> header;
    std::istringstream names(answers[0]);
    for (std::string text; std::getline(names, text, ',');) header.push_back(text);
    ASSERT_EQ(header.size(), 8u);
    Server server(shop);
    for (std::size_t at = 1; at < 6; ++at) {
        std::vector<std::string> fields;
        std::istringstream line(answers[at]);
        for (std::string text; std::getline(line, text, ',');) fields.push_back(text);
        const auto command = json::parse(run_well({"customer", "--shop", shop, fields[0], "--json"}).out);
        const auto http = json::parse(server.get("/v1/customers/" + fields[0]).body);
        for (const auto* customer : {&command, &http}) {
            const auto& tasks = customer->at("tasks").as_array();
            const auto task = std::ranges::find_if(tasks, [](const auto& one) { return one.at("task") == "category"; });
            ASSERT_NE(task, tasks.end());
            const auto& best = task->at("categories").as_array();
            ASSERT_EQ(best.size(), 5u);
            double before = 1;
            for (const auto& category : best) {
                const double p = category.at("probability").to_number<double>();
                EXPECT_LE(p, before);
                before = p;
                const auto column = std::ranges::find(header, "p_" + std::string(category.at("name").as_string()));
                ASSERT_NE(column, header.end());
                EXPECT_NEAR(p, std::stod(fields[static_cast<std::size_t>(column - header.begin())]), 1e-5) << fields[0];
            }
        }
    }
    // A damaged file takes its own answer away, with a word, and no other's.
    const auto file = shop / "models" / std::string(read_text(shop / "models/current").substr(0, read_text(shop / "models/current").find('\n'))) / "tasks/category/task.json";
    auto text = read_text(file);
    const auto place = text.find("\"popularity\":[");
    ASSERT_NE(place, std::string::npos);
    write_text(file, text.replace(place, 14, "\"popularity\":[7,"));
    const auto left = run_well({"customer", "--shop", shop, header.empty() ? "" : answers[1].substr(0, answers[1].find(',')), "--json"});
    EXPECT_NE(left.err.find("categories: want a popularity between 0 and 1 for each class"), std::string::npos) << left.err;
    ASSERT_EQ(json::parse(left.out).at("tasks").as_array().size(), 1u);
}

#endif

}  // namespace
}  // namespace perennial::test
