#include "event/codec.h"

#include <fmt/format.h>

#include "base/bytes.h"

namespace perennial::event {
namespace {

// Field tags: written to disk, append only. A tag says how its value is coded: odd tags are strings, even tags varints.
enum Tag : std::uint8_t {
    kChannel = 2, kCurrency = 3, kTime = 4, kMessageId = 5, kReceived = 6, kUserId = 7, kQuantity = 8, kAnonymousId = 9,
    kPrice = 10, kEmailHash = 11, kAmount = 12, kPhoneHash = 13, kPosition = 14, kProduct = 15, kRating = 16, kTitle = 17,
    kCategory = 19, kOrderId = 21, kQuery = 23, kText = 25, kCampaign = 27, kCoupon = 29, kName = 31, kProperties = 33,
};

void put_number(std::string& out, Tag tag, std::int64_t value) {
    if (value == 0) return;
    out.push_back(static_cast<char>(tag));
    put_varint(out, zigzag(value));
}

void put_text(std::string& out, Tag tag, std::string_view value) {
    if (value.empty()) return;
    out.push_back(static_cast<char>(tag));
    put_string(out, value);
}

bool set_number(Event& event, std::uint8_t tag, std::int64_t value) {
    switch (tag) {
        case kChannel: event.channel = static_cast<Channel>(value); return value >= 0 && value <= static_cast<int>(Channel::kImport);
        case kTime: event.time.ms = value; return true;
        case kReceived: event.received.ms = value; return true;
        case kQuantity: event.quantity = value; return true;
        case kPrice: event.price.minor = value; return true;
        case kAmount: event.amount.minor = value; return true;
        case kPosition: event.position = static_cast<std::int32_t>(value); return value == event.position;
        case kRating: event.rating = static_cast<std::int32_t>(value); return value == event.rating;
        default: return false;
    }
}

bool set_text(Event& event, std::uint8_t tag, std::string_view value) {
    switch (tag) {
        case kMessageId: event.message_id = value; return true;
        case kUserId: event.user_id = value; return true;
        case kAnonymousId: event.anonymous_id = value; return true;
        case kEmailHash: event.email_hash = value; return true;
        case kPhoneHash: event.phone_hash = value; return true;
        case kProduct: event.product = value; return true;
        case kTitle: event.title = value; return true;
        case kCategory: event.category = value; return true;
        case kOrderId: event.order_id = value; return true;
        case kQuery: event.query = value; return true;
        case kText: event.text = value; return true;
        case kCampaign: event.campaign = value; return true;
        case kCoupon: event.coupon = value; return true;
        case kName: event.name = value; return true;
        case kProperties: event.properties = value; return true;
        case kCurrency:
            if (value.size() != 3) return false;
            value.copy(event.currency.code.data(), 3);
            return true;
        default: return false;
    }
}

void json_text(std::string& out, std::string_view text) {
    out += '"';
    for (const char c : text) {
        if (c == '"' || c == '\\') out += '\\', out += c;
        else if (static_cast<unsigned char>(c) < 0x20) out += fmt::format("\\u{:04x}", c);
        else out += c;
    }
    out += '"';
}

}  // namespace

void encode(const Event& e, std::string& out) {
    out.push_back(static_cast<char>(kCodecVersion));
    out.push_back(static_cast<char>(e.kind));
    put_number(out, kChannel, static_cast<std::int64_t>(e.channel));
    put_text(out, kCurrency, e.currency.text());
    put_number(out, kTime, e.time.ms);
    put_text(out, kMessageId, e.message_id);
    put_number(out, kReceived, e.received.ms);
    put_text(out, kUserId, e.user_id);
    put_number(out, kQuantity, e.quantity);
    put_text(out, kAnonymousId, e.anonymous_id);
    put_number(out, kPrice, e.price.minor);
    put_text(out, kEmailHash, e.email_hash);
    put_number(out, kAmount, e.amount.minor);
    put_text(out, kPhoneHash, e.phone_hash);
    put_number(out, kPosition, e.position);
    put_text(out, kProduct, e.product);
    put_number(out, kRating, e.rating);
    put_text(out, kTitle, e.title);
    put_text(out, kCategory, e.category);
    put_text(out, kOrderId, e.order_id);
    put_text(out, kQuery, e.query);
    put_text(out, kText, e.text);
    put_text(out, kCampaign, e.campaign);
    put_text(out, kCoupon, e.coupon);
    put_text(out, kName, e.name);
    put_text(out, kProperties, e.properties);
}

Result<Event> decode(std::string_view bytes) {
    Reader reader(bytes);
    const auto version = reader.fixed<std::uint8_t>();
    const auto kind = reader.fixed<std::uint8_t>();
    if (!reader.ok()) return Error{Code::kCorrupt, fmt::format("event: want a version and a kind, got {} bytes", bytes.size())};
    if (version != kCodecVersion) return Error{Code::kUnsupported, fmt::format("event: want version {}, got {}", kCodecVersion, version)};
    if (kind >= kKindCount) return Error{Code::kUnsupported, fmt::format("event: want a kind below {}, got {}", kKindCount, kind)};
    Event event;
    event.kind = static_cast<Kind>(kind);
    std::uint8_t last_tag = 0;
    while (!reader.empty()) {
        const auto tag = reader.fixed<std::uint8_t>();
        if (tag <= last_tag) return Error{Code::kCorrupt, fmt::format("event: field {} after field {}, want rising order", tag, last_tag)};
        last_tag = tag;
        const bool known = tag % 2 == 1 ? set_text(event, tag, reader.string()) : set_number(event, tag, unzigzag(reader.varint()));
        if (!reader.ok()) return Error{Code::kCorrupt, fmt::format("event: field {} is cut short", tag)};
        if (!known) return Error{Code::kUnsupported, fmt::format("event: field {} is unknown or out of range", tag)};
    }
    return event;
}

std::string to_json(const Event& e) {
    std::string out = "{\"kind\":";
    json_text(out, name(e.kind));
    out += ",\"time\":";
    json_text(out, iso8601(e.time));
    const auto text = [&out](std::string_view field, std::string_view value) {
        if (value.empty()) return;
        out += fmt::format(",\"{}\":", field);
        json_text(out, value);
    };
    const auto number = [&out](std::string_view field, std::int64_t value) {
        if (value != 0) out += fmt::format(",\"{}\":{}", field, value);
    };
    text("message_id", e.message_id);
    text("user_id", e.user_id);
    text("anonymous_id", e.anonymous_id);
    text("product", e.product);
    text("title", e.title);
    text("category", e.category);
    number("quantity", e.quantity);
    text("currency", e.currency.text());
    number("price_minor", e.price.minor);
    number("amount_minor", e.amount.minor);
    text("order_id", e.order_id);
    text("query", e.query);
    text("text", e.text);
    text("campaign", e.campaign);
    text("coupon", e.coupon);
    number("position", e.position);
    number("rating", e.rating);
    text("name", e.name);
    if (e.channel != Channel::kUnknown) text("channel", name(e.channel));
    if (!e.properties.empty()) out += ",\"properties\":" + e.properties;
    return out + "}";
}

}  // namespace perennial::event
