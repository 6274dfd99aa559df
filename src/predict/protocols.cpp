#include "predict/protocols.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>

#include "predict/content.h"

namespace perennial::predict {

Result<NextPurchaseResult> evaluate_time_split(const ShopData& data, const std::filesystem::path& directory, NetworkOptions network) {
    network.label = "for the time split";
    const double test_days = std::min(kTestDays, std::floor(data.days() / 4));
    const std::int64_t cut_ms = after_days(data.last_time, -test_days).ms;
    auto split = split_by_time(data.sequences, data.products(), cut_ms, std::min(kValidationDays, test_days / 3));
    split.data.content = content_of(data, data.vocabulary);
    const auto test = next_order_units(data.sequences, cut_ms, test_days + 1);
    auto result = evaluate_next_purchase(split, test, data.products(), true, Known::kAllBeforeTest, cut_ms, directory / "time_split", network);
    if (!result) return result.error();
    result->protocol = "time_split";
    result->cut_ms = cut_ms;
    result->description = {fmt::format("Learns everything before {}. Predicts the products of each customer's next order in the {:.0f} days after it; the history ends at that day, the request comes when the customer does.", iso_date({cut_ms}), test_days),
                           fmt::format("学习 {} 之前的全部数据，预测每位客户此后 {:.0f} 天内的下一张订单中的商品；历史截止于该日，请求时间为客户到来之时。", iso_date({cut_ms}), test_days)};
    return result;
}

Result<NextPurchaseResult> evaluate_leave_one_out(const ShopData& data, const std::filesystem::path& directory, NetworkOptions network) {
    network.label = "for leave one out";
    // Purchases alone, as in the public protocols: a product that was looked at in the same visit would give itself away.
    auto purchases = data.sequences;
    for (auto& sequence : purchases) std::erase_if(sequence.steps, [](const sequence::Step& step) { return !step.purchase(); });
    auto split = leave_one_out(purchases, data.products(), true, false);
    split.training.data.content = content_of(data, data.vocabulary);
    auto result = evaluate_next_purchase(split.training, split.test, data.products(), true, Known::kTrainingAlone, data.last_time.ms, directory / "leave_one_out", network);
    if (!result) return result.error();
    result->protocol = "leave_one_out";
    result->description = {"Purchases only: each customer's last purchased product is hidden and predicted from the purchases before it, those of the same order included. Other customers' later purchases are known, so this flatters every method; the time split is the honest one.",
                           "仅用购买记录：隐藏每位客户最后购买的商品，并用此前的购买（含同一订单）预测。由于其他客户之后的购买可见，所有方法都会偏高；时间切分更接近真实。"};
    return result;
}

}  // namespace perennial::predict
