#include "sequence/sequence.h"

#include <gtest/gtest.h>

#include "base/file.h"

namespace perennial::sequence {
namespace {

event::Event made(event::Kind kind, const char* product, const char* order, std::int64_t minute, std::int64_t quantity = 1) {
    event::Event e;
    e.kind = kind;
    e.product = product;
    e.order_id = order;
    e.time.ms = minute * kMsPerMinute;
    e.quantity = quantity;
    return e;
}

TEST(Sequence, lines_of_one_order_share_an_occasion_and_bookkeeping_is_left_out) {
    using event::Kind;
    const Vocabulary vocabulary({"a", "b"});
    const std::vector<event::Event> timeline{
        made(Kind::kIdentify, "", "", 0), made(Kind::kProductViewed, "a", "", 1), made(Kind::kOrderCompleted, "a", "1", 2, 6),
        made(Kind::kOrderCompleted, "new", "1", 2), made(Kind::kOrderCharge, "", "1", 2), made(Kind::kOrderCompleted, "b", "2", 3),
        made(Kind::kOrderRefunded, "b", "2", 4)};
    const auto steps = steps_of(timeline, vocabulary);
    ASSERT_EQ(steps.size(), 5u);
    EXPECT_EQ(steps[0].occasion, 0);
    EXPECT_EQ(steps[1].occasion, 1);
    EXPECT_EQ(steps[2].occasion, 1);
    EXPECT_EQ(steps[3].occasion, 2);
    EXPECT_EQ(steps[4].occasion, 3);
    EXPECT_EQ(steps[1].quantity, 3);
    EXPECT_EQ(steps[2].product, kNoProduct);
    EXPECT_EQ(before(steps, 2 * kMsPerMinute).size(), 1u);
}

TEST(Vocabulary, is_saved_and_refused_when_cut_short) {
    TempDir dir;
    const auto path = dir.path() / "vocabulary.txt";
    ASSERT_TRUE(Vocabulary({"85123A", "连衣裙", "with space"}).save(path).ok());
    EXPECT_EQ(Vocabulary::load(path)->find("连衣裙"), 1);
    const auto bytes = read_file(path).value();
    ASSERT_TRUE(write_file(path, bytes.substr(0, bytes.size() - 3)).ok());
    EXPECT_EQ(Vocabulary::load(path).error().code, Code::kCorrupt);
    ASSERT_TRUE(write_file(path, "other\n").ok());
    EXPECT_EQ(Vocabulary::load(path).error().code, Code::kCorrupt);
}

}  // namespace
}  // namespace perennial::sequence
