// evaluate and report: every predictor beside its humbling comparator, and the page that shows it.
#include <fmt/format.h>

#include <boost/json.hpp>
#include <cmath>

#include "base/file.h"
#include "build_info.h"
#include "commands.h"
#include "measure/evaluation_json.h"
#include "measure/report.h"
#include "predict/shop_models.h"
#include "profile/store.h"
#include "shop.h"

namespace perennial::app {
namespace {

constexpr double kTestDays = 60;

struct Loaded {
    Shop shop;
    profile::Store store;
    predict::ShopData data;
};

Result<Loaded> load(const fs::path& directory) {
    auto shop = open_shop(directory);
    if (!shop) return shop.error();
    auto store = profile::Store::open(directory, {.read_only = true});
    if (!store) return store.error();
    auto data = predict::load_shop_data(*store);
    if (!data) return data.error();
    return Loaded{std::move(*shop), std::move(*store), std::move(*data)};
}

Result<predict::NextPurchaseResult> time_split(const Loaded& loaded, const predict::NetworkOptions& network) {
    const auto& data = loaded.data;
    const double test_days = std::min(kTestDays, std::floor(data.days() / 4));
    const std::int64_t cut_ms = after_days(data.last_time, -test_days).ms;
    const auto split = predict::split_by_time(data.sequences, data.products(), cut_ms, std::min(14.0, test_days / 3));
    const auto test = predict::next_order_units(data.sequences, cut_ms, test_days + 1);
    auto result = predict::evaluate_next_purchase(split, test, data.products(), true, cut_ms, loaded.shop.evaluation() / "time_split", network);
    if (!result) return result.error();
    result->protocol = "time_split";
    result->cut_ms = cut_ms;
    result->description = {fmt::format("Learns everything before {}. Predicts the products of each customer's next order in the {:.0f} days after it; the history ends at that day, the request comes when the customer does.", iso_date({cut_ms}), test_days),
                           fmt::format("学习 {} 之前的全部数据，预测每位客户此后 {:.0f} 天内的下一张订单中的商品；历史截止于该日，请求时间为客户到来之时。", iso_date({cut_ms}), test_days)};
    return result;
}

Result<predict::NextPurchaseResult> leave_one_out(const Loaded& loaded, const predict::NetworkOptions& network) {
    const auto& data = loaded.data;
    // Purchases alone, as in the public protocols: a product that was looked at in the same visit would give itself away.
    auto purchases = data.sequences;
    for (auto& sequence : purchases) std::erase_if(sequence.steps, [](const sequence::Step& step) { return !step.purchase(); });
    const auto split = predict::leave_one_out(purchases, data.products(), true, false);
    auto result = predict::evaluate_next_purchase(split.training, split.test, data.products(), true, data.last_time.ms, loaded.shop.evaluation() / "leave_one_out", network);
    if (!result) return result.error();
    result->protocol = "leave_one_out";
    result->description = {"Purchases only: each customer's last purchased product is hidden and predicted from the purchases before it, those of the same order included. Other customers' later purchases are known, so this flatters every method; the time split is the honest one.",
                           "仅用购买记录：隐藏每位客户最后购买的商品，并用此前的购买（含同一订单）预测。由于其他客户之后的购买可见，所有方法都会偏高；时间切分更接近真实。"};
    return result;
}

Result<boost::json::object> build_report(const Loaded& loaded) {
    measure::ReportInput input;
    input.shop_name = loaded.shop.settings.name;
    input.commit = build_commit();
    input.machine = machine_description();
    input.command = "perennial import, train, evaluate --shop " + loaded.shop.directory.filename().string();
    input.generated = wall_clock_now();
    auto reports = import_reports(loaded.shop);
    if (!reports) return reports.error();
    input.import_reports = std::move(*reports);
    for (auto& report : input.import_reports) {  // the page may be mailed: names of files, no folders of this machine
        auto& file = report.as_object().at("file");
        file = fs::path(std::string(file.as_string())).filename().string();
    }
    if (auto seconds = read_json(loaded.shop.directory / "stages.json"); seconds)
        for (const auto& [name, value] : seconds->as_object()) input.stages_seconds.emplace_back(name, value.to_number<double>());
    const auto run = predict::current_run(loaded.shop.directory);
    if (!run.empty()) {
        input.training.push_back(measure::training_json("serving", {"what serves: everything up to the last event", "线上模型：截至最后一个事件的全部数据"}, run / "curves.csv"));
        input.training.push_back(measure::training_json("churn", {"churn evaluation", "流失评估"}, run / "churn" / "curves.csv"));
        if (auto training = read_json(run / "training.json"); training) input.churn = training->as_object().at("churn");
    }
    if (auto evaluation = read_json(loaded.shop.evaluation() / "evaluation.json"); evaluation) {
        input.next_purchase = evaluation->as_object().at("next_purchase").as_array();
        input.training.push_back(measure::training_json("time_split", {"next purchase, time split", "下次购买：时间切分"}, loaded.shop.evaluation() / "time_split" / "curves.csv"));
        input.training.push_back(measure::training_json("leave_one_out", {"next purchase, leave one out", "下次购买：留一法"}, loaded.shop.evaluation() / "leave_one_out" / "curves.csv"));
    }
    return measure::report_json(loaded.store, loaded.data, std::move(input));
}

Status write_report(const Loaded& loaded) {
    auto object = build_report(loaded);
    if (!object) return object.error();
    return write_file(loaded.shop.report(), measure::report_html(*object));
}

}  // namespace

Status evaluate(const EvaluateCommand& options) {
    const double start = monotonic_seconds();
    auto loaded = load(options.common.shop);
    if (!loaded) return loaded.error();
    predict::NetworkOptions network;
    network.seed = options.common.seed;
    network.threads = options.common.threads;
    network.seconds_limit = options.seconds_limit;
    boost::json::array protocols;
    struct Protocol { decltype(&time_split) evaluate; const char* label; };
    for (const auto& [protocol, label] : {Protocol{time_split, "for the time split"}, Protocol{leave_one_out, "for leave one out"}}) {
        network.label = label;
        auto result = protocol(*loaded, network);
        if (!result) return result.error();
        protocols.push_back(measure::to_json(*result));
        if (!options.common.json) fmt::print("{}\n", measure::to_text(*result));
    }
    const boost::json::object evaluation{{"commit", build_commit()}, {"machine", machine_description()}, {"seed", options.common.seed},
                                         {"threads", options.common.threads}, {"next_purchase", protocols}};
    PERENNIAL_TRY(write_json(loaded->shop.evaluation() / "evaluation.json", evaluation));
    PERENNIAL_TRY(record_stage(loaded->shop, "evaluate", monotonic_seconds() - start));
    PERENNIAL_TRY(write_report(*loaded));
    if (options.common.json) fmt::print("{}\n", boost::json::serialize(evaluation));
    else fmt::print("Report: {}\n", loaded->shop.report().string());
    return Done{};
}

Status report(const Common& options) {
    auto loaded = load(options.shop);
    if (!loaded) return loaded.error();
    if (options.json) {
        auto object = build_report(*loaded);
        if (!object) return object.error();
        fmt::print("{}\n", boost::json::serialize(*object));
        return Done{};
    }
    PERENNIAL_TRY(write_report(*loaded));
    fmt::print("Report: {}\n", loaded->shop.report().string());
    return Done{};
}

}  // namespace perennial::app
