// What an import did, for people (text) and programs (JSON, docs/formats/import-report.md). Pure functions.
#pragma once

#include <boost/json/object.hpp>

#include <cstdint>
#include <string>
#include <vector>

#include "base/time.h"

namespace perennial::ingest {

inline constexpr std::size_t kSamplesLimit = 5;  // shown of each rule

struct Counted { std::string name; std::uint64_t rows = 0; };
struct Sample { std::uint64_t line = 0; std::string text; };

struct RuleReport {
    std::string name;
    bool enabled = true;
    std::uint64_t rows = 0;       // that the rule decided
    std::string effect;           // what it does with them
    std::vector<Counted> details{}; // "matched" 8,000, ...
    std::vector<Sample> samples{};  // the first few
};

struct ImportReport {
    std::string file, format, mapping;  // format "csv" or "jsonl"
    std::uint64_t rows = 0;             // of the file: data rows of a CSV, messages of JSON lines
    std::vector<Counted> facts;         // of the file as it came, whatever the rules
    std::vector<Counted> fates;         // add up to `rows`
    std::vector<RuleReport> rules;
    std::uint64_t events = 0;           // handed to the sink
    std::uint64_t accepted = 0, already_known = 0;  // add up to `events`
    UtcTime first_time, last_time;      // of the events; equal and 0 when there are none
    double seconds = 0;
    double rows_per_second = 0;
    std::string quarantine_file;        // empty when nothing went there

    std::uint64_t fact(std::string_view name) const;  // 0 when there is none
    std::uint64_t fate(std::string_view name) const;
};

boost::json::object to_json(const ImportReport& report);
std::string to_text(const ImportReport& report);  // a table for a terminal, no colours

}  // namespace perennial::ingest
