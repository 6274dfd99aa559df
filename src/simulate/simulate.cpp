#include "simulate/simulate.h"

#include <fmt/format.h>

#include <algorithm>
#include <numeric>
#include <optional>
#include <span>
#include <tuple>

#include "base/file.h"
#include "base/progress.h"
#include "simulate/shelf.h"
#include "simulate/shopper.h"

namespace perennial::simulate {
namespace {

constexpr double kDaysBetweenDeliveries = 30;
constexpr std::int64_t kSpareUnits = 10;

Status check(std::string_view what, std::uint32_t value, std::uint32_t limit) {
    if (value >= 1 && value <= limit) return Done{};
    return Error{Code::kInvalid, fmt::format("{}: want 1 to {}, got {}", what, limit, value)};
}

// What the shop itself reports: deliveries, empty shelves, price changes.
class Warehouse {
public:
    Warehouse(const Shelf& shelf, const SimulationOptions& options, std::vector<Message>& out) : shelf_(shelf), options_(options), out_(out) {}

    void report(std::vector<Sale> sales) {
        std::ranges::sort(sales, [](const Sale& a, const Sale& b) { return std::tie(a.product, a.time_ms) < std::tie(b.product, b.time_ms); });
        auto at = sales.begin();
        for (std::uint32_t index = 0; index < shelf_.products.size(); ++index) {
            const auto first = at;
            while (at != sales.end() && at->product == index) ++at;
            report_stock(shelf_.products[index], {first, at});
            report_prices(shelf_.products[index]);
        }
    }

private:
    std::int64_t ms_of(double day) const { return after_days(options_.start, day).ms; }

    void say(std::int64_t time_ms, std::string_view event, const Product& product, std::string_view properties) {
        out_.push_back({time_ms, fmt::format(R"({{"type":"track","messageId":"shop-{}","event":"{}","timestamp":"{}","properties":{{"product_id":"{}",{}}}}})",
                                             ++number_, event, iso8601({time_ms}), product.id, properties)});
    }

    // `level`: units on the shelf after the change, as a stock system reports them.
    void change_stock(double day, const Product& product, std::int64_t delta, std::int64_t level, std::string_view reason) {
        if (delta != 0) say(ms_of(day), "stock_changed", product, fmt::format(R"("stock":{},"delta":{},"reason":"{}")", level, delta, reason));
    }

    // Deliveries follow what will be sold until the next one, so that stock less sales never falls below zero.
    void report_stock(const Product& product, std::span<const Sale> sales) {
        std::int64_t level = 0;
        std::size_t sold = 0;
        const auto sell_until = [&](double day) {
            for (; sold < sales.size() && sales[sold].time_ms < ms_of(day); ++sold) level -= sales[sold].units;
        };
        const auto deliver = [&](double day, double next) {
            std::int64_t needed = kSpareUnits;
            for (std::size_t i = sold; i < sales.size() && sales[i].time_ms < ms_of(next); ++i) needed += sales[i].units;
            const std::int64_t delta = std::max<std::int64_t>(0, needed - level);
            level += delta;
            change_stock(day, product, delta, level, "delivery");
        };
        std::vector<std::pair<double, const Window*>> steps;  // a window's start empties the shelf, its end fills it
        for (double day = 0; day < options_.days; day += kDaysBetweenDeliveries) steps.emplace_back(day, nullptr);
        for (const auto& window : product.stock_outs) {
            steps.emplace_back(window.first_day, &window);
            if (window.last_day + 1 < options_.days) steps.emplace_back(window.last_day + 1.0, nullptr);
        }
        std::ranges::stable_sort(steps, {}, &std::pair<double, const Window*>::first);
        for (std::size_t i = 0; i < steps.size(); ++i) {
            const auto [day, window] = steps[i];
            sell_until(day);
            const double next = i + 1 < steps.size() ? steps[i + 1].first : options_.days;
            if (window) change_stock(day, product, -std::exchange(level, 0), 0, "stock_out");
            else if (product.in_stock(static_cast<std::uint32_t>(day))) deliver(day, next);
        }
    }

    void report_prices(const Product& product) {
        const auto say_price = [&](double day, std::int64_t minor) {
            if (day < options_.days) say(ms_of(day), "price_changed", product, fmt::format(R"("price":{}.{:02},"currency":"EUR")", minor / 100, minor % 100));
        };
        say(ms_of(0), "price_changed", product,
            fmt::format(R"("name":"{}","category":"{}","price":{}.{:02},"currency":"EUR")", product.title, category_name(product.category), product.price_minor / 100, product.price_minor % 100));
        for (const auto& cut : product.price_cuts) {
            say_price(cut.when.first_day, product.price_on(cut.when.first_day));
            say_price(cut.when.last_day + 1.0, product.price_minor);
        }
    }

    const Shelf& shelf_;
    const SimulationOptions& options_;
    std::vector<Message>& out_;
    std::uint64_t number_ = 0;
};

std::string products_csv(const Shelf& shelf, const SimulationOptions& options) {
    std::string out = "product,title,category,price,complement,season_peak_day,season_strength,replenishment_days,stock_outs\n";
    for (std::uint32_t i = 0; i < shelf.products.size(); ++i) {
        const auto& product = shelf.products[i];
        std::string windows;
        for (const auto& window : product.stock_outs)
            windows += fmt::format("{}{}/{}", windows.empty() ? "" : ";", iso_date(after_days(options.start, window.first_day)), iso_date(after_days(options.start, window.last_day)));
        out += fmt::format("{},{},{},{}.{:02},{},{:.0f},{:.2f},{},{}\n", product.id, product.title, category_name(product.category), product.price_minor / 100,
                           product.price_minor % 100, product.complement == i ? "" : shelf.products[product.complement].id, product.season_peak_day,
                           product.season_strength, product.replenishment_days, windows);
    }
    return out;
}

void add_truth(std::string& out, const Nature& nature, const Shelf& shelf, const SimulationOptions& options) {
    std::vector<std::uint32_t> order(nature.taste.size());
    std::iota(order.begin(), order.end(), 0u);
    std::ranges::stable_sort(order, [&](std::uint32_t a, std::uint32_t b) { return nature.taste[a] > nature.taste[b]; });
    std::string tastes;
    for (std::size_t i = 0; i < std::min<std::size_t>(3, order.size()); ++i)
        tastes += fmt::format("{}{}:{:.3f}", i ? ";" : "", category_name(order[i]), nature.taste[order[i]]);
    out += fmt::format("{},{},{},{:.3f},{},{},{:.3f},{:.4f},{:.4f},{:.3f},{:.3f},{},{:.0f}\n", nature.id, iso8601(after_days(options.start, nature.acquired_day)), tastes,
                       nature.rhythm_days, iso8601(after_days(options.start, nature.churn_day)), nature.churn_day < options.days ? 1 : 0, nature.price_sensitivity,
                       nature.coupon_uplift, nature.message_uplift, nature.open_rate, nature.click_rate,
                       nature.staple_days > 0 ? shelf.products[nature.staple].id : "", nature.staple_days);
}

void add_treatments(std::string& out, const Nature& nature, const Life& life) {
    for (const auto& treatment : life.treatments)
        out += fmt::format("{},{},campaign-{:02},{},{:.2f},{}\n", nature.id, iso8601({treatment.time_ms}), treatment.campaign, treatment.arm, treatment.propensity, treatment.orders_caused);
}

}  // namespace

Result<SimulationSummary> simulate(const SimulationOptions& options, const std::filesystem::path& out_dir) {
    const double started = monotonic_seconds();
    PERENNIAL_TRY(check("customers", options.customers, kCustomersLimit));
    PERENNIAL_TRY(check("products", options.products, kProductsLimit));
    PERENNIAL_TRY(check("days", options.days, kDaysLimit));
    std::error_code error;
    std::filesystem::create_directories(out_dir, error);
    if (error) return Error{Code::kIo, fmt::format("make directory {}: {}", out_dir.string(), error.message())};

    const Rng root(options.seed);
    const Shelf shelf = make_shelf(options.products, options.days, root.fork(1));
    const Rng customers = root.fork(2);
    SimulationSummary summary;
    summary.customers = options.customers;
    summary.products = options.products;
    summary.currency = *parse_currency("EUR");
    summary.start = options.start;
    summary.end = after_days(options.start, options.days);
    std::string truth = "customer,acquired,tastes,rhythm_days,churn_date,churned_by_end,price_sensitivity,coupon_uplift,message_uplift,open_rate,click_rate,staple_product,staple_days\n";
    std::string treatments = "customer,time,campaign,treatment,propensity,orders_caused\n";
    std::vector<Message> messages;
    std::vector<Sale> sales;
    std::optional<Progress> progress;
    if (options.show_progress) progress.emplace("simulate", options.customers, "customers");
    for (std::uint32_t i = 0; i < options.customers; ++i) {
        Rng rng = customers.fork(i);
        const Nature nature = make_nature(i, shelf, options.days, rng);
        Life life = live(nature, shelf, options.days, options.start, rng);
        add_truth(truth, nature, shelf, options);
        add_treatments(treatments, nature, life);
        summary.orders += life.orders;
        summary.order_lines += life.sales.size();
        summary.refunds += life.refunds;
        summary.treatments += life.treatments.size();
        summary.revenue.minor += life.revenue_minor;
        summary.churned_customers += nature.churn_day < options.days;
        std::ranges::move(life.messages, std::back_inserter(messages));
        std::ranges::move(life.sales, std::back_inserter(sales));
        if (progress) progress->advance(1);
    }
    Warehouse(shelf, options, messages).report(std::move(sales));
    std::ranges::stable_sort(messages, {}, &Message::time_ms);
    summary.messages = messages.size();
    std::string events;
    events.reserve(std::accumulate(messages.begin(), messages.end(), std::size_t{0}, [](std::size_t sum, const Message& message) { return sum + message.json.size() + 1; }));
    for (auto& message : messages) {
        events += message.json;
        events += '\n';
        message.json = {};
    }
    for (const auto& [file, text] : {std::pair<std::string_view, const std::string&>{"events.jsonl", events}, {"truth.csv", truth}, {"treatments.csv", treatments}}) {
        PERENNIAL_TRY(write_file(out_dir / file, text));
        summary.files.push_back(out_dir / file);
    }
    PERENNIAL_TRY(write_file(out_dir / "products.csv", products_csv(shelf, options)));
    summary.files.push_back(out_dir / "products.csv");
    summary.seconds = monotonic_seconds() - started;
    return summary;
}

}  // namespace perennial::simulate
