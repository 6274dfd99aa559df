// The two protocols by which a shop's next-purchase methods are judged (docs/guide/evaluation.md).
// Threads: as train_network; one evaluation at a time in a folder.
#pragma once

#include <filesystem>

#include "predict/next_purchase.h"
#include "predict/shop_data.h"

namespace perennial::predict {

inline constexpr double kTestDays = 60;        // a quarter of the history, if that is shorter
inline constexpr double kValidationDays = 14;  // before the cut; a third of the test, if that is shorter

// Learns everything before a cut and predicts each customer's next order after it. Weights and curves go to
// directory/time_split.
Result<NextPurchaseResult> evaluate_time_split(const ShopData& data, const std::filesystem::path& directory, NetworkOptions network);

// Hides each customer's last purchased product; purchases alone. Weights and curves go to directory/leave_one_out.
Result<NextPurchaseResult> evaluate_leave_one_out(const ShopData& data, const std::filesystem::path& directory, NetworkOptions network);

}  // namespace perennial::predict
