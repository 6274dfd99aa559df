// The trained models of a shop: trained into DIR/models/<run>, served from the run that DIR/models/current names.
// Threads: const after loading.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "predict/churn_evaluation.h"
#include "predict/continual.h"
#include "predict/next_purchase.h"
#include "predict/replenishment.h"
#include "predict/settings_search.h"
#include "predict/shop_data.h"

namespace perennial::predict {

struct ShopModels {
    std::string run;                          // name of its folder; empty when nothing is trained
    sequence::Vocabulary vocabulary;
    NextPurchaseSettings settings;
    NextPurchaseMethods methods;              // without a network when nothing is trained
    Replenishment replenishment;
    std::optional<ChurnModel> churn;
};

struct ShopTraining {
    NetworkRun network;
    NextPurchaseSettings settings;
    std::optional<ChurnEvaluation> churn;
    std::string churn_missing;                // why there is no churn model
    std::optional<SearchResult> search;
    std::string parent;                       // the run that was updated
};

// Where a run comes from: lineage.json in its folder (docs/formats/models.md).
struct Lineage {
    std::string parent;                   // empty: trained from the start
    std::int64_t learned_until_ms = 0;    // the network's training targets lie before it; later orders only validated
    std::int64_t data_until_ms = 0;
    std::vector<std::string> train_flags; // of perennial-train, as given or found by a search
};
Result<Lineage> read_lineage(const std::filesystem::path& run);

struct ShopTrainingOptions {
    NetworkOptions network;
    SearchOptions search;  // trials 0: settings as they are
};

// Trains on everything up to the last event and makes the run current. The old run stays beside it. One that was cut off
// while it did the same is gone on with. A search keeps its
// journal and trials in DIR/models/search-<hash of the training data>.
Result<ShopTraining> train_shop(const ShopData& data, const std::filesystem::path& shop, const ShopTrainingOptions& options);

// Goes on from the current run: learns what happened since it learned, with new products behind the known ones, and
// becomes the current run, naming its parent. The churn forecast is the parent's. Errors: kNotFound without a current run,
// kInvalid when nothing has happened since.
Result<ShopTraining> update_shop(const ShopData& data, const std::filesystem::path& shop, const UpdateOptions& options);

// Counting memories are built from `data`; network and churn are read from the current run. A shop that was never
// trained gets counting memories alone. Errors: kCorrupt, kUnsupported for damaged model files.
Result<ShopModels> load_shop_models(const ShopData& data, const std::filesystem::path& shop, unsigned threads);

std::filesystem::path current_run(const std::filesystem::path& shop);  // empty when there is none

}  // namespace perennial::predict
