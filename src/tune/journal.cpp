#include "tune/journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <simdjson.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cerrno>
#include <stdexcept>

#include "base/hash.h"

namespace perennial::tune {
namespace {

namespace json = boost::json;
namespace dom = simdjson::dom;

std::string space_hash(const Space& space, const Plan& plan) {
    auto all = description(space) + fmt::format("reduction {} tpe {} {} {}", plan.reduction, plan.tpe.good_share, plan.tpe.candidates, plan.tpe.random_share);
    for (const auto rung : plan.rungs) all += fmt::format(" {}", rung);
    return hex(hash128(all));
}

json::object header_object(const Space& space, const Plan& plan, std::string_view data) {
    json::array rungs(plan.rungs.begin(), plan.rungs.end());
    return {{"format", "perennial.search"}, {"version", 1}, {"seed", plan.seed}, {"rungs", rungs}, {"reduction", plan.reduction}, {"space", space_hash(space, plan)}, {"data", data}};
}

std::string line_of(const Space& space, const TrialResult& result) {
    json::object values;
    for (std::size_t j = 0; j < space.size(); ++j) {
        if (space[j].kind == Parameter::Kind::kCategory) values[space[j].name] = text(space[j], result.values[j]);
        else values[space[j].name] = result.values[j];
    }
    json::object line{{"trial", result.trial}, {"rung", result.rung}, {"values", values}, {"value", nullptr}, {"seconds", result.seconds}, {"epochs", result.epochs}};
    if (result.value) line["value"] = *result.value;
    else line["problem"] = result.problem;
    return json::serialize(line) + "\n";
}

// By simdjson, because Boost.JSON 1.81 reads some numbers a last digit off, and what is read must be what was written.
// Throws simdjson_error or std::invalid_argument.
TrialResult result_of(const Space& space, const dom::object& object) {
    const auto whole = [&](std::string_view key) { return static_cast<std::int64_t>(object[key]); };
    TrialResult result;
    const auto trial = whole("trial"), rung = whole("rung");
    if (trial < 0 || trial >= kTrialsLimit || rung < 0 || rung >= static_cast<std::int64_t>(kRungsLimit)) throw std::invalid_argument("a trial or rung out of range");
    result.trial = static_cast<std::int32_t>(trial);
    result.rung = static_cast<std::int32_t>(rung);
    result.seconds = static_cast<double>(object["seconds"]);
    result.epochs = whole("epochs");
    const dom::element value = object["value"];
    if (!value.is_null()) result.value = static_cast<double>(value);
    else result.problem = std::string_view(object["problem"]);
    const dom::object values = object["values"];
    for (const auto& parameter : space) {
        const dom::element given = values[parameter.name];
        if (parameter.kind != Parameter::Kind::kCategory) {
            result.values.push_back(static_cast<double>(given));
            continue;
        }
        const auto choice = std::ranges::find(parameter.choices, std::string_view(given));
        if (choice == parameter.choices.end()) throw std::invalid_argument("a choice that the space does not have");
        result.values.push_back(static_cast<double>(choice - parameter.choices.begin()));
    }
    return result;
}

// What the header has for `key`, as text.
std::string given(const dom::object& header, std::string_view key) {
    dom::element value;
    return header[key].get(value) == simdjson::SUCCESS ? simdjson::minify(value) : "nothing";
}

}  // namespace

std::string journal_header(const Space& space, const Plan& plan, std::string_view data) { return json::serialize(header_object(space, plan, data)) + "\n"; }

Result<JournalContents> read_journal(std::string_view bytes, const Space& space, const Plan& plan, std::string_view data, std::string_view source) {
    JournalContents contents;
    dom::parser parser(kJournalBytesLimit);
    std::size_t number = 0;
    while (contents.bytes < bytes.size()) {
        const auto end = bytes.find('\n', contents.bytes);
        if (end == std::string_view::npos) break;  // cut short: never acknowledged
        const auto line = bytes.substr(contents.bytes, end - contents.bytes);
        const auto corrupt = [&](std::string_view why) { return Error{Code::kCorrupt, fmt::format("{}:{}: {}", source, number, why)}; };
        ++number;
        dom::object object;
        if (parser.parse(line).get(object) != simdjson::SUCCESS) return corrupt("want a JSON object");
        if (number == 1) {
            if (given(object, "format") != "\"perennial.search\"" || given(object, "version") != "1")
                return Error{Code::kUnsupported, fmt::format("{}: want a perennial.search journal, version 1", source)};
            for (const auto& [key, value] : header_object(space, plan, data))
                if (const auto wanted = json::serialize(value), got = given(object, key); got != wanted)
                    return Error{Code::kInvalid, fmt::format("{}: this search has another {} (wanted {}, the file has {}): give the flags and the data it was started with, or another folder",
                                                             source, std::string_view(key), wanted, got)};
        } else {
            TrialResult result;
            try {
                result = result_of(space, object);
            } catch (const std::exception& problem) {
                return corrupt(problem.what());
            }
            if (auto status = check(space, plan, contents.results, result); !status) return corrupt(status.error().message);
            contents.results.push_back(std::move(result));
        }
        contents.bytes = end + 1;
    }
    return contents;
}

Result<Journal> Journal::open(const std::filesystem::path& path, const Space& space, const Plan& plan, std::string_view data) {
    PERENNIAL_TRY(check(space));
    PERENNIAL_TRY(check(plan));
    Journal journal;
    journal.space_ = space;
    journal.plan_ = plan;
    journal.path_ = path.string();
    auto fd = open_file(path, O_RDWR | O_CREAT | O_APPEND);
    if (!fd) return fd.error();
    journal.fd_ = std::move(*fd);
    if (::flock(journal.fd_.get(), LOCK_EX | LOCK_NB) != 0) {
        if (errno == EWOULDBLOCK) return Error{Code::kBusy, fmt::format("{}: another search is running in this folder", path.string())};
        return io_error("lock " + path.string(), errno);
    }
    auto bytes = read_file(path, kJournalBytesLimit);
    if (!bytes) return bytes.error();
    auto contents = read_journal(*bytes, space, plan, data, path.string());
    if (!contents) return contents.error();
    if (contents->bytes < bytes->size() && ::ftruncate(journal.fd_.get(), static_cast<off_t>(contents->bytes)) != 0) return io_error("cut " + path.string(), errno);
    if (contents->bytes == 0) {
        PERENNIAL_TRY(write_all(journal.fd_.get(), journal_header(space, plan, data), path.string()));
        PERENNIAL_TRY(sync_data(journal.fd_.get(), path.string()));
        PERENNIAL_TRY(sync_directory(path.parent_path()));
    }
    journal.results_ = std::move(contents->results);
    return journal;
}

Status Journal::append(const TrialResult& result) {
    PERENNIAL_TRY(check(space_, plan_, results_, result));
    PERENNIAL_TRY(write_all(fd_.get(), line_of(space_, result), path_));
    PERENNIAL_TRY(sync_data(fd_.get(), path_));
    results_.push_back(result);
    return Done{};
}

}  // namespace perennial::tune
