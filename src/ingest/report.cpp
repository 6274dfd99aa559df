#include "ingest/report.h"

#include <boost/json/array.hpp>
#include <fmt/format.h>

#include <algorithm>

#include "base/text.h"

namespace perennial::ingest {
namespace {

std::uint64_t look_up(const std::vector<Counted>& list, std::string_view name) {
    const auto found = std::ranges::find(list, name, &Counted::name);
    return found == list.end() ? 0 : found->rows;
}

std::string grouped(std::uint64_t number) {
    std::string text = fmt::format("{}", number);
    for (auto at = static_cast<std::ptrdiff_t>(text.size()) - 3; at > 0; at -= 3) text.insert(static_cast<std::size_t>(at), ",");
    return text;
}

std::string spaced(std::string name) {
    std::ranges::replace(name, '_', ' ');
    return name;
}

boost::json::array counted_json(const std::vector<Counted>& list, std::string_view value_name) {
    boost::json::array array;
    for (const auto& [name, rows] : list) array.push_back({{"name", name}, {value_name, rows}});
    return array;
}

}  // namespace

std::uint64_t ImportReport::fact(std::string_view wanted) const { return look_up(facts, wanted); }
std::uint64_t ImportReport::fate(std::string_view wanted) const { return look_up(fates, wanted); }

boost::json::object to_json(const ImportReport& report) {
    boost::json::array rules;
    for (const auto& rule : report.rules) {
        boost::json::array samples;
        for (const auto& sample : rule.samples) samples.push_back({{"line", sample.line}, {"text", sample.text}});
        rules.push_back({{"name", rule.name}, {"enabled", rule.enabled}, {"rows", rule.rows}, {"effect", rule.effect},
                         {"details", counted_json(rule.details, "rows")}, {"samples", std::move(samples)}});
    }
    boost::json::object object{
        {"file", report.file}, {"format", report.format}, {"mapping", report.mapping}, {"rows", report.rows},
        {"facts", counted_json(report.facts, "value")}, {"fates", counted_json(report.fates, "rows")}, {"rules", std::move(rules)},
        {"events", report.events}, {"accepted", report.accepted}, {"already_known", report.already_known}};
    object["first_time"] = report.events > 0 ? boost::json::value(iso8601(report.first_time)) : boost::json::value();
    object["last_time"] = report.events > 0 ? boost::json::value(iso8601(report.last_time)) : boost::json::value();
    object["seconds"] = report.seconds;
    object["rows_per_second"] = report.rows_per_second;
    object["quarantine_file"] = report.quarantine_file;
    return object;
}

std::string to_text(const ImportReport& report) {
    std::string out = fmt::format("{}: {} rows read as {} ({}) in {:.1f} s, {} rows/s\n", report.file, grouped(report.rows), report.mapping,
                                  report.format, report.seconds, grouped(static_cast<std::uint64_t>(report.rows_per_second)));
    out += "\nin the file\n";
    for (const auto& [name, value] : report.facts)
        if (name != "rows") out += fmt::format("  {:<44}{:>12}\n", spaced(name), grouped(value));
    out += "\nwhat became of the rows\n";
    for (const auto& [name, rows] : report.fates)
        if (rows > 0) out += fmt::format("  {:<44}{:>12}\n", spaced(name), grouped(rows));
    if (!report.rules.empty()) out += "\ncleaning rules\n";
    for (const auto& rule : report.rules) {
        out += fmt::format("  {:<44}{:>12}  {}\n", spaced(rule.name), rule.enabled ? grouped(rule.rows) : "off", rule.effect);
        for (const auto& [name, rows] : rule.details) out += fmt::format("    {:<42}{:>12}\n", spaced(name), grouped(rows));
    }
    out += fmt::format("\n{} events: {} new, {} known already\n", grouped(report.events), grouped(report.accepted), grouped(report.already_known));
    if (!report.quarantine_file.empty()) out += fmt::format("rows that could not be taken in are kept in {}\n", report.quarantine_file);
    return out;
}

}  // namespace perennial::ingest
