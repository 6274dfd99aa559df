// init, import and check: from files to events in the journal, and what became of every row.
#include <fmt/format.h>

#include <boost/json.hpp>

#include "base/log.h"
#include "commands.h"
#include "ingest/import.h"
#include "ingest/mapping.h"
#include "ingest/postgres.h"
#include "profile/store.h"
#include "shop.h"

namespace perennial::app {
namespace {

bool has_report(const Shop& shop, std::string_view of) {
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(shop.imports(), error))
        if (entry.path().filename().string().ends_with(import_report_suffix(of))) return true;
    return false;
}

}  // namespace

Status init(const InitCommand& options) {
    auto shop = open_or_make_shop(options.common.shop);
    if (!shop) return shop.error();
    fmt::print("{}: ready; next: perennial import --shop {} FILE\n", shop->directory.string(), shop->directory.string());
    return Done{};
}

Status import(const ImportCommand& options) {
    if (options.list_presets) {
        for (const auto& preset : ingest::preset_names()) fmt::print("{}\n", preset);
        return Done{};
    }
    auto shop = open_or_make_shop(options.common.shop);
    if (!shop) return shop.error();
    const double start = monotonic_seconds();
    auto store = profile::Store::open(shop->directory);
    if (!store) return store.error();
    boost::json::array reports;
    std::uint64_t accepted = 0;
    // `shown`: what the report and the audit call it.
    const auto import_one = [&](const fs::path& file, const std::string& shown) -> Status {
        ingest::ImportOptions import_options;
        import_options.mapping = options.mapping;
        import_options.disabled_rules = options.disabled_rules;
        import_options.quarantine_dir = shop->quarantine();
        auto report = ingest::import_file(file, import_options, [&](std::vector<event::Event>&& events) -> Result<ingest::SinkReceipt> {
            auto receipt = store->append(std::move(events));
            if (!receipt) return receipt.error();
            return ingest::SinkReceipt{receipt->accepted, receipt->already_known};
        });
        if (!report) return report.error();
        report->file = shown;
        // A second import of the same file says nothing new, unless the first was cut off before it could report.
        const auto of = fs::absolute(file).string();
        if (report->accepted > 0 || !has_report(*shop, of)) PERENNIAL_TRY(write_json(import_report_path(*shop, of), ingest::to_json(*report)));
        accepted += report->accepted;
        reports.push_back(ingest::to_json(*report));
        if (!options.common.json) fmt::print("{}\n", ingest::to_text(*report));
        return Done{};
    };
    boost::json::array names;
    for (const auto& file : options.files) {
        PERENNIAL_TRY(import_one(file, file.string()));
        names.emplace_back(file.filename().string());
    }
    if (!options.postgres.empty()) {
        ingest::PullOptions pull{.connection = options.postgres, .table = options.table, .query = options.query, .cursor = options.cursor, .directory = {}, .page_rows = options.page_rows};
        const auto name = ingest::pull_name(pull);
        pull.directory = shop->directory / "pulls" / name;
        const auto pulled = ingest::pull_postgres(pull, [&](const fs::path& page) -> Status {
            PERENNIAL_TRY(import_one(page, fmt::format("postgres {}", options.table.empty() ? name : options.table)));
            return store->flush();
        });
        if (!pulled) return pulled.error();
        log::info("{} rows in {} pages; {} stands at '{}'", pulled->rows, pulled->pages, options.cursor, pulled->cursor);
        names.emplace_back(fmt::format("postgres {}", options.table.empty() ? name : options.table));
    }
    PERENNIAL_TRY(store->flush());
    if (accepted > 0) PERENNIAL_TRY(record_stage(*shop, "import", monotonic_seconds() - start));
    PERENNIAL_TRY(record_audit(*shop, "import", shop->settings.name, {{"files", std::move(names)}, {"accepted", accepted}}));
    if (options.common.json) fmt::print("{}\n", boost::json::serialize(reports));
    return Done{};
}

Status check(const Common& options) {
    auto shop = open_shop(options.shop);
    if (!shop) return shop.error();
    auto reports = import_reports(*shop);
    if (!reports) return reports.error();
    if (options.json) {
        fmt::print("{}\n", boost::json::serialize(*reports));
        return Done{};
    }
    if (reports->empty()) fmt::print("nothing was imported into {} yet\n", shop->directory.string());
    for (const auto& value : *reports) {
        const auto& report = value.as_object();
        fmt::print("{}: {} rows\n", std::string(report.at("file").as_string()), report.at("rows").to_number<std::uint64_t>());
        std::uint64_t sum = 0;
        for (const auto& fate : report.at("fates").as_array()) {
            const auto rows = fate.at("rows").to_number<std::uint64_t>();
            sum += rows;
            if (rows > 0) fmt::print("  {:<36} {:>10}\n", std::string(fate.at("name").as_string()), rows);
        }
        fmt::print("  {:<36} {:>10}\n", "sum", sum);
        fmt::print("  rules:\n");
        for (const auto& rule : report.at("rules").as_array())
            fmt::print("    {:<38} {:>8}  {}\n", std::string(rule.at("name").as_string()), rule.at("rows").to_number<std::uint64_t>(), std::string(rule.at("effect").as_string()));
    }
    return Done{};
}

}  // namespace perennial::app
