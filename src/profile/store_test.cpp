#include "profile/store.h"

#include <gtest/gtest.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <set>

#include <fmt/format.h>

#include "base/bytes.h"
#include "base/file.h"
#include "base/rng.h"
#include "event/codec.h"

namespace perennial::profile {
namespace {

namespace fs = std::filesystem;

event::Event line(int number, int customers = 7) {
    event::Event e;
    e.kind = number % 5 == 4 ? event::Kind::kProductViewed : event::Kind::kOrderCompleted;
    e.message_id = fmt::format("m{}", number);
    e.received = {1'400'000'000'000};
    e.time = {1'300'000'000'000 + (number * 7919 % 1000) * kMsPerHour};
    const int who = number % customers;
    if (who == 0) e.anonymous_id = fmt::format("device{}", number % 3);
    else if (who != 1) e.user_id = fmt::format("{}", who);
    if (who == 2 && number % 4 == 0) e.anonymous_id = fmt::format("device{}", number % 3);  // a sign-in
    e.order_id = fmt::format("o{}", number / 3);
    e.product = fmt::format("p{}", number % 11);
    e.quantity = 1;
    e.price = e.amount = {100 + number};
    return e;
}

std::vector<event::Event> lines(int first, int count) {
    std::vector<event::Event> events;
    for (int i = first; i < first + count; ++i) events.push_back(line(i));
    return events;
}

Store opened(const fs::path& directory, StoreOptions options = {}) {
    auto store = Store::open(directory, options);
    EXPECT_TRUE(store.ok()) << (store.ok() ? "" : store.error().message);
    return std::move(store).value();
}

TEST(Store, takes_every_event_once_however_often_it_is_sent) {
    TempDir dir;
    auto store = opened(dir.path());
    EXPECT_EQ(store.append(lines(0, 100))->accepted, 100u);
    auto again = lines(50, 100);
    again.push_back(line(149));  // twice in one group
    const auto receipt = store.append(again);
    EXPECT_EQ(receipt->accepted, 50u);
    EXPECT_EQ(receipt->already_known, 51u);
    EXPECT_EQ(store.folded().value, 150u);
}

TEST(Store, a_replay_into_an_empty_state_is_the_same_bit_for_bit_for_any_grouping) {
    TempDir dir;
    std::string want;
    {
        auto store = opened(dir.path());
        Rng rng(1);
        for (int at = 0; at < 3000;) {
            const int count = static_cast<int>(rng.below(97)) + 1;
            ASSERT_TRUE(store.append(lines(at, count)).ok());
            at += count;
        }
        want = store.dump().value();
    }
    ASSERT_EQ(opened(dir.path()).dump().value(), want);
    for (const std::size_t group : {1u, 64u, 100'000u}) {
        fs::remove_all(dir.path() / "state");
        ASSERT_EQ(opened(dir.path(), {.fold_events = group}).dump().value(), want);
    }
}

TEST(Store, a_sign_in_brings_the_anonymous_past_along_and_leads_later_events) {
    TempDir dir;
    auto store = opened(dir.path());
    const auto view = [](const char* id, const char* user, const char* device, std::int64_t minute) {
        event::Event e;
        e.kind = event::Kind::kProductViewed;
        e.message_id = id;
        e.user_id = user;
        e.anonymous_id = device;
        e.product = "p";
        e.time = e.received = {minute * kMsPerMinute};
        return e;
    };
    ASSERT_TRUE(store.append({view("1", "", "phone", 1), view("2", "ann", "", 2)}).ok());
    EXPECT_EQ(store.timeline("a:phone")->size(), 1u);
    ASSERT_TRUE(store.append({view("3", "ann", "phone", 3)}).ok());
    EXPECT_EQ(store.timeline("u:ann")->size(), 3u);
    EXPECT_EQ(store.timeline("a:phone")->size(), 3u);  // leads to ann now
    ASSERT_TRUE(store.append({view("4", "", "phone", 4), view("5", "bob", "phone", 5), view("6", "", "phone", 6)}).ok());
    EXPECT_EQ(store.timeline("u:ann")->size(), 4u);    // a second person on the device takes no history
    EXPECT_EQ(store.timeline("u:bob")->size(), 2u);
    std::size_t profiles = 0;
    ASSERT_TRUE(store.for_each_profile([&](const CustomerKey&, const Profile&) { return ++profiles > 0; }).ok());
    EXPECT_EQ(profiles, 2u);
}

TEST(Store, timelines_are_in_time_order_and_anonymous_orders_are_no_customers) {
    TempDir dir;
    auto store = opened(dir.path());
    ASSERT_TRUE(store.append(lines(0, 500)).ok());
    std::size_t events = 0, orders = 0;
    ASSERT_TRUE(store.for_each_timeline(true, [&](const CustomerKey& key, const std::vector<event::Event>& timeline) {
        EXPECT_TRUE(std::ranges::is_sorted(timeline, {}, &event::Event::time));
        events += timeline.size();
        orders += !is_customer(key);
        return true;
    }).ok());
    EXPECT_EQ(events, 500u);
    EXPECT_GT(orders, 0u);
}

TEST(Store, readers_beside_the_writer_see_what_it_has_folded) {
    TempDir dir;
    auto store = opened(dir.path());
    ASSERT_TRUE(store.append(lines(0, 100)).ok());
    auto reader = opened(dir.path(), {.read_only = true});
    EXPECT_EQ(reader.dump().value(), store.dump().value());
    EXPECT_EQ(reader.append(lines(100, 1)).error().code, Code::kBusy);
    TempDir empty;
    EXPECT_EQ(Store::open(empty.path(), {.read_only = true}).error().code, Code::kNotFound);
}

TEST(Store, folding_behind_gives_the_same_state_and_knows_what_still_waits) {
    TempDir step_dir, behind_dir;
    auto step = opened(step_dir.path());
    std::string wanted;
    {
        auto behind = opened(behind_dir.path(), {.fold_behind_events = 150});
        for (int at = 0; at < 1'000; at += 40)
            for (auto* store : {&step, &behind}) {
                const auto receipt = store->append(lines(at, 60));  // a third of it was sent before
                ASSERT_TRUE(receipt.ok());
                ASSERT_EQ(receipt->accepted, at == 0 ? 60u : 40u);
            }
        ASSERT_TRUE(behind.settle().ok());
        wanted = step.dump().value();
        EXPECT_EQ(behind.dump().value(), wanted);
        for (auto* store : {&step, &behind}) ASSERT_TRUE(store->append(lines(2'000, 500)).ok());
    }  // what waits when the store is closed is folded
    EXPECT_NE(step.dump().value(), wanted);
    EXPECT_EQ(opened(behind_dir.path(), {.read_only = true}).dump().value(), step.dump().value());
}

TEST(Store, says_so_when_journal_files_are_missing) {
    TempDir dir;
    { ASSERT_TRUE(opened(dir.path()).append(lines(0, 100)).ok()); }
    fs::remove_all(dir.path() / "journal");
    EXPECT_EQ(Store::open(dir.path()).error().code, Code::kCorrupt);
}

// Only what readers of customers see: products, links, profiles, timelines.
std::string customers_of(const Store& store) {
    const auto dump = store.dump().value();
    std::string kept;
    Reader reader(dump);
    while (!reader.empty()) {
        const auto table = static_cast<char>(reader.fixed<std::uint8_t>());
        const auto key = reader.string(), value = reader.string();
        EXPECT_TRUE(reader.ok());
        if (std::string_view("clpt").find(table) == std::string_view::npos) continue;
        kept += table;
        put_string(kept, key);
        put_string(kept, value);
    }
    return kept;
}

std::string views_of(const Store& store) {
    std::string seen;
    EXPECT_TRUE(store.for_each_profile([&](const CustomerKey& key, const Profile& profile) { return seen += key + encode(profile), true; }).ok());
    EXPECT_TRUE(store.for_each_timeline(true, [&](const CustomerKey& key, const std::vector<event::Event>& timeline) {
        seen += key;
        for (const auto& event : timeline) event::encode(event, seen);
        return true;
    }).ok());
    for (const char* key : {"u:2", "u:3", "u:4", "a:device0", "a:device1", "a:device2"}) {
        seen += store.resolve(key);
        const auto timeline = store.timeline(key).value();
        for (const auto& event : timeline) event::encode(event, seen);
        if (const auto profile = store.profile(key).value()) seen += encode(*profile);
    }
    return seen;
}

event::Event decided(const CustomerKey& a, const CustomerKey& b, Verdict verdict, std::int64_t ms) {
    return merge_event({a, b, verdict, {1'700'000'000'000 + ms}, R"({"who":"test"})"});
}

TEST(Store, undoing_a_merge_leaves_the_bytes_that_never_merging_leaves) {
    TempDir merged_dir, plain_dir;
    auto merged = opened(merged_dir.path());
    auto plain = opened(plain_dir.path());
    Rng rng(9);
    int clock = 0;
    for (int at = 0; at < 600; at += 60) {
        ASSERT_TRUE(plain.append(lines(at, 60)).ok());
        ASSERT_TRUE(merged.append(lines(at, 60)).ok());
        // Merges of all sorts between the events, chains among them; and after each the events go on.
        if (at == 120) { ASSERT_TRUE(merged.append({decided("u:2", "u:3", Verdict::kMerged, ++clock), decided("u:4", "u:3", Verdict::kMerged, ++clock)}).ok()); }
        if (at == 240) { ASSERT_TRUE(merged.append({decided("a:device1", "u:5", Verdict::kMerged, ++clock), decided("u:6", "o:o0", Verdict::kMerged, ++clock)}).ok()); }
        if (at == 300) {
            EXPECT_EQ(merged.resolve("u:4"), "u:2");
            EXPECT_EQ(merged.timeline("u:3")->size(), plain.timeline("u:2")->size() + plain.timeline("u:3")->size() + plain.timeline("u:4")->size());
            EXPECT_EQ(merged.profile("u:3").value(), std::optional(fold(merged.timeline("u:2").value())));
            EXPECT_NE(views_of(merged), views_of(plain));
            EXPECT_EQ(merged.last_event_time(), plain.last_event_time());
        }
    }
    EXPECT_EQ(customers_of(merged), customers_of(plain));  // a merge moves nothing
    std::size_t events = 0, events_plain = 0;
    const auto count_into = [](std::size_t& sum) {
        return [&sum](const CustomerKey&, const std::vector<event::Event>& timeline) { return sum += timeline.size(), true; };
    };
    ASSERT_TRUE(merged.for_each_timeline(true, count_into(events)).ok());
    ASSERT_TRUE(plain.for_each_timeline(true, count_into(events_plain)).ok());
    EXPECT_EQ(events, events_plain);  // each event once, however keys are grouped
    ASSERT_TRUE(merged.append({decided("u:3", "u:2", Verdict::kUndone, ++clock), decided("u:3", "u:4", Verdict::kUndone, ++clock),
                               decided("u:5", "a:device1", Verdict::kUndone, ++clock), decided("u:6", "o:o0", Verdict::kUndone, ++clock)}).ok());
    EXPECT_EQ(customers_of(merged), customers_of(plain));
    EXPECT_EQ(views_of(merged), views_of(plain));
    EXPECT_TRUE(merged.merged_with("u:2").empty());
    EXPECT_EQ(merged.merge_decisions()->size(), 4u);
}

TEST(Store, merges_are_replayed_from_the_journal_bit_for_bit_for_any_grouping) {
    TempDir dir;
    std::string want, views;
    {
        auto store = opened(dir.path());
        Rng rng(4);
        int clock = 0;
        for (int at = 0; at < 2000; at += 50) {
            ASSERT_TRUE(store.append(lines(at, 50)).ok());
            const auto key = [&] { return rng.chance(0.3) ? fmt::format("a:device{}", rng.below(3)) : fmt::format("u:{}", 2 + rng.below(5)); };
            const auto a = key(), b = key();
            if (a != b) { ASSERT_TRUE(store.append({decided(a, b, rng.chance(0.6) ? Verdict::kMerged : Verdict::kUndone, ++clock)}).ok()); }
        }
        want = store.dump().value();
        views = views_of(store);
        auto reader = opened(dir.path(), {.read_only = true});
        EXPECT_EQ(views_of(reader), views);
    }
    for (const std::size_t group : {1u, 64u, 100'000u}) {
        fs::remove_all(dir.path() / "state");
        auto store = opened(dir.path(), {.fold_events = group});
        ASSERT_EQ(store.dump().value(), want);
        ASSERT_EQ(views_of(store), views);
    }
}

TEST(Store, tells_its_watcher_of_every_key_whose_joined_timeline_changes) {
    struct Watcher : TimelineWatcher {
        std::set<CustomerKey> anew;
        int open = 0;
        void changing(const CustomerKey&) override { ++open; }
        void changed(const CustomerKey& key, std::string_view, bool again) override {
            --open;
            if (again) anew.insert(key);
        }
    };
    TempDir dir;
    auto store = opened(dir.path());
    ASSERT_TRUE(store.append(lines(0, 100)).ok());
    Watcher watcher;
    store.watch(&watcher);
    ASSERT_TRUE(store.append({decided("u:3", "u:4", Verdict::kMerged, 1)}).ok());
    EXPECT_EQ(watcher.anew, (std::set<CustomerKey>{"u:3", "u:4"}));
    watcher.anew.clear();
    auto event = line(100);
    event.user_id = "4";
    event.anonymous_id.clear();
    ASSERT_TRUE(store.append({event}).ok());
    EXPECT_TRUE(watcher.anew.contains("u:3"));
    EXPECT_EQ(watcher.open, 0);
    store.watch(nullptr);
}

TEST(MergeGroups, a_user_speaks_before_a_device_before_an_order_and_the_last_word_counts) {
    const auto decision = [](const char* a, const char* b, Verdict verdict) { return *merge_decision_of(merge_event({a, b, verdict, {1}, {}})); };
    const std::vector<MergeDecision> decisions{decision("u:b", "a:z", Verdict::kMerged), decision("a:z", "o:1", Verdict::kMerged), decision("u:a", "u:c", Verdict::kRejected)};
    const MergeGroups groups(decisions);
    EXPECT_EQ(groups.canonical("o:1"), "u:b");
    EXPECT_EQ(groups.canonical("u:a"), "u:a");
    EXPECT_EQ(groups.members("u:b").size(), 3u);
    EXPECT_TRUE(groups.members("u:c").empty());
    event::Event other;
    other.kind = event::Kind::kDecision;
    EXPECT_FALSE(merge_decision_of(other).has_value());
}

// A child appends groups and reports each acknowledgement through a pipe; it is killed at a random moment.
TEST(Store, after_a_kill_at_any_moment_nothing_acknowledged_is_lost_and_nothing_is_doubled) {
    TempDir dir;
    Rng rng(2024);
    int acknowledged = 0;
    for (int round = 0; round < 15; ++round) {
        int pipe_ends[2];
        ASSERT_EQ(::pipe(pipe_ends), 0);
        const pid_t child = ::fork();
        if (child == 0) {
            auto store = Store::open(dir.path(), {.fold_behind_events = round % 2 ? std::size_t{200} : 0});
            if (!store.ok()) ::_exit(3);
            for (int at = std::max(0, acknowledged - 20);; at += 40) {  // overlaps what was sent before
                if (!store->append(lines(at, 60)).ok()) ::_exit(4);
                const int upto = at + 60;
                if (::write(pipe_ends[1], &upto, sizeof upto) != sizeof upto) ::_exit(5);
            }
        }
        ::close(pipe_ends[1]);
        int upto = 0;
        const auto kill_after = rng.below(30);
        std::uint64_t seen = 0;
        while (::read(pipe_ends[0], &upto, sizeof upto) == sizeof upto) {
            acknowledged = std::max(acknowledged, upto);
            if (seen++ == kill_after) ::kill(child, SIGKILL);
        }
        ::close(pipe_ends[0]);
        int status = 0;
        ::waitpid(child, &status, 0);
        ASSERT_TRUE(WIFSIGNALED(status)) << "the child ended by itself: " << WEXITSTATUS(status);

        auto store = opened(dir.path());
        std::set<std::string> ids;
        std::size_t events = 0;
        ASSERT_TRUE(store.for_each_timeline(true, [&](const CustomerKey&, const std::vector<event::Event>& timeline) {
            for (const auto& e : timeline) ids.insert(e.message_id), ++events;
            return true;
        }).ok());
        ASSERT_EQ(events, ids.size());
        for (int i = 0; i < acknowledged; ++i) ASSERT_TRUE(ids.contains(fmt::format("m{}", i))) << i;
        ASSERT_EQ(store.folded().value, events);
    }
}

}  // namespace
}  // namespace perennial::profile
