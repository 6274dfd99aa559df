#include "catalog/catalog.h"

#include <gtest/gtest.h>

namespace perennial::catalog {
namespace {

event::Event line(std::int64_t day, std::int64_t quantity, std::string title = "Tea") {
    event::Event e;
    e.kind = event::Kind::kOrderCompleted;
    e.time = after_days({}, static_cast<double>(day));
    e.title = std::move(title);
    e.quantity = quantity;
    e.price = {100 + day};
    return e;
}

event::Event stock(std::int64_t day, std::string properties) {
    event::Event e;
    e.kind = event::Kind::kStockChanged;
    e.time = after_days({}, static_cast<double>(day));
    e.properties = std::move(properties);
    e.title = "damaged in warehouse";
    return e;
}

TEST(Product, stock_is_unknown_until_told_then_follows_sales_and_changes) {
    Product p;
    apply(p, line(1, 5));
    EXPECT_FALSE(p.stock);
    apply(p, stock(2, R"({"delta":-3})"));
    EXPECT_FALSE(p.stock);
    apply(p, stock(3, R"({ "stock" : 20 })"));
    EXPECT_EQ(p.stock, 20);
    apply(p, line(4, 6));
    EXPECT_EQ(p.stock, 14);
    apply(p, line(2, 6));  // late news of a sale before the count
    EXPECT_EQ(p.stock, 14);
    apply(p, stock(5, R"({"delta":-3})"));
    EXPECT_EQ(p.stock, 11);
    EXPECT_EQ(p.units_sold, 17);
}

TEST(Product, keeps_the_title_most_lines_agree_on_and_the_latest_price) {
    Product p;
    for (const char* title : {"Tea", "", "ebay", "Tea", "Tea"}) apply(p, line(5, 1, title));
    EXPECT_EQ(p.title, "Tea");
    apply(p, line(3, 1));
    EXPECT_EQ(p.price.minor, 105);
}

TEST(Product, bytes_round_trip_and_a_cut_is_refused) {
    Product p;
    p.id = "85123A";
    p.category = "holder";
    apply(p, line(3, 2));
    apply(p, stock(4, R"({"stock":7})"));
    const auto bytes = encode(p);
    EXPECT_EQ(decode_product(bytes).value(), p);
    for (std::size_t cut = 0; cut < bytes.size(); ++cut) EXPECT_FALSE(decode_product(std::string_view(bytes).substr(0, cut)).ok());
}

TEST(Catalog, numbers_do_not_depend_on_the_order_of_arrival) {
    Product a, b;
    a.id = "a", b.id = "b";
    EXPECT_EQ(Catalog({a, b}).find("b"), Catalog({b, a}).find("b"));
    EXPECT_FALSE(Catalog({a}).find("b"));
}

TEST(Catalog, derives_categories_from_head_nouns_only_when_the_shop_names_none) {
    std::vector<Product> products;
    for (int i = 0; i < 9; ++i) {
        Product p;
        p.id = std::to_string(i);
        p.title = i < 8 ? "RED SPOT LUNCH BAGS" + std::string(i % 2 ? " SMALL" : "") : "UNIQUE THING";
        products.push_back(p);
    }
    const Catalog derived(products);
    EXPECT_FALSE(derived.categories_are_given());
    EXPECT_EQ(derived[0].category, "bag");
    EXPECT_EQ(derived[8].category, "other");
    products[0].category = "Kitchen";
    EXPECT_EQ(Catalog(products)[1].category, "");
}

}  // namespace
}  // namespace perennial::catalog
