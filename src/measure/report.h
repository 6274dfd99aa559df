// The report page: everything known of a shop in one self-contained HTML file (data: docs/formats/report.md).
// Threads: pure functions but for reading the shop's own result files.
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <string>
#include <utility>
#include <vector>

#include "base/result.h"
#include "predict/shop_data.h"
#include "profile/store.h"

namespace perennial::measure {

struct ReportInput {
    std::string shop_name, command, machine, commit;
    UtcTime generated;
    std::vector<std::pair<std::string, double>> stages_seconds;
    boost::json::array import_reports;   // as docs/formats/import-report.md, in order of import
    boost::json::array training;         // training_json() of each run
    boost::json::array next_purchase;    // to_json() of each protocol
    boost::json::value churn;            // to_json(), or null
};

// Errors: the store's.
Result<boost::json::object> report_json(const profile::Store& store, const predict::ShopData& data, ReportInput input);

// The page with the data inside. Product names cannot break out of it.
std::string report_html(const boost::json::object& report);

}  // namespace perennial::measure
