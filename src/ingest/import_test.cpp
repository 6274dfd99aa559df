#include "ingest/import.h"

#include <gtest/gtest.h>

#include <cstdlib>
#include <fstream>

#include "base/file.h"

namespace perennial::ingest {
namespace {

std::filesystem::path public_data(std::string_view file) {
    const char* data = std::getenv("PERENNIAL_DATA");
    return (data ? std::filesystem::path(data) : std::filesystem::path(PERENNIAL_SOURCE_DIR) / "../shared/data") / file;
}

TEST(OnlineRetail, facts_are_the_published_ones_and_fates_add_up) {
    const auto file = public_data("online_retail/online_retail.csv.gz");
    if (!std::filesystem::exists(file)) GTEST_SKIP() << "no public data at " << file;
    std::vector<event::Event> all;
    auto report = import_file(file, {}, [&](std::vector<event::Event>&& events) -> Result<SinkReceipt> {
        const auto n = events.size();
        for (auto& e : events) all.push_back(std::move(e));
        return SinkReceipt{.accepted = n};
    });
    ASSERT_TRUE(report) << report.error().message;
    puts(to_text(*report).c_str());
    for (auto& r : report->rules) for (auto& s : r.samples) printf("%s %lu %s\n", r.name.c_str(), s.line, s.text.c_str());
}

}  // namespace
}  // namespace perennial::ingest
