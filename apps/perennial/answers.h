// What the shop can say about one customer, as JSON: for the command line and for HTTP alike.
// Threads: const members from any thread, beside the store's writer.
#pragma once

#include <boost/json/object.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>

#include "base/result.h"
#include "decide/recommend.h"
#include "predict/customer_states.h"
#include "predict/shop_models.h"
#include "profile/rfm.h"
#include "profile/store.h"
#include "task_answers.h"

namespace perennial::app {

inline constexpr std::size_t kTimelineShown = 200;     // latest events in an answer; the total is named beside them
inline constexpr double kStaleDays = 30;               // a shop silent for so long is answered as of its last event
inline constexpr std::int64_t kCatalogueAgeMs = 1000;  // stock and prices in answers are at most so old

class Answers {
public:
    // Loads data and models: seconds for a large shop. A shop without purchases answers with what little it has.
    // `states`, where there are any, keep what is known of customers between requests and outlive this.
    static Result<std::unique_ptr<Answers>> open(const profile::Store& store, const std::filesystem::path& shop, unsigned threads,
                                                 predict::CustomerStates* states = nullptr);

    // With Reasons::kFull each of the first decide::kExplainedLimit products with the customer's events by their effect on it.
    Result<boost::json::object> recommendations(const profile::CustomerKey& customer, std::size_t count, decide::Reasons reasons) const;
    // `horizon_days`, 1 to predict::kHorizonDaysLimit: also the network's chance of no purchase within so many. Errors: kNotFound.
    Result<boost::json::object> customer(const profile::CustomerKey& customer, std::optional<double> horizon_days = {}) const;
    const std::string& run() const noexcept { return models_.run; }            // that answers; empty: none is trained
    const std::string& tasks() const noexcept { return tasks_stamp_; }        // TaskAnswers::stamp of the tasks that answer
    bool empty() const noexcept { return models_.vocabulary.size() == 0; }     // no purchase was known
    journal::Offset seen() const noexcept { return seen_; }                    // events known when the models were built
    Currency currency() const noexcept { return currency_; }  // that most purchases were paid in

private:
    Answers(const profile::Store& store, predict::CustomerStates* states) : store_(store), states_(states) {}
    Status with_state(const profile::CustomerKey& customer, const std::function<void(predict::CustomerState&)>& use) const;
    static std::uint64_t next_number();
    UtcTime now() const;
    Result<std::shared_ptr<const catalog::Catalog>> catalogue() const;

    const profile::Store& store_;
    predict::CustomerStates* const states_;  // may be null
    const std::uint64_t number_ = next_number();  // of these models among all of this process
    predict::ShopModels models_;
    std::unique_ptr<const TaskAnswers> tasks_;
    std::string tasks_stamp_;
    profile::ShopRhythm rhythm_;
    profile::RfmScale rfm_;
    Currency currency_;
    journal::Offset seen_;
    mutable std::mutex mutex_;                                   // guards the four below
    mutable std::shared_ptr<const catalog::Catalog> catalogue_;
    mutable journal::Offset catalogue_offset_;
    mutable UtcTime catalogue_time_;
    mutable bool reading_catalogue_ = false;
};

}  // namespace perennial::app
