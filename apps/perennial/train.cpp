// train: the behaviour model and the churn forecast, on everything the shop knows now.
#include <fmt/format.h>

#include <boost/json.hpp>

#include "commands.h"
#include "measure/evaluation_json.h"
#include "predict/shop_models.h"
#include "profile/store.h"
#include "shop.h"

namespace perennial::app {

Status train(const TrainCommand& options) {
    auto shop = open_shop(options.common.shop);
    if (!shop) return shop.error();
    const double start = monotonic_seconds();
    auto store = open_for_reading(*shop);
    if (!store) return store.error();
    auto data = predict::load_shop_data(*store);
    if (!data) return data.error();
    predict::NetworkOptions network;
    network.seed = options.common.seed;
    network.threads = options.common.threads;
    network.seconds_limit = options.seconds_limit;
    network.extra = options.train_flags;
    auto training = options.update ? predict::update_shop(*data, shop->directory, {network, options.replay_share, options.rate_share})
                                   : predict::train_shop(*data, shop->directory, {network, options.search});
    if (!training) return training.error();

    const auto run = predict::current_run(shop->directory);
    boost::json::object result{{"run", run.filename().string()}, {"network", measure::to_json(training->network)},
        {"weights", {{"own_repeats", training->settings.weight_repeats}, {"pair_counts", training->settings.weight_pairs}, {"network", training->settings.weight_network}}},
        {"churn", training->churn ? boost::json::value(measure::to_json(*training->churn)) : boost::json::value(nullptr)}};
    if (!training->churn) result["churn_missing"] = training->churn_missing;
    result["parent"] = training->parent.empty() ? boost::json::value(nullptr) : boost::json::value(training->parent);
    if (training->search) result["search"] = measure::to_json(*training->search);
    PERENNIAL_TRY(write_json(run / "training.json", result));
    PERENNIAL_TRY(record_stage(*shop, "train", monotonic_seconds() - start));
    PERENNIAL_TRY(record_audit(*shop, "train", run.filename().string(), {{"parent", training->parent}, {"events", store->folded().value}}));
    if (options.common.json) {
        fmt::print("{}\n", boost::json::serialize(result));
        return Done{};
    }
    if (training->search) fmt::print("{}\n", measure::to_text(*training->search));
    if (!training->parent.empty()) fmt::print("Updated from {}\n", training->parent);
    fmt::print("Behaviour model: {} parameters, best epoch {} of {}, validation NDCG@10 {:.4f}, {:.0f} s ({:.0f} targets/s)\n", training->network.parameters,
               training->network.best_epoch, training->network.epochs, training->network.valid_ndcg10, training->network.train_seconds, training->network.targets_per_second);
    fmt::print("Mixture: network {:.1f}, pair counts {:.1f}, own repeats {:.1f}\n", training->settings.weight_network, training->settings.weight_pairs, training->settings.weight_repeats);
    if (training->churn) fmt::print("{}", measure::to_text(*training->churn));
    else fmt::print("No churn forecast: {}\n", training->churn_missing);
    return Done{};
}

}  // namespace perennial::app
