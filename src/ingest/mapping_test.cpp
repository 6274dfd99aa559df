#include "ingest/mapping.h"

#include <gtest/gtest.h>

#include "ingest/presets.h"

namespace perennial::ingest {
namespace {

TEST(Mapping, every_preset_can_be_read) {
    for (const auto& [preset, text] : kPresets) {
        const auto mapping = parse_mapping(text, preset);
        ASSERT_TRUE(mapping) << mapping.error().message;
        EXPECT_EQ(mapping->name, preset);
    }
}

TEST(Mapping, header_picks_the_preset_whatever_its_case_and_blanks) {
    const std::vector<std::pair<std::vector<std::string>, std::string>> cases{
        {{"InvoiceNo", "StockCode", "Description", "Quantity", "InvoiceDate", "UnitPrice", "CustomerID", "Country"}, "online-retail"},
        {{"Invoice", "StockCode", "Description", "Quantity", "InvoiceDate", "Price", "Customer ID", "Country"}, "online-retail"},
        {{"timestamp", "visitorid", "event", "itemid", "transactionid"}, "retailrocket"},
        {{"event_time", "event_type", "product_id", "category_id", "category_code", "brand", "price", "user_id", "user_session"}, "rees46"},
        {{"Kind", "Time", "User ID", "Product"}, "events"},
    };
    for (const auto& [header, preset] : cases) {
        const auto mapping = detect_mapping(header);
        ASSERT_TRUE(mapping) << mapping.error().message;
        EXPECT_EQ(mapping->name, preset);
    }
}

TEST(Mapping, unknown_header_says_what_is_wanted_and_what_came) {
    const std::vector<std::string> header{"foo", "bar"};
    const auto mapping = detect_mapping(header);
    ASSERT_FALSE(mapping);
    for (const char* word : {"online-retail: ", "InvoiceNo|Invoice", "foo, bar", "--map"})
        EXPECT_NE(mapping.error().message.find(word), std::string::npos) << mapping.error().message;
}

TEST(Mapping, a_bad_file_is_refused_with_the_key) {
    const std::vector<std::pair<std::string, std::string>> cases{
        {"kind = ", "line 1"},
        {"name = \"x\"\n [@columns]\n", "want TOML, got something malformed"},
        {"[ [ #columns]]", "line 1"},
        {"[\ncolumns]", "want TOML"},
        {"name = 1 \xD1\x80", "line 1: want letters outside A to Z in double quotes"},
        {"name = \"\xFF\"", "want UTF-8"},
        {"name = [}]", "want TOML"},
        {"kinds = 3", "kinds: want a table"},
        {"kind = \"bought\"", "kind: want an event kind"},
        {"colour = \"red\"", "colour: want"},
        {"currency = \"pounds\"", "currency: want three letters"},
        {"currency = 3", "currency: want text, got a value of type integer"},
        {"decimal_point = \";\"", "decimal_point"},
        {"channel = \"pigeon\"", "channel: want web"},
        {"optional = [\"size\"]", "optional: want one of user_id"},
        {"[columns]\ncolour = \"x\"", "[columns] colour: want one of"},
        {"[columns]\ntime = 3", "[columns] time: want text or a list"},
        {"[columns]\nproduct = \"x\"", "[columns] time: want the column"},
        {"[kinds]\ncolumn = \"x\"\nvalues = { a = \"b\" }", "values] a: want an event kind"},
        {"[charges]\ncode = \"x\"", "[charges] code: want codes or titles"},
    };
    for (const auto& [text, want] : cases) {
        const auto mapping = parse_mapping(text, "shop.toml");
        ASSERT_FALSE(mapping) << text;
        EXPECT_EQ(mapping.error().code, Code::kInvalid);
        EXPECT_NE(mapping.error().message.find("shop.toml"), std::string::npos);
        EXPECT_NE(mapping.error().message.find(want), std::string::npos) << mapping.error().message;
    }
}

TEST(Mapping, names_in_quotes_may_be_in_any_script) {
    const auto mapping = parse_mapping("# \xE8\xAE\xA2\xE5\x8D\x95 \xD1\x80\nname = \"it's\" # '\n[columns]\ntime = \"\xE6\x97\xB6\xE9\x97\xB4\"\nuser_id = \"caf\xC3\xA9 \xD1\x80 \xF0\x9F\x98\x80\"\n", "shop.toml");
    ASSERT_TRUE(mapping) << mapping.error().message;
    const std::vector<std::string> header{"\xE6\x97\xB6\xE9\x97\xB4", "caf\xC3\xA9 \xD1\x80 \xF0\x9F\x98\x80"};
    EXPECT_TRUE(bind_columns(*mapping, header));
}

TEST(Mapping, a_column_that_the_header_lacks_is_named) {
    const auto mapping = parse_mapping("[columns]\ntime = \"When\"\nuser_id = \"Who\"\n[properties]\nland = \"Country\"", "shop.toml");
    ASSERT_TRUE(mapping);
    const std::vector<std::string> header{"when", "what"};
    const auto bound = bind_columns(*mapping, header);
    ASSERT_FALSE(bound);
    EXPECT_NE(bound.error().message.find("Who (for user_id), Country (for the property land)"), std::string::npos) << bound.error().message;
}

TEST(Mapping, unknown_name_lists_the_presets) {
    const auto mapping = load_mapping("retail");
    ASSERT_FALSE(mapping);
    EXPECT_EQ(mapping.error().code, Code::kNotFound);
    EXPECT_NE(mapping.error().message.find("online-retail"), std::string::npos);
}

}  // namespace
}  // namespace perennial::ingest
