// bench coldstart: products that nobody has bought yet, recommended from what they are.
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>

#include "base/hash.h"
#include "base/parallel.h"
#include "build_info.h"
#include "commands.h"
#include "item_files.h"
#include "predict/content.h"
#include "predict/network_recommender.h"
#include "predict/training_set.h"
#include "shop.h"

namespace perennial::app {
namespace {

constexpr std::uint64_t kColdSeed = 17;  // which products are left out does not change with the seed of the training

bool is_cold(const std::string& id, double share) {
    return static_cast<double>(hash64(id, kColdSeed) >> 11) * 0x1p-53 < share;
}

}  // namespace

Status bench_coldstart(const ColdStartCommand& options) {
    auto sequences = read_sequences(options.sequences);
    if (!sequences) return sequences.error();
    auto content = read_items(options.items, sequences->items);
    if (!content) return content.error();
    const auto products = sequences->items.size();
    std::vector<char> cold(products, 0);
    std::vector<std::int32_t> cold_products;
    for (const auto& [id, number] : sequences->items)
        if (is_cold(id, options.cold_share)) cold[static_cast<std::size_t>(number)] = 1, cold_products.push_back(number);
    std::ranges::sort(cold_products);
    if (cold_products.size() < 20) return Error{Code::kInvalid, fmt::format("want 20 products left out or more, got {} of {}; raise --cold-share", cold_products.size(), products)};

    // Nobody ever had a cold product, but at the end of the test.
    std::vector<sequence::Sequence> warm;
    struct Question { std::vector<sequence::Step> history; std::int32_t answer; };
    std::vector<Question> questions;
    for (const auto& user : sequences->users) {
        auto steps = user.steps;
        const auto last = steps.back().product;
        std::erase_if(steps, [&](const auto& step) { return cold[static_cast<std::size_t>(step.product)] != 0; });
        if (steps.empty()) continue;
        if (cold[static_cast<std::size_t>(last)]) questions.push_back({steps, last});
        warm.push_back({user.customer, std::move(steps)});
    }
    if (questions.empty()) return Error{Code::kInvalid, fmt::format("{}: want users whose last item is left out, got none", options.sequences.string())};
    auto split = predict::leave_one_out(warm, products, false, true);
    split.training.data.content = *content;

    TempDir scratch("perennial-bench");
    predict::NetworkOptions network_options;
    network_options.seed = options.common.seed;
    network_options.threads = options.common.threads;
    network_options.label = "without the cold products";
    network_options.extra = options.train_flags;
    auto run = predict::train_network(split.training.data, options.out.empty() ? scratch.path() : options.out, network_options);
    if (!run) return run.error();
    auto network = predict::NetworkRecommender::load(run->weights);
    if (!network) return network.error();
    const predict::ContentLikeness likeness(*content);

    // Rank of the answer among the cold products, equal scores counted against it.
    enum Method { kNetwork, kText, kMethods };
    std::vector<std::array<std::size_t, kMethods>> ranks(questions.size());
    parallel_for(questions.size(), 16, options.common.threads, [&](std::size_t begin, std::size_t end) {
        std::vector<float> shares(products), alike(products);
        for (auto q = begin; q < end; ++q) {
            const auto& [history, answer] = questions[q];
            network->score(history, 0, shares);
            for (const auto j : cold_products) {
                float most = 0;
                for (const auto& step : history) most = std::max(most, likeness(static_cast<std::size_t>(step.product), static_cast<std::size_t>(j)));
                alike[static_cast<std::size_t>(j)] = most;
            }
            const auto rank = [&](const std::vector<float>& scores) {
                const float own = scores[static_cast<std::size_t>(answer)];
                return static_cast<std::size_t>(std::ranges::count_if(cold_products, [&](auto j) { return j != answer && scores[static_cast<std::size_t>(j)] >= own; }));
            };
            ranks[q] = {rank(shares), rank(alike)};
        }
    });
    boost::json::object methods;
    const auto recall10 = [&](Method method) {
        return static_cast<double>(std::ranges::count_if(ranks, [&](const auto& r) { return r[method] < 10; })) / static_cast<double>(ranks.size());
    };
    const double chance = std::min(1.0, 10.0 / static_cast<double>(cold_products.size()));
    const boost::json::object report{{"bench", "coldstart"}, {"sequences", options.sequences.filename().string()}, {"commit", build_commit()}, {"machine", machine_description()},
        {"items", products}, {"cold_items", cold_products.size()}, {"features", content->features}, {"questions", questions.size()}, {"seed", options.common.seed},
        {"recall@10", {{"network", recall10(kNetwork)}, {"text_neighbour", recall10(kText)}, {"chance", chance}}}};
    if (options.common.json) fmt::print("{}\n", boost::json::serialize(report));
    else
        fmt::print("{} of {} products left out of training; {} customers went on to buy one of them.\nrecall@10 among the products left out: network {:.4f}, nearest text {:.4f}, chance {:.4f}\n",
                   cold_products.size(), products, questions.size(), recall10(kNetwork), recall10(kText), chance);
    return Done{};
}

}  // namespace perennial::app
