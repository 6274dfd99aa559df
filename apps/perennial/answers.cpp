#include "answers.h"

#include <fmt/format.h>

#include <algorithm>
#include <atomic>
#include <boost/json.hpp>
#include <map>

#include "decide/causes.h"
#include "decide/recommend.h"
#include "event/codec.h"
#include "profile/lifecycle.h"

namespace perennial::app {
namespace {

namespace json = boost::json;

json::object money(Money amount, Currency currency) { return {{"amount", major_units(amount, currency)}, {"currency", currency.text()}}; }

json::object causes_json(const decide::Causes& causes) {
    json::array events;
    for (const auto& cause : causes.events) {
        json::object event{{"kind", event::name(cause.kind)}, {"time", iso8601(cause.time)}, {"effect", cause.effect}, {"share", cause.share}};
        if (!cause.product.empty()) event["product_id"] = cause.product, event["title"] = cause.title;
        events.push_back(std::move(event));
    }
    return {{"value", causes.value}, {"baseline", causes.baseline}, {"events", std::move(events)}, {"others", causes.others}};
}

json::object churn_json(const predict::ShopModels& models, const catalog::Catalog& catalogue, std::span<const event::Event> timeline, UtcTime now) {
    if (!models.churn) return {{"probability", nullptr}, {"note", "no churn forecast is trained: perennial train"}};
    if (!predict::active_at(timeline, now))
        return {{"probability", nullptr}, {"note", fmt::format("no purchase in the last {:.0f} days: the forecast is made for active customers", predict::kActiveDays)}};
    double silence = 0.5;
    decide::Causes causes;
    if (models.methods.network) {
        const auto steps = sequence::steps_of(timeline, models.vocabulary);
        const auto session = models.methods.network->session(steps);
        if (!steps.empty()) silence = models.methods.network->silence(session, steps.back().time_ms, now.ms, models.churn->horizon_days);
        causes = decide::return_causes(models, catalogue, steps, now, models.churn->horizon_days);
    }
    auto forecast = predict::forecast_churn(*models.churn, timeline, now, silence);
    if (!forecast) return {{"probability", nullptr}, {"note", forecast.error().message}};
    json::array reasons;
    for (const auto& reason : forecast->reasons) {
        if (reasons.size() == 5) break;
        const auto& name = predict::kChurnFeatures[reason.feature];
        reasons.push_back(json::object{{"feature", name.key}, {"value", reason.value}, {"effect", reason.contribution > 0 ? "leaving" : "staying"},
                                       {"log_odds", reason.contribution}, {"en", name.en}, {"zh", name.zh}});
    }
    return {{"probability", forecast->probability.value}, {"low", forecast->probability.low}, {"high", forecast->probability.high},
            {"horizon_days", models.churn->horizon_days}, {"method", models.churn->chosen}, {"reasons", std::move(reasons)}, {"return_events", causes_json(causes)}};
}

// P(no purchase within any number of days): the churn forecast carried there; without one the network's hazard head, as it was pretrained.
json::object silence_json(const predict::ShopModels& models, std::span<const event::Event> timeline, std::span<const sequence::Step> steps, UtcTime now, double days) {
    if (!models.methods.network) return {{"horizon_days", days}, {"probability", nullptr}, {"note", "no network is trained: perennial train"}};
    if (steps.empty()) return {{"horizon_days", days}, {"probability", nullptr}, {"note", "no event that the network reads"}};
    const auto& network = *models.methods.network;
    const auto session = network.session(steps);
    const auto asked = [&](double horizon) { return network.silence(session, steps.back().time_ms, now.ms, horizon); };
    if (!models.churn || !models.churn->curve)
        return {{"horizon_days", days}, {"probability", asked(days)}, {"method", "time_head"}, {"calibrated", false}, {"note", "no churn forecast that it could be calibrated by"}, {"model", models.run}};
    const auto forecast = predict::forecast_silence(*models.churn, timeline, now, days, asked);
    if (!forecast) return {{"horizon_days", days}, {"probability", nullptr}, {"note", forecast.error().message}};
    json::object answer{{"horizon_days", days}, {"probability", forecast->probability}, {"method", "churn_forecast"}, {"calibrated", forecast->calibrated}, {"model", models.run}};
    if (forecast->calibrated) answer["calibration_error"] = forecast->calibration_error;
    else
        answer["note"] = predict::active_at(timeline, now) ? fmt::format("calibrated on {:.0f} to {:.0f} days", predict::kSilenceShares.front() * models.churn->horizon_days, models.churn->horizon_days)
                                                           : fmt::format("no purchase in the last {:.0f} days: calibrated on active customers", predict::kActiveDays);
    return answer;
}

}  // namespace

Result<std::unique_ptr<Answers>> Answers::open(const profile::Store& store, const std::filesystem::path& shop, unsigned threads,
                                               predict::CustomerStates* states) {
    std::unique_ptr<Answers> answers(new Answers(store, states));
    answers->seen_ = store.folded();
    auto data = predict::load_shop_data(store);
    if (!data) {
        if (data.error().code != Code::kInvalid) return data.error();
        // No purchase yet: everything is new here, and an empty answer is the true one.
        answers->models_.methods = predict::build_methods({}, 0, {}, nullptr, 0, 1);
        return answers;
    }
    auto models = predict::load_shop_models(*data, shop, threads);
    if (!models) return models.error();
    answers->models_ = std::move(*models);
    const auto run = predict::current_run(shop);
    answers->tasks_stamp_ = TaskAnswers::stamp(run);
    answers->tasks_ = std::make_unique<const TaskAnswers>(run, answers->models_);
    answers->rhythm_ = data->rhythm;
    answers->currency_ = data->currency;
    std::vector<profile::Profile> profiles;
    PERENNIAL_TRY(store.for_each_profile([&](const profile::CustomerKey&, const profile::Profile& profile) {
        profiles.push_back(profile);
        return true;
    }));
    answers->rfm_ = profile::rfm_scale(profiles, answers->now());
    return answers;
}

std::uint64_t Answers::next_number() {
    static std::atomic<std::uint64_t> next{0};
    return next++;
}

Status Answers::with_state(const profile::CustomerKey& customer, const std::function<void(predict::CustomerState&)>& use) const {
    if (states_ != nullptr) return states_->with(customer, number_, models_.vocabulary, use);
    auto timeline = store_.timeline(customer);
    if (!timeline) return timeline.error();
    predict::CustomerState state;
    state.extend(*timeline, models_.vocabulary);
    use(state);
    return Done{};
}

UtcTime Answers::now() const {
    const UtcTime clock = wall_clock_now(), last = store_.last_event_time();
    return last.ms > 0 && days_between(last, clock) > kStaleDays ? last : clock;
}

Result<std::shared_ptr<const catalog::Catalog>> Answers::catalogue() const {
    std::unique_lock lock(mutex_);
    const UtcTime clock = wall_clock_now();
    const auto folded = store_.folded();
    if (catalogue_ && (reading_catalogue_ || folded == catalogue_offset_ || clock.ms - catalogue_time_.ms < kCatalogueAgeMs)) return catalogue_;
    // One request reads the products; those beside it go on with what there is, or wait when there is nothing yet.
    reading_catalogue_ = true;
    if (catalogue_) lock.unlock();
    auto products = store_.products();
    auto fresh = products ? std::make_shared<const catalog::Catalog>(std::move(*products)) : nullptr;
    if (!lock.owns_lock()) lock.lock();
    reading_catalogue_ = false;
    if (!fresh) return products.error();
    catalogue_ = std::move(fresh);
    catalogue_offset_ = folded;
    catalogue_time_ = clock;
    return catalogue_;
}

Result<json::object> Answers::recommendations(const profile::CustomerKey& customer, std::size_t count, decide::Reasons reasons) const {
    auto catalogue = this->catalogue();
    if (!catalogue) return catalogue.error();
    const UtcTime as_of = now();
    Result<decide::Recommendations> chosen = decide::Recommendations{};
    std::vector<decide::Causes> causes;
    std::size_t events = 0;
    PERENNIAL_TRY(with_state(customer, [&](predict::CustomerState& state) {
        chosen = decide::recommend(models_, **catalogue, state, as_of, count, reasons);
        events = state.events();
        if (reasons != decide::Reasons::kFull || !chosen) return;
        std::vector<std::string> named;
        for (const auto& r : chosen->products) named.push_back(r.product);
        causes = decide::causes(models_, **catalogue, state.steps(), as_of, named);
    }));
    if (!chosen) return chosen.error();
    json::array products;
    for (const auto& r : chosen->products) {
        products.push_back(json::object{{"product_id", r.product}, {"title", r.title}, {"category", r.category}, {"price", money(r.price, r.currency)}, {"score", r.score}});
        if (reasons == decide::Reasons::kNone) continue;
        auto& product = products.back().as_object();
        json::object reason{{"kind", decide::name(r.reason)}, {"en", r.reason_en}, {"zh", r.reason_zh}};
        if (!r.because_of.empty()) reason["because_of"] = r.because_of;
        if (r.reason == decide::ReasonKind::kBecause) reason["event_time"] = iso8601(r.because_time), reason["effect"] = r.because_effect;
        product["reason"] = std::move(reason);
        if (reasons != decide::Reasons::kFull) continue;
        if (const auto place = products.size() - 1; place < causes.size() && !causes[place].events.empty()) product["explanation"] = causes_json(causes[place]);
        if (r.moved_by.empty()) continue;
        json::array moved_by;
        for (const auto& [group, effect] : r.moved_by) moved_by.push_back(json::object{{"group", predict::name(group)}, {"effect", effect}});
        product["moved_by"] = std::move(moved_by);
    }
    return json::object{{"customer", customer.substr(customer.find(':') + 1)}, {"known_customer", chosen->known_customer}, {"as_of", iso8601(as_of)},
                        {"model", models_.run}, {"events_known", events}, {"recommendations", std::move(products)},
                        {"left_out", {{"out_of_stock", chosen->left_out_of_stock}, {"just_bought", chosen->left_out_just_bought}}}};
}

Result<json::object> Answers::customer(const profile::CustomerKey& customer, std::optional<double> horizon_days) const {
    auto profile = store_.profile(customer);
    if (!profile) return profile.error();
    if (!*profile) return Error{Code::kNotFound, fmt::format("customer: no events of '{}'", customer.substr(customer.find(':') + 1))};
    auto timeline = store_.timeline(customer);
    if (!timeline) return timeline.error();
    auto catalogue = this->catalogue();
    if (!catalogue) return catalogue.error();
    const UtcTime as_of = now();
    const auto& p = **profile;
    const auto days = profile::purchase_days(p.orders);
    const auto gaps = profile::purchase_gaps_days(p.orders);
    const double typical = profile::typical_gap_days(gaps, rhythm_);

    std::map<std::string, std::int64_t> categories, products;
    for (const auto& e : *timeline)
        if (e.kind == event::Kind::kOrderCompleted && !e.product.empty()) {
            ++products[e.product];
            if (const auto at = (*catalogue)->find(e.product)) ++categories[(**catalogue)[*at].category];
        }
    const auto tally = [](const profile::Tally& counts) {
        json::array list;
        for (const auto& [name, lines] : counts) list.push_back(json::object{{"name", name}, {"lines", lines}});
        return list;
    };
    json::array gap_list(gaps.begin(), gaps.end());
    json::array events;
    const std::size_t first = timeline->size() > kTimelineShown ? timeline->size() - kTimelineShown : 0;
    for (std::size_t i = timeline->size(); i-- > first;) events.push_back(json::parse(event::to_json((*timeline)[i])));

    const auto steps = sequence::steps_of(*timeline, models_.vocabulary);
    auto tasks = tasks_ ? (*tasks_)(*timeline, steps, as_of) : Result<json::array>(json::array());
    if (!tasks) return tasks.error();
    const auto rfm = profile::rfm_of(p, as_of, rfm_);
    json::object result{{"customer", customer.substr(customer.find(':') + 1)}, {"as_of", iso8601(as_of)},
        {"stage", profile::name(profile::stage_at(days, as_of, rhythm_))},
        {"first_seen", iso8601(p.first_seen)}, {"last_seen", iso8601(p.last_seen)}, {"orders", p.orders.size()}, {"purchase_days", days.size()},
        {"spend", money(p.spend, p.currency)}, {"refunds", money(p.refunds, p.currency)}, {"charges", money(p.charges, p.currency)},
        {"rfm", {{"recency", rfm.recency}, {"frequency", rfm.frequency}, {"monetary", rfm.monetary}}},
        {"rhythm", {{"gaps_days", std::move(gap_list)}, {"typical_gap_days", typical},
                    {"silence_days", days.empty() ? json::value(nullptr) : json::value(days_between(days.back(), as_of))},
                    {"usual_share_of_such_silence", days.empty() ? json::value(nullptr) : json::value(profile::silence_survival(days_between(days.back(), as_of), typical, rhythm_))}}},
        {"favourite_categories", tally(profile::top(categories, 5))}, {"favourite_products", tally(profile::top(products, 5))},
        {"churn", churn_json(models_, **catalogue, *timeline, as_of)}, {"tasks", std::move(*tasks)}, {"events_total", timeline->size()}, {"timeline", std::move(events)}};
    if (horizon_days) result["silence"] = silence_json(models_, *timeline, steps, as_of, *horizon_days);
    return result;
}

}  // namespace perennial::app
