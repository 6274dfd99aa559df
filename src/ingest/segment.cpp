#include "ingest/segment.h"

#include <fmt/format.h>
#include <simdjson.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <optional>
#include <utility>

#include "base/hash.h"
#include "base/text.h"
#include "ingest/json_text.h"

namespace perennial::ingest {
namespace {

using event::Event;
using event::Kind;
using simdjson::dom::element;
using simdjson::dom::object;

// Names are compared in lower case with everything but letters and digits left out: "Product Viewed", "product_viewed"
// and "ProductViewed" are one.
std::string folded(std::string_view name) {
    std::string out;
    for (const char c : lower(name))
        if ((c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || static_cast<unsigned char>(c) >= 0x80) out.push_back(c);
    return out;
}

// Names of the spec that differ from ours. Names that it has and we do not (Product Clicked, Order Updated, Payment Info
// Entered, ...) stay custom events under their own name.
constexpr std::array<std::pair<std::string_view, Kind>, 10> kSpecNames{{
    {"productlistfiltered", Kind::kProductListViewed}, {"ordercancelled", Kind::kOrderRefunded}, {"ordercanceled", Kind::kOrderRefunded},
    {"emailsent", Kind::kMessageSent}, {"emailopened", Kind::kMessageOpened}, {"emaillinkclicked", Kind::kMessageClicked},
    {"pushnotificationtapped", Kind::kMessageClicked}, {"smslinkclicked", Kind::kMessageClicked},
    {"conversationstarted", Kind::kSupportOpened}, {"messagereceived", Kind::kSupportMessage},
}};

// Kinds that a client may not claim by a track event's name: they have calls of their own, or are ours to write.
bool is_reserved(Kind kind) noexcept {
    return kind == Kind::kCustom || kind == Kind::kPage || kind == Kind::kIdentify || kind == Kind::kAlias || kind == Kind::kDecision || kind == Kind::kOutcome;
}

bool needs_nobody(Kind kind) noexcept { return kind == Kind::kStockChanged || kind == Kind::kPriceChanged; }

// Text of a string or a number; nothing for null, objects, lists and truth values.
std::optional<std::string> text_of(element value) {
    switch (value.type()) {
        case simdjson::dom::element_type::STRING: return std::string(trim(value.get_string().value_unsafe()));
        case simdjson::dom::element_type::INT64: return fmt::format("{}", value.get_int64().value_unsafe());
        case simdjson::dom::element_type::UINT64: return fmt::format("{}", value.get_uint64().value_unsafe());
        case simdjson::dom::element_type::DOUBLE: return fmt::format("{}", value.get_double().value_unsafe());
        default: return std::nullopt;
    }
}

std::string text_member(object from, std::string_view key) {
    element value;
    if (from.at_key(key).get(value) != simdjson::SUCCESS) return {};
    return text_of(value).value_or(std::string());
}

std::optional<object> object_member(object from, std::string_view key) {
    object value;
    if (from.at_key(key).get_object().get(value) != simdjson::SUCCESS) return std::nullopt;
    return value;
}

// A message's whole journey: its fields found, then events made of them.
class MessageReader {
public:
    MessageReader(const SegmentContext& context, std::optional<object> batch_context, std::string_view batch_sent_at, Parsed& out)
        : context_(context), batch_context_(batch_context), batch_sent_at_(batch_sent_at), out_(out) {}

    void read(element message, std::string_view endpoint_type) {
        ++out_.messages;
        raw_ = simdjson::minify(message);
        std::string problem;
        const std::size_t before = out_.events.size();
        if (raw_.size() > context_.message_bytes_limit) problem = fmt::format("message: want at most {} bytes, got {}", context_.message_bytes_limit, raw_.size());
        else if (object body; message.get_object().get(body) != simdjson::SUCCESS) problem = "message: want a JSON object, got something else";
        else problem = read_body(body, endpoint_type);
        for (std::size_t i = before; problem.empty() && i < out_.events.size(); ++i)
            if (auto valid = event::validate(out_.events[i]); !valid) problem = valid.error().message;
        if (problem.empty()) return;
        out_.events.resize(before);
        out_.rejects.push_back({std::move(problem), std::move(raw_)});
    }

private:
    // What a message's properties or a product of it say, by our words; what we have no word for is in `rest`.
    struct Details {
        std::string product, sku, title, category, order_id, query, text, coupon, campaign, channel, name, currency, email, phone, rest = "{";
        std::optional<std::string> price, value, revenue, total, discount, shipping, tax, line_total;
        std::optional<std::int64_t> quantity, delta;
        std::int32_t position = 0, rating = 0;
        std::optional<simdjson::dom::array> products;
    };

    std::string read_body(object body, std::string_view endpoint_type) {
        std::string type = text_member(body, "type");
        if (type.empty()) type = endpoint_type;
        base_ = Event{};
        base_.received = context_.received;
        base_.message_id = text_member(body, "messageId");
        if (base_.message_id.empty()) base_.message_id = "msg-" + hex(hash128(raw_));
        base_.user_id = text_member(body, "userId");
        base_.anonymous_id = text_member(body, "anonymousId");
        if (auto problem = read_times(body); !problem.empty()) return problem;
        read_context(body);
        if (type == "track") return read_track(body);
        if (type == "identify") return read_identify(body);
        if (type == "page" || type == "screen") return read_page(body, type == "screen");
        if (type == "group") return read_group(body);
        if (type == "alias") return read_alias(body);
        return fmt::format("type: want identify, track, page, screen, group or alias, got '{}'", clip(type, 40));
    }

    // Whose clock? Live, an event is as old as its sender's clock made it when it was sent: receivedAt - (sentAt - its own
    // time). The later of the batch's and the message's sentAt counts, because a repeat renews only one of them. A message
    // with receivedAt comes from a server that has corrected its timestamp; the times of a file stay as they are.
    std::string read_times(object body) {
        std::optional<UtcTime> timestamp, original, sent, received;
        for (const auto& [key, out] : {std::pair{"timestamp", &timestamp}, {"originalTimestamp", &original}, {"sentAt", &sent}, {"receivedAt", &received}}) {
            const std::string text = text_member(body, key);
            if (text.empty()) continue;
            auto time = parse_iso8601(text);
            if (time) *out = *time;
            else if (std::string_view(key) != "sentAt" && std::string_view(key) != "receivedAt") return fmt::format("{}: {}", key, time.error().message);
        }
        if (const auto time = parse_iso8601(batch_sent_at_); time && (!sent || *sent < *time)) sent = *time;
        const UtcTime arrival = received.value_or(context_.received);
        const auto own = original ? original : timestamp;
        if (!context_.needs_time && !received && sent && own) base_.time = {arrival.ms - (sent->ms - own->ms)};
        else if (timestamp) base_.time = *timestamp;
        else if (original && sent && (received || !context_.needs_time)) base_.time = {arrival.ms - (sent->ms - original->ms)};
        else if (original) base_.time = *original;
        else if (received && context_.needs_time) base_.time = *received;
        else if (sent && context_.needs_time) base_.time = *sent;
        else if (context_.needs_time) return "timestamp: want an ISO 8601 time (a file does not say when a message was received), got nothing";
        else base_.time = context_.received;
        return {};
    }

    void read_context(object body) {
        const auto own = object_member(body, "context");
        const auto look = [&](auto&& find) {
            if (own && find(*own)) return;
            if (batch_context_) find(*batch_context_);
        };
        look([&](object from) {
            const auto campaign = object_member(from, "campaign");
            if (campaign) base_.campaign = text_member(*campaign, "name");
            return !base_.campaign.empty();
        });
        look([&](object from) {
            const auto traits = object_member(from, "traits");
            if (!traits) return false;
            if (const auto email = text_member(*traits, "email"); !email.empty()) base_.email_hash = personal_hash(email);
            if (const auto phone = text_member(*traits, "phone"); !phone.empty()) base_.phone_hash = personal_hash(phone);
            return !base_.email_hash.empty();
        });
        base_.channel = channel_of(text_member(body, "channel")).value_or(context_.channel);
        if (base_.channel != event::Channel::kUnknown) return;
        look([&](object from) {
            const auto library = object_member(from, "library");
            if (library) base_.channel = channel_of_library(lower(text_member(*library, "name")));
            return library.has_value();
        });
    }

    static std::optional<event::Channel> channel_of(std::string_view text) {
        const auto word = lower(text);
        if (word == "browser" || word == "client") return event::Channel::kWeb;
        if (word == "mobile") return event::Channel::kApp;
        if (word.empty() || word == "unknown") return std::nullopt;
        return event::channel_from_name(word);
    }

    static event::Channel channel_of_library(std::string_view library) {
        if (library == "analytics.js" || library.find("browser") != std::string_view::npos) return event::Channel::kWeb;
        for (const std::string_view app : {"ios", "android", "swift", "kotlin", "flutter", "react-native", "xamarin"})
            if (library.find(app) != std::string_view::npos) return event::Channel::kApp;
        return library.empty() ? event::Channel::kUnknown : event::Channel::kServer;
    }

    static std::optional<std::int64_t> whole_number(const std::string& text) {
        if (const auto whole = to_integer(text)) return whole;
        const auto number = to_number(text);
        if (number && std::abs(*number) < 9e15 && *number == std::floor(*number)) return static_cast<std::int64_t>(*number);
        return std::nullopt;
    }

    static void keep_rest(Details& details, std::string_view key, element value) {
        if (value.is_null()) return;
        if (!details.rest.ends_with('{')) details.rest += ',';
        append_json_string(details.rest, key);
        details.rest += ':';
        details.rest += simdjson::minify(value);
    }

    // Fills `details` from properties, traits or one product. Unknown keys, and known ones of a wrong type, stay in rest.
    static std::string read_details(object from, Details& details) {
        for (const auto [key, value] : from) {
            const std::string word = folded(key);
            if (word == "products" && value.is_array()) {
                details.products = value.get_array().value_unsafe();
                continue;
            }
            const auto text = text_of(value);
            if (!text || text->empty()) {
                keep_rest(details, key, value);
                continue;
            }
            if (std::string* slot = text_slot(details, word); slot && slot->empty()) *slot = *text;
            else if (auto* amount = amount_slot(details, word)) *amount = *text;
            else if (word == "quantity" || word == "delta") {
                const auto number = whole_number(*text);
                if (!number) return fmt::format("{}: want a whole number, got '{}'", key, clip(*text, 40));
                (word == "quantity" ? details.quantity : details.delta) = number;
            } else if (word == "position") {
                const auto number = whole_number(*text);
                if (number && *number >= 0 && *number < 1'000'000) details.position = static_cast<std::int32_t>(*number);
                else keep_rest(details, key, value);
            } else if (word == "rating") {
                const auto number = to_number(*text);
                if (!number || *number < 1 || *number > 5) return fmt::format("rating: want 1 to 5, got '{}'", clip(*text, 40));
                details.rating = static_cast<std::int32_t>(std::lround(*number));
            } else {
                keep_rest(details, key, value);
            }
        }
        return {};
    }

    static std::string* text_slot(Details& d, std::string_view word) {
        const std::array<std::pair<std::string_view, std::string*>, 30> slots{{
            {"productid", &d.product}, {"product", &d.product}, {"sku", &d.sku}, {"name", &d.name}, {"productname", &d.title}, {"title", &d.title},
            {"category", &d.category}, {"orderid", &d.order_id}, {"ordernumber", &d.order_id}, {"query", &d.query}, {"searchquery", &d.query},
            {"text", &d.text}, {"reviewbody", &d.text}, {"reviewtext", &d.text}, {"review", &d.text}, {"messagebody", &d.text},
            {"couponid", &d.coupon}, {"couponcode", &d.coupon}, {"coupon", &d.coupon},
            {"campaign", &d.campaign}, {"campaignid", &d.campaign}, {"promotionid", &d.campaign}, {"campaignname", &d.campaign},
            {"channel", &d.channel}, {"currency", &d.currency},
            {"email", &d.email}, {"emailaddress", &d.email}, {"phone", &d.phone}, {"phonenumber", &d.phone}, {"mobile", &d.phone},
        }};
        const auto found = std::ranges::find(slots, word, &std::pair<std::string_view, std::string*>::first);
        return found == slots.end() ? nullptr : found->second;
    }

    static std::optional<std::string>* amount_slot(Details& d, std::string_view word) {
        const std::array<std::pair<std::string_view, std::optional<std::string>*>, 9> slots{{
            {"price", &d.price}, {"value", &d.value}, {"revenue", &d.revenue}, {"total", &d.total}, {"amount", &d.total},
            {"discount", &d.discount}, {"shipping", &d.shipping}, {"tax", &d.tax}, {"linetotal", &d.line_total},
        }};
        const auto found = std::ranges::find(slots, word, &std::pair<std::string_view, std::optional<std::string>*>::first);
        return found == slots.end() ? nullptr : found->second;
    }

    std::string money(std::string_view field, const std::optional<std::string>& text, Money& out) const {
        if (!text) return {};
        if (auto parsed = parse_money(*text, base_.currency); parsed) {
            out = *parsed;
            return {};
        }
        const auto number = to_number(*text);  // "1e3", and what doubles print as
        if (!number || std::abs(*number) > 9e13) return fmt::format("{}: want a number like 12.50, got '{}'", field, clip(*text, 40));
        out = money_from_double(*number, base_.currency);
        return {};
    }

    // Puts what `details` says about one product, and about the event in general, into `event`.
    std::string apply(const Details& details, Event& event) const {
        if (!details.product.empty() || !details.sku.empty()) event.product = !details.product.empty() ? details.product : details.sku;
        if (!details.title.empty() || !details.name.empty()) event.title = !details.title.empty() ? details.title : details.name;
        if (!details.category.empty()) event.category = details.category;
        if (!details.coupon.empty()) event.coupon = details.coupon;
        if (details.position > 0) event.position = details.position;
        if (details.quantity) event.quantity = *details.quantity;
        return money("price", details.price, event.price);
    }

    std::string no_identity() const {
        if (!base_.user_id.empty() || !base_.anonymous_id.empty()) return {};
        return "no_user_anon_id: want userId or anonymousId, got neither";
    }

    static void close_properties(Event& event, const Details& details) {
        if (details.rest.size() > 1) event.properties = details.rest + "}";
    }

    std::string read_track(object body) {
        const std::string name = text_member(body, "event");
        if (name.empty()) return "event: want the name of the event, got nothing";
        base_.kind = kind_of_track_name(name);
        if (base_.kind == Kind::kCustom) base_.name = name;
        if (!needs_nobody(base_.kind))
            if (auto problem = no_identity(); !problem.empty()) return problem;
        Details details;
        if (const auto properties = object_member(body, "properties"))
            if (auto problem = read_details(*properties, details); !problem.empty()) return problem;
        base_.currency = context_.currency;
        if (!details.currency.empty()) {
            auto currency = parse_currency(details.currency);
            if (!currency) return currency.error().message;
            base_.currency = *currency;
        }
        if (!details.email.empty()) base_.email_hash = personal_hash(details.email);
        if (!details.phone.empty()) base_.phone_hash = personal_hash(details.phone);
        if (!details.campaign.empty()) base_.campaign = details.campaign;
        if (const auto channel = channel_of(details.channel)) base_.channel = *channel;
        base_.order_id = details.order_id;
        base_.query = details.query;
        base_.text = details.text;
        base_.rating = details.rating;
        if (base_.kind == Kind::kOrderCompleted || base_.kind == Kind::kOrderRefunded) return make_order(details);
        return make_single(details);
    }

    std::string make_single(Details& details) {
        Event event = base_;
        if (auto problem = apply(details, event); !problem.empty()) return problem;
        if (event.kind == Kind::kStockChanged) {
            // The signed change is in properties: an event's quantity has no sign.
            const std::int64_t delta = details.delta ? *details.delta : details.quantity.value_or(0);
            if (!details.delta && !details.quantity) return "delta: want the signed change of stock, got nothing";
            event.quantity = delta < 0 ? -delta : delta;
            details.rest += fmt::format("{}\"delta\":{}", details.rest.size() > 1 ? "," : "", delta);
        } else if (event.kind == Kind::kProductAdded && !details.quantity) {
            event.quantity = 1;
        }
        const auto& whole = details.value ? details.value : details.total ? details.total : details.revenue;
        if (auto problem = money("value", whole, event.amount); !problem.empty()) return problem;
        if (!whole && (event.kind == Kind::kProductAdded || event.kind == Kind::kProductRemoved) &&
            __builtin_mul_overflow(event.price.minor, event.quantity, &event.amount.minor))
            return "amount: price times quantity does not fit 63 bits";
        if (event.kind == Kind::kOrderCharge && event.name.empty()) event.name = details.name;
        for (const auto& [name, value] : {std::pair{"discount", &details.discount}, {"shipping", &details.shipping}, {"tax", &details.tax}})
            if (*value) append_json_member(details.rest, name, **value);
        if (details.products) append_products(details);
        close_properties(event, details);
        out_.events.push_back(std::move(event));
        return {};
    }

    static void append_products(Details& details) {
        if (details.rest.size() > 1) details.rest += ',';
        details.rest += "\"products\":";
        details.rest += simdjson::minify(*details.products);
    }

    // One event a product, then one order_charge each for shipping, tax and discount, so that amounts add up to the total.
    std::string make_order(Details& details) {
        const std::int64_t sign = base_.kind == Kind::kOrderRefunded ? -1 : 1;
        const std::string id = base_.message_id;
        std::size_t count = 0;
        if (details.products) {
            for (const element item : *details.products) {
                object product;
                if (item.get_object().get(product) != simdjson::SUCCESS) return "products: want a list of objects, got something else in it";
                Details line;
                if (auto problem = read_details(product, line); !problem.empty()) return fmt::format("products[{}]: {}", count, problem);
                if (count == 0 && details.rest.size() > 1) line.rest += (line.rest.size() > 1 ? "," : "") + details.rest.substr(1);
                Event event = base_;
                if (details.coupon.size() > 0) event.coupon = details.coupon;
                event.quantity = 1;
                event.message_id = fmt::format("{}#{}", id, count);
                if (auto problem = finish_line(line, sign, event); !problem.empty()) return fmt::format("products[{}]: {}", count, problem);
                ++count;
            }
        }
        if (count == 0) return make_order_without_products(details, sign);
        for (const auto& [name, value, direction] : {std::tuple{"shipping", &details.shipping, sign}, {"tax", &details.tax, sign}, {"discount", &details.discount, -sign}}) {
            Money amount;
            if (auto problem = money(name, *value, amount); !problem.empty()) return problem;
            if (amount.minor == 0) continue;
            Event charge = base_;
            charge.kind = Kind::kOrderCharge;
            charge.message_id = fmt::format("{}#{}", id, name);
            charge.name = charge.title = name;
            charge.quantity = 1;
            charge.price.minor = std::abs(amount.minor);
            charge.amount.minor = std::abs(amount.minor) * direction;
            out_.events.push_back(std::move(charge));
        }
        return {};
    }

    std::string finish_line(const Details& line, std::int64_t sign, Event& event) {
        if (auto problem = apply(line, event); !problem.empty()) return problem;
        event.quantity = std::abs(event.quantity);
        if (line.line_total) {
            if (auto problem = money("line_total", line.line_total, event.amount); !problem.empty()) return problem;
            event.amount.minor = std::abs(event.amount.minor) * sign;
        } else if (__builtin_mul_overflow(std::abs(event.price.minor), event.quantity * sign, &event.amount.minor))
            return "amount: price times quantity does not fit 63 bits";
        close_properties(event, line);
        out_.events.push_back(std::move(event));
        return {};
    }

    std::string make_order_without_products(const Details& details, std::int64_t sign) {
        Event event = base_;
        if (auto problem = apply(details, event); !problem.empty()) return problem;
        const auto& whole = details.revenue ? details.revenue : details.total ? details.total : details.value;
        if (auto problem = money("total", whole, event.amount); !problem.empty()) return problem;
        if (!whole && __builtin_mul_overflow(event.price.minor, std::max<std::int64_t>(event.quantity, 1), &event.amount.minor))
            return "amount: price times quantity does not fit 63 bits";
        event.quantity = std::max<std::int64_t>(std::abs(event.quantity), event.product.empty() ? 0 : 1);
        event.amount.minor = std::abs(event.amount.minor) * sign;
        close_properties(event, details);
        out_.events.push_back(std::move(event));
        return {};
    }

    // Traits and properties that are no product: everything but e-mail and telephone stays as it came.
    std::string keep_all_but_personal(object body, std::string_view member, Event& event) {
        const auto from = object_member(body, member);
        if (!from) return {};
        Details details;
        for (const auto [key, value] : *from) {
            const std::string word = folded(key);
            const auto text = text_of(value);
            if ((word == "email" || word == "emailaddress") && text) event.email_hash = text->empty() ? "" : personal_hash(*text);
            else if ((word == "phone" || word == "phonenumber" || word == "mobile") && text) event.phone_hash = text->empty() ? "" : personal_hash(*text);
            else keep_rest(details, key, value);
        }
        close_properties(event, details);
        return {};
    }

    std::string read_identify(object body) {
        base_.kind = Kind::kIdentify;
        if (auto problem = no_identity(); !problem.empty()) return problem;
        if (auto problem = keep_all_but_personal(body, "traits", base_); !problem.empty()) return problem;
        out_.events.push_back(base_);
        return {};
    }

    std::string read_page(object body, bool screen) {
        base_.kind = Kind::kPage;
        if (auto problem = no_identity(); !problem.empty()) return problem;
        if (base_.channel == event::Channel::kUnknown) base_.channel = screen ? event::Channel::kApp : event::Channel::kWeb;
        base_.name = text_member(body, "name");
        base_.category = text_member(body, "category");
        if (auto problem = keep_all_but_personal(body, "properties", base_); !problem.empty()) return problem;
        out_.events.push_back(base_);
        return {};
    }

    std::string read_group(object body) {
        base_.kind = Kind::kCustom;
        base_.name = "group";
        if (auto problem = no_identity(); !problem.empty()) return problem;
        const std::string group = text_member(body, "groupId");
        if (group.empty()) return "groupId: want the group's id, got nothing";
        if (auto problem = keep_all_but_personal(body, "traits", base_); !problem.empty()) return problem;
        std::string properties = "{";
        append_json_member(properties, "groupId", group);
        if (base_.properties.size() > 2) properties += ",\"traits\":" + base_.properties;
        base_.properties = properties + "}";
        out_.events.push_back(base_);
        return {};
    }

    std::string read_alias(object body) {
        base_.kind = Kind::kAlias;
        base_.anonymous_id = text_member(body, "previousId");
        if (base_.anonymous_id.empty() || base_.user_id.empty()) return "alias: want previousId and userId, got one or none of them";
        out_.events.push_back(base_);
        return {};
    }

    const SegmentContext& context_;
    std::optional<object> batch_context_;
    std::string batch_sent_at_;
    Parsed& out_;
    std::string raw_;
    Event base_;
};

}  // namespace

struct SegmentParser::State {
    simdjson::dom::parser parser;

    Result<element> parse(std::string_view body) {
        if (body.size() > kBatchBytesLimit)
            return Error{Code::kFull, fmt::format("body: want at most {} bytes, got {}", kBatchBytesLimit, body.size())};
        element root;
        if (const auto error = parser.parse(body.data(), body.size()).get(root); error != simdjson::SUCCESS)
            return Error{Code::kInvalid, fmt::format("body: want JSON, got {} bytes that are not: {}", body.size(), simdjson::error_message(error))};
        if (!root.is_object()) return Error{Code::kInvalid, "body: want a JSON object, got another JSON value"};
        return root;
    }

    Result<Parsed> read_batch(object body, const SegmentContext& context) {
        Parsed parsed;
        parsed.write_key = text_member(body, "writeKey");
        simdjson::dom::array batch;
        if (body.at_key("batch").get_array().get(batch) != simdjson::SUCCESS)
            return Error{Code::kInvalid, "batch: want a list of messages, got none"};
        MessageReader reader(context, object_member(body, "context"), text_member(body, "sentAt"), parsed);
        for (const element message : batch) {
            if (parsed.messages < kBatchMessagesLimit) {
                reader.read(message, {});
                continue;
            }
            ++parsed.messages;
            parsed.rejects.push_back({fmt::format("batch: want at most {} messages, this one comes after them", kBatchMessagesLimit), simdjson::minify(message)});
        }
        return parsed;
    }
};

SegmentParser::SegmentParser() : state_(std::make_unique<State>()) {}
SegmentParser::SegmentParser(SegmentParser&&) noexcept = default;
SegmentParser& SegmentParser::operator=(SegmentParser&&) noexcept = default;
SegmentParser::~SegmentParser() = default;

Result<Parsed> SegmentParser::parse_message(std::string_view body, std::string_view type, const SegmentContext& context) {
    auto root = state_->parse(body);
    if (!root) return root.error();
    const object members = root->get_object().value_unsafe();
    element batch;
    if (type.empty() && members.at_key("batch").get(batch) == simdjson::SUCCESS) return state_->read_batch(members, context);
    Parsed parsed;
    parsed.write_key = text_member(members, "writeKey");
    MessageReader(context, std::nullopt, {}, parsed).read(*root, type);
    return parsed;
}

Result<Parsed> SegmentParser::parse_batch(std::string_view body, const SegmentContext& context) {
    auto root = state_->parse(body);
    if (!root) return root.error();
    return state_->read_batch(root->get_object().value_unsafe(), context);
}

Kind kind_of_track_name(std::string_view name) {
    const std::string word = folded(name);
    for (const auto& [spec_name, kind] : kSpecNames)
        if (word == spec_name) return kind;
    for (std::size_t i = 0; i < event::kKindCount; ++i) {
        const auto kind = static_cast<Kind>(i);
        if (!is_reserved(kind) && folded(event::name(kind)) == word) return kind;
    }
    return Kind::kCustom;
}

std::string personal_hash(std::string_view text) { return hex(hash128(lower(trim(text)))); }

}  // namespace perennial::ingest
