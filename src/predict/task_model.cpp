#include "predict/task_model.h"

#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <cmath>

#include "base/file.h"
#include "predict/network_recommender.h"
#include "predict/task_stack.h"

namespace perennial::predict {
namespace {

namespace json = boost::json;

// The customer's answer to a category task; `features` with the days since the last event, `outputs` of the head. [C]
std::vector<double> answer_labels(const TaskModel& m, std::span<const float> features, std::span<const float> own, float returns, std::span<const float> outputs) {
    const std::size_t count = m.categories.size();
    const auto flat = flattened({model::TaskKind::kMultilabel, count, std::vector<float>(count), {1}, {0}, {}, {}, 1, 1});
    SourceScores scores;
    scores[kNetwork].assign(outputs.begin(), outputs.end());
    std::vector<float> asked;
    for (std::size_t k = 0; k < count; ++k) {
        const auto history = own.subspan(k * kOwnColumns, kOwnColumns);
        scores[kOwnShare].push_back(double{history[0]});
        asked.assign(features.begin(), features.end());
        asked.insert(asked.end(), history.begin(), history.end());
        asked.push_back(returns);
        scores[kLinear].push_back(linear_score(std::span(m.linear).subspan(k * (kCategoryColumns + 1), kCategoryColumns + 1), std::span(m.linear_mean).subspan(k * kCategoryColumns, kCategoryColumns),
                                               std::span(m.linear_scale).subspan(k * kCategoryColumns, kCategoryColumns), asked));
    }
    const auto z = m.stack.mixed(flat, scores);
    std::vector<double> p(count);
    for (std::size_t k = 0; k < count; ++k) calibrated(flat, m.stack.calibration, std::span(z).subspan(k, 1), std::span(p).subspan(k, 1));
    return p;
}

json::object to_json(const Categories& c) {
    json::object products;
    for (const auto& [id, category] : c.of_product) products[id] = category;
    return {{"top_level", c.top_level}, {"popularity", json::value_from(c.popularity)}, {"products", std::move(products)}};
}

// Throws what boost throws, for the caller to tell as damage.
Categories categories_from(const json::value& value, const std::vector<std::string>& names) {
    Categories c;
    c.names = names;
    c.top_level = value.at("top_level").as_bool();
    c.popularity = json::value_to<std::vector<double>>(value.at("popularity"));
    for (const auto& item : value.at("products").as_object()) c.of_product.emplace(item.key(), item.value().to_number<std::uint32_t>());
    const bool whole = c.popularity.size() == c.size() && std::ranges::all_of(c.popularity, [](double p) { return p > 0 && p < 1; }) &&
                       std::ranges::all_of(c.of_product, [&](const auto& item) { return item.second < c.size(); });
    if (!whole) throw std::runtime_error("categories: want a popularity between 0 and 1 for each class, and products of these classes");
    return c;
}

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

std::vector<std::string> head_feature_names(bool hand_features, std::span<const std::string> categories) {
    auto names = hand_features ? feature_names() : std::vector<std::string>{};
    names.emplace_back(kReturnFeature);
    for (const auto& category : categories) names.push_back("own_share:" + category);
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
    const auto own = own_history(categories, timeline, time);
    for (std::size_t k = 0; k < categories.size(); ++k) head_features.push_back(own[k * kOwnColumns]);
    std::vector<float> outputs(model::output_count(options.kind, options.classes));
    network->outputs(task_session(network->network(), known), double{gap}, head_features, outputs);
    if (options.kind == model::TaskKind::kMultilabel) {
        features.push_back(gap);
        return answer_labels(*this, features, own, returns, outputs);
    }
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
    const bool several = options.kind == model::TaskKind::kMultilabel;
    if (!several) {
        PERENNIAL_TRY(trees.save(directory / "trees.json"));
        PERENNIAL_TRY(fused.save(directory / "fused-trees.json"));
    }
    json::object parts;
    for (std::size_t s = 0; s < kSources; ++s) parts[kSourceNames[s]] = {stack.weights[s], stack.parts[s].a, stack.parts[s].b};
    json::object object{{"format", "perennial.task"}, {"version", 3}, {"name", name}, {"options", json::parse(model::to_json(options))}, {"classes", json::value_from(classes)},
                              {"horizon_days", horizon_days}, {"hand_features", hand_features}, {"rhythm", {rhythm.typical_gap_days, rhythm.log_spread, rhythm.gaps}},
                              {"linear", json::value_from(linear)}, {"linear_mean", json::value_from(linear_mean)}, {"linear_scale", json::value_from(linear_scale)},
                              {"stack", std::move(parts)}, {"calibration", {stack.calibration.a, stack.calibration.b}}};
    if (several) object["categories"] = to_json(categories);
    return write_file(directory / "task.json", json::serialize(object) + "\n");
}

Result<TaskModel> TaskModel::load(const std::filesystem::path& directory, const std::filesystem::path& weights_file, std::shared_ptr<const NetworkRecommender> base) {
    auto text = read_file(directory / "task.json");
    if (!text) return text.error();
    TaskModel m;
    try {
        const auto object = json::parse(*text).as_object();
        if (object.at("format") != "perennial.task" || (object.at("version") != 2 && object.at("version") != 3)) return Error{Code::kUnsupported, fmt::format("{}: want perennial.task version 2 or 3", (directory / "task.json").string())};
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
            const auto& parts = object.at("stack").as_object();
            if (s == kOwnShare && !parts.contains(kSourceNames[s])) continue;  // version 2 had none
            const auto& part = parts.at(kSourceNames[s]);
            m.stack.weights[s] = part.at(0).to_number<double>();
            m.stack.parts[s] = {part.at(1).to_number<double>(), part.at(2).to_number<double>()};
        }
        m.stack.calibration = {object.at("calibration").at(0).to_number<double>(), object.at("calibration").at(1).to_number<double>()};
        const bool several = m.options.kind == model::TaskKind::kMultilabel;
        if (several) m.categories = categories_from(object.at("categories"), m.classes);
        const std::size_t rules = several ? m.categories.size() : 1, columns = several ? kCategoryColumns : kChurnFeatures.size() + 1;
        const bool linear = m.linear.size() == rules * (columns + 1) && m.linear_mean.size() == rules * columns && m.linear_scale.size() == rules * columns;
        const bool binary = m.options.kind == model::TaskKind::kBinary;
        const bool unheard = several ? m.stack.weights[kTrees] != 0 || m.stack.weights[kFused] != 0 : m.stack.weights[kOwnShare] != 0;
        if (unheard || (several && !linear) || (!m.linear.empty() && !linear) || (m.linear.empty() && m.stack.weights[kLinear] != 0) || (!binary && m.stack.weights[kTimeHead] != 0))
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
    if (adapter.kind != m.options.kind || adapter.classes != m.options.classes || adapter.features != head_feature_names(m.hand_features, m.categories.names))
        return Error{Code::kCorrupt, fmt::format("{}: want the adapter that task.json describes, got another", (directory / "adapter.safetensors").string())};
    if (m.options.kind == model::TaskKind::kMultilabel) return m;
    for (auto [file, to] : {std::pair{"trees.json", &m.trees}, {"fused-trees.json", &m.fused}}) {
        auto trees = BoostedTrees::load(directory / file);
        if (!trees) return trees.error();
        *to = std::move(*trees);
    }
    return m;
}

}  // namespace perennial::predict
