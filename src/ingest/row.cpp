#include "ingest/row.h"

#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace perennial::ingest {
namespace {

constexpr std::int64_t kQuantityLimit = 1'000'000'000;  // units on one line; more is a slip or another column
constexpr std::size_t kShownBytes = 40;

bool is_digit(char c) noexcept { return c >= '0' && c <= '9'; }

// -1, 0 or 1, of the written number before any rounding.
int sign_of(std::string_view number) noexcept {
    const bool nonzero = std::ranges::any_of(number, [](char c) { return c >= '1' && c <= '9'; });
    return !nonzero ? 0 : number.find('-') != std::string_view::npos ? -1 : 1;
}

// A comma is a thousands mark only between digits in groups of three; "2,55" must not become 255.
bool commas_are_thousands(std::string_view text) noexcept {
    for (std::size_t at = text.find(','); at != std::string_view::npos; at = text.find(',', at + 1)) {
        std::size_t digits = 0;
        while (at + 1 + digits < text.size() && is_digit(text[at + 1 + digits])) ++digits;
        if (at == 0 || !is_digit(text[at - 1]) || digits != 3) return false;
    }
    return true;
}

}  // namespace

std::string_view without_float_tail(std::string_view id) noexcept {
    const auto point = id.find('.');
    if (point == std::string_view::npos || point == 0 || point + 1 == id.size()) return id;
    const bool whole = std::ranges::all_of(id.substr(0, point), is_digit);
    return whole && id.find_first_not_of('0', point + 1) == std::string_view::npos ? id.substr(0, point) : id;
}

std::string_view RowReader::text_of(const CsvRow& row, Field field) const noexcept {
    const int column = bound_.column[static_cast<std::size_t>(field)];
    return column < 0 ? std::string_view{} : trim(row.fields[static_cast<std::size_t>(column)]);
}

std::string RowReader::read_money(std::string_view field, std::string_view text, Currency currency, Money& out) {
    const std::string_view came = text;
    if (bound_.mapping.decimal_point == ',') {  // "1.234,50" -> "1234.50"
        plain_number_.clear();
        for (const char c : text)
            if (c != '.') plain_number_.push_back(c == ',' ? '.' : c);
        text = plain_number_;
    } else if (text.find(',') != std::string_view::npos && !commas_are_thousands(text)) {
        return fmt::format("{}: want a number like 1,234.50, got '{}' (a decimal comma is read with decimal_point = \",\")", field, came.substr(0, kShownBytes));
    }
    auto money = parse_money(text, currency);
    if (!money) return fmt::format("{}: want a number like 12.50, got '{}'", field, came.substr(0, kShownBytes));
    out = *money;
    return {};
}

std::string RowReader::read_time(std::string_view text, UtcTime& out) {
    if (text == last_time_text_ && !text.empty()) {
        out = last_time_;
        return {};
    }
    const std::string& format = bound_.mapping.time_format;
    if (format == "unix" || format == "unix_ms") {
        const auto number = to_integer(text);
        if (!number || *number > (std::int64_t{1} << 53) || *number < -(std::int64_t{1} << 53))
            return fmt::format("time: want whole {} since 1970, got '{}'", format == "unix" ? "seconds" : "milliseconds", text.substr(0, kShownBytes));
        out.ms = format == "unix" ? *number * 1000 : *number;
        if (out < event::kEarliestTime || out.ms > (std::int64_t{1} << 50)) return fmt::format("time: want 1950 or later, got '{}'", text.substr(0, kShownBytes));
    } else {
        auto time = format == "iso" ? parse_iso8601(text) : parse_time(text, format);
        if (!time) return time.error().message;
        out = *time;
    }
    last_time_text_.assign(text);
    last_time_ = out;
    return {};
}

std::string RowReader::read_numbers(const CsvRow& row, RowFields& out) {
    const auto has = [&](Field field) { return bound_.column[static_cast<std::size_t>(field)] >= 0; };
    const auto quantity = text_of(row, Field::kQuantity);
    out.quantity = out.is_order_line() && !has(Field::kQuantity) ? 1 : 0;
    if (!quantity.empty()) {
        const auto number = to_integer(quantity);
        if (!number || *number > kQuantityLimit || *number < -kQuantityLimit)
            return fmt::format("quantity: want a whole number up to {}, got '{}'", kQuantityLimit, quantity.substr(0, kShownBytes));
        out.quantity = *number;
    } else if (out.is_order_line() && has(Field::kQuantity)) {
        return "quantity: want a whole number, got nothing";
    }
    const auto price = text_of(row, Field::kPrice), amount = text_of(row, Field::kAmount);
    if (!price.empty()) {
        if (auto problem = read_money("price", price, out.currency, out.price); !problem.empty()) return problem;
        out.price_known = true;
        out.price_sign = sign_of(price);
        if (__builtin_mul_overflow(out.price.minor, out.quantity, &out.amount.minor)) return "amount: price times quantity does not fit 63 bits";
    } else if (out.is_order_line() && has(Field::kPrice) && amount.empty()) {
        return "price: want a number like 12.50, got nothing";
    }
    if (!amount.empty()) {
        if (auto problem = read_money("amount", amount, out.currency, out.amount); !problem.empty()) return problem;
        if (!out.price_known) {
            out.price.minor = out.quantity != 0 ? out.amount.minor / out.quantity : out.amount.minor;
            out.price_known = true;
            out.price_sign = sign_of(amount) * (out.quantity < 0 ? -1 : 1);
        }
    }
    out.price_positive = out.price_sign > 0;
    if (const auto rating = text_of(row, Field::kRating); !rating.empty()) {
        const auto number = to_integer(rating);
        if (!number || *number < 1 || *number > 5) return fmt::format("rating: want 1 to 5, got '{}'", rating.substr(0, kShownBytes));
        out.rating = static_cast<std::int32_t>(*number);
    }
    return {};
}

std::string RowReader::read(const CsvRow& row, RowFields& out) {
    const Mapping& mapping = bound_.mapping;
    out = RowFields{};
    out.kind = mapping.kind;
    if (bound_.kind_column >= 0) {
        const auto value = trim(row.fields[static_cast<std::size_t>(bound_.kind_column)]);
        const auto folded = lower(value);
        if (const auto found = mapping.kind_values.find(folded); found != mapping.kind_values.end()) out.kind = found->second;
        else if (const auto kind = event::kind_from_name(folded); kind && *kind != event::Kind::kDecision && *kind != event::Kind::kOutcome) out.kind = *kind;  // those are ours to write
        else if (value.empty()) return fmt::format("{}: want an event kind, got nothing", mapping.kind_column);
        else out.kind = event::Kind::kCustom, out.kind_text = value;
    }
    out.user_id = without_float_tail(text_of(row, Field::kUserId));
    out.anonymous_id = without_float_tail(text_of(row, Field::kAnonymousId));
    out.email = text_of(row, Field::kEmail);
    out.order_id = without_float_tail(text_of(row, Field::kOrderId));
    out.product = text_of(row, Field::kProduct);
    out.title = text_of(row, Field::kTitle);
    out.category = text_of(row, Field::kCategory);
    out.query = text_of(row, Field::kQuery);
    out.text = text_of(row, Field::kText);
    out.coupon = text_of(row, Field::kCoupon);
    out.campaign = text_of(row, Field::kCampaign);
    out.message_id = text_of(row, Field::kMessageId);
    out.channel = mapping.channel;
    if (const auto channel = text_of(row, Field::kChannel); !channel.empty())
        out.channel = event::channel_from_name(lower(channel)).value_or(mapping.channel);
    out.currency = mapping.currency;
    if (const auto text = text_of(row, Field::kCurrency); !text.empty()) {
        auto currency = parse_currency(text);
        if (!currency) return currency.error().message;
        out.currency = *currency;
    }
    if (auto problem = read_time(text_of(row, Field::kTime), out.time); !problem.empty()) return problem;
    if (auto problem = read_numbers(row, out); !problem.empty()) return problem;
    if (!out.is_order_line()) return {};
    out.refund = out.kind == event::Kind::kOrderRefunded ||
                 (mapping.refund_prefix.empty() ? out.quantity < 0 && (out.price_sign > 0 || !out.price_known)
                                                : out.order_id.starts_with(mapping.refund_prefix));
    if (out.order_id.empty() && !out.customer().empty()) {
        // Transaction logs without order numbers, or rows that lack theirs: one order per customer and moment.
        made_order_id_ = fmt::format("{}@{}", out.customer(), iso8601(out.time).substr(0, 19));
        out.order_id = made_order_id_;
    }
    return {};
}

}  // namespace perennial::ingest
