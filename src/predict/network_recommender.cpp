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

model::Session NetworkRecommender::session(std::span<const Step> history) const {
    const std::size_t reach = static_cast<std::size_t>(network_.config().history_limit);
    const std::size_t first = history.size() > reach ? history.size() - reach : 0;
    auto session = network_.start();
    for (std::size_t i = first; i < history.size(); ++i)
        network_.extend(session, to_model_step(history[i], i > 0 ? &history[i - 1] : nullptr));
    return session;
}

void NetworkRecommender::score(std::span<const Step> history, std::int64_t now_ms, std::span<float> shares) const {
    const auto state = session(history);
    model::Request request;
    if (now_ms > 0 && !history.empty()) {
        request.gap_days = std::max(0.0, days_between({history.back().time_ms}, {now_ms}));
        request.same_occasion = history.back().purchase() && history.back().time_ms == now_ms;
    }
    network_.scores(state, request, shares);
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
