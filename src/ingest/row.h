// One CSV row read with a bound mapping: typed fields, or the reason why it cannot be read. Pure functions; a RowReader
// keeps the last time text it read, because the lines of one order share it. Threads: one RowReader per thread.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>

#include "event/event.h"
#include "ingest/csv.h"
#include "ingest/mapping.h"

namespace perennial::ingest {

// Views point into the CSV row.
struct RowFields {
    event::Kind kind = event::Kind::kOrderCompleted;
    std::string_view kind_text;   // of a row whose kind is custom
    std::string_view user_id, anonymous_id, email, order_id, product, title, category, query, text, coupon, campaign, message_id;
    event::Channel channel = event::Channel::kImport;
    Currency currency;
    UtcTime time;
    std::int64_t quantity = 0;
    Money price, amount;          // amount of the whole line, as the export signs it
    bool price_known = false, price_positive = false;
    int price_sign = 0;           // of the text: 0.001 is positive even where it rounds to 0.00
    std::int32_t rating = 0;
    bool refund = false;          // by its kind, its order id, or (without a prefix) its negative quantity

    bool is_order_line() const noexcept { return kind == event::Kind::kOrderCompleted || kind == event::Kind::kOrderRefunded; }
    std::string_view customer() const noexcept { return !user_id.empty() ? user_id : !anonymous_id.empty() ? anonymous_id : email; }
};

class RowReader {
public:
    explicit RowReader(const BoundMapping& bound) : bound_(bound) {}

    // Empty when `out` holds the row; else what was wanted, what came, and in which column.
    std::string read(const CsvRow& row, RowFields& out);

private:
    std::string_view text_of(const CsvRow& row, Field field) const noexcept;
    std::string read_numbers(const CsvRow& row, RowFields& out);
    std::string read_money(std::string_view field, std::string_view text, Currency currency, Money& out);
    std::string read_time(std::string_view text, UtcTime& out);

    const BoundMapping& bound_;
    std::string last_time_text_, made_order_id_, plain_number_;
    UtcTime last_time_;
};

// "17850.0", as data frames write whole numbers, is "17850"; anything else stays.
std::string_view without_float_tail(std::string_view id) noexcept;

}  // namespace perennial::ingest
