#include "decide/recommend.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <set>

#include "decide/causes.h"
#include "model/random_network.h"

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
        for (std::size_t i = 0; i < timelines_.size(); ++i) sequences_.push_back({"u:" + std::to_string(i), sequence::steps_of(timelines_[i], models_.vocabulary)});
        models_.methods = predict::build_methods(sequences_, 4, models_.settings, nullptr, after_days({kStart}, 100).ms, 1);
        models_.replenishment = predict::Replenishment(sequences_, 4);
    }

    // A network that has learned nothing, but whose opinions differ much.
    void add_network(double weight) {
        model::Config config;
        config.products = 4;
        config.width = 16;
        config.has_time = true;
        models_.settings.weight_network = weight;
        models_.settings.weight_pairs = 1 - weight;
        auto network = std::make_shared<const predict::NetworkRecommender>(model::random_network(config, 2, 0.5f));
        models_.methods = predict::build_methods(sequences_, 4, models_.settings, network, after_days({kStart}, 100).ms, 1);
    }

    std::vector<Recommendation> ask(const std::vector<event::Event>& timeline, double day, std::size_t n = 10) {
        return recommend(models_, catalog::Catalog(products_), timeline, after_days({kStart}, day), n, reasons_)->products;
    }

    static std::set<std::string> names(const std::vector<Recommendation>& list) {
        std::set<std::string> found;
        for (const auto& r : list) found.insert(r.product);
        return found;
    }

    std::vector<std::vector<event::Event>> timelines_;
    std::vector<sequence::Sequence> sequences_;
    std::vector<catalog::Product> products_;
    predict::ShopModels models_;
    Reasons reasons_ = Reasons::kShort;
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

TEST_F(Shop, where_the_network_decides_the_reason_is_the_event_that_speaks_most_for_the_product) {
    add_network(1);
    const std::vector<event::Event> history{buy("lamp", 0), buy("bulb", 1), buy("tea", 40), buy("tea", 82), buy("tea", 124)};
    const UtcTime now = after_days({kStart}, 170);
    int named = 0;
    for (std::size_t n = 1; n <= history.size(); ++n) {
        const std::vector<event::Event> part(history.begin(), history.begin() + static_cast<std::ptrdiff_t>(n));
        for (const auto& r : ask(part, 170)) {
            const auto cause = causes(models_, catalog::Catalog(products_), sequence::steps_of(part, models_.vocabulary), now, std::vector{r.product}).front();
            double sum = cause.others;
            for (const auto& event : cause.events) sum += event.effect;
            EXPECT_NEAR(sum, cause.value - cause.baseline, 0.05 * (1 + std::abs(sum)));
            if (r.product == "tea" && n == 5) {
                EXPECT_EQ(r.reason, ReasonKind::kRebuyOwn);  // the customer's own rhythm says more
            }
            if (r.reason != ReasonKind::kBecause) continue;
            ++named;
            const auto most = std::ranges::max_element(cause.events, {}, &Cause::effect);
            EXPECT_EQ(r.because_of, most->product);
            EXPECT_EQ(r.because_time.ms, most->time.ms);
            EXPECT_NEAR(r.because_effect, most->effect, 0.05 * (1 + most->effect));
            EXPECT_GE(r.because_effect, kBecauseEffectMin);
            const auto month = most->time.ms < after_days({kStart}, 14).ms ? "March" : most->time.ms < after_days({kStart}, 44).ms ? "April" : "";
            EXPECT_TRUE(r.reason_en.starts_with("because you bought ")) << r.reason_en;
            EXPECT_NE(r.reason_en.find(month), std::string::npos) << r.reason_en;
            EXPECT_NE(r.reason_zh.find(r.because_of == r.product ? "此商品" : most->title), std::string::npos) << r.reason_zh;
        }
    }
    EXPECT_GT(named, 0);
}

TEST_F(Shop, a_network_that_has_no_say_gives_no_reason_and_without_one_there_are_no_causes) {
    add_network(0);
    for (const auto& r : ask({buy("lamp", 100)}, 101)) EXPECT_NE(r.reason, ReasonKind::kBecause);
    models_.methods.network = nullptr;
    const auto steps = sequence::steps_of(std::vector{buy("lamp", 100)}, models_.vocabulary);
    EXPECT_TRUE(causes(models_, catalog::Catalog(products_), steps, {kStart}, std::vector<std::string>{"tea"}).front().events.empty());
    EXPECT_TRUE(return_causes(models_, catalog::Catalog(products_), steps, {kStart}, 30).events.empty());
}

TEST_F(Shop, causes_of_a_return_speak_of_whole_events) {
    add_network(1);
    const std::vector<event::Event> history{buy("lamp", 0), buy("tea", 40), buy("tea", 82)};
    const auto found = return_causes(models_, catalog::Catalog(products_), sequence::steps_of(history, models_.vocabulary), after_days({kStart}, 100), 90);
    ASSERT_EQ(found.events.size(), 3u);
    double shares = 0;
    for (const auto& event : found.events) shares += event.share;
    EXPECT_NEAR(shares, 1, 1e-9);
    EXPECT_GT(std::abs(found.events[0].effect), 0);
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
        EXPECT_EQ(recommend(models_, catalog::Catalog(products_), {}, {kStart}, n, Reasons::kNone).error().code, Code::kInvalid);
}

}  // namespace
}  // namespace perennial::decide
