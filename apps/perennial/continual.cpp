// bench continual: a network updated month by month against one trained again and one left alone (docs/guide/continual.md).
#include <fmt/format.h>

#include <boost/json.hpp>

#include "base/file.h"
#include "base/parallel.h"
#include "build_info.h"
#include "commands.h"
#include "predict/continual.h"
#include "profile/store.h"
#include "shop.h"

namespace perennial::app {
namespace {

boost::json::array to_json(const predict::Interval& i) { return {i.value, i.low, i.high}; }

boost::json::object to_json(const predict::ContinualMonth& month) {
    boost::json::object arms;
    for (const auto& arm : month.arms)
        arms[arm.name] = boost::json::object{{"next_ndcg@10", to_json(arm.next)}, {"old_ndcg@10", to_json(arm.old)}, {"seconds", arm.seconds},
                                             {"train_seconds", arm.train_seconds}, {"epochs", arm.epochs}};
    return {{"learned", month.learned}, {"judged", month.judged}, {"products", month.products}, {"next_units", month.next_units}, {"old_units", month.old_units},
            {"arms", std::move(arms)}, {"update_over_full_next", to_json(month.update_over_full_next)}, {"update_over_full_old", to_json(month.update_over_full_old)},
            {"update_over_frozen_next", to_json(month.update_over_frozen_next)}, {"replay_over_alone_old", to_json(month.replay_over_alone_old)}};
}

void print(const predict::ContinualMonth& month) {
    fmt::print("{} learned, {} judged: {} customers, {} held-out orders, {} products\n", month.learned, month.judged, month.next_units, month.old_units, month.products);
    for (const auto& arm : month.arms)
        fmt::print("  {:<13} next {:.4f} [{:.4f}, {:.4f}]  old {:.4f} [{:.4f}, {:.4f}]  {:>6.1f} s  {:>2} epochs\n", arm.name, arm.next.value, arm.next.low, arm.next.high,
                   arm.old.value, arm.old.low, arm.old.high, arm.seconds, arm.epochs);
    const auto gap = [](const char* what, const predict::Interval& i) { fmt::print("  {}: {:+.4f} ({:+.4f} … {:+.4f})\n", what, i.value, i.low, i.high); };
    gap("update - full, next", month.update_over_full_next);
    gap("update - full, old", month.update_over_full_old);
    gap("update - frozen, next", month.update_over_frozen_next);
    gap("replay - none, old", month.replay_over_alone_old);
    std::fflush(stdout);
}

}  // namespace

Status bench_continual(const ContinualCommand& options) {
    auto shop = open_shop(options.common.shop);
    if (!shop) return shop.error();
    auto store = open_for_reading(*shop);
    if (!store) return store.error();
    auto data = predict::load_shop_data(*store);
    if (!data) return data.error();
    TempDir scratch("perennial-bench");
    predict::UpdateOptions update{{}, options.replay_share, options.rate_share};
    update.network.seed = options.common.seed;
    update.network.threads = options.common.threads;
    update.network.seconds_limit = options.seconds_limit;
    update.network.extra = options.train_flags;
    auto months = predict::evaluate_continual(*data, options.out.empty() ? scratch.path() : options.out, update,
                                              [&](const predict::ContinualMonth& month) { if (!options.common.json) print(month); });
    if (!months) return months.error();
    if (!options.common.json) return Done{};
    boost::json::array rows;
    for (const auto& month : *months) rows.push_back(to_json(month));
    const boost::json::object report{{"bench", "continual"}, {"commit", build_commit()}, {"machine", machine_description()}, {"seed", options.common.seed},
                                     {"threads", options.common.threads}, {"replay_share", options.replay_share}, {"rate_share", options.rate_share}, {"months", std::move(rows)}};
    fmt::print("{}\n", boost::json::serialize(report));
    return Done{};
}

}  // namespace perennial::app
