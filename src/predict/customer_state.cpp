#include "predict/customer_state.h"

#include <algorithm>
#include <cassert>

namespace perennial::predict {

bool CustomerState::extend(std::span<const event::Event> events, const sequence::Vocabulary& vocabulary) {
    assert(std::ranges::is_sorted(events, {}, &event::Event::time));
    if (events.empty()) return true;
    if (events_ > 0 && events.front().time.ms < last_ms_) return false;
    for (const auto& event : events) {
        const auto step = reader_.read(event, vocabulary);
        if (!step) continue;
        steps_.push_back(*step);
        if (step->product < 0) continue;
        auto& own = products_[step->product];
        ++own.steps;
        if (step->purchase()) own.bought_ms.push_back(step->time_ms), ++purchases_;
        else if (step->kind == static_cast<std::uint8_t>(event::Kind::kProductViewed)) own.viewed_ms = step->time_ms;
    }
    events_ += events.size();
    last_ms_ = events.back().time.ms;
    return true;
}

const model::Session& CustomerState::session(const NetworkRecommender& network) {
    if (!session_ || steps_.size() - session_steps_ >= network.reach()) session_ = network.session(steps_);
    else
        for (std::size_t i = session_steps_; i < steps_.size(); ++i)
            network.network().extend(*session_, to_model_step(steps_[i], i > 0 ? &steps_[i - 1] : nullptr));
    session_steps_ = steps_.size();
    return *session_;
}

std::size_t CustomerState::bytes() const noexcept {
    constexpr std::size_t kNode = 4 * sizeof(void*);  // a hash table's, beside its value
    return sizeof *this + steps_.capacity() * sizeof(Step) + products_.size() * (sizeof(std::pair<std::int32_t, Own>) + kNode) +
           2 * purchases_ * sizeof(std::int64_t) +
           (session_ ? session_->bytes() : 0);
}

}  // namespace perennial::predict
