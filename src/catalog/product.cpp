#include "catalog/product.h"

#include <algorithm>

#include "base/bytes.h"
#include "base/text.h"

namespace perennial::catalog {
namespace {

constexpr std::uint8_t kVersion = 1;

// The integer behind "field": in a flat JSON object, as ingest writes it. Full JSON is not needed here.
std::optional<std::int64_t> integer_property(std::string_view properties, std::string_view field) {
    const auto quoted = '"' + std::string(field) + '"';
    auto at = properties.find(quoted);
    if (at == std::string_view::npos) return std::nullopt;
    auto rest = trim(properties.substr(at + quoted.size()));
    if (!rest.starts_with(':')) return std::nullopt;
    rest = trim(rest.substr(1));
    return to_integer(trim(rest.substr(0, rest.find_first_of(",}"))));
}

void vote_for_title(Product& product, std::string_view title) {
    if (title.empty()) return;
    if (product.title == title) ++product.title_votes;
    else if (product.title_votes > 0) --product.title_votes;
    else product.title = title, product.title_votes = 1;
}

void set_price(Product& product, const event::Event& event) {
    if (event.price.minor <= 0 || event.time < product.price_time) return;
    product.price = event.price;
    product.price_time = event.time;
    if (!event.currency.text().empty()) product.currency = event.currency;
}

void change_stock(Product& product, const event::Event& event) {
    if (const auto level = integer_property(event.properties, "stock")) {
        if (event.time < product.stock_time) return;
        product.stock = *level;
        product.stock_time = event.time;
    } else if (const auto delta = integer_property(event.properties, "delta"); delta && product.stock) {
        product.stock = *product.stock + *delta;
    }
}

}  // namespace

void apply(Product& product, const event::Event& event) {
    if (product.first_seen == UtcTime{} || event.time < product.first_seen) product.first_seen = event.time;
    if (!event.category.empty()) product.category = event.category;
    switch (event.kind) {
        case event::Kind::kStockChanged: change_stock(product, event); return;  // stock notes are no titles
        case event::Kind::kOrderCompleted:
            ++product.lines_sold;
            product.units_sold += event.quantity;
            product.last_sold = std::max(product.last_sold, event.time);
            // A level that the shop told goes down with each sale after it.
            if (product.stock && event.time > product.stock_time) product.stock = std::max<std::int64_t>(0, *product.stock - event.quantity);
            set_price(product, event);
            break;
        case event::Kind::kOrderRefunded: product.units_sold -= event.quantity; break;
        case event::Kind::kProductViewed: ++product.views; set_price(product, event); break;
        case event::Kind::kPriceChanged: set_price(product, event); break;
        default: break;
    }
    vote_for_title(product, event.title);
}

std::string encode(const Product& p) {
    std::string out;
    out.push_back(static_cast<char>(kVersion));
    put_string(out, p.id);
    put_string(out, p.title);
    put_string(out, p.category);
    put_string(out, p.currency.text());
    put_fixed<std::uint8_t>(out, p.stock ? 1 : 0);
    for (const std::int64_t number : {p.price.minor, p.stock.value_or(0), p.units_sold, p.lines_sold, p.views, p.first_seen.ms,
                                      p.last_sold.ms, std::int64_t{p.title_votes}, p.price_time.ms, p.stock_time.ms})
        put_varint(out, zigzag(number));
    return out;
}

Result<Product> decode_product(std::string_view bytes) {
    Reader reader(bytes);
    const auto version = reader.fixed<std::uint8_t>();
    if (version != kVersion) return Error{Code::kUnsupported, "product record: unknown version"};
    Product p;
    p.id = reader.string();
    p.title = reader.string();
    p.category = reader.string();
    const auto currency = reader.string();
    if (currency.size() == 3) currency.copy(p.currency.code.data(), 3);
    const bool has_stock = reader.fixed<std::uint8_t>() == 1;
    const auto number = [&reader] { return unzigzag(reader.varint()); };
    p.price.minor = number();
    const auto stock = number();
    if (has_stock) p.stock = stock;
    p.units_sold = number();
    p.lines_sold = number();
    p.views = number();
    p.first_seen.ms = number();
    p.last_sold.ms = number();
    p.title_votes = static_cast<std::int32_t>(number());
    p.price_time.ms = number();
    p.stock_time.ms = number();
    if (!reader.ok() || !reader.empty()) return Error{Code::kCorrupt, "product record: cut short or too long"};
    return p;
}

}  // namespace perennial::catalog
