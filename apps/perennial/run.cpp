// run: all of it, from files to a served shop. Files that were imported before change nothing; models are trained anew.
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
    auto files = options.files;
    if (files.empty() && !holds_events(shop->directory)) {
        auto made = simulated_files(options);
        if (!made) return made.error();
        files = std::move(*made);
    }
    if (!files.empty()) PERENNIAL_TRY(import({options.common, files, options.mapping, {}, false}));
    PERENNIAL_TRY(train({options.common, options.seconds_limit}));
    PERENNIAL_TRY(evaluate({options.common, options.seconds_limit}));
    if (!options.serve) return Done{};
    return serve({options.common, options.listen});
}

}  // namespace perennial::app
