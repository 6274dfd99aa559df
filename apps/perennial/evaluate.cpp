// evaluate and report: every predictor beside its humbling comparator, and the page that shows it.
#include <fmt/format.h>

#include <boost/json.hpp>

#include "base/file.h"
#include "build_info.h"
#include "commands.h"
#include "measure/evaluation_json.h"
#include "measure/report.h"
#include "predict/protocols.h"
#include "predict/shop_models.h"
#include "profile/store.h"
#include "shop.h"

namespace perennial::app {
namespace {

struct Loaded {
    Shop shop;
    profile::Store store;
    predict::ShopData data;
};

Result<Loaded> load(const fs::path& directory) {
    auto shop = open_shop(directory);
    if (!shop) return shop.error();
    auto store = open_for_reading(*shop);
    if (!store) return store.error();
    auto data = predict::load_shop_data(*store);
    if (!data) return data.error();
    return Loaded{std::move(*shop), std::move(*store), std::move(*data)};
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
    for (const auto protocol : {predict::evaluate_time_split, predict::evaluate_leave_one_out}) {
        auto result = protocol(loaded->data, loaded->shop.evaluation(), network);
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
