#include <gtest/gtest.h>

#include <boost/json.hpp>

#include "base/file.h"
#include "measure/customers.h"
#include "measure/evaluation_json.h"
#include "measure/report.h"

namespace perennial::measure {
namespace {

profile::Profile buyer(std::initializer_list<CivilDate> dates, std::int64_t each = 1000) {
    profile::Profile p;
    for (const auto& date : dates) {
        p.orders.push_back({std::to_string(p.orders.size()), utc_time(date), {each}, 1});
        p.spend += Money{each};
    }
    p.first_seen = p.orders.empty() ? utc_time({2011, 1, 5}) : p.orders.front().time;
    return p;
}

const std::vector<profile::Profile> kPeople{buyer({{2011, 1, 3}, {2011, 2, 3}, {2011, 4, 3}}), buyer({{2011, 1, 20}}), buyer({{2011, 3, 1}, {2011, 3, 20}}), buyer({})};
const UtcTime kNow = utc_time({2011, 4, 10});

TEST(Lifecycle, every_customer_is_counted_once_a_month_and_flows_add_up_to_counts) {
    const auto months = lifecycle_by_month(kPeople, {30, 0.5, 10}, kNow);
    ASSERT_EQ(months.months, (std::vector<std::string>{"2011-01", "2011-02", "2011-03", "2011-04"}));
    const std::size_t known[] = {3, 3, 4, 4};
    for (std::size_t m = 0; m < 4; ++m) {
        std::size_t total = 0;
        StageCounts arrived{};
        for (const auto count : months.counts[m]) total += count;
        EXPECT_EQ(total, known[m]);
        for (const auto& flow : months.flows)
            if (flow.month == months.months[m]) arrived[static_cast<std::size_t>(flow.to)] += flow.customers;
        EXPECT_EQ(arrived, months.counts[m]);
    }
}

TEST(Cohorts, shares_are_counted_by_hand) {
    const auto rows = retention_cohorts(kPeople, kNow);
    ASSERT_EQ(rows.size(), 2u);
    EXPECT_EQ(rows[0].size, 2u);
    EXPECT_EQ(rows[0].retained, (std::vector<double>{1, 0.5, 0, 0.5}));
    EXPECT_EQ(rows[1].retained, (std::vector<double>{1, 0}));
}

TEST(Rfm, the_grid_holds_every_buyer_once) {
    const auto grid = rfm_grid(kPeople, kNow);
    std::size_t total = 0;
    for (const auto& row : grid.cells) for (const auto& cell : row) total += cell.customers;
    EXPECT_EQ(total, 3u);
}

TEST(Training, a_missing_or_cut_curve_file_gives_fewer_points_never_a_failure) {
    TempDir dir;
    EXPECT_TRUE(training_json("x", {"a", "b"}, dir.path() / "none.csv").at("points").as_array().empty());
    ASSERT_TRUE(write_file(dir.path() / "c.csv", "epoch,seconds,train_loss,time_loss,valid_loss,valid_ndcg10,valid_recall10\n1,2,9,1,8,0.1,0.2\n2,4,8,1,7,0.3,0.4\n3,6").ok());
    const auto curve = training_json("x", {"a", "b"}, dir.path() / "c.csv");
    EXPECT_EQ(curve.at("points").as_array().size(), 2u);
    EXPECT_EQ(curve.at("best_epoch"), 2);
}

TEST(Page, is_complete_and_product_names_cannot_break_out_of_it) {
    const std::string page = report_html({{"format", "perennial.report"}, {"version", 1}, {"shop", {{"name", "</script><!--<script>{{report.json}}"}}}});
    EXPECT_EQ(page.find("/*{{"), std::string::npos);
    EXPECT_EQ(page.find("</script><!--<script>"), std::string::npos);
    EXPECT_NE(page.find("\\u003c/script>\\u003c!--\\u003cscript>"), std::string::npos);
    EXPECT_EQ(page.find("http://"), page.find("http://www.w3.org"));  // the only address is the SVG namespace
}

}  // namespace
}  // namespace perennial::measure
