// The behaviour model as a recommender and as a clock.
// Threads: const members from any thread.
#pragma once

#include <filesystem>

#include "model/network.h"
#include "predict/recommender.h"

namespace perennial::predict {

class NetworkRecommender : public Recommender {
public:
    static Result<NetworkRecommender> load(const std::filesystem::path& weights);
    explicit NetworkRecommender(model::Network network) : network_(std::move(network)) {}

    std::string_view name() const override { return "network"; }
    // Softmax of the logits. O(history_limit) steps of the network, then one pass over the products.
    void score(std::span<const Step> history, std::int64_t now_ms, std::span<float> shares) const override;
    // `session` as of session(history). One pass over the products.
    void score_with(const model::Session& session, std::span<const Step> history, std::int64_t now_ms, std::span<float> shares) const override;

    // How many steps at the end of a history reach the output (and one more, from which the first gap is counted), and those
    // steps in the network's words.
    std::size_t reach() const noexcept;
    std::vector<model::Step> in_sight(std::span<const Step> history) const;
    // What `score` asks at `now_ms`.
    model::Request request(std::span<const Step> history, std::int64_t now_ms) const;
    // State after the last steps of `history` (as many as reach the output): that of all its steps, to the last bit.
    model::Session session(std::span<const Step> history) const;
    // P(no purchase within `days` after now | none since the last step). 1 for an empty history.
    double silence(const model::Session& session, std::int64_t last_ms, std::int64_t now_ms, double days) const;

    const model::Network& network() const noexcept { return network_; }

private:
    model::Network network_;
};

// One more step of a history in the network's words; `previous` may be null.
model::Step to_model_step(const Step& step, const Step* previous);

}  // namespace perennial::predict
