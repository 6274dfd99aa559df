#include <gtest/gtest.h>

#include <cmath>
#include <cstring>

#include "base/bytes.h"
#include "base/file.h"
#include "base/rng.h"
#include "model/buckets.h"
#include "model/network.h"
#include "model/random_network.h"
#include "model/safetensors.h"
#include "model/training_data.h"

namespace perennial::model {
namespace {

Config small_config() {
    Config config;
    config.products = 7;
    config.width = 12;
    config.heads = 3;
    config.hidden = 10;
    config.history_limit = 4;
    config.lags = 3;
    config.hazard_buckets = 6;
    config.has_time = true;
    return config;
}

std::string with_header(std::string header, std::size_t data_bytes) {
    std::string bytes;
    put_fixed(bytes, static_cast<std::uint64_t>(header.size()));
    return bytes + header + std::string(data_bytes, 'x');
}

TEST(Safetensors, what_is_written_is_read_back) {
    SafetensorsWriter writer;
    writer.metadata("who", "a \"quoted\" name");
    const std::vector<float> floats{1, -2, 3.5f, 0, 5, 6};
    const std::vector<std::int64_t> longs{INT64_MIN, 7};
    const std::vector<std::uint8_t> bytes{1, 2, 255};
    writer.add("f", std::vector<std::int64_t>{2, 3}, floats);
    writer.add("l", std::vector<std::int64_t>{2}, longs);
    writer.add("b", std::vector<std::int64_t>{3}, bytes);
    writer.add("none", std::vector<std::int64_t>{0, 4}, std::span<const float>());
    const auto file = Safetensors::parse(writer.bytes(), "test").value();
    EXPECT_EQ(file.text("who").value(), "a \"quoted\" name");
    EXPECT_EQ(file.floats("f", std::vector<std::int64_t>{2, -1}).value(), floats);
    EXPECT_EQ(file.longs("l", std::vector<std::int64_t>{2}).value(), longs);
    EXPECT_EQ(file.bytes("b", std::vector<std::int64_t>{-1}).value(), bytes);
    EXPECT_TRUE(file.floats("none", std::vector<std::int64_t>{0, 4}).value().empty());
    EXPECT_EQ(file.floats("f", std::vector<std::int64_t>{3, 2}).error().code, Code::kCorrupt);
    EXPECT_EQ(file.longs("f", std::vector<std::int64_t>{2, 3}).error().code, Code::kCorrupt);
    EXPECT_EQ(file.floats("g", std::vector<std::int64_t>{1}).error().code, Code::kCorrupt);
}

TEST(Safetensors, values_referred_to_give_the_bytes_of_values_copied) {
    const std::vector<float> floats{1, -2, 3.5f, 0, 5, 6};
    SafetensorsWriter copied, referring;
    for (auto* writer : {&copied, &referring}) writer->add("b", std::vector<std::int64_t>{1}, std::vector<std::uint8_t>{7});
    copied.add("f", std::vector<std::int64_t>{2, 3}, floats);
    referring.refer("f", std::vector<std::int64_t>{2, 3}, floats);
    copied.add("none", std::vector<std::int64_t>{0}, std::span<const float>());
    referring.refer("none", std::vector<std::int64_t>{0}, {});
    const TempDir scratch;
    ASSERT_TRUE(referring.write(scratch.path() / "f").ok());
    EXPECT_EQ(referring.bytes(), copied.bytes());
    EXPECT_EQ(read_file(scratch.path() / "f").value(), copied.bytes());
}

// The bytes of a file written by the reference implementation's rules: the format must not drift.
TEST(Safetensors, bytes_of_a_small_file_are_fixed) {
    SafetensorsWriter writer;
    writer.add("a", std::vector<std::int64_t>{2}, std::vector<std::uint8_t>{65, 66});
    std::string want(8, '\0');
    const std::string header = R"({"__metadata__":{},"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})";
    want[0] = static_cast<char>((header.size() + 7) / 8 * 8);
    EXPECT_EQ(writer.bytes(), want + header + std::string((8 - header.size() % 8) % 8, ' ') + "AB");
}

TEST(Safetensors, malformed_headers_are_refused) {
    const std::vector<std::pair<const char*, std::size_t>> cases{
        {"", 0},
        {"[]", 0},
        {"{", 0},
        {R"({"a":1})", 0},
        {R"({"__metadata__":{"x":1}})", 0},
        {R"({"a":{"dtype":"U8","shape":[2]}})", 2},
        {R"({"a":{"dtype":"U8","shape":[-2],"data_offsets":[0,2]}})", 2},
        {R"({"a":{"dtype":"U8","shape":[2.5],"data_offsets":[0,2]}})", 2},
        {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0]}})", 2},
        {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[2,0]}})", 2},
        {R"({"a":{"dtype":"U8","shape":[3],"data_offsets":[0,2]}})", 2},
        {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", 3},                                                  // gap in front
        {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 3},                                                  // bytes behind
        {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]}})", 1},                                                  // cut short
        {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[1,3]}})", 3},  // overlap
        {R"({"a":{"dtype":"U8","shape":[2],"data_offsets":[0,2]},"b":{"dtype":"U8","shape":[2],"data_offsets":[3,5]}})", 5},  // gap
        {R"({"a":{"dtype":"I64","shape":[4294967296,4294967296],"data_offsets":[0,0]}})", 0},                             // product overflows
        {R"({"a":{"dtype":"I64","shape":[9223372036854775807,0,8],"data_offsets":[0,8]}})", 8}};
    for (const auto& [header, data] : cases) EXPECT_EQ(Safetensors::parse(with_header(header, data), "t").error().code, Code::kCorrupt) << header;
    EXPECT_EQ(Safetensors::parse(with_header(R"({"a":{"dtype":"F64","shape":[1],"data_offsets":[0,8]}})", 8), "t").error().code, Code::kUnsupported);
    EXPECT_FALSE(Safetensors::parse(std::string(8, '\xff'), "t").ok());
}

TEST(Safetensors, never_crashes_on_damaged_bytes) {
    const auto whole = random_weights(small_config(), 1).bytes();
    Rng rng(11);
    for (int round = 0; round < 3000; ++round) {
        auto bytes = whole.substr(0, 1 + rng.below(3000));
        for (int k = 0; k < 4; ++k) bytes[rng.below(std::min<std::size_t>(bytes.size(), 2200))] = static_cast<char>(rng.below(256));
        (void)Safetensors::parse(bytes, "damaged").ok();
    }
}

TEST(Network, a_weight_file_cut_anywhere_is_refused) {
    const TempDir scratch;
    const auto whole = random_weights(small_config(), 1).bytes();
    ASSERT_TRUE(write_file(scratch.path() / "whole", whole).ok());
    ASSERT_TRUE(Network::load(scratch.path() / "whole").ok());
    for (std::size_t cut = 0; cut < whole.size(); cut += 1 + cut / 20)
        EXPECT_EQ(Safetensors::parse(whole.substr(0, cut), "cut").error().code, Code::kCorrupt) << cut;
    ASSERT_TRUE(write_file(scratch.path() / "cut", whole.substr(0, whole.size() - 1)).ok());
    EXPECT_EQ(Network::load(scratch.path() / "cut").error().code, Code::kCorrupt);
    EXPECT_EQ(Network::load(scratch.path() / "absent").error().code, Code::kNotFound);
}

TEST(Network, another_shape_or_version_than_the_config_says_is_refused) {
    const TempDir scratch;
    auto config = small_config();
    auto file = random_weights(config, 1);
    config.width = 24;
    file.metadata("config", to_json(config));
    ASSERT_TRUE(file.write(scratch.path() / "w").ok());
    EXPECT_EQ(Network::load(scratch.path() / "w").error().code, Code::kCorrupt);
    file.metadata("version", "2");
    ASSERT_TRUE(file.write(scratch.path() / "w").ok());
    EXPECT_EQ(Network::load(scratch.path() / "w").error().code, Code::kUnsupported);
    config.heads = 5;  // no divisor
    file.metadata("version", "1");
    file.metadata("config", to_json(config));
    ASSERT_TRUE(file.write(scratch.path() / "w").ok());
    EXPECT_EQ(Network::load(scratch.path() / "w").error().code, Code::kCorrupt);
}

class NativeNetwork : public testing::Test {
protected:
    NativeNetwork() : network_(load(small_config())) {}

    static Network load(const Config& config) {
        const TempDir scratch;
        EXPECT_TRUE(random_weights(config, 5).write(scratch.path() / "w").ok());
        return Network::load(scratch.path() / "w").value();
    }
    static Step random_step(Rng& rng, std::int64_t time_ms) {
        return {static_cast<std::int32_t>(rng.below(9)) - 1, static_cast<std::uint8_t>(rng.below(4)), static_cast<std::uint8_t>(rng.below(16)), time_ms,
                rng.chance(0.2)};
    }
    Network network_;
};

TEST_F(NativeNetwork, forgets_what_lies_further_back_than_its_documented_reach) {
    Rng rng(1);
    std::vector<Step> steps;
    for (int i = 0; i < 40; ++i) steps.push_back(random_step(rng, (steps.empty() ? 0 : steps.back().time_ms) + static_cast<std::int64_t>(rng.below(1u << 30))));
    auto whole = network_.start();
    for (const auto& step : steps) network_.extend(whole, step);
    // The step before is needed too: its time and occasion make the first gap.
    const auto reach = static_cast<std::size_t>(network_.config().blocks * (network_.config().history_limit - 1) + 1);
    auto rebuilt = network_.start();
    for (std::size_t i = steps.size() - reach - 1; i < steps.size(); ++i) network_.extend(rebuilt, steps[i]);
    for (std::size_t i = 0; i < network_.hidden(whole).size(); ++i) EXPECT_NEAR(network_.hidden(whole)[i], network_.hidden(rebuilt)[i], 1e-6);
}

TEST_F(NativeNetwork, scores_agree_for_one_many_and_chosen_products) {
    Rng rng(2);
    auto used = network_.start(), empty = network_.start();
    for (int i = 0; i < 9; ++i) network_.extend(used, random_step(rng, i * 1000000));
    const std::vector<const Session*> sessions{&used, &empty, &used};
    const std::vector<Request> requests{{.gap_days = 3}, {.gap_days = 3}, {.same_occasion = true}};
    std::vector<float> many(3 * 7), one(7), chosen(2);
    network_.scores(sessions, requests, many);
    for (std::size_t s = 0; s < 3; ++s) {
        network_.scores(*sessions[s], requests[s], one);
        network_.scores(*sessions[s], requests[s], std::vector<std::int32_t>{6, 2}, chosen);
        for (std::size_t p = 0; p < 7; ++p) EXPECT_NEAR(one[p], many[s * 7 + p], 1e-5);
        EXPECT_NEAR(chosen[0], one[6], 1e-5);
        EXPECT_NEAR(chosen[1], one[2], 1e-5);
    }
    EXPECT_NE(many[0], many[14]);  // the moment asked about matters
}

TEST_F(NativeNetwork, survival_starts_at_one_falls_and_composes) {
    auto session = network_.start();
    network_.extend(session, {.product = 3});
    EXPECT_EQ(network_.survival(session, 5, 5), 1.0);
    double before = 1;
    for (double days = 0.1; days < 3000; days *= 1.3) {
        const double now = network_.survival(session, 0, days);
        EXPECT_LT(now, before);
        EXPECT_GT(now, 0);
        EXPECT_NEAR(now, network_.survival(session, 0, days / 3) * network_.survival(session, days / 3, days), 1e-9);
        before = now;
    }
}

TEST(Buckets, gaps_grow_with_time_and_keep_their_special_rows) {
    EXPECT_EQ(timed_gap_days(std::nan("")), kUnknownGap);
    EXPECT_EQ(timed_gap(-5), kFirstTimedGap);
    EXPECT_EQ(timed_gap(0), kFirstTimedGap);
    EXPECT_EQ(timed_gap(INT64_MAX), kGapBuckets - 1);
    EXPECT_EQ(timed_gap_days(1e300), kGapBuckets - 1);
    EXPECT_LT(timed_gap_days(1), timed_gap_days(2));
    EXPECT_LT(timed_gap_days(30), timed_gap_days(60));
    EXPECT_EQ(timed_gap_days(7), timed_gap(std::int64_t{7} * 86'400'000));
    const auto edges = hazard_edges(24);
    ASSERT_EQ(edges.size(), 25u);
    EXPECT_EQ(edges[0], 0);
    EXPECT_FLOAT_EQ(edges[1], 0.5f);
    EXPECT_FLOAT_EQ(edges[24], 730);
}

TrainingData two_sequences() {
    TrainingData data;
    data.offsets = {0, 2, 3};
    data.product = {0, 1, -1};
    data.kind = {0, 1, 1};
    data.time_ms = {5, 9, 7};
    data.quantity = {0, 1, 15};
    data.occasion = {0, 0, 3};
    data.role = {1, 2, 0};
    data.purchase = {1, 1, 0};
    data.end_ms = {10, 10};
    data.products = 2;
    data.kinds = 2;
    data.has_time = true;
    return data;
}

TEST(TrainingData, is_read_back_as_written) {
    const TempDir scratch;
    const auto data = two_sequences();
    ASSERT_TRUE(write_training_data(data, scratch.path() / "d").ok());
    const auto back = read_training_data(scratch.path() / "d").value();
    EXPECT_EQ(back.offsets, data.offsets);
    EXPECT_EQ(back.product, data.product);
    EXPECT_EQ(back.kind, data.kind);
    EXPECT_EQ(back.time_ms, data.time_ms);
    EXPECT_EQ(back.quantity, data.quantity);
    EXPECT_EQ(back.occasion, data.occasion);
    EXPECT_EQ(back.role, data.role);
    EXPECT_EQ(back.purchase, data.purchase);
    EXPECT_EQ(back.end_ms, data.end_ms);
    EXPECT_EQ(back.products, 2);
    EXPECT_EQ(back.kinds, 2);
    EXPECT_TRUE(back.has_time);
    EXPECT_FALSE(back.exclude_seen);
}

TEST(TrainingData, every_broken_rule_is_named) {
    const auto broken = [](auto&& change) {
        auto data = two_sequences();
        change(data);
        const auto status = check(data);
        return status ? std::string() : status.error().message;
    };
    using D = TrainingData;
    EXPECT_EQ(broken([](D&) {}), "");
    EXPECT_NE(broken([](D& d) { d.offsets = {0, 4, 3}; }).find("offsets"), std::string::npos);
    EXPECT_NE(broken([](D& d) { d.offsets = {}; }).find("offsets"), std::string::npos);
    EXPECT_NE(broken([](D& d) { d.offsets[2] = 2; }).find("offsets"), std::string::npos);
    EXPECT_NE(broken([](D& d) { d.product[1] = 2; }).find("product: want -1 to 1, got 2 at sequence 0, position 1"), std::string::npos);
    EXPECT_NE(broken([](D& d) { d.kind[2] = 2; }).find("kind"), std::string::npos);
    EXPECT_NE(broken([](D& d) { d.quantity[0] = 16; }).find("quantity"), std::string::npos);
    EXPECT_NE(broken([](D& d) { d.role[2] = 1; }).find("without a product"), std::string::npos);
    EXPECT_NE(broken([](D& d) { d.occasion[1] = -1; }).find("occasion"), std::string::npos);
    EXPECT_NE(broken([](D& d) { d.time_ms[1] = 4; }).find("time_ms"), std::string::npos);
    EXPECT_NE(broken([](D& d) { d.end_ms.pop_back(); }).find("end_ms"), std::string::npos);
    EXPECT_NE(broken([](D& d) { d.purchase.pop_back(); }).find("length"), std::string::npos);
    EXPECT_NE(broken([](D& d) { d.kinds = 33; }).find("kinds"), std::string::npos);
}

}  // namespace
}  // namespace perennial::model
