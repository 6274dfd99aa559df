// A shop with known truth, for trying the system where every answer can be checked: who has left, what a coupon adds,
// what belongs together, what is bought again and when. Writes what a shop's tracking would send, and beside it the truth
// that no system may see while it learns (README.md lists the files and the model).
// The same options give the same bytes: one random stream per customer and product, forked from the seed.
// Memory: about 60 KB a customer and year and a half. Threads: runs on the caller's.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <vector>

#include "base/money.h"
#include "base/result.h"
#include "base/time.h"

namespace perennial::simulate {

inline constexpr std::uint32_t kCustomersLimit = 200'000;
inline constexpr std::uint32_t kProductsLimit = 20'000;
inline constexpr std::uint32_t kDaysLimit = 3'650;

struct SimulationOptions {
    std::uint32_t customers = 2'000;
    std::uint32_t products = 400;
    std::uint32_t days = 540;
    std::uint64_t seed = 1;
    UtcTime start{1'672'531'200'000};  // 2023-01-01
    bool show_progress = true;
};

struct SimulationSummary {
    std::uint64_t messages = 0, orders = 0, order_lines = 0, refunds = 0, treatments = 0;
    std::uint64_t customers = 0, churned_customers = 0, products = 0;
    Money revenue;      // of order lines, before discounts and refunds
    Currency currency;
    UtcTime start, end;
    double seconds = 0;
    std::vector<std::filesystem::path> files;  // events.jsonl, truth.csv, products.csv, treatments.csv
};

// Replaces the four files in `out_dir`, which is made when missing.
// Errors: kInvalid (a size of 0 or over its limit), kIo, kFull.
Result<SimulationSummary> simulate(const SimulationOptions& options, const std::filesystem::path& out_dir);

}  // namespace perennial::simulate
