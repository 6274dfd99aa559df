#include "decide/recommend.h"

#include <gtest/gtest.h>

#include <map>
#include <set>

namespace perennial::decide {
namespace {

constexpr std::int64_t kStart = 1'300'000'000'000;

event::Event buy(const char* product, double day) {
    event::Event e;
    e.kind = event::Kind::kOrderCompleted;
    e.product = product;
    e.title = std::string("The ") + product;
    e.order_id = std::to_string(day);
    e.quantity = 1;
    e.price = e.amount = {500};
    e.time = after_days({kStart}, day);
    return e;
}

// Tea runs out every 30 days; lamps are bought once, with a bulb; sofa is popular.
class Shop : public ::testing::Test {
protected:
    Shop() {
        for (int c = 0; c < 12; ++c) {
            std::vector<event::Event> timeline{buy("tea", c), buy("sofa", c), buy("tea", c + 30), buy("lamp", c + 40), buy("bulb", c + 41), buy("tea", c + 60)};
            timelines_.push_back(timeline);
        }
        std::map<std::string, catalog::Product> products;
        for (const auto& timeline : timelines_)
            for (const auto& e : timeline) {
                products[e.product].id = e.product;
                catalog::apply(products[e.product], e);
            }
        for (auto& [id, product] : products) products_.push_back(product);
        models_.vocabulary = sequence::Vocabulary({"bulb", "lamp", "sofa", "tea"});
        std::vector<sequence::Sequence> sequences;
        for (std::size_t i = 0; i < timelines_.size(); ++i) sequences.push_back({"u:" + std::to_string(i), sequence::steps_of(timelines_[i], models_.vocabulary)});
        models_.methods = predict::build_methods(sequences, 4, models_.settings, nullptr, after_days({kStart}, 100).ms, 1);
        models_.replenishment = predict::Replenishment(sequences, 4);
    }

    std::vector<Recommendation> ask(const std::vector<event::Event>& timeline, double day, std::size_t n = 10) {
        return recommend(models_, catalog::Catalog(products_), timeline, after_days({kStart}, day), n)->products;
    }

    static std::set<std::string> names(const std::vector<Recommendation>& list) {
        std::set<std::string> found;
        for (const auto& r : list) found.insert(r.product);
        return found;
    }

    std::vector<std::vector<event::Event>> timelines_;
    std::vector<catalog::Product> products_;
    predict::ShopModels models_;
};

TEST_F(Shop, a_just_bought_durable_is_not_offered_and_what_runs_out_comes_back_when_due) {
    const std::vector<event::Event> history{buy("lamp", 100), buy("tea", 100)};
    EXPECT_FALSE(names(ask(history, 102)).contains("lamp"));
    EXPECT_FALSE(names(ask(history, 102)).contains("tea"));
    EXPECT_TRUE(names(ask(history, 125)).contains("tea"));
    EXPECT_FALSE(names(ask(history, 125)).contains("lamp"));
    EXPECT_TRUE(names(ask(history, 300)).contains("lamp"));
}

TEST_F(Shop, reasons_name_the_customers_own_rhythm_or_the_product_that_leads_there) {
    for (const auto& r : ask({buy("tea", 0), buy("tea", 42), buy("tea", 84)}, 130))
        if (r.product == "tea") {
            EXPECT_EQ(r.reason_en, "you buy this every 6 weeks");
        }
    for (const auto& r : ask({buy("lamp", 100)}, 101))
        if (r.product == "bulb") {
            EXPECT_EQ(r.reason, ReasonKind::kBoughtAfter);
            EXPECT_EQ(r.reason_en, "often bought after The lamp");
            EXPECT_EQ(r.because_of, "lamp");
        }
}

TEST_F(Shop, nothing_out_of_stock_is_ever_offered) {
    for (auto& product : products_)
        if (product.id == "sofa") product.stock = 0;
    EXPECT_FALSE(names(ask({}, 100)).contains("sofa"));
    EXPECT_TRUE(names(ask({}, 100)).contains("tea"));
}

TEST_F(Shop, an_unknown_customer_gets_what_is_popular_and_new_products_get_a_place) {
    const auto popular = ask({}, 100);
    ASSERT_EQ(popular.size(), 4u);
    EXPECT_EQ(popular[0].product, "tea");
    EXPECT_EQ(popular[0].reason, ReasonKind::kPopular);
    catalog::Product fresh;
    fresh.id = "fresh";
    fresh.price = {900};
    fresh.category = "tea";
    fresh.first_seen = after_days({kStart}, 95);
    products_.push_back(fresh);
    EXPECT_EQ(ask({}, 100).back().product, "fresh");
    EXPECT_EQ(ask({}, 100).back().reason, ReasonKind::kNew);
    EXPECT_FALSE(names(ask({}, 100, 3)).contains("fresh"));
    EXPECT_FALSE(names(ask({}, 200)).contains("fresh"));  // no longer new, never sold
}

TEST_F(Shop, a_count_outside_the_limits_is_an_error) {
    for (const std::size_t n : {std::size_t{0}, kRecommendationsLimit + 1})
        EXPECT_EQ(recommend(models_, catalog::Catalog(products_), {}, {kStart}, n).error().code, Code::kInvalid);
}

}  // namespace
}  // namespace perennial::decide
