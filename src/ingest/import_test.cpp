#include "ingest/import.h"

#include <boost/json.hpp>
#include <gtest/gtest.h>
#include <zlib.h>

#include <algorithm>
#include <cstdlib>
#include <map>
#include <numeric>
#include <set>

#include "base/file.h"

namespace perennial::ingest {
namespace {

const std::string kHeader = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";

std::filesystem::path public_data(std::string_view file) {
    const char* data = std::getenv("PERENNIAL_DATA");
    return (data ? std::filesystem::path(data) : std::filesystem::path(PERENNIAL_SOURCE_DIR) / "../shared/data") / file;
}

struct Imported {
    ImportReport report;
    std::vector<event::Event> events;
};

Result<Imported> import_path(const std::filesystem::path& path, ImportOptions options = {}) {
    options.show_progress = false;
    Imported imported;
    auto report = import_file(path, options, [&](std::vector<event::Event>&& events) -> Result<SinkReceipt> {
        const SinkReceipt receipt{.accepted = events.size()};
        std::ranges::move(events, std::back_inserter(imported.events));
        return receipt;
    });
    if (!report) return report.error();
    imported.report = std::move(*report);
    return imported;
}

Imported import_text(const std::string& text, ImportOptions options = {}, std::string_view file = "shop.csv") {
    const TempDir dir;
    EXPECT_TRUE(write_file(dir.path() / file, text));
    auto imported = import_path(dir.path() / file, std::move(options));
    EXPECT_TRUE(imported) << imported.error().message;
    return imported ? *imported : Imported{};
}

std::uint64_t sum_of_fates(const ImportReport& report) {
    return std::accumulate(report.fates.begin(), report.fates.end(), std::uint64_t{0}, [](std::uint64_t sum, const Counted& fate) { return sum + fate.rows; });
}

const RuleReport& rule(const ImportReport& report, std::string_view name) { return *std::ranges::find(report.rules, name, &RuleReport::name); }

TEST(Cleaning, an_order_line_becomes_an_event_with_money_in_minor_units) {
    const auto [report, events] = import_text(kHeader + "536365,85123A, HANGING HEART ,6,2010-12-01 08:26:00,2.55,17850.0,United Kingdom\n");
    ASSERT_EQ(events.size(), 1u);
    const auto& e = events[0];
    EXPECT_EQ(e.kind, event::Kind::kOrderCompleted);
    EXPECT_EQ(e.user_id, "17850");
    EXPECT_EQ(e.product, "85123A");
    EXPECT_EQ(e.title, "HANGING HEART");
    EXPECT_EQ(e.quantity, 6);
    EXPECT_EQ(e.price.minor, 255);
    EXPECT_EQ(e.amount.minor, 1530);
    EXPECT_EQ(e.currency.text(), "GBP");
    EXPECT_EQ(e.order_id, "536365");
    EXPECT_EQ(iso8601(e.time), "2010-12-01T08:26:00.000Z");
    EXPECT_EQ(e.properties, R"({"country":"United Kingdom"})");
    EXPECT_EQ(e.channel, event::Channel::kImport);
}

struct FateCase {
    const char* what;
    std::string rows;
    std::map<std::string, std::uint64_t> fates;
    std::map<std::string, std::uint64_t> fates_with_rule_off;
    std::string rule;
};

TEST(Cleaning, every_rule_gives_each_row_one_fate_and_can_be_switched_off) {
    const std::string sale = "1,A,Apple,6,2010-12-01 08:00:00,2.00,7,UK\n";
    const std::vector<FateCase> cases{
        {"duplicates", sale + sale, {{"order_line", 1}, {"duplicate_row", 1}}, {{"order_line", 2}}, "exact_duplicate_rows"},
        {"cancellation", sale + "C2,A,Apple,-6,2010-12-02 08:00:00,2.00,7,UK\n", {{"order_line", 1}, {"refund_line", 1}}, {{"order_line", 1}, {"refund_line", 1}}, "cancellations"},
        {"no customer", "1,A,Apple,6,2010-12-01 08:00:00,2.00,,UK\n", {{"anonymous_order_line", 1}}, {{"quarantined", 1}}, "no_customer"},
        {"postage", sale + "1,POST,POSTAGE,1,2010-12-01 08:00:00,18.00,7,UK\n", {{"order_line", 1}, {"charge", 1}}, {{"order_line", 2}}, "charges"},
        {"gift", "1,A,Apple,6,2010-12-01 08:00:00,0.0,7,UK\n", {{"free_item", 1}}, {{"order_line", 1}}, "non_positive_price"},
        {"stock found", "1,A,found,6,2010-12-01 08:00:00,0.0,,UK\n", {{"stock_adjustment", 1}}, {{"anonymous_order_line", 1}}, "non_positive_price"},
        {"bad debt", "1,X,write off,1,2010-12-01 08:00:00,-5.00,7,UK\n", {{"charge", 1}}, {{"order_line", 1}}, "non_positive_price"},
        {"stock lost", "1,A,damaged,-6,2010-12-01 08:00:00,0.0,,UK\n", {{"stock_adjustment", 1}}, {{"quarantined", 1}}, "negative_quantity_outside_cancellation"},
        {"slip", "1,A,Apple,80000,2010-12-01 08:00:00,2.00,7,UK\nC2,A,Apple,-80000,2010-12-01 08:12:00,2.00,7,UK\n" + std::string("3,A,Apple,6,2010-12-01 08:00:00,2.00,8,UK\n") + [] {
             std::string rows;  // a percentile needs a shop around it
             for (int i = 0; i < 200; ++i) rows += std::to_string(100 + i) + ",R,Rice,1,2010-12-01 08:00:00,2.00,9,UK\n";
             return rows;
         }(), {{"voided", 2}, {"order_line", 201}}, {{"order_line", 202}, {"refund_line", 1}}, "absurd_quantity"},
        {"no title", sale + "2,A,,6,2010-12-01 08:00:00,2.00,7,UK\n", {{"order_line", 2}}, {{"order_line", 2}}, "missing_description"},
        {"unreadable", sale + "1,A\n1,A,Apple,six,2010-12-01 08:00:00,2.00,7,UK\n1,A,Apple,6,yesterday,2.00,7,UK\n1,A,Apple,0,2010-12-01 08:00:00,2.00,7,UK\n",
         {{"order_line", 1}, {"quarantined", 4}}, {}, "unparseable_rows"},
    };
    for (const auto& [what, rows, fates, fates_off, rule_name] : cases) {
        const auto on = import_text(kHeader + rows);
        for (const auto& [fate, count] : fates) EXPECT_EQ(on.report.fate(fate), count) << what << ": " << fate;
        EXPECT_EQ(sum_of_fates(on.report), on.report.rows) << what;
        EXPECT_GT(rule(on.report, rule_name).rows, 0u) << what;
        EXPECT_FALSE(rule(on.report, rule_name).samples.empty()) << what;
        if (fates_off.empty()) continue;
        const auto off = import_text(kHeader + rows, {.disabled_rules = {rule_name}});
        for (const auto& [fate, count] : fates_off) EXPECT_EQ(off.report.fate(fate), count) << what << " off: " << fate;
        EXPECT_EQ(sum_of_fates(off.report), off.report.rows) << what;
        EXPECT_FALSE(rule(off.report, rule_name).enabled);
    }
}

TEST(Cleaning, a_refund_names_the_latest_order_with_enough_left_or_several_in_part) {
    const auto [report, events] = import_text(kHeader +
        "1,A,Apple,10,2010-12-01 08:00:00,2.00,7,UK\n"
        "2,A,Apple,4,2010-12-02 08:00:00,2.00,7,UK\n"
        "C3,A,Apple,-6,2010-12-03 08:00:00,2.00,7,UK\n"     // only order 1 has six
        "C4,A,Apple,-7,2010-12-04 08:00:00,2.00,7,UK\n"     // four of order 2, three of order 1
        "C5,A,Apple,-3,2010-12-05 08:00:00,2.00,7,UK\n"     // one left in order 1
        "C6,A,Apple,-1,2010-12-06 08:00:00,2.00,8,UK\n");   // another customer
    ASSERT_EQ(events.size(), 6u);
    EXPECT_EQ(events[2].kind, event::Kind::kOrderRefunded);
    EXPECT_EQ(events[2].quantity, 6);
    EXPECT_EQ(events[2].amount.minor, -1200);
    EXPECT_EQ(events[2].order_id, "C3");
    EXPECT_EQ(events[2].properties, R"({"country":"UK","cancels":"1"})");
    EXPECT_EQ(events[3].properties, R"({"country":"UK","cancels":"2","also_cancels":["1"]})");
    EXPECT_EQ(events[4].properties, R"({"country":"UK","cancels":"1","cancelled_units":1})");
    EXPECT_EQ(events[5].properties, R"({"country":"UK"})");
    const auto& details = rule(report, "cancellations").details;
    EXPECT_EQ(details[0].rows, 2u);
    EXPECT_EQ(details[1].rows, 1u);
    EXPECT_EQ(details[2].rows, 1u);
}

TEST(Cleaning, stock_movements_keep_their_sign_reason_and_reference) {
    const auto [report, events] = import_text(kHeader + "1,A,Apple,6,2010-12-01 08:00:00,2.00,7,UK\n5,A,damaged,-12,2010-12-01 09:00:00,0.0,,UK\n");
    ASSERT_EQ(events.size(), 2u);
    EXPECT_EQ(events[1].kind, event::Kind::kStockChanged);
    EXPECT_EQ(events[1].quantity, 12);
    EXPECT_EQ(events[1].title, "Apple");
    EXPECT_EQ(events[1].order_id, "");
    EXPECT_EQ(events[1].properties, R"({"country":"UK","delta":-12,"reference":"5","reason":"damaged"})");
}

TEST(Cleaning, a_charge_buys_no_product) {
    const auto [report, events] = import_text(kHeader + "1,POST,POSTAGE,1,2010-12-01 08:00:00,18.00,7,UK\nC2,D,Discount,-1,2010-12-01 08:00:00,5.00,7,UK\n");
    ASSERT_EQ(events.size(), 2u);
    EXPECT_EQ(events[0].kind, event::Kind::kOrderCharge);
    EXPECT_EQ(events[0].product, "");
    EXPECT_EQ(events[0].name, "POST");
    EXPECT_EQ(events[0].amount.minor, 1800);
    EXPECT_EQ(events[1].amount.minor, -500);
}

TEST(Cleaning, a_large_order_that_is_kept_or_cancelled_weeks_later_is_no_slip) {
    std::string rows = "1,A,Apple,80000,2010-12-01 08:00:00,2.00,7,UK\n2,A,Apple,70000,2010-12-01 08:00:00,2.00,8,UK\nC3,A,Apple,-70000,2010-12-20 08:12:00,2.00,8,UK\n";
    const auto imported = import_text(kHeader + rows);
    EXPECT_EQ(imported.report.fate("voided"), 0u);
}

TEST(Cleaning, a_decimal_comma_is_never_read_as_thousands) {
    const std::string mapping = "[columns]\ntime=\"t\"\nuser_id=\"u\"\norder_id=\"o\"\nproduct=\"p\"\nquantity=\"q\"\nprice=\"c\"\n";
    const TempDir dir;
    ASSERT_TRUE(write_file(dir.path() / "point.toml", mapping));
    ASSERT_TRUE(write_file(dir.path() / "comma.toml", "decimal_point = \",\"\n" + mapping));
    const std::string table = "t;u;o;p;q;c\n2024-01-01;u;o;p;1;2,55\n2024-01-01;u;o;r;1;1.234,50\n";
    const auto refused = import_text(table, {.mapping = (dir.path() / "point.toml").string()});
    EXPECT_EQ(refused.report.fate("quarantined"), 2u);
    const auto read = import_text(table, {.mapping = (dir.path() / "comma.toml").string()});
    ASSERT_EQ(read.events.size(), 2u);
    EXPECT_EQ(read.events[0].price.minor, 255);
    EXPECT_EQ(read.events[1].price.minor, 123450);
}

TEST(Import, kinds_come_from_a_column) {
    const auto [report, events] = import_text("timestamp,visitorid,event,itemid,transactionid\n1433221332117,257597,view,355908,\n1433221332118,257597,addtocart,355908,\n"
                                              "1433221332119,257597,transaction,355908,4000\n1433221332120,257597,wishlist,355908,\n");
    ASSERT_EQ(events.size(), 4u);
    EXPECT_EQ(report.mapping, "retailrocket");
    EXPECT_EQ(events[0].kind, event::Kind::kProductViewed);
    EXPECT_EQ(events[0].anonymous_id, "257597");
    EXPECT_EQ(iso8601(events[0].time), "2015-06-02T05:02:12.117Z");
    EXPECT_EQ(events[1].kind, event::Kind::kProductAdded);
    EXPECT_EQ(events[2].kind, event::Kind::kOrderCompleted);
    EXPECT_EQ(events[2].quantity, 1);
    EXPECT_EQ(events[2].order_id, "4000");
    EXPECT_EQ(events[3].kind, event::Kind::kCustom);
    EXPECT_EQ(events[3].name, "wishlist");
}

TEST(Import, transactions_without_order_numbers_get_one_per_customer_and_moment) {
    const TempDir dir;
    ASSERT_TRUE(write_file(dir.path() / "m.toml", "currency=\"USD\"\n[columns]\ntime=\"date\"\nuser_id=\"id\"\nquantity=\"units\"\namount=\"value\"\n"));
    const auto [report, events] = import_text("id,date,units,value\n4,1997-01-01,2,29.33\n", {.mapping = (dir.path() / "m.toml").string()});
    ASSERT_EQ(events.size(), 1u);
    EXPECT_EQ(events[0].order_id, "4@1997-01-01T00:00:00");
    EXPECT_EQ(events[0].amount.minor, 2933);
    EXPECT_EQ(events[0].price.minor, 1466);
}

TEST(Import, message_ids_are_the_same_for_the_same_rows_in_any_file_quoted_or_not) {
    const std::string row = "536365,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850.0,UK\n";
    const std::string quoted = "536365,\"85123A\",HEART,6,2010-12-01 08:26:00,2.55,17850.0,\"UK\"\n";
    const auto first = import_text(kHeader + row), second = import_text(kHeader + "1,B,X,6,2010-12-01 08:26:00,2.55,5,UK\n" + quoted);
    EXPECT_EQ(first.events[0].message_id, second.events[1].message_id);
    const auto kept = import_text(kHeader + row + row + row, {.disabled_rules = {"exact_duplicate_rows"}});
    std::set<std::string> ids;
    for (const auto& e : kept.events) ids.insert(e.message_id);
    EXPECT_EQ(ids.size(), 3u);
    EXPECT_TRUE(ids.contains(first.events[0].message_id));
}

TEST(Import, what_cannot_be_read_is_in_the_quarantine_file_with_its_line_and_reason) {
    const TempDir dir;
    const auto [report, events] = import_text(kHeader + "1,A\n2,A,Apple,six,2010-12-01 08:00:00,2.00,7,UK\n", {.quarantine_dir = dir.path() / "quarantine"});
    EXPECT_EQ(report.quarantine_file, (dir.path() / "quarantine" / "quarantine.jsonl").string());
    const auto text = read_file(report.quarantine_file);
    ASSERT_TRUE(text);
    std::vector<boost::json::object> lines;
    for (std::size_t at = 0; at < text->size();) {
        const auto end = text->find('\n', at);
        lines.push_back(boost::json::parse(text->substr(at, end - at)).as_object());
        at = end + 1;
    }
    ASSERT_EQ(lines.size(), 2u);
    EXPECT_EQ(lines[0].at("file").as_string(), "shop.csv");
    EXPECT_EQ(lines[0].at("line").as_int64(), 2);
    EXPECT_EQ(lines[0].at("reason").as_string(), "row: want 8 columns, got 2");
    EXPECT_EQ(lines[0].at("raw").as_string(), "1,A");
    EXPECT_EQ(lines[1].at("reason").as_string(), "quantity: want a whole number up to 1000000000, got 'six'");
}

TEST(Import, stops_with_the_sinks_error) {
    const TempDir dir;
    std::string rows = kHeader;
    for (int i = 0; i < 500; ++i) rows += std::to_string(i) + ",A,Apple,6,2010-12-01 08:00:00,2.00,7,UK\n";
    ASSERT_TRUE(write_file(dir.path() / "shop.csv", rows));
    int calls = 0;
    const auto report = import_file(dir.path() / "shop.csv", {.batch_events = 10, .show_progress = false}, [&](std::vector<event::Event>&&) -> Result<SinkReceipt> {
        if (++calls == 3) return Error{Code::kFull, "no space left"};
        return SinkReceipt{.accepted = 10};
    });
    ASSERT_FALSE(report);
    EXPECT_EQ(report.error().code, Code::kFull);
    EXPECT_EQ(report.error().message, "no space left");
    EXPECT_EQ(calls, 3);
}

TEST(Import, says_what_is_wrong_before_anything_is_written) {
    const TempDir dir;
    ASSERT_TRUE(write_file(dir.path() / "shop.csv", "foo,bar\n1,2\n"));
    ASSERT_TRUE(write_file(dir.path() / "good.csv", kHeader));
    EXPECT_EQ(import_path(dir.path() / "none.csv").error().code, Code::kNotFound);
    EXPECT_EQ(import_path(dir.path() / "shop.csv").error().code, Code::kInvalid);
    EXPECT_EQ(import_path(dir.path() / "shop.csv", {.mapping = "nonsense"}).error().code, Code::kNotFound);
    const auto unknown_rule = import_path(dir.path() / "good.csv", {.disabled_rules = {"typo"}});
    ASSERT_FALSE(unknown_rule);
    EXPECT_NE(unknown_rule.error().message.find("exact_duplicate_rows"), std::string::npos);
    const auto empty = import_path(dir.path() / "good.csv");
    ASSERT_TRUE(empty);
    EXPECT_EQ(empty->report.rows, 0u);
}

TEST(Import, reads_json_lines_and_quarantines_the_bad_ones) {
    const TempDir dir;
    const std::string text =
        R"({"type":"track","userId":"u","messageId":"1","timestamp":"2024-01-01T00:00:00Z","event":"Product Viewed","properties":{"product_id":"p"}})" "\n"
        "\n"
        R"({"batch":[{"type":"page","userId":"u","timestamp":"2024-01-02T00:00:00Z"},{"type":"page","timestamp":"2024-01-02T00:00:00Z"}]})" "\r\n"
        R"({"type":"page","userId":"u"})" "\n"
        "not json\n"
        R"({"type":"track","userId":"u","messageId":"o","timestamp":"2024-01-03T00:00:00Z","event":"Order Completed","properties":{"order_id":"1","currency":"EUR","products":[{"product_id":"a","price":1},{"product_id":"b","price":2}]}})";
    const auto [report, events] = import_text(text, {.quarantine_dir = dir.path()}, "events.jsonl");
    EXPECT_EQ(report.format, "jsonl");
    EXPECT_EQ(report.rows, 6u);
    EXPECT_EQ(report.fate("event"), 3u);
    EXPECT_EQ(report.fate("quarantined"), 3u);
    EXPECT_EQ(report.fact("customers"), 1u);
    EXPECT_EQ(report.fact("products"), 3u);
    ASSERT_EQ(events.size(), 4u);
    EXPECT_EQ(iso8601(report.first_time), "2024-01-01T00:00:00.000Z");
    EXPECT_EQ(iso8601(report.last_time), "2024-01-03T00:00:00.000Z");
    EXPECT_EQ(rule(report, "unparseable_rows").samples[1].line, 4u);
}

TEST(Import, reads_gzip_too) {
    const TempDir dir;
    const auto path = dir.path() / "shop.csv.gz";
    const std::string text = kHeader + "536365,85123A,HEART,6,2010-12-01 08:26:00,2.55,17850.0,UK\n";
    gzFile file = gzopen(path.c_str(), "wb");
    gzwrite(file, text.data(), static_cast<unsigned>(text.size()));
    gzclose(file);
    const auto imported = import_path(path);
    ASSERT_TRUE(imported);
    EXPECT_EQ(imported->events.size(), 1u);
}

TEST(Import, report_as_json_has_what_its_page_promises) {
    const auto [report, events] = import_text(kHeader + "1,A,Apple,6,2010-12-01 08:00:00,2.00,7,UK\n");
    const auto json = to_json(report);
    for (const char* key : {"file", "format", "mapping", "rows", "facts", "fates", "rules", "events", "accepted", "already_known", "first_time", "last_time",
                            "seconds", "rows_per_second", "quarantine_file"})
        EXPECT_TRUE(json.contains(key)) << key;
    EXPECT_EQ(json.at("rules").as_array().size(), 9u);
    EXPECT_NE(to_text(report).find("order line"), std::string::npos);
}

TEST(TinyShop, samples_are_taken_in_whole) {
    const auto samples = std::filesystem::path(PERENNIAL_SOURCE_DIR) / "data/tiny_shop";
    const auto simulated = import_path(samples / "events.jsonl");
    ASSERT_TRUE(simulated) << simulated.error().message;
    EXPECT_EQ(simulated->report.fate("quarantined"), 0u);
    EXPECT_EQ(simulated->report.fact("products"), 24u);
    const auto retail = import_path(samples / "tiny_retail.csv");
    ASSERT_TRUE(retail) << retail.error().message;
    for (const auto& [fate, rows] : std::map<std::string, std::uint64_t>{{"order_line", 2}, {"anonymous_order_line", 1}, {"refund_line", 1}, {"charge", 1},
                                                                         {"stock_adjustment", 1}, {"free_item", 1}, {"duplicate_row", 1}, {"quarantined", 1}})
        EXPECT_EQ(retail->report.fate(fate), rows) << fate;
}

TEST(OnlineRetail, facts_are_the_published_ones_fates_add_up_and_a_second_import_has_the_same_ids) {
    const auto file = public_data("online_retail/online_retail.csv.gz");
    if (!std::filesystem::exists(file)) GTEST_SKIP() << "no public data at " << file;
    const auto imported = import_path(file);
    ASSERT_TRUE(imported) << imported.error().message;
    const auto& report = imported->report;
    const std::map<std::string, std::uint64_t> facts{
        {"rows", 541'909}, {"exact_duplicates", 5'268}, {"invoices", 25'900}, {"cancellation_lines", 9'288}, {"rows_without_customer", 135'080},
        {"customers", 4'372}, {"negative_quantities_outside_cancellations", 1'336}, {"prices_not_positive", 2'517}, {"products", 4'070}};
    for (const auto& [name, value] : facts) EXPECT_EQ(report.fact(name), value) << name;
    const std::map<std::string, std::uint64_t> fates{
        {"event", 0}, {"order_line", 391'072}, {"anonymous_order_line", 131'386}, {"refund_line", 8'665}, {"charge", 3'022},
        {"stock_adjustment", 2'458}, {"voided", 4}, {"free_item", 34}, {"duplicate_row", 5'268}, {"quarantined", 0}};
    for (const auto& [name, value] : fates) EXPECT_EQ(report.fate(name), value) << name;
    EXPECT_EQ(sum_of_fates(report), report.rows);
    EXPECT_EQ(report.events + report.fate("duplicate_row"), report.rows);

    std::set<std::int64_t> voided;
    std::int64_t customers_wrong = 0;
    std::set<std::string> ids;
    for (const auto& e : imported->events) {
        if (e.name == "voided_order_line") voided.insert(e.quantity);
        customers_wrong += e.user_id.find('.') != std::string::npos;
        ids.insert(e.message_id);
    }
    EXPECT_EQ(voided, (std::set<std::int64_t>{74'215, 80'995}));
    EXPECT_EQ(customers_wrong, 0);
    EXPECT_EQ(ids.size(), imported->events.size());
    const auto again = import_path(file);
    ASSERT_TRUE(again);
    std::set<std::string> ids_again;
    for (const auto& e : again->events) ids_again.insert(e.message_id);
    EXPECT_EQ(ids, ids_again);
}

}  // namespace
}  // namespace perennial::ingest
