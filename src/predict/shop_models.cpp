#include "predict/shop_models.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>

#include <algorithm>
#include <boost/json.hpp>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "predict/content.h"
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

namespace {

struct Run {
    std::string name;
    fs::path directory;
    Fd plan;  // locked while this program trains
};

// The folder of a run that was cut off while it did the same, or a new one. `plan` stands for data and options; the file of
// that name is in a run's folder until the run is complete.
Result<Run> make_run(const fs::path& shop, const std::string& plan) {
    std::error_code error;
    const auto locked = [](const fs::path& path) {
        auto fd = open_file(path, O_RDWR);
        if (fd && ::flock(fd->get(), LOCK_EX | LOCK_NB) != 0) return Fd();  // another program is at it
        return fd ? std::move(*fd) : Fd();
    };
    for (const auto& entry : fs::directory_iterator(shop / "models", error)) {
        const auto text = read_file(entry.path() / "plan");
        if (!text || *text != plan) continue;
        if (auto fd = locked(entry.path() / "plan")) {
            log::info("going on with {}, which was cut off", entry.path().filename().string());
            return Run{entry.path().filename(), entry.path(), std::move(fd)};
        }
    }
    const auto stamp = iso8601(wall_clock_now());
    Run run{fmt::format("run-{}{}{}-{}{}{}{}", stamp.substr(0, 4), stamp.substr(5, 2), stamp.substr(8, 2), stamp.substr(11, 2), stamp.substr(14, 2), stamp.substr(17, 2), stamp.substr(20, 3)), {}, {}};
    run.directory = shop / "models" / run.name;
    fs::create_directories(run.directory, error);
    if (error) return Error{Code::kIo, fmt::format("create {}: {}", run.directory.string(), error.message())};
    PERENNIAL_TRY(write_file(run.directory / "plan", plan));
    run.plan = locked(run.directory / "plan");
    return run;
}

// Makes it the current one.
Status complete(const Run& run, const fs::path& shop) {
    PERENNIAL_TRY(write_file(shop / "models" / "current", run.name + "\n"));
    std::error_code error;
    fs::remove(run.directory / "plan", error);
    return Done{};
}

std::string hash_of(const model::TrainingData& data) {
    const auto bytes = [](const auto& column) { return std::string_view(reinterpret_cast<const char*>(column.data()), column.size() * sizeof(column[0])); };
    std::uint64_t hash = static_cast<std::uint64_t>(data.products);
    for (const auto column : {bytes(data.offsets), bytes(data.product), bytes(data.kind), bytes(data.time_ms), bytes(data.role), bytes(data.content.feature)}) hash = hash64(column, hash);
    return fmt::format("{:016x}", hash);
}

std::string plan_of(const model::TrainingData& data, const NetworkOptions& options, std::string_view parent) {
    return fmt::format("data {} seed {} seconds {} parent {} flags {}\n", hash_of(data), options.seed, options.seconds_limit, parent, fmt::join(options.extra, " "));
}

double validation_days(const ShopData& data) { return std::min(kValidationDays, data.days() / 5); }

Status write_lineage(const Lineage& lineage, const fs::path& run) {
    json::object object{{"format", "perennial.lineage"}, {"version", 1}, {"parent", nullptr}, {"learned_until_ms", lineage.learned_until_ms},
                        {"data_until_ms", lineage.data_until_ms}, {"train_flags", json::array(lineage.train_flags.begin(), lineage.train_flags.end())}};
    if (!lineage.parent.empty()) object["parent"] = lineage.parent;
    return write_file(run / "lineage.json", json::serialize(object) + "\n");
}

// What serves beside the network, chosen and fitted with it: mixture weights, and trees over the candidates of all methods.
Result<NextPurchaseSettings> tuned(const NetworkRun& trained, const TrainingSplit& split, std::size_t products, std::int64_t now_ms, const fs::path& run, const NetworkOptions& options) {
    auto network = NetworkRecommender::load(trained.weights);
    if (!network) return network.error();
    const auto shared = std::make_shared<const NetworkRecommender>(std::move(*network));
    auto settings = tune_next_purchase(split, products, shared, true, now_ms, options.seed, options.threads);
    PERENNIAL_TRY(write_file(run / "next-purchase.json", json::serialize(to_json(settings))));
    const auto methods = build_methods(split.fit, products, settings, shared, now_ms, options.threads);
    const auto ranker = fit_ranker(methods, split.validation, true, options.seed, options.threads);
    if (!ranker) return ranker.error();
    if (*ranker) PERENNIAL_TRY((*ranker)->trees.save(run / kRankerFile));
    return settings;
}

}  // namespace

Result<Lineage> read_lineage(const fs::path& run) {
    const auto path = run / "lineage.json";
    auto text = read_file(path);
    if (!text) return text.error();
    Lineage lineage;
    try {
        const auto o = json::parse(*text).as_object();
        if (o.at("format") != "perennial.lineage" || o.at("version") != 1) return Error{Code::kUnsupported, fmt::format("{}: want perennial.lineage version 1", path.string())};
        if (!o.at("parent").is_null()) lineage.parent = o.at("parent").as_string();
        lineage.learned_until_ms = o.at("learned_until_ms").to_number<std::int64_t>();
        lineage.data_until_ms = o.at("data_until_ms").to_number<std::int64_t>();
        for (const auto& flag : o.at("train_flags").as_array()) lineage.train_flags.emplace_back(flag.as_string());
    } catch (const std::exception& problem) {
        return Error{Code::kCorrupt, fmt::format("{}: {}", path.string(), problem.what())};
    }
    return lineage;
}

Result<ShopTraining> train_shop(const ShopData& data, const fs::path& shop, const ShopTrainingOptions& options) {
    ShopTraining training;
    const std::int64_t now_ms = data.last_time.ms + 1;
    auto split = split_by_time(data.sequences, data.products(), now_ms, validation_days(data));
    split.data.content = content_of(data, data.vocabulary);
    auto network_options = options.network;
    if (options.search.trials > 0) {
        auto trials = options.network;
        trials.seconds_limit = 0;  // epochs bound a trial: a clock would make the results depend on the machine
        auto found = search_settings(split.data, shop / "models" / ("search-" + hash_of(split.data)), trials, options.search);
        if (!found) return found.error();
        network_options.extra.insert(network_options.extra.end(), found->flags.begin(), found->flags.end());
        network_options.done = found->winner;
        training.search = std::move(*found);
    }

    network_options.resume = true;
    const auto run = make_run(shop, plan_of(split.data, network_options, "none"));
    if (!run) return run.error();
    PERENNIAL_TRY(data.vocabulary.save(run->directory / "vocabulary.txt"));
    auto trained = train_network(split.data, run->directory, network_options);
    if (!trained) return trained.error();
    training.network = *trained;
    auto settings = tuned(*trained, split, data.products(), now_ms, run->directory, options.network);
    if (!settings) return settings.error();
    training.settings = *settings;

    auto churn_options = options.network;
    churn_options.label = "the churn forecast";
    churn_options.resume = true;
    auto churn = fit_churn(data, run->directory, churn_options);
    if (churn) {
        PERENNIAL_TRY(churn->model.save(run->directory));
        training.churn = std::move(churn->evaluation);
    } else if (churn.error().code == Code::kInvalid) {
        training.churn_missing = churn.error().message;  // too little evidence is an answer, not a failure
    } else {
        return churn.error();
    }
    PERENNIAL_TRY(write_lineage({{}, after_days({now_ms}, -validation_days(data)).ms, now_ms, network_options.extra}, run->directory));
    PERENNIAL_TRY(complete(*run, shop));
    return training;
}

Result<ShopTraining> update_shop(const ShopData& data, const fs::path& shop, const UpdateOptions& options) {
    const auto parent = current_run(shop);
    if (parent.empty()) return Error{Code::kNotFound, fmt::format("{}: no trained run to update; train once without --update", shop.string())};
    const auto lineage = read_lineage(parent);
    if (!lineage) return lineage.error();
    const std::int64_t now_ms = data.last_time.ms + 1;
    if (now_ms <= lineage->data_until_ms)
        return Error{Code::kInvalid, fmt::format("nothing has happened since {} was trained: its data end at {}", parent.filename().string(), iso8601({lineage->data_until_ms}))};

    auto known = sequence::Vocabulary::load(parent / "vocabulary.txt");
    if (!known) return known.error();
    std::vector<std::string> products;
    for (std::size_t p = 0; p < known->size(); ++p) products.push_back((*known)[static_cast<std::int32_t>(p)]);
    for (std::size_t p = 0; p < data.products(); ++p)
        if (const auto& product = data.vocabulary[static_cast<std::int32_t>(p)]; known->find(product) == sequence::kNoProduct) products.push_back(product);
    const sequence::Vocabulary vocabulary(std::move(products));
    const auto sequences = sequences_of(data, vocabulary);
    const double days = std::min(validation_days(data), days_between({lineage->learned_until_ms}, {now_ms}) / 3);
    auto split = update_split(sequences, vocabulary.size(), now_ms, lineage->learned_until_ms, days, options);
    // A parent that learned words of its products goes on with them, and learns those that are new.
    std::error_code absent;
    if (fs::exists(parent / "content.safetensors", absent)) split.data.content = content_of(data, vocabulary);

    ShopTraining training;
    training.parent = parent.filename();
    auto network_options = options.network;
    network_options.resume = true;
    network_options.label = "on from " + training.parent;
    auto flags = lineage->train_flags;
    flags.insert(flags.end(), options.network.extra.begin(), options.network.extra.end());
    network_options.extra = update_flags(flags, parent / "model.safetensors", options.rate_share);
    const auto run = make_run(shop, plan_of(split.data, network_options, training.parent));
    if (!run) return run.error();
    PERENNIAL_TRY(vocabulary.save(run->directory / "vocabulary.txt"));
    auto trained = train_network(split.data, run->directory, network_options);
    if (!trained) return trained.error();
    training.network = *trained;
    auto settings = tuned(*trained, split, vocabulary.size(), now_ms, run->directory, options.network);
    if (!settings) return settings.error();
    training.settings = *settings;
    std::error_code error;
    for (const char* name : {"churn.json", "churn-trees.json"})
        if (fs::exists(parent / name, error)) {
            fs::copy_file(parent / name, run->directory / name, fs::copy_options::overwrite_existing, error);
            if (error) return Error{Code::kIo, fmt::format("copy {}: {}", (parent / name).string(), error.message())};
        }
    training.churn_missing = "an update keeps its parent's forecast";
    PERENNIAL_TRY(write_lineage({training.parent, after_days({now_ms}, -days).ms, now_ms, flags}, run->directory));
    PERENNIAL_TRY(complete(*run, shop));
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
