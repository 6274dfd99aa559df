// run: all of it, from files to a served shop. What was done already is not done again: files that were imported change
// nothing.
#include <fmt/format.h>

#include <boost/json.hpp>

#include "base/file.h"
#include "base/log.h"
#include "commands.h"
#include "profile/store.h"
#include "shop.h"

namespace perennial::app {
namespace {

// The shop's example when there is nothing else: simulated, and named so.
Result<std::vector<fs::path>> simulated_files(const RunCommand& options) {
    const auto out = options.common.shop / "simulated";
    SimulateCommand command;
    command.common = options.common;
    command.out = out;
    PERENNIAL_TRY(simulate(command));
    return std::vector<fs::path>{out / "events.jsonl"};
}

bool holds_events(const fs::path& shop) {
    auto store = profile::Store::open(shop, {.read_only = true});
    return store.ok() && store->folded().value > 0;
}

}  // namespace

Status run(const RunCommand& options) {
    auto shop = open_or_make_shop(options.common.shop);
    if (!shop) return shop.error();
    boost::json::object seconds;
    const auto timed = [&seconds](const char* stage, auto&& work) -> Status {
        log::info("{} ...", stage);
        const double start = monotonic_seconds();
        PERENNIAL_TRY(work());
        seconds[stage] = monotonic_seconds() - start;
        return Done{};
    };
    auto files = options.files;
    if (files.empty() && !holds_events(shop->directory)) {
        auto made = simulated_files(options);
        if (!made) return made.error();
        files = std::move(*made);
    }
    auto quiet = options.common;
    quiet.json = false;
    if (!files.empty()) PERENNIAL_TRY(timed("import", [&] { return import({quiet, files, options.mapping, {}, false}); }));
    PERENNIAL_TRY(timed("train", [&] { return train({quiet, options.seconds_limit}); }));
    PERENNIAL_TRY(timed("evaluate", [&] { return evaluate({quiet, options.seconds_limit}); }));
    PERENNIAL_TRY(write_json(shop->directory / "stages.json", seconds));
    PERENNIAL_TRY(report(quiet));
    if (!options.serve) return Done{};
    return serve({quiet, options.listen});
}

}  // namespace perennial::app
