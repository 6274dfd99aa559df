#include "predict/network_recommender.h"

#include <algorithm>
#include <cmath>

#include "base/time.h"

namespace perennial::predict {

model::Step to_model_step(const Step& step, const Step* previous) {
    return {step.product, step.kind, step.quantity, step.time_ms, previous != nullptr && previous->occasion == step.occasion};
}

Result<NetworkRecommender> NetworkRecommender::load(const std::filesystem::path& weights) {
    auto network = model::Network::load(weights);
    if (!network) return network.error();
    return NetworkRecommender(std::move(*network));
}

std::size_t NetworkRecommender::reach() const noexcept {
    return static_cast<std::size_t>(network_.config().blocks * (network_.config().history_limit - 1) + 2);
}

std::vector<model::Step> NetworkRecommender::in_sight(std::span<const Step> history) const {
    std::vector<model::Step> steps;
    for (std::size_t i = history.size() - std::min(history.size(), reach()); i < history.size(); ++i)
        steps.push_back(to_model_step(history[i], i > 0 ? &history[i - 1] : nullptr));
    return steps;
}

model::Request NetworkRecommender::request(std::span<const Step> history, std::int64_t now_ms) const {
    model::Request request;
    if (now_ms > 0 && !history.empty()) {
        request.gap_days = std::max(0.0, days_between({history.back().time_ms}, {now_ms}));
        request.same_occasion = history.back().purchase() && history.back().time_ms == now_ms;
    }
    return request;
}

model::Session NetworkRecommender::session(std::span<const Step> history) const {
    auto session = network_.start();
    for (const auto& step : in_sight(history)) network_.extend(session, step);
    return session;
}

void NetworkRecommender::score(std::span<const Step> history, std::int64_t now_ms, std::span<float> shares) const {
    score_with(session(history), history, now_ms, shares);
}

void NetworkRecommender::score_with(const model::Session& session, std::span<const Step> history, std::int64_t now_ms, std::span<float> shares) const {
    network_.scores(session, request(history, now_ms), shares);
    const float most = std::ranges::max(shares);
    double sum = 0;
    for (float& x : shares) sum += x = std::exp(x - most);
    const auto scale = static_cast<float>(1 / sum);
    for (float& x : shares) x *= scale;
}

double NetworkRecommender::silence(const model::Session& session, std::int64_t last_ms, std::int64_t now_ms, double days) const {
    if (session.empty()) return 1;
    const double gap = std::max(0.0, days_between({last_ms}, {now_ms}));
    return network_.survival(session, gap, gap + days);
}

}  // namespace perennial::predict
