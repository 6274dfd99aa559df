#include "predict/task_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

#include "base/file.h"
#include "predict/churn.h"
#include "predict/network_recommender.h"
#include "predict/task_stack.h"

namespace perennial::predict {
namespace {

namespace json = boost::json;

}  // namespace

model::Session task_session(const model::Network& network, std::span<const sequence::Step> known) {
    const std::size_t reach = static_cast<std::size_t>(network.config().history_limit), first = known.size() > reach ? known.size() - reach : 0;
    auto session = network.start();
    for (std::size_t i = first; i < known.size(); ++i) network.extend(session, to_model_step(known[i], i > first ? &known[i - 1] : nullptr));
    return session;
}

float return_log_odds(const NetworkRecommender& network, std::span<const sequence::Step> known, UtcTime time, double horizon_days) {
    const double silence = network.silence(network.session(known), known.empty() ? time.ms : known.back().time_ms, time.ms, horizon_days);
    return static_cast<float>(log_odds(1 - silence));
}

std::vector<std::string> head_feature_names(bool hand_features) {
    auto names = hand_features ? feature_names() : std::vector<std::string>{};
    names.emplace_back(kReturnFeature);
    return names;
}

double linear_score(std::span<const double> beta, std::span<const float> mean, std::span<const float> scale, std::span<const float> features) {
    double z = beta[0];
    for (std::size_t c = 0; c < features.size(); ++c)
        if (const auto x = double{model::tamed(features[c])}; !std::isnan(x)) z += beta[c + 1] * (x - double{mean[c]}) * double{scale[c]};
    return std::clamp(z, -kLinearScoreLimit, kLinearScoreLimit);
}

Result<std::vector<double>> TaskModel::predict(std::span<const event::Event> timeline, std::span<const sequence::Step> steps, UtcTime time) const {
    const Frame f{options.kind, model::prediction_count(options.kind, options.classes), {0}, {1}, {}, {0}, {}, 1, 1};
    const auto known = sequence::before(steps, time.ms);
    const auto gap = static_cast<float>(known.empty() ? 0 : std::clamp(days_between({known.back().time_ms}, time), 0.0, 1e5));
    const float returns = return_log_odds(*base, known, time, horizon_days);
    auto features = task_features(timeline, time, rhythm);
    auto head_features = hand_features ? features : std::vector<float>{};
    head_features.push_back(returns);
    std::vector<float> outputs(model::output_count(options.kind, options.classes));
    network->outputs(task_session(network->network(), known), double{gap}, head_features, outputs);
    SourceScores scores;
    scores[kNetwork] = network_scores(f, network->adapter().scale, outputs);
    scores[kTimeHead] = {double{returns}};
    features.push_back(gap);
    const auto ask = [&](const BoostedTrees& asked, Source source) -> Status {
        if (stack.weights[source] == 0) return Done{};
        auto p = asked.probabilities(features, features.size());
        if (!p) return p.error();
        to_score(f.kind, *p);
        scores[source] = std::move(*p);
        return Done{};
    };
    PERENNIAL_TRY(ask(trees, kTrees));
    if (!linear.empty()) scores[kLinear] = {linear_score(linear, linear_mean, linear_scale, features)};
    for (const double score : scores[kNetwork]) features.push_back(static_cast<float>(score));
    features.push_back(returns);
    PERENNIAL_TRY(ask(fused, kFused));
    std::vector<double> p(f.columns);
    calibrated(f, stack.calibration, stack.mixed(f, scores), p);
    return p;
}

Status TaskModel::save(const std::filesystem::path& directory) const {
    PERENNIAL_TRY(trees.save(directory / "trees.json"));
    PERENNIAL_TRY(fused.save(directory / "fused-trees.json"));
    json::object parts;
    for (std::size_t s = 0; s < kSources; ++s) parts[kSourceNames[s]] = {stack.weights[s], stack.parts[s].a, stack.parts[s].b};
    const json::object object{{"format", "perennial.task"}, {"version", 2}, {"name", name}, {"options", json::parse(model::to_json(options))}, {"classes", json::value_from(classes)},
                              {"horizon_days", horizon_days}, {"hand_features", hand_features}, {"rhythm", {rhythm.typical_gap_days, rhythm.log_spread, rhythm.gaps}},
                              {"linear", json::value_from(linear)}, {"linear_mean", json::value_from(linear_mean)}, {"linear_scale", json::value_from(linear_scale)},
                              {"stack", std::move(parts)}, {"calibration", {stack.calibration.a, stack.calibration.b}}};
    return write_file(directory / "task.json", json::serialize(object) + "\n");
}

Result<TaskModel> TaskModel::load(const std::filesystem::path& directory, const std::filesystem::path& weights_file, std::shared_ptr<const NetworkRecommender> base) {
    auto text = read_file(directory / "task.json");
    if (!text) return text.error();
    TaskModel m;
    try {
        const auto object = json::parse(*text).as_object();
        if (object.at("format") != "perennial.task" || object.at("version") != 2) return Error{Code::kUnsupported, fmt::format("{}: want perennial.task version 2", (directory / "task.json").string())};
        m.name = object.at("name").as_string();
        auto options = model::task_options_from_json(json::serialize(object.at("options")));
        if (!options) return options.error();
        m.options = *options;
        m.classes = json::value_to<std::vector<std::string>>(object.at("classes"));
        m.horizon_days = object.at("horizon_days").to_number<double>();
        m.hand_features = object.at("hand_features").as_bool();
        const auto& rhythm = object.at("rhythm").as_array();
        m.rhythm = {rhythm.at(0).to_number<double>(), rhythm.at(1).to_number<double>(), rhythm.at(2).to_number<std::size_t>()};
        m.linear = json::value_to<std::vector<double>>(object.at("linear"));
        m.linear_mean = json::value_to<std::vector<float>>(object.at("linear_mean"));
        m.linear_scale = json::value_to<std::vector<float>>(object.at("linear_scale"));
        for (std::size_t s = 0; s < kSources; ++s) {
            const auto& part = object.at("stack").at(kSourceNames[s]);
            m.stack.weights[s] = part.at(0).to_number<double>();
            m.stack.parts[s] = {part.at(1).to_number<double>(), part.at(2).to_number<double>()};
        }
        m.stack.calibration = {object.at("calibration").at(0).to_number<double>(), object.at("calibration").at(1).to_number<double>()};
        const std::size_t columns = kChurnFeatures.size() + 1;
        const bool linear = m.linear.size() == columns + 1 && m.linear_mean.size() == columns && m.linear_scale.size() == columns;
        const bool binary = m.options.kind == model::TaskKind::kBinary;
        if ((!m.linear.empty() && !linear) || (m.linear.empty() && m.stack.weights[kLinear] != 0) || (!binary && m.stack.weights[kTimeHead] != 0))
            return Error{Code::kCorrupt, fmt::format("{}: linear and stack: want as many numbers as features, and weights of what is there", (directory / "task.json").string())};
    } catch (const std::exception& problem) {
        return Error{Code::kCorrupt, fmt::format("{}: {}", (directory / "task.json").string(), problem.what())};
    }
    auto network = model::AdaptedNetwork::load(weights_file, directory / "adapter.safetensors");
    if (!network) return network.error();
    m.network = std::make_shared<const model::AdaptedNetwork>(std::move(*network));
    if (!base) {
        auto loaded = NetworkRecommender::load(weights_file);
        if (!loaded) return loaded.error();
        base = std::make_shared<const NetworkRecommender>(std::move(*loaded));
    }
    m.base = std::move(base);
    const auto& adapter = m.network->adapter();
    if (adapter.kind != m.options.kind || adapter.classes != m.options.classes || adapter.features != head_feature_names(m.hand_features))
        return Error{Code::kCorrupt, fmt::format("{}: want the adapter that task.json describes, got another", (directory / "adapter.safetensors").string())};
    for (auto [file, to] : {std::pair{"trees.json", &m.trees}, {"fused-trees.json", &m.fused}}) {
        auto trees = BoostedTrees::load(directory / file);
        if (!trees) return trees.error();
        *to = std::move(*trees);
    }
    return m;
}

}  // namespace perennial::predict
