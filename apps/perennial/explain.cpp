// bench explain: do the events that an explanation names move the score? (docs/guide/explanations.md)
#include <fmt/format.h>

#include <boost/json.hpp>

#include "base/parallel.h"
#include "build_info.h"
#include "commands.h"
#include "item_files.h"
#include "predict/explanation.h"
#include "predict/ranker.h"
#include "predict/shop_models.h"
#include "profile/store.h"
#include "shop.h"

namespace perennial::app {
namespace {

boost::json::array to_json(const predict::Interval& i) { return {i.value, i.low, i.high}; }

boost::json::object to_json(const predict::DeletionResult& result) {
    boost::json::array rows, path;
    for (const auto& row : result.rows)
        rows.push_back({{"events", row.method}, {"removed", to_json(row.removed)}, {"removed_less_random", to_json(row.removed_less_random)}, {"hidden", to_json(row.hidden)}});
    for (const auto& row : result.path) path.push_back({{"path_steps", row.path_steps}, {"missing", row.missing}, {"same_first_event", row.same_first}});
    return {{"customers", result.customers}, {"events_in_sight", result.events}, {"fall_of_log_probability", std::move(rows)}, {"path", std::move(path)}};
}

void print(const char* title, const predict::DeletionResult& result) {
    fmt::print("{}: {} customers, {:.1f} events in sight\n", title, result.customers, result.events);
    const auto text = [](const predict::Interval& i) { return fmt::format("{:6.3f} [{:6.3f}, {:6.3f}]", i.value, i.low, i.high); };
    fmt::print("  {:<23} {:<25} {:<25} {}\n", "events", "removed", "less random", "product hidden");
    for (const auto& row : result.rows) fmt::print("  {:<23} {:<25} {:<25} {}\n", row.method, text(row.removed), text(row.removed_less_random), text(row.hidden));
    for (const auto& row : result.path) fmt::print("  {:>2} path steps: {:.4f} unaccounted for, same first event {:.3f}\n", row.path_steps, row.missing, row.same_first);
    std::fflush(stdout);
}

boost::json::object to_json(const predict::GroupDeletionResult& result) {
    boost::json::object named;
    for (const auto& [group, share] : result.named) named[predict::name(group)] = share;
    return {{"customers", result.customers}, {"first_group", to_json(result.first)}, {"random_group", to_json(result.random)},
            {"first_less_random", to_json(result.first_less_random)}, {"greatest", to_json(result.greatest)}, {"first_by_group", std::move(named)}};
}

void print(const predict::GroupDeletionResult& result) {
    fmt::print("The trees' sum for the best product without a group: {} customers\n", result.customers);
    const auto row = [](const char* what, const predict::Interval& i) { fmt::print("  {:<23} {:6.3f} [{:6.3f}, {:6.3f}]\n", what, i.value, i.low, i.high); };
    row("largest effect", result.first);
    row("a random group", result.random);
    row("less random", result.first_less_random);
    row("each tried in turn", result.greatest);
    fmt::print("  first group:");
    for (const auto& [group, share] : result.named) fmt::print("  {} {:.0f} %", predict::name(group), 100 * share);
    fmt::print("\n");
}

struct Judged {
    std::shared_ptr<const predict::NetworkRecommender> network;
    std::shared_ptr<const predict::Ranker> ranker;  // null where no trees decide
    std::vector<sequence::Sequence> sequences;
    std::int64_t now_ms = 0;
};

Result<Judged> of_shop(const ExplainCommand& options) {
    auto shop = open_shop(options.common.shop);
    if (!shop) return shop.error();
    auto store = open_for_reading(*shop);
    if (!store) return store.error();
    auto data = predict::load_shop_data(*store);
    if (!data) return data.error();
    auto models = predict::load_shop_models(*data, shop->directory, options.common.threads);
    if (!models) return models.error();
    if (!models->methods.network) return Error{Code::kNotFound, fmt::format("{}: want a trained network, got none: perennial train", shop->directory.string())};
    std::erase_if(data->sequences, [](const sequence::Sequence& sequence) { return !profile::is_customer(sequence.customer); });
    return Judged{models->methods.network, models->methods.ranker, std::move(data->sequences), store->last_event_time().ms};
}

Result<Judged> of_file(const ExplainCommand& options) {
    auto sequences = read_sequences(options.sequences);
    if (!sequences) return sequences.error();
    auto network = predict::NetworkRecommender::load(options.weights);
    if (!network) return network.error();
    if (network->network().products() != sequences->items.size())
        return Error{Code::kInvalid, fmt::format("{}: want weights of the {} items in {}, got {}", options.weights.string(), sequences->items.size(), options.sequences.string(), network->network().products())};
    return Judged{std::make_shared<const predict::NetworkRecommender>(std::move(*network)), nullptr, std::move(sequences->users), 0};
}

}  // namespace

Status bench_explain(const ExplainCommand& options) {
    const auto judged = options.sequences.empty() ? of_shop(options) : of_file(options);
    if (!judged) return judged.error();
    boost::json::object report{{"bench", "explain"}, {"commit", build_commit()}, {"machine", machine_description()}, {"seed", options.common.seed}, {"removed", options.removed}};
    for (const bool new_products : {false, true}) {
        const auto result = predict::check_by_deletion(*judged->network, judged->sequences, judged->now_ms,
                                                       {.removed = options.removed, .events_min = options.removed + 5, .customers = options.customers, .new_products = new_products,
                                                        .seed = options.common.seed, .threads = options.common.threads});
        if (result.customers == 0) return Error{Code::kInvalid, fmt::format("want customers with {} events or more, got none", options.removed + 5)};
        if (options.common.json) report[new_products ? "best_new_product" : "best_product"] = to_json(result);
        else print(new_products ? "The best product the customer never had" : "The best product", result);
    }
    if (judged->ranker) {
        const auto result = predict::check_groups_by_deletion(*judged->ranker, judged->sequences, judged->now_ms,
                                                              {.events_min = options.removed + 5, .customers = options.customers, .seed = options.common.seed, .threads = options.common.threads});
        if (options.common.json) report["trees"] = to_json(result);
        else print(result);
    }
    if (options.common.json) fmt::print("{}\n", boost::json::serialize(report));
    return Done{};
}

}  // namespace perennial::app
