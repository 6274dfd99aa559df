// The trained models of a shop: trained into DIR/models/<run>, served from the run that DIR/models/current names.
// Threads: const after loading.
#pragma once

#include <filesystem>
#include <memory>
#include <optional>
#include <string>

#include "predict/churn_evaluation.h"
#include "predict/next_purchase.h"
#include "predict/replenishment.h"
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
};

// Trains on everything up to the last event and makes the run current. The old run stays beside it.
Result<ShopTraining> train_shop(const ShopData& data, const std::filesystem::path& shop, const NetworkOptions& options);

// Counting memories are built from `data`; network and churn are read from the current run. A shop that was never
// trained gets counting memories alone. Errors: kCorrupt, kUnsupported for damaged model files.
Result<ShopModels> load_shop_models(const ShopData& data, const std::filesystem::path& shop, unsigned threads);

std::filesystem::path current_run(const std::filesystem::path& shop);  // empty when there is none

}  // namespace perennial::predict
