// simulate: a synthetic shop with known truth.
#include <fmt/format.h>

#include <boost/json.hpp>

#include "commands.h"
#include "simulate/simulate.h"

namespace perennial::app {

Status simulate(const SimulateCommand& options) {
    simulate::SimulationOptions simulation;
    simulation.customers = options.customers;
    simulation.products = options.products;
    simulation.days = options.days;
    simulation.seed = options.common.seed;
    auto summary = simulate::simulate(simulation, options.out);
    if (!summary) return summary.error();
    boost::json::array files;
    for (const auto& file : summary->files) files.emplace_back(file.string());
    const boost::json::object result{{"messages", summary->messages}, {"customers", summary->customers}, {"churned_customers", summary->churned_customers},
        {"products", summary->products}, {"orders", summary->orders}, {"order_lines", summary->order_lines}, {"refunds", summary->refunds},
        {"treatments", summary->treatments}, {"revenue", major_units(summary->revenue, summary->currency)}, {"currency", summary->currency.text()},
        {"first_day", iso_date(summary->start)}, {"last_day", iso_date(summary->end)}, {"seconds", summary->seconds}, {"files", std::move(files)}};
    if (options.common.json) {
        fmt::print("{}\n", boost::json::serialize(result));
        return Done{};
    }
    fmt::print("{} messages of {} customers ({} of them gone), {} orders, {}\n", summary->messages, summary->customers, summary->churned_customers, summary->orders,
               format_money(summary->revenue, summary->currency));
    for (const auto& file : summary->files) fmt::print("  {}\n", file.string());
    return Done{};
}

}  // namespace perennial::app
