#include "predict/shop_models.h"

#include <fmt/format.h>

#include <boost/json.hpp>

#include "base/file.h"
#include "base/text.h"
#include "predict/protocols.h"
#include "predict/ranker.h"

namespace perennial::predict {
namespace {

namespace fs = std::filesystem;
namespace json = boost::json;

constexpr const char* kRankerFile = "ranker.json";

json::object to_json(const NextPurchaseSettings& s) {
    return {{"format", "perennial.next-purchase"}, {"version", 1}, {"popularity_half_life_days", s.popularity_half_life_days},
            {"pairs", {{"decay", s.pairs.decay}, {"back", s.pairs.back}, {"from", s.pairs.from}, {"to", s.pairs.to}, {"recall", s.pairs.recall}}},
            {"weights", {{"popular", s.weight_popular}, {"own_repeats", s.weight_repeats}, {"pair_counts", s.weight_pairs}, {"network", s.weight_network}}}};
}

Result<NextPurchaseSettings> read_settings(const fs::path& path) {
    auto text = read_file(path);
    if (!text) return text.error();
    NextPurchaseSettings s;
    try {
        const auto o = json::parse(*text).as_object();
        if (o.at("format") != "perennial.next-purchase" || o.at("version") != 1)
            return Error{Code::kUnsupported, fmt::format("{}: want perennial.next-purchase version 1", path.string())};
        const auto number = [](const json::value& v) { return v.to_number<double>(); };
        s.popularity_half_life_days = number(o.at("popularity_half_life_days"));
        const auto& pairs = o.at("pairs").as_object();
        s.pairs.decay = number(pairs.at("decay"));
        s.pairs.back = number(pairs.at("back"));
        s.pairs.from = number(pairs.at("from"));
        s.pairs.to = number(pairs.at("to"));
        s.pairs.recall = number(pairs.at("recall"));
        const auto& weights = o.at("weights").as_object();
        s.weight_popular = number(weights.at("popular"));
        s.weight_repeats = number(weights.at("own_repeats"));
        s.weight_pairs = number(weights.at("pair_counts"));
        s.weight_network = number(weights.at("network"));
    } catch (const std::exception& problem) {
        return Error{Code::kCorrupt, fmt::format("{}: {}", path.string(), problem.what())};
    }
    return s;
}

}  // namespace

fs::path current_run(const fs::path& shop) {
    const auto named = read_file(shop / "models" / "current");
    if (!named) return {};
    const auto run = std::string(trim(*named));
    if (run.empty() || run.find('/') != std::string::npos) return {};
    return shop / "models" / run;
}

Result<ShopTraining> train_shop(const ShopData& data, const fs::path& shop, const NetworkOptions& options) {
    ShopTraining training;
    const auto stamp = iso8601(wall_clock_now());
    const std::string run = fmt::format("run-{}{}{}-{}{}{}{}", stamp.substr(0, 4), stamp.substr(5, 2), stamp.substr(8, 2), stamp.substr(11, 2),
                                        stamp.substr(14, 2), stamp.substr(17, 2), stamp.substr(20, 3));
    const auto directory = shop / "models" / run;
    std::error_code error;
    fs::create_directories(directory, error);
    if (error) return Error{Code::kIo, fmt::format("create {}: {}", directory.string(), error.message())};
    PERENNIAL_TRY(data.vocabulary.save(directory / "vocabulary.txt"));

    const std::int64_t now_ms = data.last_time.ms + 1;
    const auto split = split_by_time(data.sequences, data.products(), now_ms, std::min(kValidationDays, data.days() / 5));
    auto trained = train_network(split.data, directory, options);
    if (!trained) return trained.error();
    training.network = *trained;
    auto network = NetworkRecommender::load(trained->weights);
    if (!network) return network.error();
    const auto shared = std::make_shared<const NetworkRecommender>(std::move(*network));
    training.settings = tune_next_purchase(split, data.products(), shared, true, now_ms, options.seed, options.threads);
    PERENNIAL_TRY(write_file(directory / "next-purchase.json", json::serialize(to_json(training.settings))));
    const auto methods = build_methods(split.fit, data.products(), training.settings, shared, now_ms, options.threads);
    const auto ranker = fit_ranker(methods, split.validation, true, options.seed, options.threads);
    if (!ranker) return ranker.error();
    if (*ranker) PERENNIAL_TRY((*ranker)->trees.save(directory / kRankerFile));

    auto churn_options = options;
    churn_options.label = "the churn forecast";
    auto churn = fit_churn(data, directory, churn_options);
    if (churn) {
        PERENNIAL_TRY(churn->model.save(directory));
        training.churn = std::move(churn->evaluation);
    } else if (churn.error().code == Code::kInvalid) {
        training.churn_missing = churn.error().message;  // too little evidence is an answer, not a failure
    } else {
        return churn.error();
    }
    PERENNIAL_TRY(write_file(shop / "models" / "current", run + "\n"));
    return training;
}

Result<ShopModels> load_shop_models(const ShopData& data, const fs::path& shop, unsigned threads) {
    ShopModels models;
    const auto directory = current_run(shop);
    std::shared_ptr<const NetworkRecommender> network;
    models.vocabulary = data.vocabulary;
    if (!directory.empty()) {
        models.run = directory.filename();
        auto vocabulary = sequence::Vocabulary::load(directory / "vocabulary.txt");
        if (!vocabulary) return vocabulary.error();
        models.vocabulary = std::move(*vocabulary);
        auto settings = read_settings(directory / "next-purchase.json");
        if (!settings) return settings.error();
        models.settings = *settings;
        auto loaded = NetworkRecommender::load(directory / "model.safetensors");
        if (!loaded) return loaded.error();
        if (loaded->network().products() != models.vocabulary.size())
            return Error{Code::kCorrupt, fmt::format("{}: the network knows {} products, its vocabulary {}", directory.string(), loaded->network().products(), models.vocabulary.size())};
        network = std::make_shared<const NetworkRecommender>(std::move(*loaded));
        std::error_code error;
        if (fs::exists(directory / "churn.json", error)) {
            auto churn = ChurnModel::load(directory);
            if (!churn) return churn.error();
            models.churn = std::move(*churn);
        }
    }
    const auto sequences = sequences_of(data, models.vocabulary);
    models.methods = build_methods(sequences, models.vocabulary.size(), models.settings, std::move(network), data.last_time.ms + 1, threads);
    std::error_code absent;
    if (!directory.empty() && fs::exists(directory / kRankerFile, absent)) {
        auto trees = TreeSum::load(directory / kRankerFile, kRankFeatures);
        if (!trees) return trees.error();
        models.methods.ranker = std::make_shared<const Ranker>(models.methods, std::move(*trees), true);
    }
    models.replenishment = Replenishment(sequences, models.vocabulary.size());
    return models;
}

}  // namespace perennial::predict
