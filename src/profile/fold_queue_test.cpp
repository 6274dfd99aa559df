#include "profile/fold_queue.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <atomic>
#include <future>

namespace perennial::profile {
namespace {

using std::chrono::milliseconds;

// Events numbered from `first`, and the ids that go with them.
struct Some {
    std::vector<event::Event> events;
    std::vector<Hash128> ids;
    explicit Some(std::size_t first, std::size_t count) : events(count) {
        for (std::size_t i = 0; i < count; ++i) {
            events[i].message_id = fmt::format("m{}", first + i);
            ids.push_back(hash128(events[i].message_id));
        }
    }
};

void push(FoldQueue& queue, std::size_t first, std::size_t count) {
    Some some(first, count);
    queue.push(std::move(some.events), {first + count}, some.ids);
}

TEST(FoldQueue, folds_everything_in_order_also_what_waits_at_the_end) {
    std::vector<std::string> seen;
    std::uint64_t last = 0;
    {
        FoldQueue queue(100, 10, [&](std::span<const event::Event> events, journal::Offset next) -> Status {
            for (const auto& event : events) seen.push_back(event.message_id);
            EXPECT_EQ(next.value, seen.size());
            last = next.value;
            return Done{};
        });
        for (std::size_t at = 0; at < 500; at += 5) {
            ASSERT_TRUE(queue.make_room().ok());
            push(queue, at, 5);
        }
    }
    ASSERT_EQ(seen.size(), 500u);
    for (std::size_t i = 0; i < seen.size(); ++i) EXPECT_EQ(seen[i], fmt::format("m{}", i));
    EXPECT_EQ(last, 500u);
}

TEST(FoldQueue, knows_what_waits_and_makes_the_writer_wait_when_it_is_full) {
    std::promise<void> go_on;
    auto gate = go_on.get_future().share();
    FoldQueue queue(10, 4, [&](std::span<const event::Event>, journal::Offset) -> Status {
        gate.wait();
        return Done{};
    });
    push(queue, 0, 10);
    EXPECT_TRUE(queue.knows(hash128("m9")));
    EXPECT_FALSE(queue.knows(hash128("m10")));
    EXPECT_EQ(queue.wait_until_folded(milliseconds(20)).error().code, Code::kBusy);
    auto room = std::async(std::launch::async, [&] { return queue.make_room().ok(); });
    EXPECT_EQ(room.wait_for(milliseconds(50)), std::future_status::timeout) << "it is full";
    go_on.set_value();
    EXPECT_TRUE(room.get());
    EXPECT_TRUE(queue.wait_until_folded(milliseconds(60'000)).ok());
    EXPECT_FALSE(queue.knows(hash128("m9")));
}

TEST(FoldQueue, a_fold_that_fails_is_tried_again_and_nothing_is_lost_or_passed_over) {
    std::atomic<bool> broken = true;
    std::vector<std::uint64_t> offsets;
    FoldQueue queue(6, 100, [&](std::span<const event::Event> events, journal::Offset next) -> Status {
        if (broken) return Error{Code::kFull, "no space"};
        offsets.push_back(next.value);
        EXPECT_EQ(events.size(), next.value - (offsets.size() > 1 ? offsets[offsets.size() - 2] : 0));
        return Done{};
    });
    push(queue, 0, 3);
    EXPECT_EQ(queue.wait_until_folded(milliseconds(60'000)).error().code, Code::kFull);
    EXPECT_TRUE(queue.make_room().ok()) << "there is room yet: the journal takes events while profiles cannot";
    push(queue, 3, 3);
    EXPECT_EQ(queue.make_room().error().code, Code::kFull);
    EXPECT_TRUE(queue.knows(hash128("m0")));
    broken = false;
    const auto until = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (!queue.wait_until_folded(milliseconds(100)).ok() && std::chrono::steady_clock::now() < until) std::this_thread::sleep_for(milliseconds(20));
    ASSERT_TRUE(queue.wait_until_folded(milliseconds(0)).ok());
    EXPECT_TRUE(queue.make_room().ok());
    EXPECT_EQ(offsets.back(), 6u);
    EXPECT_FALSE(queue.knows(hash128("m0")));
}

TEST(FoldQueue, ends_while_folding_fails) {
    FoldQueue queue(6, 100, [](std::span<const event::Event>, journal::Offset) -> Status { return Error{Code::kIo, "broken"}; });
    push(queue, 0, 3);
    EXPECT_EQ(queue.wait_until_folded(milliseconds(60'000)).error().code, Code::kIo);
}

}  // namespace
}  // namespace perennial::profile
