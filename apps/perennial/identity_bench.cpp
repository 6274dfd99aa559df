// bench identity: records of known persons, linked without looking at who they are; then how right that was.
#include <fmt/format.h>
#include <sys/resource.h>

#include <boost/json.hpp>
#include <map>
#include <optional>
#include <regex>

#include "base/text.h"
#include "build_info.h"
#include "commands.h"
#include "ingest/csv.h"
#include "resolve/resolution.h"
#include "resolve/synthetic.h"
#include "shop.h"

namespace perennial::app {
namespace {

namespace json = boost::json;
using resolve::Records;

struct Table {
    std::optional<Records> records;
    std::vector<std::uint32_t> entity;
};

// Which of the file's columns are compared: those of --field, or by their names; never the truth.
struct Columns {
    std::vector<resolve::Field> fields;
    std::vector<std::string> names;  // as in the header
};

Result<Columns> choose_columns(const IdentityBenchCommand& options, const std::vector<std::string>& header) {
    Columns columns;
    if (options.fields.empty()) {
        for (const auto& column : header) {
            const std::string name(trim(column));
            const auto kind = resolve::guess_field_kind(name);
            if (name == options.truth || !kind) continue;
            columns.fields.push_back({name, *kind});
            columns.names.push_back(name);
        }
        if (columns.fields.empty()) return Error{Code::kInvalid, fmt::format("{}: no column's name says what it holds; name them with --field COLUMN=KIND", options.csv.string())};
        return columns;
    }
    for (const auto& text : options.fields) {
        const auto at = text.rfind('=');
        const auto kind = at == std::string::npos ? std::nullopt : resolve::field_kind_from_name(std::string_view(text).substr(at + 1));
        if (!kind) return Error{Code::kInvalid, fmt::format("--field {}: want COLUMN=KIND, KIND one of given_name, family_name, text, category, date, email, phone, code", text)};
        columns.fields.push_back({text.substr(0, at), *kind});
        columns.names.push_back(text.substr(0, at));
    }
    return columns;
}

Result<std::size_t> position_of(const std::vector<std::string>& header, std::string_view column, const fs::path& file) {
    for (std::size_t c = 0; c < header.size(); ++c)
        if (trim(header[c]) == column) return c;
    return Error{Code::kNotFound, fmt::format("{}: want a column '{}', got {}", file.string(), column, fmt::join(header, ", "))};
}

Result<Table> read_table(const IdentityBenchCommand& options) {
    Table table;
    std::optional<std::regex> pattern;
    try {
        if (!options.truth_match.empty()) pattern.emplace(options.truth_match);
    } catch (const std::regex_error& problem) {
        return Error{Code::kInvalid, fmt::format("--truth-match '{}': {}", options.truth_match, problem.what())};
    }
    if (pattern && pattern->mark_count() != 1) return Error{Code::kInvalid, fmt::format("--truth-match '{}': want one group in round brackets, got {}", options.truth_match, pattern->mark_count())};
    Columns columns;
    std::map<std::string, std::uint32_t, std::less<>> entities;
    std::uint8_t file = 0;
    for (const auto& path : {options.csv, options.csv2}) {
        if (path.empty()) continue;
        auto reader = ingest::CsvReader::open(path);
        if (!reader) return reader.error();
        if (!table.records) {
            auto chosen = choose_columns(options, reader->header());
            if (!chosen) return chosen.error();
            columns = std::move(*chosen);
            auto records = Records::over(columns.fields);
            if (!records) return records.error();
            table.records = std::move(*records);
        }
        std::vector<std::size_t> at;
        for (const auto& name : columns.names) {
            auto found = position_of(reader->header(), name, path);
            if (!found) return found.error();
            at.push_back(*found);
        }
        auto truth = position_of(reader->header(), options.truth, path);
        if (!truth) return truth.error();
        ingest::CsvRow row;
        for (;;) {
            auto more = reader->next(row);
            if (!more) return more.error();
            if (!*more) break;
            if (!row.problem.empty()) return Error{Code::kInvalid, fmt::format("{}:{}: {}", path.string(), row.line, row.problem)};
            std::vector<std::string_view> values;
            for (const auto c : at) values.push_back(row.fields[c]);
            if (auto added = table.records->add(values, file); !added) return Error{added.error().code, fmt::format("{}:{}: {}", path.string(), row.line, added.error().message)};
            std::string entity(trim(row.fields[*truth]));
            if (pattern) {
                std::smatch match;
                if (!std::regex_search(entity, match, *pattern)) return Error{Code::kInvalid, fmt::format("{}:{}: {}: want text like {}, got '{}'", path.string(), row.line, options.truth, options.truth_match, entity)};
                entity = match[1].str();
            }
            table.entity.push_back(entities.try_emplace(entity, static_cast<std::uint32_t>(entities.size())).first->second);
        }
        ++file;
    }
    return table;
}

json::object to_json(const resolve::Agreement& a) {
    return {{"precision", a.precision()}, {"recall", a.recall()}, {"f1", a.f1()}, {"pairs_said", a.said}, {"pairs_right", a.right}, {"pairs_true", a.truth}};
}

double peak_megabytes() {
    struct rusage usage{};
    ::getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) / 1024;
}

json::array model_json(const resolve::Resolution& r) {
    json::array features;
    for (std::size_t f = 0; f < r.comparator->features(); ++f) {
        json::array levels;
        for (unsigned l = r.comparator->levels(f) - 1; l > 0; --l)
            levels.push_back(json::object{{"level", r.comparator->level_name(f, l)}, {"m", r.model->m[f][l]}, {"u", r.model->u[f][l]}, {"weight", r.model->log2_weight(f, l)}});
        features.push_back(json::object{{"field", r.comparator->feature_name(f)},
                                        {"kind", r.comparator->is_name_order(f) ? "order" : resolve::name(r.records->fields()[f].kind)}, {"levels", std::move(levels)}});
    }
    return features;
}

json::object report_of(const resolve::Resolution& r, std::span<const std::uint32_t> entity, const IdentityBenchCommand& options) {
    const bool two = r.records->two_files();
    json::object out;
    out["records"] = r.records->size();
    out["possible_pairs"] = r.records->possible_pairs();
    out["compared_pairs"] = r.pairs;
    out["compares_all"] = r.blocking->compares_all();
    json::array rules;
    for (std::size_t k = 0; k < r.blocking->rules().size(); ++k)
        rules.push_back(json::object{{"rule", resolve::to_text(r.blocking->rules()[k], *r.records)}, {"pairs", r.blocking->pairs_of_rule(k)}});
    out["rules"] = std::move(rules);
    json::array refused;
    for (const auto& block : r.blocking->refused())
        refused.push_back(json::object{{"rule", resolve::to_text(r.blocking->rules()[block.rule], *r.records)}, {"records", block.records}});
    out["refused_blocks"] = json::object{{"count", r.blocking->refused_blocks()}, {"pairs", r.blocking->refused_pairs()}, {"largest", std::move(refused)}};
    out["match_share"] = r.model->match_share;
    out["em_rounds"] = r.model->rounds;
    out["untrained"] = json::value_from(r.model->untrained);
    out["model"] = model_json(r);
    out["probability"] = options.probability;
    out["pairwise"] = to_json(resolve::agreement_of_links(*r.records, r.links, entity));
    if (two) {
        out["one_to_one"] = to_json(resolve::agreement_of_links(*r.records, r.matches, entity));
    } else {
        auto clustered = to_json(resolve::agreement_of_clusters(*r.records, r.clusters.of, entity));
        clustered["clusters"] = r.clusters.count;
        clustered["largest"] = r.clusters.largest;
        clustered["oversized_components"] = r.clusters.oversized_components;
        clustered["oversized_records"] = r.clusters.oversized_records;
        out["clustered"] = std::move(clustered);
    }
    return out;
}

void print(const json::object& out) {
    const auto number = [](const json::value& value) { return value.to_number<double>(); };
    fmt::print("{:.0f} records, {:.0f} of {:.0f} possible pairs compared; share of matches {:.3g}\n", number(out.at("records")), number(out.at("compared_pairs")),
               number(out.at("possible_pairs")), number(out.at("match_share")));
    for (const auto& value : out.at("model").as_array()) {
        fmt::print("  {} ({})\n", std::string(value.at("field").as_string()), std::string(value.at("kind").as_string()));
        for (const auto& level : value.at("levels").as_array())
            fmt::print("    {:<40} m {:<9.4g} u {:<9.4g} weight {:+.2f}\n", std::string(level.at("level").as_string()), number(level.at("m")), number(level.at("u")), number(level.at("weight")));
    }
    const auto& refused = out.at("refused_blocks").as_object();
    if (number(refused.at("count")) > 0) fmt::print("  {:.0f} blocks refused as too large ({:.3g} pairs)\n", number(refused.at("count")), number(refused.at("pairs")));
    for (const char* part : {"pairwise", "clustered", "one_to_one"})
        if (const auto* a = out.if_contains(part))
            fmt::print("{:<11} precision {:.4f}  recall {:.4f}  F1 {:.4f}\n", part, number(a->at("precision")), number(a->at("recall")), number(a->at("f1")));
    const auto& seconds = out.at("seconds").as_object();
    fmt::print("{:.2f} s (read or made {:.2f}, blocking {:.2f}, comparing {:.2f}, fitting {:.2f}, clustering {:.2f}), {:.0f} MiB at most\n", number(seconds.at("total")),
               number(seconds.at("read")), number(seconds.at("blocking")), number(seconds.at("comparing")), number(seconds.at("fitting")), number(seconds.at("clustering")),
               number(out.at("peak_mib")));
}

}  // namespace

Status bench_identity(const IdentityBenchCommand& options) {
    if (options.csv.empty() == (options.generate == 0)) return Error{Code::kInvalid, "bench identity: want either --csv FILE or --generate N"};
    if (!options.csv.empty() && options.truth.empty()) return Error{Code::kInvalid, "bench identity: want --truth COLUMN with --csv"};
    const double start = monotonic_seconds();
    Table table;
    if (options.generate > 0) {
        auto people = resolve::synthetic_people({.records = options.generate, .seed = options.common.seed});
        if (!people) return people.error();
        table = {std::move(people->records), std::move(people->entity)};
    } else {
        auto read = read_table(options);
        if (!read) return read.error();
        table = std::move(*read);
    }
    const double read_seconds = monotonic_seconds() - start;
    resolve::ResolveOptions resolve_options;
    resolve_options.threads = options.common.threads;
    resolve_options.fit.seed = options.common.seed;
    resolve_options.probability = options.probability;
    resolve_options.clusters.average_linkage = !options.connected;
    resolve_options.blocking.block_records_limit = options.block_limit;
    auto resolution = resolve::resolve(std::move(*table.records), resolve_options);
    if (!resolution) return resolution.error();
    const double total = monotonic_seconds() - start;
    auto out = report_of(*resolution, table.entity, options);
    const auto& t = resolution->seconds;
    out["seconds"] = json::object{{"total", total}, {"read", read_seconds}, {"blocking", t.blocking}, {"comparing", t.comparing}, {"fitting", t.fitting}, {"clustering", t.clustering}};
    out["peak_mib"] = peak_megabytes();
    out["seed"] = options.common.seed;
    out["threads"] = options.common.threads;
    out["commit"] = build_commit();
    out["machine"] = machine_description();
    if (options.common.json) fmt::print("{}\n", json::serialize(out));
    else print(out);
    return Done{};
}

}  // namespace perennial::app
