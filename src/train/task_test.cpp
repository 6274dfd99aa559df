// Adapters: against the native network, against the backbone, and on labels whose signal was planted.
#include <ATen/ATen.h>
#include <gtest/gtest.h>

#include "base/file.h"
#include "model/adapter.h"
#include "model/buckets.h"
#include "model/safetensors.h"
#include "train/task_network.h"
#include "train/task_train.h"

namespace perennial::train {
namespace {

using model::Method;
using model::TaskKind;

constexpr double kAgreement = 1e-5;
constexpr std::int64_t kHistoryLimit = 12;
constexpr std::size_t kFeatures = 2;

struct Set {
    model::TrainingData data;
    model::TaskRows rows;
};

// Customers with random histories. Class 1: product 3 came somewhere before product 5, which no count of either tells.
// Both are in every history, in random order.
Set planted(std::uint64_t seed, std::size_t customers) {
    Rng rng(seed);
    Set set;
    set.data.products = 10;
    set.data.kinds = 4;
    set.data.has_time = true;
    set.rows.feature_names = {"noise", "length"};
    for (std::size_t c = 0; c < customers; ++c) {
        std::vector<std::int32_t> products{3, 5};
        const auto length = 2 + rng.below(6);
        while (products.size() < length) {
            const auto other = static_cast<std::int32_t>(rng.below(10));
            if (other != 3 && other != 5) products.push_back(other);
        }
        rng.shuffle(products);
        const bool first = std::ranges::find(products, 3) < std::ranges::find(products, 5);
        std::int64_t time = 1'300'000'000'000;
        for (std::size_t i = 0; i < products.size(); ++i) {
            time += static_cast<std::int64_t>(rng.exponential(3 * 86'400'000.0));
            set.data.product.push_back(products[i]);
            set.data.kind.push_back(1);
            set.data.quantity.push_back(1);
            set.data.time_ms.push_back(time);
            set.data.occasion.push_back(static_cast<std::int32_t>(i));
            set.data.role.push_back(0);
            set.data.purchase.push_back(1);
        }
        set.data.offsets.push_back(static_cast<std::int64_t>(set.data.product.size()));
        set.data.end_ms.push_back(time);
        set.rows.sequence.push_back(static_cast<std::int64_t>(c));
        set.rows.end.push_back(static_cast<std::int64_t>(products.size()));
        set.rows.gap_days.push_back(static_cast<float>(rng.below(20)));
        set.rows.target.push_back(first ? 1.0f : 0.0f);
        set.rows.weight.push_back(1);
        set.rows.fold.push_back(c % 4 == 3 ? model::kOnlyPredicted : static_cast<std::int32_t>(c % 4));
        set.rows.features.insert(set.rows.features.end(), {static_cast<float>(rng.normal()), static_cast<float>(products.size())});
    }
    set.rows.features[1] = std::nanf("");  // a missing one
    return set;
}

model::Config config() {
    model::Config out;
    out.products = 10;
    out.width = 16;
    out.heads = 2;
    out.hidden = 24;
    out.history_limit = kHistoryLimit;
    out.lags = kHistoryLimit;
    out.has_time = true;
    return out;
}

// A network with something in every tensor.
TorchNetwork random_network(std::uint64_t seed) {
    TorchNetwork torch(config(), Rng(seed));
    Rng rng(seed + 1);
    for (const auto& parameter : torch.trainable())
        for (auto& value : parameter.values) value += static_cast<float>(0.1 * rng.normal());
    return torch;
}

model::TaskOptions options(Method method) {
    model::TaskOptions o;
    o.method = method;
    o.rank = 3;
    o.alpha = 6;
    o.prefix_length = 4;
    o.epochs_limit = 4;
    o.dropout = 0;
    o.learning_rate = 5e-3;
    return o;
}

// outputs.safetensors of a finished training.
std::vector<float> outputs(const std::filesystem::path& directory, const char* which, std::size_t rows, std::int64_t width = 1) {
    const std::array<std::int64_t, 2> shape{static_cast<std::int64_t>(rows), width};
    return model::Safetensors::open(directory / "outputs.safetensors")->floats(which, shape).value();
}

std::vector<float> served(const model::AdaptedNetwork& network, const Set& set) {
    std::vector<float> out;
    const auto width = model::output_count(network.adapter().kind, network.adapter().classes);
    for (std::size_t r = 0; r < set.rows.size(); ++r) {
        auto session = network.network().start();
        const auto s = static_cast<std::size_t>(set.rows.sequence[r]);
        const auto end = static_cast<std::size_t>(set.data.offsets[s] + set.rows.end[r]), begin = static_cast<std::size_t>(set.data.offsets[s]);
        for (auto i = std::max(begin, end - std::min<std::size_t>(end - begin, kHistoryLimit)); i < end; ++i)
            network.network().extend(session, {set.data.product[i], set.data.kind[i], set.data.quantity[i], set.data.time_ms[i], i > begin && set.data.occasion[i] == set.data.occasion[i - 1]});
        out.resize(out.size() + width);
        network.outputs(session, double{set.rows.gap_days[r]}, std::span(set.rows.features).subspan(r * kFeatures, kFeatures), std::span(out).last(width));
    }
    return out;
}

double accuracy(std::span<const float> log_odds, const Set& set, bool held_out) {
    double right = 0, all = 0;
    for (std::size_t r = 0; r < set.rows.size(); ++r) {
        if ((set.rows.fold[r] < 0) != held_out) continue;
        right += (log_odds[r] > 0) == (set.rows.target[r] > 0.5f);
        all += 1;
    }
    return right / all;
}

class Task : public testing::Test {
protected:
    Task() : network(random_network(3)) {
        weights = scratch.path() / "model.safetensors";
        EXPECT_TRUE(write_file(weights, network.weights()).ok());
    }
    TempDir scratch;
    TorchNetwork network;
    std::filesystem::path weights;
};

TEST_F(Task, every_method_and_kind_is_served_as_it_was_trained) {
    auto set = planted(5, 60);
    for (const auto method : {Method::kHead, Method::kFull, Method::kLora, Method::kPrefix})
        for (const auto kind : {TaskKind::kBinary, TaskKind::kMulticlass, TaskKind::kRegression, TaskKind::kAmount, TaskKind::kMultilabel}) {
            auto o = options(method);
            o.kind = kind;
            o.classes = 3;
            o.head_hidden = kind == TaskKind::kRegression ? 5 : 0;
            Rng rng(7);
            set.rows.target.resize(set.rows.size() * model::target_count(kind, o.classes));
            const bool discrete = kind == TaskKind::kBinary || kind == TaskKind::kMulticlass || kind == TaskKind::kMultilabel;
            for (auto& target : set.rows.target) target = discrete ? static_cast<float>(rng.below(2)) : static_cast<float>(rng.below(3)) * 10.0f;
            const auto out = scratch.path() / "run";
            ASSERT_TRUE(train_task(set.data, set.rows, o, weights, out).ok());
            const auto loaded = model::AdaptedNetwork::load(weights, out / "adapter.safetensors");
            ASSERT_TRUE(loaded.ok()) << loaded.error().message;
            const auto got = served(*loaded, set);
            const auto want = outputs(out, "all", set.rows.size(), static_cast<std::int64_t>(model::output_count(kind, o.classes)));
            ASSERT_EQ(got.size(), want.size());
            for (std::size_t i = 0; i < got.size(); ++i) ASSERT_NEAR(got[i], want[i], kAgreement) << model::name(method) << " " << model::name(kind) << " " << i;
        }
}

TEST_F(Task, adapters_of_random_values_agree_with_libtorch) {
    const auto set = planted(6, 40);
    for (const auto method : {Method::kFull, Method::kLora, Method::kPrefix}) {
        model::Adapter shape;
        shape.method = method;
        shape.rank = 3;
        shape.prefix_length = 4;
        shape.backbone = model::fingerprint(network.weights());
        shape.config = config();
        shape.features = set.rows.feature_names;
        shape.tensors["input.mean"] = {0.5f, 0.1f, -0.2f};
        shape.tensors["input.scale"] = {1.5f, 0.7f, 2.0f};
        TaskNetwork torch(network, shape, std::vector<float>{0.3f}, Rng(1));
        Rng rng(9);
        for (const auto& parameters : {torch.trainable_head(), torch.trainable_body()})
            for (const auto& parameter : parameters)
                for (float& value : parameter.values) value += static_cast<float>(0.2 * rng.normal());
        TaskBatch batch;
        for (std::size_t r = 0; r < set.rows.size(); ++r) append_row(set.data, set.rows, r, kHistoryLimit, shape, batch);
        finish(shape, batch);
        const at::NoGradGuard no_gradients;
        Rng unused(0);
        const auto want = torch.outputs(torch.states(batch, {}, 0, unused), batch.extra, 0, unused);
        const auto path = scratch.path() / "adapter";
        ASSERT_TRUE(write_file(path, torch.adapter().bytes()).ok());
        const auto got = served(model::AdaptedNetwork::load(weights, path).value(), set);
        float spread = 0;
        for (std::size_t r = 0; r < got.size(); ++r) {
            ASSERT_NEAR(got[r], want[static_cast<std::int64_t>(r)][0].item<float>(), kAgreement) << model::name(method) << " row " << r;
            spread = std::max(spread, std::abs(got[r] - got[0]));
        }
        EXPECT_GT(spread, 0.1f) << "the rows do not differ: nothing is compared";
    }
}

TEST_F(Task, lora_begins_as_the_backbone) {
    const auto set = planted(8, 20);
    const auto states = [&](Method method) {
        model::Adapter shape;
        shape.method = method;
        shape.config = config();
        shape.features = set.rows.feature_names;
        shape.tensors["input.mean"] = shape.tensors["input.scale"] = {0, 0, 0};
        const TaskNetwork torch(network, shape, std::vector<float>{0}, Rng(1));
        TaskBatch batch;
        for (std::size_t r = 0; r < set.rows.size(); ++r) append_row(set.data, set.rows, r, kHistoryLimit, shape, batch);
        const at::NoGradGuard no_gradients;
        Rng unused(0);
        return torch.states(batch, {}, 0, unused);
    };
    EXPECT_TRUE(at::equal(states(Method::kHead), states(Method::kLora)));
    EXPECT_TRUE(at::equal(states(Method::kHead), states(Method::kFull)));
}

TEST_F(Task, the_backbone_file_stays_as_it_was_and_another_is_refused) {
    const auto set = planted(5, 40);
    const auto before = read_file(weights).value();
    ASSERT_TRUE(train_task(set.data, set.rows, options(Method::kHead), weights, scratch.path() / "run").ok());
    EXPECT_EQ(read_file(weights).value(), before);
    const auto adapter = model::Adapter::open(scratch.path() / "run/adapter.safetensors").value();
    for (const auto& [tensor, values] : adapter.tensors) EXPECT_TRUE(tensor.starts_with("head.") || tensor.starts_with("input.")) << tensor;
    ASSERT_TRUE(write_file(scratch.path() / "other", random_network(11).weights()).ok());
    EXPECT_EQ(model::AdaptedNetwork::load(scratch.path() / "other", scratch.path() / "run/adapter.safetensors").error().code, Code::kInvalid);
}

TEST_F(Task, a_planted_order_is_learned_by_lora_and_full) {
    const auto set = planted(21, 900);
    for (const auto method : {Method::kLora, Method::kFull}) {
        auto o = options(method);
        o.epochs_limit = 25;
        o.patience = 25;
        o.weight_decay = 0;
        o.learning_rate = 1e-2;
        ASSERT_TRUE(train_task(set.data, set.rows, o, weights, scratch.path() / "run").ok());
        EXPECT_GT(accuracy(outputs(scratch.path() / "run", "all", set.rows.size()), set, true), 0.85) << model::name(method);
        EXPECT_GT(accuracy(outputs(scratch.path() / "run", "out_of_fold", set.rows.size()), set, false), 0.8) << model::name(method);
    }
}

// Label k: product k is among the history. The last label is chance.
Set planted_labels(std::uint64_t seed, std::size_t customers, std::size_t labels) {
    auto set = planted(seed, customers);
    Rng rng(seed + 1);
    set.rows.target.clear();
    for (std::size_t c = 0; c < customers; ++c) {
        const auto begin = set.data.product.begin() + set.data.offsets[c], end = set.data.product.begin() + set.data.offsets[c + 1];
        for (std::size_t k = 0; k + 1 < labels; ++k) set.rows.target.push_back(std::find(begin, end, static_cast<std::int32_t>(k)) != end ? 1.0f : 0.0f);
        set.rows.target.push_back(rng.chance(0.3) ? 1.0f : 0.0f);
    }
    return set;
}

TEST_F(Task, each_of_several_planted_labels_is_learned_by_every_method_and_chance_by_none) {
    constexpr std::size_t kLabels = 4;
    const auto set = planted_labels(23, 700, kLabels);
    for (const auto method : {Method::kHead, Method::kLora, Method::kPrefix, Method::kFull}) {
        auto o = options(method);
        o.kind = TaskKind::kMultilabel;
        o.classes = kLabels;
        o.epochs_limit = o.patience = 25;
        o.weight_decay = 0;
        o.learning_rate = 1e-2;
        ASSERT_TRUE(train_task(set.data, set.rows, o, weights, scratch.path() / "run").ok());
        const auto all = outputs(scratch.path() / "run", "all", set.rows.size(), kLabels);
        for (std::size_t k = 0; k < kLabels; ++k) {
            std::vector<double> said;
            std::vector<float> truth;
            for (std::size_t r = 0; r < set.rows.size(); ++r) {
                if (set.rows.fold[r] >= 0) continue;
                said.push_back(double{all[r * kLabels + k]});
                truth.push_back(set.rows.target[r * kLabels + k]);
            }
            const double auc = model::measure(model::Metric::kAuc, TaskKind::kBinary, said, truth, std::vector<float>(said.size(), 1));
            // A frozen network of random tensors remembers less than one that may change.
            if (k + 1 < kLabels) EXPECT_GT(auc, method == Method::kHead || method == Method::kPrefix ? 0.75 : 0.9) << model::name(method) << " label " << k;
            else EXPECT_NEAR(auc, 0.5, 0.15) << model::name(method);
        }
    }
}

TEST_F(Task, shuffled_labels_leave_the_base_rate) {
    auto set = planted(21, 300);
    Rng rng(4);
    rng.shuffle(set.rows.target);
    auto o = options(Method::kHead);
    o.epochs_limit = 15;
    const auto summary = train_task(set.data, set.rows, o, weights, scratch.path() / "run");
    ASSERT_TRUE(summary.ok());
    EXPECT_GT(summary->metric, summary->curve.front().metric - 0.02);
    EXPECT_NEAR(summary->curve.front().metric, std::log(2.0), 0.01);
}

TEST_F(Task, same_seed_same_bytes_for_one_two_and_three_threads) {
    const auto set = planted(5, 150);
    for (const auto method : {Method::kHead, Method::kLora, Method::kPrefix}) {
        std::vector<std::string> files;
        for (const unsigned threads : {1u, 2u, 3u}) {
            auto o = options(method);
            o.dropout = 0.2;
            o.threads = threads;
            if (method != Method::kHead) o.crop_share = 0.5, o.mask_share = 0.1, o.adversarial_epsilon = 0.5;
            const auto out = scratch.path() / std::to_string(threads);
            ASSERT_TRUE(train_task(set.data, set.rows, o, weights, out).ok());
            files.push_back(read_file(out / "adapter.safetensors").value() + read_file(out / "outputs.safetensors").value());
        }
        EXPECT_EQ(files[0], files[1]);
        EXPECT_EQ(files[0], files[2]);
    }
}

TEST_F(Task, options_change_what_is_learned) {
    auto set = planted(5, 200);
    for (std::size_t r = 0; r < set.rows.size(); ++r)
        if (r % 5 != 0) set.rows.target[r] = 0;  // class 1 becomes rare
    const auto train = [&](auto change) {
        auto o = options(Method::kLora);
        o.patience = 10;
        change(o);
        const auto summary = train_task(set.data, set.rows, o, weights, scratch.path() / "run");
        EXPECT_TRUE(summary.ok()) << summary.error().message;
        const auto all = outputs(scratch.path() / "run", "all", set.rows.size());
        double mean = 0;
        for (const float z : all) mean += double{z} / static_cast<double>(all.size());
        return std::tuple(mean, summary->metric, read_file(scratch.path() / "run/curves.csv").value());
    };
    const auto plain = train([](auto&) {});
    EXPECT_GT(std::get<0>(train([](auto& o) { o.class_weights = model::ClassWeights::kBalanced; })), std::get<0>(plain) + 1) << "balanced classes begin at even odds";
    EXPECT_GT(std::get<0>(train([](auto& o) { o.class_weights = model::ClassWeights::kList; o.class_weight_list = {1, 20}; })), std::get<0>(plain) + 1);
    std::vector<std::string> curves{std::get<2>(plain)};
    curves.push_back(std::get<2>(train([](auto& o) { o.optimizer = model::Optimizer::kSgd; o.learning_rate = 0.05; })));
    curves.push_back(std::get<2>(train([](auto& o) { o.schedule = model::Schedule::kCosine; })));
    curves.push_back(std::get<2>(train([](auto& o) { o.schedule = model::Schedule::kLinear; o.warmup_steps = 3; })));
    curves.push_back(std::get<2>(train([](auto& o) { o.label_smoothing = 0.2; })));
    curves.push_back(std::get<2>(train([](auto& o) { o.adversarial_epsilon = 1; })));
    curves.push_back(std::get<2>(train([](auto& o) { o.crop_share = 1; })));
    curves.push_back(std::get<2>(train([](auto& o) { o.mask_share = 0.5; })));
    curves.push_back(std::get<2>(train([](auto& o) { o.dropout = 0.5; })));
    std::ranges::sort(curves);
    EXPECT_EQ(std::ranges::adjacent_find(curves), curves.end()) << "two options did the same";
}

TEST_F(Task, training_stops_by_the_metric_it_is_told) {
    const auto set = planted(5, 200);
    auto o = options(Method::kLora);
    o.epochs_limit = o.patience = 10;
    for (const auto metric : {model::Metric::kAuc, model::Metric::kAccuracy, model::Metric::kLogLoss, model::Metric::kBrier}) {
        o.early_stop = metric;
        const auto summary = train_task(set.data, set.rows, o, weights, scratch.path() / "run");
        ASSERT_TRUE(summary.ok());
        for (const auto& epoch : summary->curve)
            EXPECT_TRUE(model::higher_is_better(metric) ? epoch.metric <= summary->metric : epoch.metric >= summary->metric) << model::name(metric) << " at epoch " << epoch.epoch;
        EXPECT_EQ(summary->curve[static_cast<std::size_t>(summary->best_epoch)].metric, summary->metric);
    }
    o.early_stop = model::Metric::kLoss;
    o.patience = 1;
    o.learning_rate = 1;  // far too fast: it gets worse at once
    const auto stopped = train_task(set.data, set.rows, o, weights, scratch.path() / "run");
    ASSERT_TRUE(stopped.ok());
    EXPECT_LT(stopped->epochs, 10);
}

TEST_F(Task, one_fold_is_trained_for_exactly_the_epochs_it_is_told) {
    auto set = planted(7, 60);
    auto o = options(Method::kHead);
    const auto chosen = train_task(set.data, set.rows, o, weights, scratch.path() / "folds").value();
    o.epochs_limit = std::max<std::int64_t>(1, chosen.best_epoch);
    for (auto& fold : set.rows.fold) fold = std::min(fold, 0);
    const auto again = train_task(set.data, set.rows, o, weights, scratch.path() / "whole").value();
    EXPECT_EQ(again.best_epoch, o.epochs_limit);
    ASSERT_GT(chosen.best_epoch, 0);
    EXPECT_EQ(read_file(scratch.path() / "whole/adapter.safetensors").value(), read_file(scratch.path() / "folds/adapter.safetensors").value()) << "the last learner of either";
}

TEST_F(Task, wrong_targets_and_rows_are_refused) {
    auto set = planted(5, 20);
    set.rows.target[0] = 2;
    const auto wrong = train_task(set.data, set.rows, options(Method::kHead), weights, scratch.path() / "run");
    ASSERT_FALSE(wrong.ok());
    EXPECT_NE(wrong.error().message.find("target: want a class 0 to 1, got 2 at row 0"), std::string::npos) << wrong.error().message;
    auto several = options(Method::kHead);
    several.kind = TaskKind::kMultilabel;
    several.classes = 3;
    EXPECT_NE(train_task(set.data, set.rows, several, weights, scratch.path() / "run").error().message.find("target: want 3 numbers a row, got 1"), std::string::npos);
    auto labels = planted_labels(5, 20, 3);
    labels.rows.target[7] = 0.5f;
    EXPECT_NE(train_task(labels.data, labels.rows, several, weights, scratch.path() / "run").error().message.find("target: want a class 0 to 1, got 0.5 at row 2"), std::string::npos);
    set.rows.target[0] = 1;
    set.rows.target.pop_back();
    EXPECT_NE(train_task(set.data, set.rows, options(Method::kHead), weights, scratch.path() / "run").error().message.find("target: want as many numbers for each of 20 rows, got 19"), std::string::npos);
    set.rows.target.push_back(1);
    set.rows.end[4] = 99;
    EXPECT_NE(train_task(set.data, set.rows, options(Method::kHead), weights, scratch.path() / "run").error().message.find("end: want 0 to"), std::string::npos);
}

}  // namespace
}  // namespace perennial::train
