// Results of evaluations as JSON, in the shape of docs/formats/report.md, and as tables for a terminal.
// Threads: pure functions.
#pragma once

#include <boost/json/object.hpp>

#include <filesystem>
#include <string>

#include "predict/churn_evaluation.h"
#include "predict/next_purchase.h"
#include "predict/settings_search.h"

namespace perennial::measure {

boost::json::object to_json(const predict::NextPurchaseResult& result);
boost::json::object to_json(const predict::ChurnEvaluation& evaluation);
boost::json::object to_json(const predict::NetworkRun& run);
boost::json::object to_json(const predict::SearchResult& search);

// One entry of "training": the rows of a curves.csv. Empty points when the file is missing.
boost::json::object training_json(const std::string& run, const predict::Text& note, const std::filesystem::path& curves_csv);

std::string to_text(const predict::NextPurchaseResult& result);
std::string to_text(const predict::ChurnEvaluation& evaluation);
// Trials as a table, the winner beside the defaults, its flags, and what seemed to matter.
std::string to_text(const predict::SearchResult& search);

}  // namespace perennial::measure
