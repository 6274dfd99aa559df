// bench nextitem: the public leave-one-out protocol on a file of item sequences (DESIGN of the protocol: docs/guide/bench.md).
#include <fmt/format.h>

#include <boost/json.hpp>
#include <optional>

#include "base/file.h"
#include "build_info.h"
#include "commands.h"
#include "item_files.h"
#include "measure/evaluation_json.h"
#include "predict/next_purchase.h"
#include "shop.h"

namespace perennial::app {
namespace {

void put_metrics(boost::json::object& object, const predict::MethodResult& method) {
    for (std::size_t c = 0; c < predict::kCutoffs.size(); ++c) {
        object[fmt::format("recall@{}", predict::kCutoffs[c])] = method.recall[c].value;
        object[fmt::format("ndcg@{}", predict::kCutoffs[c])] = method.ndcg[c].value;
    }
    object["ndcg@10_interval"] = {method.ndcg[1].low, method.ndcg[1].high};
}

// Test questions whose answer was seen fewer than kRareTimes in training.
std::vector<std::size_t> rare_questions(const predict::LeaveOneOut& split) {
    constexpr int kRareTimes = 5;
    std::vector<int> seen(static_cast<std::size_t>(split.training.data.products), 0);
    for (const auto& sequence : split.training.fit)
        for (const auto& step : sequence.steps) ++seen[static_cast<std::size_t>(step.product)];
    std::vector<std::size_t> rare;
    for (std::size_t q = 0; q < split.test.size(); ++q)
        if (seen[static_cast<std::size_t>(split.test[q].relevant.front())] < kRareTimes) rare.push_back(q);
    return rare;
}

}  // namespace

Status bench_nextitem(const BenchCommand& options) {
    auto sequences = read_sequences(options.sequences);
    if (!sequences) return sequences.error();
    auto split = predict::leave_one_out(sequences->users, sequences->items.size(), false, true);
    if (split.test.empty()) return Error{Code::kInvalid, fmt::format("{}: want users with three items or more, got none", options.sequences.string())};
    if (!options.items.empty()) {
        auto content = read_items(options.items, sequences->items);
        if (!content) return content.error();
        split.training.data.content = std::move(*content);
    }
    TempDir scratch("perennial-bench");
    predict::NetworkOptions network;
    network.seed = options.common.seed;
    network.threads = options.common.threads;
    network.seconds_limit = options.seconds_limit;
    network.extra = options.train_flags;
    network.label = options.sequences.filename();
    const auto out = options.out.empty() ? scratch.path() : options.out;
    std::optional<predict::SearchResult> search;
    if (options.search.trials > 0) {
        auto found = predict::search_settings(split.training.data, out / "search", network, options.search);
        if (!found) return found.error();
        network.extra.insert(network.extra.end(), found->flags.begin(), found->flags.end());
        network.done = found->winner;
        if (!options.common.json) fmt::print("{}\n", measure::to_text(*found));
        search = std::move(*found);
    }
    auto result = predict::evaluate_next_purchase(split.training, split.test, sequences->items.size(), false, predict::Known::kTrainingAlone, 0, out, network);
    if (!result) return result.error();
    result->protocol = "leave_one_out";
    result->description = {"Last item test, the one before it validation; all items ranked but those in the history.", "最后一项为测试，倒数第二项为验证；除历史中的商品外对全部商品排序。"};

    boost::json::object report{{"bench", "nextitem"}, {"sequences", options.sequences.filename().string()}, {"commit", build_commit()}, {"machine", machine_description()},
        {"users", sequences->users.size()}, {"users_tested", split.test.size()}, {"items", sequences->items.size()}, {"seed", options.common.seed}, {"threads", options.common.threads},
        {"train_seconds", result->network.train_seconds}, {"train_seconds_to_best", result->network.best_seconds},
        {"positions_per_second", result->network.targets_per_second}, {"epochs", result->network.epochs}, {"best_epoch", result->network.best_epoch}};
    if (search) report["search"] = measure::to_json(*search);
    const auto rare = rare_questions(split);
    boost::json::object baselines;
    for (const auto& method : result->methods) {
        const bool best = &method == &result->methods.back();
        auto& place = best ? report : baselines[method.name].emplace_object();
        put_metrics(place, method);
        if (best) report["method"] = method.name;
        double sum = 0;
        for (const auto q : rare) sum += method.ndcg10_of_unit[q];
        place["ndcg@10_rare_items"] = rare.empty() ? 0 : sum / static_cast<double>(rare.size());
    }
    report["rare_item_questions"] = rare.size();
    report["features"] = split.training.data.content.features;
    report["baselines"] = std::move(baselines);
    report["chosen_on_validation"] = measure::to_json(*result).at("chosen_on_validation");
    if (options.common.json) fmt::print("{}\n", boost::json::serialize(report));
    else fmt::print("{}", measure::to_text(*result));
    return Done{};
}

}  // namespace perennial::app
