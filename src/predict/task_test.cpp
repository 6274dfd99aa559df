// Tasks without a trainer: their files, their labels, and that no row knows what comes after it.
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <set>

#include "base/rng.h"
#include "predict/task_spec.h"
#include "predict/task_stack.h"
#include "predict/task_table.h"

namespace perennial::predict {
namespace {

using event::Kind;

event::Event event_at(Kind kind, double day, const char* product, std::int64_t minor, const char* order) {
    event::Event e;
    e.kind = kind;
    e.time = after_days({1'300'000'000'000}, day);
    e.received = e.time;
    e.product = product;
    e.order_id = order;
    e.quantity = 1;
    e.amount.minor = minor;
    return e;
}

void add_customer(ShopData& data, std::string key, std::vector<event::Event> timeline) {
    for (const auto& e : timeline) {
        if (e.kind != Kind::kOrderCompleted) continue;
        data.first_time = data.timelines.empty() ? e.time : std::min(data.first_time, e.time);
        data.last_time = std::max(data.last_time, e.time);
    }
    data.sequences.push_back({std::move(key), sequence::steps_of(timeline, data.vocabulary)});
    data.timelines.push_back(std::move(timeline));
}

// Many customers with random purchases over 400 days.
ShopData random_shop(std::uint64_t seed, std::size_t customers) {
    ShopData data;
    data.vocabulary = sequence::Vocabulary({"a", "b", "c"});
    Rng rng(seed);
    for (std::size_t c = 0; c < customers; ++c) {
        std::vector<double> days;
        for (auto n = 1 + rng.below(8); n > 0; --n) days.push_back(400 * rng.uniform());
        std::ranges::sort(days);
        std::vector<event::Event> timeline;
        for (const double day : days) timeline.push_back(event_at(rng.chance(0.1) ? Kind::kOrderRefunded : Kind::kOrderCompleted, day, rng.chance(0.5) ? "a" : "b", 1000, std::to_string(day).c_str()));
        add_customer(data, "u:" + std::to_string(c), std::move(timeline));
    }
    return data;
}

TEST(TaskSpec, says_file_line_key_wanted_and_got) {
    const auto message = [](std::string_view toml) {
        const auto spec = parse_task_spec(toml, "shop/t.toml");
        return spec.ok() ? std::string("accepted") : spec.error().message;
    };
    EXPECT_EQ(message("builtin = \"churn\"\n[train]\nrank = 0\n"), "shop/t.toml:3: train.rank: want a whole number 1 to 1024, got 0");
    EXPECT_EQ(message("builtin = \"churn\"\n[train]\nmethod = \"lroa\"\n"), "shop/t.toml:3: train.method: want head|full|lora|prefix, got 'lroa'");
    EXPECT_EQ(message("builtin = \"chrn\"\n"), "shop/t.toml:1: builtin: want churn|purchase|refund|high_spend|amount|category, got 'chrn'");
    EXPECT_EQ(message("builtin = \"churn\"\nhorizon_days = \"long\"\n"), "shop/t.toml:2: horizon_days: want a number 1 to 3650, got 'long'");
    EXPECT_EQ(message("builtin = \"category\"\ncategories = 1\n"), "shop/t.toml:2: categories: want a whole number 2 to 200, got 1");
    EXPECT_EQ(message("builtin = \"category\"\ncategory_level = \"middle\"\n"), "shop/t.toml:2: category_level: want leaf|top, got 'middle'");
    EXPECT_EQ(message("builtin = \"category\"\n[train]\nclass_weights = \"balanced\"\n"), "shop/t.toml: class_weights: want none for a multilabel task, which has no classes");
    EXPECT_EQ(message("builtin = \"category\"\n[train]\nearly_stop = \"hit_rate\"\n"), "accepted");
    EXPECT_EQ(message("labels = \"l.csv\"\n[split]\nheld_out = 1.5\n"), "shop/t.toml:3: split.held_out: want a number 0.01 to 0.99, got 1.5");
    EXPECT_EQ(message("labels = \"l.csv\"\n[columns]\ncustmer = \"id\"\n"), "shop/t.toml:3: columns.custmer: want one of customer, time, label, weight");
    EXPECT_EQ(message("labels = \"l.csv\"\nname = \"../up\"\n"), "shop/t.toml:2: name: want at most 64 of a-z, 0-9, - and _: it names a folder, got '../up'");
    EXPECT_EQ(message("kind = \"regression\"\n"), "shop/t.toml: want either labels = \"FILE.csv\" or builtin = \"churn|purchase|refund|high_spend|amount|category\", got neither");
    EXPECT_EQ(message("labels = \"l.csv\"\nkind = \"regression\"\n[train]\nearly_stop = \"auc\"\n"), "shop/t.toml: early_stop: want a metric of a regression task, got auc");
    EXPECT_NE(message("labels = \"l.csv\"\n[train]\nlearning = 1\n").find("shop/t.toml:3: train.learning: want one of backbone, hand_features, "), std::string::npos);
    EXPECT_NE(message("labels = \"l.csv\"\n[train]\nadversarial_epsilon = 1\n").find("want 0 with method head"), std::string::npos);
    EXPECT_EQ(message("labels = \"l.csv\"\n[train]\nmethod = \"lora\"\nadversarial_epsilon = 1\nclass_weights = [1, 4.5]\n"), "accepted");
}

TEST(TaskSpec, labels_lie_beside_their_file) {
    const auto spec = parse_task_spec("labels = \"l.csv\"\n", "shop/t.toml");
    ASSERT_TRUE(spec.ok());
    EXPECT_EQ(spec->labels, "shop/l.csv");
    EXPECT_EQ(builtin_task("nothing").error().code, Code::kNotFound);
}

TEST(TaskLabels, count_what_happens_from_the_moment_on_and_within_the_horizon) {
    ShopData data;
    data.vocabulary = sequence::Vocabulary({"a", "b"});
    const auto buys = [](double day, const char* order) { return event_at(Kind::kOrderCompleted, day, "a", 1000, order); };
    add_customer(data, "u:on the moment", {buys(0, "1"), buys(100, "2")});
    add_customer(data, "u:at the end", {buys(0, "3"), buys(130, "4")});
    add_customer(data, "u:just within", {buys(0, "5"), buys(129.9, "6"), event_at(Kind::kOrderRefunded, 129.95, "a", -500, "6")});
    add_customer(data, "u:new", {buys(110, "7")});
    TaskSpec spec = builtin_task("purchase").value();
    spec.horizon_days = 30;
    spec.as_of = {after_days({1'300'000'000'000}, 100)};
    const auto targets = [&](const char* task) {
        spec.builtin = task;
        std::vector<float> out;
        const auto labels = builtin_labels(data, spec);
        for (const auto& row : labels->rows) out.push_back(row.target);
        return out;
    };
    EXPECT_EQ(targets("purchase"), (std::vector<float>{1, 0, 1}));
    EXPECT_EQ(targets("churn"), (std::vector<float>{0, 1, 0}));
    EXPECT_EQ(targets("refund"), (std::vector<float>{0, 0, 1}));
    EXPECT_EQ(targets("amount"), (std::vector<float>{10, 0, 10}));
    spec.as_of = {after_days({1'300'000'000'000}, 120)};
    EXPECT_FALSE(builtin_labels(data, spec).ok()) << "the horizon is not over yet";
}

// Products of two levels: cups are bought most, then plates, then chairs; d has no category.
ShopData categorised_shop() {
    ShopData data;
    data.vocabulary = sequence::Vocabulary({"a", "b", "c", "d"});
    std::vector<catalog::Product> products;
    for (const auto& [id, category] : {std::pair{"a", "kitchen > cups"}, {"b", "kitchen > plates"}, {"c", "garden / chairs"}, {"d", "other"}}) {
        catalog::Product product;
        product.id = id, product.category = category;
        products.push_back(std::move(product));
    }
    data.catalog = catalog::Catalog(std::move(products));
    const auto buys = [](double day, const char* product, const char* order) { return event_at(Kind::kOrderCompleted, day, product, 1000, order); };
    add_customer(data, "u:first", {buys(0.1, "a", "1"), buys(0.2, "a", "1"), buys(50, "a", "2"), buys(105, "b", "3"), buys(106, "a", "4")});
    add_customer(data, "u:second", {buys(10, "b", "5"), buys(10.1, "c", "5"), buys(100, "d", "6"), buys(131, "a", "7")});
    add_customer(data, "u:third", {buys(20, "d", "8")});
    return data;
}

TEST(TaskCategories, each_is_true_by_itself_of_what_is_bought_within_the_horizon) {
    const auto data = categorised_shop();
    TaskSpec spec = parse_task_spec("builtin = \"category\"\ncategories = 2\n", "t.toml").value();
    spec.horizon_days = 30;
    spec.as_of = {after_days({1'300'000'000'000}, 100)};
    const auto labels = builtin_labels(data, spec).value();
    EXPECT_EQ(labels.classes, (std::vector<std::string>{"kitchen > cups", "kitchen > plates"}));
    EXPECT_EQ(labels.targets, (std::vector<float>{1, 1, 0, 0, 0, 0})) << "the first bought of both, the others of neither";
    ASSERT_EQ(labels.rows.size(), 3u);
    EXPECT_EQ(labels.rows[0].target, 1) << "any of them";
    EXPECT_EQ(labels.rows[1].target, 0);
    EXPECT_EQ(labels.categories.left_out, 1u) << "chairs";
    EXPECT_NEAR(labels.categories.left_out_share, 3.0 / 10, 1e-12) << "a line of chairs and two of no category among ten";
    // Before day 100: four purchase days; cups on two of them, plates on one; a prior of one half of a day in one.
    EXPECT_NEAR(labels.categories.popularity[0], 2.5 / 5, 1e-12);
    EXPECT_NEAR(labels.categories.popularity[1], 1.5 / 5, 1e-12);

    spec.top_level_categories = true;
    EXPECT_EQ(builtin_labels(data, spec)->classes, (std::vector<std::string>{"kitchen", "garden"}));
    EXPECT_EQ(builtin_labels(data, spec)->targets, (std::vector<float>{1, 0, 0, 0, 0, 0}));
    const auto none = random_shop(1, 5);
    spec.as_of.clear();
    EXPECT_EQ(builtin_labels(none, spec).error().message, "category: want products of at least 2 categories that were bought, got 0");
}

TEST(TaskCategories, own_history_counts_days_before_the_moment_and_leans_on_popularity) {
    const auto data = categorised_shop();
    const auto at = [](double day) { return after_days({1'300'000'000'000}, day); };
    const auto categories = find_categories(data, false, 3, at(100)).value();
    ASSERT_EQ(categories.names, (std::vector<std::string>{"kitchen > cups", "kitchen > plates", "garden / chairs"}));
    const auto own = own_history(categories, data.timelines[0], at(105));  // the plates of that very moment are not known
    const double share = (2 + kOwnSharePrior * categories.popularity[0]) / (2 + kOwnSharePrior), never = kOwnSharePrior * categories.popularity[1] / (2 + kOwnSharePrior);
    EXPECT_NEAR(double{own[0]}, std::log(share / (1 - share)), 1e-5);
    EXPECT_EQ(own[1], 2) << "two lines of one day are one";
    EXPECT_FLOAT_EQ(own[2], 55);
    EXPECT_NEAR(double{own[3]}, std::log(never / (1 - never)), 1e-5);
    EXPECT_EQ(own[4], 0);
    EXPECT_TRUE(std::isnan(own[5]));
    event::Event named = event_at(Kind::kOrderCompleted, 1, "a", 1000, "9");
    named.category = "garden / chairs";
    EXPECT_EQ(categories.of(named), 2u) << "what the event says goes before its product's category";
    named.category = "unheard of";
    EXPECT_FALSE(categories.of(named));
}

TEST(TaskScore, labels_become_rows_of_their_own) {
    const Frame f{model::TaskKind::kMultilabel, 3, {1, 0, 0, 0, 1, 1}, {2, 4}, {1}, {0}, {{0, 0}}, 1, 1};
    const auto flat = flattened(f);
    EXPECT_EQ(flat.target, f.target);
    EXPECT_EQ(flat.learned, (std::vector<std::size_t>{3, 4, 5}));
    EXPECT_EQ(flat.judged, (std::vector<std::size_t>{0, 1, 2}));
    for (std::size_t i = 0; i < 6; ++i) EXPECT_FLOAT_EQ(flat.weight[i], i < 3 ? 2.0f / 3 : 4.0f / 3);
}

TEST(TaskTable, nothing_at_or_after_a_label_reaches_its_row) {
    const auto data = random_shop(3, 60);
    TaskSpec spec = builtin_task("purchase").value();
    spec.as_of = {after_days({1'300'000'000'000}, 150), after_days({1'300'000'000'000}, 250)};
    auto labels = builtin_labels(data, spec).value();
    // What happens from the last label on is rewritten: other events, more of them, the first at the very moment.
    auto other = data;
    for (std::size_t c = 0; c < other.timelines.size(); ++c) {
        auto& timeline = other.timelines[c];
        std::erase_if(timeline, [&](const event::Event& e) { return e.time >= spec.as_of[1]; });
        for (const double day : {250.0, 251.0, 300.0}) timeline.push_back(event_at(Kind::kOrderCompleted, day, "c", 9'999'900, "new"));
        other.sequences[c].steps = sequence::steps_of(timeline, other.vocabulary);
    }
    const auto a = make_task_table(data, data.sequences, data.vocabulary.size(), labels, spec).value();
    const auto b = make_task_table(other, other.sequences, other.vocabulary.size(), labels, spec).value();
    ASSERT_GT(a.rows.size(), 50u);
    EXPECT_EQ(a.data.product, b.data.product);
    EXPECT_EQ(a.data.time_ms, b.data.time_ms);
    EXPECT_EQ(a.rows.end, b.rows.end);
    EXPECT_EQ(a.rows.gap_days, b.rows.gap_days);
    for (std::size_t i = 0; i < a.rows.features.size(); ++i)
        EXPECT_TRUE(a.rows.features[i] == b.rows.features[i] || (std::isnan(a.rows.features[i]) && std::isnan(b.rows.features[i]))) << i;
    // Of the earlier label of the same customer, only what came before it.
    for (std::size_t r = 0; r < a.rows.size(); ++r) {
        const auto begin = a.data.offsets[static_cast<std::size_t>(a.rows.sequence[r])];
        for (auto i = begin; i < begin + a.rows.end[r]; ++i) EXPECT_LT(a.data.time_ms[static_cast<std::size_t>(i)], a.time[r].ms);
    }
}

TEST(TaskTable, a_customer_is_in_one_fold_or_judges_and_classes_are_dealt_evenly) {
    const auto data = random_shop(5, 200);
    TaskSpec spec = builtin_task("purchase").value();
    spec.as_of = {after_days({1'300'000'000'000}, 150), after_days({1'300'000'000'000}, 250)};
    const auto labels = builtin_labels(data, spec).value();
    const auto table = make_task_table(data, data.sequences, 3, labels, spec).value();
    std::map<std::size_t, std::set<std::int32_t>> folds;
    std::size_t judged = 0;
    for (std::size_t r = 0; r < table.rows.size(); ++r) {
        folds[table.customer[r]].insert(table.rows.fold[r]);
        EXPECT_EQ(table.held_out[r], table.rows.fold[r] == model::kOnlyPredicted);
        judged += table.held_out[r];
    }
    for (const auto& [customer, seen] : folds) EXPECT_EQ(seen.size(), 1u) << customer;
    EXPECT_NEAR(static_cast<double>(judged) / static_cast<double>(table.rows.size()), spec.held_out, 0.1);

    spec.labels_limit = 10;
    const auto few = make_task_table(data, data.sequences, 3, labels, spec).value();
    EXPECT_EQ(std::ranges::count(few.held_out, false), 10);
    EXPECT_EQ(static_cast<std::size_t>(std::ranges::count(few.held_out, true)), judged) << "the same customers judge";
    spec.options.seed = 2;
    EXPECT_NE(make_task_table(data, data.sequences, 3, labels, spec)->customer, few.customer) << "another seed draws other labels";
}

TEST(TaskTable, folds_are_dealt_again_to_whole_customers) {
    const auto data = random_shop(5, 100);
    TaskSpec spec = builtin_task("purchase").value();
    spec.as_of = {after_days({1'300'000'000'000}, 150), after_days({1'300'000'000'000}, 250)};
    const auto table = make_task_table(data, data.sequences, 3, builtin_labels(data, spec).value(), spec).value();
    const auto dealt = dealt_again(table, true, 9);
    std::map<std::size_t, std::set<std::int32_t>> folds;
    std::map<std::int32_t, int> sizes;
    for (std::size_t r = 0; r < dealt.size(); ++r) {
        EXPECT_EQ(dealt[r] == model::kOnlyPredicted, table.held_out[r]);
        if (folds[table.customer[r]].insert(dealt[r]).second && dealt[r] >= 0) ++sizes[dealt[r]];
    }
    for (const auto& [customer, seen] : folds) EXPECT_EQ(seen.size(), 1u) << customer;
    ASSERT_EQ(sizes.size(), static_cast<std::size_t>(spec.folds));
    for (const auto& [fold, count] : sizes) EXPECT_LE(std::abs(count - sizes[0]), 1);
    EXPECT_NE(dealt, table.rows.fold);
    EXPECT_EQ(dealt, dealt_again(table, true, 9));
    EXPECT_NE(dealt, dealt_again(table, true, 10));
}

// Rows with a class each; the linear rule knows it, trees guess.
Stack stack_of(std::size_t rows) {
    Rng rng(4);
    Frame f{model::TaskKind::kBinary, 1, {}, {}, {}, {}, {std::vector<std::int32_t>(rows, 0)}, 1, 1};
    SourceScores scores;
    for (std::size_t r = 0; r < rows; ++r) {
        f.target.push_back(rng.chance(0.5) ? 1.0f : 0.0f);
        f.weight.push_back(1);
        f.learned.push_back(r);
        scores[kLinear].push_back((f.target[r] > 0 ? 1.0 : -1.0) + rng.normal());
        scores[kTrees].push_back(2 * rng.normal());
    }
    return fit_stack(f, scores, {1, 1, 1, 1, 1});
}

TEST(TaskStack, many_labels_choose_who_is_right_and_none_leave_equal_shares) {
    const auto many = stack_of(4000), none = stack_of(2);
    EXPECT_GE(many.weights[kLinear], 0.9);
    EXPECT_NEAR(many.parts[kTrees].a, 0, 0.1) << "a guess says nothing once it is calibrated";
    EXPECT_NEAR(none.weights[kLinear], 0.5, 0.1);
    for (const auto& stack : {many, none}) {
        double sum = 0;
        for (const double weight : stack.weights) sum += weight;
        EXPECT_GE(std::ranges::min(stack.weights), 0);
        EXPECT_NEAR(sum, 1, 1e-12);
        EXPECT_EQ(stack.weights[kNetwork], 0) << "it does not answer";
    }
}

TEST(TaskStack, amounts_are_brought_to_the_scale_of_least_deviance) {
    Frame f{model::TaskKind::kAmount, 1, {}, {}, {}, {}, {}, 1, 1};
    Scores z;
    Rng rng(6);
    for (std::size_t r = 0; r < 2000; ++r) {
        z.push_back(5 + 10 * rng.uniform());
        f.target.push_back(rng.chance(0.5) ? static_cast<float>(6 * z[r]) : 0.0f);  // 3 z on average
        f.weight.push_back(1);
        f.learned.push_back(r);
    }
    f.mean = 30;
    EXPECT_NEAR(calibrate(f, z).a, 3, 0.15);
    const auto best = calibrate(f, z);
    for (const double other : {0.9, 1.1}) EXPECT_LT(total_loss(f, best, z), total_loss(f, {other * best.a, 0}, z));
}

TEST(TaskStack, a_mixture_is_the_sum_of_its_calibrated_parts) {
    Stack stack;
    stack.weights = {0.25, 0.75, 0, 0, 0};
    stack.parts[kLinear] = {2, 1};
    stack.parts[kTrees] = {-1, 0.5};
    const Frame f{model::TaskKind::kBinary, 1, {0, 0}, {1, 1}, {}, {0, 1}, {}, 1, 1};
    SourceScores scores;
    scores[kLinear] = {1, 2};
    scores[kTrees] = {0, -4};
    EXPECT_EQ(stack.mixed(f, scores), (Scores{0.25 * 3 + 0.75 * 0.5, 0.25 * 5 + 0.75 * 4.5}));
}

}  // namespace
}  // namespace perennial::predict
