#include "measure/report.h"

#include <boost/json.hpp>

#include <algorithm>
#include <array>

#include "embedded_report.h"
#include "measure/customers.h"

namespace perennial::measure {
namespace {

namespace json = boost::json;

struct Population {
    std::vector<profile::Profile> profiles;
    Money spend, refunds;
    std::size_t orders = 0, anonymous_orders = 0, events = 0, repeaters = 0, buyers = 0;
};

json::object lifecycle_json(const Population& people, const profile::ShopRhythm& rhythm, UtcTime now, Currency currency) {
    const auto months = lifecycle_by_month(people.profiles, rhythm, now);
    std::array<std::size_t, profile::kStageCount> customers{};
    std::array<Money, profile::kStageCount> revenue{};
    for (const auto& p : people.profiles) {
        const auto stage = static_cast<std::size_t>(profile::stage_at(profile::purchase_days(p.orders), now, rhythm));
        ++customers[stage];
        revenue[stage] += p.spend;
    }
    json::array stages, counts, month_rows, flows;
    for (std::size_t s = 0; s < profile::kStageCount; ++s) {
        const auto name = profile::name(static_cast<profile::Stage>(s));
        stages.emplace_back(name);
        counts.push_back(json::object{{"stage", name}, {"customers", customers[s]}, {"revenue", major_units(revenue[s], currency)}});
    }
    for (std::size_t m = 0; m < months.months.size(); ++m)
        month_rows.push_back(json::object{{"month", months.months[m]}, {"counts", json::array(months.counts[m].begin(), months.counts[m].end())}});
    for (const auto& flow : months.flows)
        flows.push_back(json::object{{"month", flow.month}, {"from", flow.from ? json::value(profile::name(*flow.from)) : json::value(nullptr)},
                                     {"to", profile::name(flow.to)}, {"customers", flow.customers}});
    return {{"as_of", iso_date(now)}, {"stages", std::move(stages)}, {"counts", std::move(counts)}, {"months", std::move(month_rows)}, {"flows", std::move(flows)}};
}

json::object cohorts_json(const Population& people, UtcTime now) {
    json::array rows;
    for (const auto& cohort : retention_cohorts(people.profiles, now))
        rows.push_back(json::object{{"month", cohort.month}, {"size", cohort.size}, {"retained", json::array(cohort.retained.begin(), cohort.retained.end())}});
    return {{"rows", std::move(rows)}};
}

json::object rfm_json(const Population& people, UtcTime now, Currency currency) {
    const auto grid = rfm_grid(people.profiles, now);
    json::array cells;
    for (std::size_t r = 0; r < 5; ++r)
        for (std::size_t f = 0; f < 5; ++f) {
            const auto& cell = grid.cells[r][f];
            if (cell.customers == 0) continue;
            const Money mean{static_cast<std::int64_t>(cell.spend_minor / static_cast<double>(cell.customers))};
            cells.push_back(json::object{{"recency", r + 1}, {"frequency", f + 1}, {"customers", cell.customers}, {"mean_spend", major_units(mean, currency)}});
        }
    const auto numbers = [](const profile::QuintileEdges& edges) { return json::array(edges.begin(), edges.end()); };
    json::array money;
    for (const double edge : grid.scale.spend) money.emplace_back(major_units({static_cast<std::int64_t>(edge)}, currency));
    return {{"grid", std::move(cells)}, {"recency_edges_days", numbers(grid.scale.recency_days)}, {"frequency_edges", numbers(grid.scale.purchase_days)},
            {"monetary_edges", std::move(money)}};
}

void replace_once(std::string& text, std::string_view marker, std::string_view with) {
    const auto at = text.find(marker);
    if (at != std::string::npos) text.replace(at, marker.size(), with);
}

}  // namespace

Result<json::object> report_json(const profile::Store& store, const predict::ShopData& data, ReportInput input) {
    Population people;
    PERENNIAL_TRY(store.for_each_profile([&](const profile::CustomerKey&, const profile::Profile& p) {
        people.spend += p.spend;
        people.refunds += p.refunds;
        people.orders += p.orders.size();
        people.buyers += !p.orders.empty();
        people.repeaters += p.orders.size() > 1;
        people.profiles.push_back(p);
        return true;
    }));
    PERENNIAL_TRY(store.for_each_timeline(true, [&](const profile::CustomerKey& key, const std::vector<event::Event>& timeline) {
        if (profile::is_customer(key)) return true;
        const auto order = profile::fold(timeline);
        people.orders += order.orders.size();
        people.anonymous_orders += order.orders.size();
        people.spend += order.spend;
        people.refunds += order.refunds;
        return true;
    }));
    const UtcTime now = std::max(data.last_time, store.last_event_time());
    json::array stages;
    for (const auto& [name, seconds] : input.stages_seconds) stages.push_back(json::object{{"name", name}, {"seconds", seconds}});
    return json::object{
        {"format", "perennial.report"}, {"version", 1},
        {"shop", {{"name", input.shop_name}, {"currency", data.currency.text()}, {"generated", iso8601(input.generated)},
                  {"first_day", iso_date(data.first_time)}, {"last_day", iso_date(data.last_time)}, {"commit", input.commit},
                  {"machine", input.machine}, {"command", input.command}}},
        {"summary", {{"events", store.folded().value}, {"customers", people.profiles.size()}, {"orders", people.orders},
                     {"products", data.catalog.size()}, {"anonymous_orders", people.anonymous_orders},
                     {"revenue", major_units(people.spend, data.currency)}, {"refunded", major_units(people.refunds, data.currency)},
                     {"repeat_share", people.buyers ? static_cast<double>(people.repeaters) / static_cast<double>(people.buyers) : 0}}},
        {"stages_seconds", std::move(stages)},
        {"quality", {{"files", std::move(input.import_reports)}}},
        {"lifecycle", lifecycle_json(people, data.rhythm, now, data.currency)},
        {"cohorts", cohorts_json(people, now)},
        {"rfm", rfm_json(people, now, data.currency)},
        {"training", std::move(input.training)},
        {"next_purchase", std::move(input.next_purchase)},
        {"churn", std::move(input.churn)}};
}

std::string report_html(const json::object& report) {
    std::string page(report::embedded("report.html"));
    for (const char* file : {"report.css", "strings.js", "charts.js", "kit.js", "customers.js", "models.js", "report.js"})
        replace_once(page, "/*{{" + std::string(file) + "}}*/", report::embedded(file));
    std::string data;
    for (const char c : json::serialize(report)) {
        if (c == '<') data += "\\u003c";  // nothing inside a string can end the element it stands in
        else data += c;
    }
    replace_once(page, "{{report.json}}", data);
    return page;
}

}  // namespace perennial::measure
