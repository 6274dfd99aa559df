// The presets that come with the program, as the TOML a user could have written.
#pragma once

#include <array>
#include <string_view>
#include <utility>

namespace perennial::ingest {

inline constexpr std::array<std::pair<std::string_view, std::string_view>, 4> kPresets{{
    {"online-retail", R"toml(
# UCI "Online Retail" and "Online Retail II": one row per invoice line of a UK gift shop. Invoice numbers that start
# with C are cancellations; times are local without a zone and are read as UTC.
name = "online-retail"
kind = "order_completed"
currency = "GBP"
refund_prefix = "C"
optional = ["title"]

[columns]
order_id = ["InvoiceNo", "Invoice"]
product = "StockCode"
title = "Description"
quantity = "Quantity"
time = "InvoiceDate"
price = ["UnitPrice", "Price"]
user_id = ["CustomerID", "Customer ID"]

[properties]
country = "Country"

[charges]
codes = ["POST", "DOT", "M", "D", "S", "B", "C2", "C3", "BANK CHARGES", "AMAZONFEE", "CRUK", "ADJUST*", "TEST*", "GIFT", "gift_*"]
titles = ["postage", "dotcom postage", "manual", "discount", "samples", "bank charges", "amazon fee", "* carriage", "carriage",
          "cruk commission", "adjust bad debt", "*gift voucher*"]
)toml"},
    {"retailrocket", R"toml(
# RetailRocket events.csv: views, cart additions and transactions of anonymous visitors.
name = "retailrocket"
time_format = "unix_ms"
optional = ["order_id"]

[kinds]
column = "event"
values = { view = "product_viewed", addtocart = "product_added", transaction = "order_completed" }

[columns]
time = "timestamp"
anonymous_id = "visitorid"
product = "itemid"
order_id = "transactionid"
)toml"},
    {"rees46", R"toml(
# REES46 "eCommerce behavior data" monthly files: event_time,event_type,product_id,category_id,category_code,...
name = "rees46"
currency = "USD"
time_format = "%Y-%m-%d %H:%M:%S UTC"

[kinds]
column = "event_type"
values = { view = "product_viewed", cart = "product_added", remove_from_cart = "product_removed", purchase = "order_completed" }

[columns]
time = "event_time"
product = "product_id"
category = "category_code"
price = "price"
user_id = "user_id"

[properties]
brand = "brand"
session = "user_session"
)toml"},
    {"events", R"toml(
# A table whose header already uses our names: kind and time, and any of the other fields.
name = "events"
optional = ["user_id", "anonymous_id", "email", "order_id", "product", "title", "category", "quantity", "price", "amount", "currency",
            "query", "rating", "text", "coupon", "campaign", "channel", "message_id"]

[kinds]
column = "kind"

[columns]
user_id = "user_id"
anonymous_id = "anonymous_id"
email = "email"
order_id = "order_id"
product = ["product", "product_id"]
title = "title"
category = "category"
quantity = "quantity"
price = "price"
amount = "amount"
currency = "currency"
time = ["time", "timestamp"]
query = "query"
rating = "rating"
text = "text"
coupon = "coupon"
campaign = "campaign"
channel = "channel"
message_id = "message_id"
)toml"},
}};

}  // namespace perennial::ingest
