#include "predict/customer_states.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <thread>

#include "base/file.h"
#include "base/rng.h"
#include "model/random_network.h"

namespace perennial::predict {
namespace {

constexpr std::int64_t kStart = 1'300'000'000'000;

NetworkRecommender small_network() {
    model::Config config;
    config.products = 6;
    config.width = 8;
    config.hidden = 8;
    config.history_limit = 4;  // reach 8: histories here are longer
    config.lags = 3;
    config.has_time = true;
    return NetworkRecommender(model::random_network(config, 3, 0.5f));
}

struct Shop {
    TempDir folder;
    profile::Store store = profile::Store::open(folder.path(), {.journal = {.sync = false}}).value();
    sequence::Vocabulary vocabulary{{"a", "b", "c", "d", "e", "f"}};
    NetworkRecommender network = small_network();

    // What an answer is made of: steps, own products, the network's view of all products.
    struct Seen {
        std::vector<Step> steps;
        std::size_t events = 0;
        std::vector<std::pair<std::int32_t, std::array<std::int64_t, 3>>> own;
        std::vector<float> shares;
    };
    Seen seen(CustomerState& state) const {
        Seen seen{{state.steps().begin(), state.steps().end()}, state.events(), {}, std::vector<float>(6)};
        for (const auto& [product, own] : state.products()) seen.own.push_back({product, {own.steps, own.bought_ms.empty() ? -1 : own.bought_ms.back(), own.viewed_ms.value_or(-1)}});
        std::ranges::sort(seen.own);
        network.score_with(state.session(network), state.steps(), kStart + 1'000'000'000, seen.shares);
        return seen;
    }
    Seen anew(const profile::CustomerKey& key) const {
        const auto timeline = store.timeline(key).value();
        CustomerState state;
        state.extend(timeline, vocabulary);
        auto made = seen(state);
        network.score(state.steps(), kStart + 1'000'000'000, made.shares);
        return made;
    }
    Seen kept(CustomerStates& states, const profile::CustomerKey& key, std::uint64_t models = 1) const {
        Seen result;
        EXPECT_TRUE(states.with(key, models, vocabulary, [&](CustomerState& state) { result = seen(state); }).ok());
        return result;
    }
};

void expect_equal(const Shop::Seen& got, const Shop::Seen& want) {
    ASSERT_EQ(got.events, want.events);
    ASSERT_EQ(got.own, want.own);
    ASSERT_EQ(got.steps.size(), want.steps.size());
    for (std::size_t i = 0; i < got.steps.size(); ++i) {
        const auto &a = got.steps[i], &b = want.steps[i];
        ASSERT_EQ(std::tie(a.product, a.kind, a.quantity, a.time_ms, a.occasion), std::tie(b.product, b.kind, b.quantity, b.time_ms, b.occasion));
    }
    ASSERT_EQ(got.shares, want.shares);  // to the last bit
}

event::Event event_of(const std::string& user, const std::string& anonymous, std::int64_t time_ms, std::uint64_t number, Rng& rng) {
    event::Event e;
    e.message_id = "m" + std::to_string(number);
    e.user_id = user;
    e.anonymous_id = anonymous;
    e.time = {time_ms};
    e.received = {time_ms};
    const auto kind = rng.below(10);
    e.kind = kind < 5 ? event::Kind::kProductViewed : kind < 8 ? event::Kind::kOrderCompleted : kind < 9 ? event::Kind::kPage : event::Kind::kProductsSearched;
    if (kind < 8) e.product = std::string(1, static_cast<char>('a' + rng.below(8)));  // two of them unknown to the vocabulary
    e.quantity = 1;
    if (e.kind == event::Kind::kOrderCompleted) e.order_id = "o" + std::to_string(time_ms / 5000);
    return e;
}

TEST(CustomerStates, answer_as_if_made_anew_whatever_comes_between_requests) {
    for (const std::size_t bytes_limit : {kCustomerStatesBytes, std::size_t{6000}, std::size_t{1}}) {
        Shop shop;
        CustomerStates states(shop.store, bytes_limit);
        Rng rng(bytes_limit);
        std::int64_t now = kStart;
        for (std::uint64_t i = 0; i < 1500; ++i) {
            const auto user = "u" + std::to_string(rng.below(4)), device = "d" + std::to_string(rng.below(6));
            if (rng.below(3) > 0) {  // a batch of events: mostly new, some late, some equal in time, some of a device only
                std::vector<event::Event> batch;
                for (auto left = 1 + rng.below(4); left > 0; --left) {
                    now += static_cast<std::int64_t>(rng.below(3) * 1000);
                    const bool known = rng.below(3) > 0, late = rng.below(20) == 0;
                    batch.push_back(event_of(known ? user : "", rng.below(2) == 0 || !known ? device : "", late ? now - 7000 : now, i * 10 + left, rng));
                }
                ASSERT_TRUE(shop.store.append(batch).ok());
            } else {
                const auto key = rng.below(4) > 0 ? profile::user_key(user) : profile::anonymous_key(device);
                expect_equal(shop.kept(states, key, 1 + (i > 1000)), shop.anew(key));
                if (testing::Test::HasFatalFailure()) FAIL() << "step " << i << ", limit " << bytes_limit;
            }
        }
        const auto counts = states.counts();
        EXPECT_LE(counts.bytes, bytes_limit);
        EXPECT_GT(counts.misses, 0u);
        if (bytes_limit == kCustomerStatesBytes) {
            EXPECT_GT(counts.hits, 2 * counts.misses);
            EXPECT_GT(counts.overtaken, 0u);
            EXPECT_EQ(counts.left, 0u);
        } else {
            EXPECT_GT(counts.left, 0u);
        }
        if (bytes_limit == 1) {
            EXPECT_EQ(counts.customers, 0u);
        }
    }
}

TEST(CustomerStates, keep_no_more_pending_events_than_the_limit) {
    Shop shop;
    CustomerStates states(shop.store);
    Rng rng(5);
    ASSERT_TRUE(shop.store.append({event_of("u", "", kStart, 0, rng)}).ok());
    shop.kept(states, "u:u");
    for (std::uint64_t i = 1; i <= kPendingEventsLimit + 1; ++i) ASSERT_TRUE(shop.store.append({event_of("u", "", kStart, i, rng)}).ok());
    expect_equal(shop.kept(states, "u:u"), shop.anew("u:u"));
    EXPECT_EQ(states.counts().overtaken, 1u);
    EXPECT_EQ(states.counts().misses, 2u);
}

TEST(CustomerStates, miss_no_acknowledged_event_while_events_and_requests_run_at_once) {
    Shop shop;
    CustomerStates states(shop.store, 40'000);  // room for some, so that states come and go
    constexpr std::size_t kCustomers = 8;
    std::array<std::atomic<std::size_t>, kCustomers> acknowledged{};
    std::atomic<bool> done = false;
    std::vector<std::jthread> readers;
    std::atomic<std::size_t> asked = 0;
    for (std::uint64_t r = 0; r < 3; ++r)
        readers.emplace_back([&, r] {
            Rng rng(r);
            while (!done) {
                const auto c = rng.below(kCustomers);
                const std::size_t at_least = acknowledged[c];
                const auto seen = shop.kept(states, "u:u" + std::to_string(c));
                EXPECT_GE(seen.events, at_least);
                ++asked;
            }
        });
    Rng rng(9);
    for (std::uint64_t i = 0; i < 600; ++i) {
        const auto c = rng.below(kCustomers);
        ASSERT_TRUE(shop.store.append({event_of("u" + std::to_string(c), "", kStart + static_cast<std::int64_t>(i) * 100 - (rng.below(30) == 0 ? 3000 : 0), i, rng)}).ok());
        ++acknowledged[c];
    }
    while (asked < 50) std::this_thread::yield();
    done = true;
    readers.clear();
    for (std::size_t c = 0; c < kCustomers; ++c) {
        const auto key = "u:u" + std::to_string(c);
        expect_equal(shop.kept(states, key), shop.anew(key));
    }
}

TEST(NetworkRecommender, a_state_extended_event_by_event_equals_one_made_of_the_last_steps) {
    const auto network = small_network();
    Rng rng(8);
    std::vector<Step> steps;
    auto whole = network.network().start();
    for (std::int32_t i = 0; i < 60; ++i) {
        steps.push_back({.product = static_cast<std::int32_t>(rng.below(6)), .kind = 8, .quantity = 1, .time_ms = kStart + i * 86'400'000LL, .occasion = i});
        network.network().extend(whole, to_model_step(steps.back(), i > 0 ? &steps[steps.size() - 2] : nullptr));
        const auto rebuilt = network.session(steps);
        const auto a = network.network().hidden(whole), b = network.network().hidden(rebuilt);
        ASSERT_TRUE(std::ranges::equal(a, b)) << i;
    }
}

}  // namespace
}  // namespace perennial::predict
