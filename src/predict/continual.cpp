#include "predict/continual.h"

#include <fmt/format.h>

#include <algorithm>
#include <cstdlib>
#include <limits>
#include <map>
#include <numeric>

#include "base/hash.h"
#include "predict/network_recommender.h"
#include "predict/next_purchase.h"
#include "predict/protocols.h"
#include "predict/settings_search.h"

namespace perennial::predict {
namespace {

namespace fs = std::filesystem;

constexpr std::size_t kContext = 100;  // events kept before the new ones: a training window of the default history limit

bool held_out(const profile::CustomerKey& customer) {
    return profile::is_customer(customer) && hash64(customer, 4) % 1000 < static_cast<std::uint64_t>(1000 * kHeldOutShare);
}

UtcTime month_start(UtcTime from, int months_later) {
    auto date = civil_date(from);
    const int month = static_cast<int>(date.month) - 1 + months_later;
    return utc_time({date.year + month / 12, static_cast<unsigned>(month % 12) + 1, 1});
}

std::string month_name(UtcTime time) { return iso_date(time).substr(0, 7); }

// Products in the order of their first purchase, so that at any moment those sold so far are the first ones.
struct ByFirstSale {
    std::vector<sequence::Sequence> sequences;
    std::vector<std::int64_t> first_sold_ms;  // by new number, rising

    explicit ByFirstSale(const ShopData& data) : sequences(data.sequences) {
        std::vector<std::int64_t> first(data.products(), std::numeric_limits<std::int64_t>::max());
        for (const auto& sequence : sequences)
            for (const auto& step : sequence.steps)
                if (step.purchase() && step.product >= 0) first[static_cast<std::size_t>(step.product)] = std::min(first[static_cast<std::size_t>(step.product)], step.time_ms);
        std::vector<std::size_t> order(first.size());
        std::iota(order.begin(), order.end(), std::size_t{0});
        std::ranges::stable_sort(order, std::ranges::less{}, [&](std::size_t p) { return first[p]; });
        std::vector<std::int32_t> number(first.size());
        for (std::size_t i = 0; i < order.size(); ++i) {
            number[order[i]] = static_cast<std::int32_t>(i);
            first_sold_ms.push_back(first[order[i]]);
        }
        for (auto& sequence : sequences)
            for (auto& step : sequence.steps)
                if (step.product >= 0) step.product = number[static_cast<std::size_t>(step.product)];
    }
    std::size_t sold_before(std::int64_t ms) const { return static_cast<std::size_t>(std::ranges::lower_bound(first_sold_ms, ms) - first_sold_ms.begin()); }
    // Before a moment, with the products known then.
    std::vector<sequence::Sequence> before(std::int64_t ms, bool with_held_out) const {
        const auto known = static_cast<std::int32_t>(sold_before(ms));
        std::vector<sequence::Sequence> cut;
        for (const auto& sequence : sequences) {
            if (!with_held_out && held_out(sequence.customer)) continue;
            const auto steps = sequence::before(sequence.steps, ms);
            if (steps.empty()) continue;
            cut.push_back({sequence.customer, {steps.begin(), steps.end()}});
            for (auto& step : cut.back().steps)
                if (step.product >= known) step.product = sequence::kNoProduct;
        }
        return cut;
    }
};

// A network asked about a catalogue that has grown since: later products get nothing.
class Older : public Recommender {
public:
    explicit Older(const NetworkRecommender& network) : network_(network) {}
    std::string_view name() const override { return "network"; }
    void score(std::span<const Step> history, std::int64_t now_ms, std::span<float> shares) const override {
        const auto known = network_.network().products();
        std::vector<Step> steps(history.begin(), history.end());
        for (auto& step : steps)
            if (step.product >= static_cast<std::int32_t>(known)) step.product = sequence::kNoProduct;
        std::ranges::fill(shares, 0.0f);
        network_.score(steps, now_ms, shares.first(static_cast<std::size_t>(known)));
    }

private:
    const NetworkRecommender& network_;
};

std::vector<double> ndcg10(const Recommender& method, std::span<const Unit> units, std::size_t products, unsigned threads) {
    std::vector<double> values;
    for (const auto& metrics : evaluate(method, units, products, threads)) values.push_back(metrics.ndcg[1]);
    return values;
}

void judge(ContinualArm& arm, const Recommender& method, std::span<const Unit> next, std::span<const Unit> old, std::size_t products, const NetworkOptions& options) {
    arm.next_of_unit = ndcg10(method, next, products, options.threads);
    arm.old_of_unit = ndcg10(method, old, products, options.threads);
    arm.next = bootstrap_mean(arm.next_of_unit, kBootstrapDraws, options.seed);
    arm.old = bootstrap_mean(arm.old_of_unit, kBootstrapDraws, options.seed);
}

Interval difference(std::span<const double> a, std::span<const double> b, std::uint64_t seed) {
    std::vector<double> gap(a.size());
    for (std::size_t i = 0; i < gap.size(); ++i) gap[i] = a[i] - b[i];
    return bootstrap_mean(gap, kBootstrapDraws, seed);
}

// Orders of the month [begin, end) asked of what was known before it; products sold for the first time since do not count.
std::vector<Unit> units_of_month(std::span<const sequence::Sequence> sequences, UtcTime begin, UtcTime end, std::size_t products) {
    auto units = next_order_units(sequences, begin.ms, days_between(begin, end));
    for (auto& unit : units) std::erase_if(unit.relevant, [&](std::int32_t product) { return static_cast<std::size_t>(product) >= products; });
    std::erase_if(units, [](const Unit& unit) { return unit.relevant.empty(); });
    return units;
}

}  // namespace

TrainingSplit update_split(std::span<const sequence::Sequence> sequences, std::size_t products, std::int64_t now_ms, std::int64_t learned_until_ms,
                           double validation_days, const UpdateOptions& options) {
    auto split = split_by_time(sequences, products, now_ms, validation_days);
    split.data = only_later(split.data, learned_until_ms, options.replay_share, kContext, options.network.seed);
    return split;
}

std::vector<std::string> update_flags(std::vector<std::string> flags, const fs::path& weights, double rate_share) {
    constexpr std::string_view kRate = "--learning-rate=";
    double rate = network_space().front().initial;
    for (const auto& flag : flags)
        if (flag.starts_with(kRate)) rate = std::strtod(flag.c_str() + kRate.size(), nullptr);
    flags.push_back(fmt::format("{}{:.6g}", kRate, rate * rate_share));  // the last of a kind counts
    flags.push_back("--init-weights=" + weights.string());
    return flags;
}

Result<std::vector<ContinualMonth>> evaluate_continual(const ShopData& data, const fs::path& directory, const UpdateOptions& options,
                                                       const std::function<void(const ContinualMonth&)>& on_month) {
    const ByFirstSale shop(data);
    int months = 0;
    while (month_start(data.first_time, months) <= data.last_time) ++months;
    if (months < kFirstUpdateMonth + 1) return Error{Code::kInvalid, fmt::format("continual: want {} months or more, this shop has {}", kFirstUpdateMonth + 1, months)};
    const auto start_of = [&](int month) { return month_start(data.first_time, month - 1); };  // months 1, 2, ...

    std::vector<sequence::Sequence> strangers;  // whom no arm learns from
    for (const auto& sequence : shop.sequences)
        if (held_out(sequence.customer)) strangers.push_back(sequence);

    struct Trained {
        NetworkRun run;
        double seconds = 0;
        std::int64_t learned_until_ms = 0;
    };
    const auto train = [&](int month, const char* arm, const Trained* parent, double replay) -> Result<Trained> {
        const auto cut = start_of(month + 1);
        const auto sequences = shop.before(cut.ms, false);
        auto network = options.network;
        network.label = fmt::format("{} {}", month_name(start_of(month)), arm);
        auto update = options;
        update.replay_share = replay;
        auto split = parent ? update_split(sequences, shop.sold_before(cut.ms), cut.ms, parent->learned_until_ms, kValidationDays, update)
                            : split_by_time(sequences, shop.sold_before(cut.ms), cut.ms, kValidationDays);
        if (parent) network.extra = update_flags(network.extra, parent->run.weights, options.rate_share);
        const double start = monotonic_seconds();
        auto run = train_network(split.data, directory / month_name(start_of(month)) / arm, network);
        if (!run) return run.error();
        return Trained{*run, monotonic_seconds() - start, after_days(cut, -kValidationDays).ms};
    };

    auto first = train(kFirstUpdateMonth - 1, "full", nullptr, 0);
    if (!first) return first.error();
    std::map<std::string, Trained> chains{{"update", *first}, {"update_alone", *first}};
    std::vector<ContinualMonth> result;
    for (int month = kFirstUpdateMonth; month < months; ++month) {
        const auto cut = start_of(month + 1);
        ContinualMonth made{month_name(start_of(month)), month_name(cut), shop.sold_before(cut.ms), 0, 0, {}, {}, {}, {}, {}};
        const auto next = units_of_month(shop.sequences, cut, start_of(month + 2), made.products);
        std::vector<Unit> old;
        for (int past = 2; past <= month; ++past)
            for (auto& unit : units_of_month(strangers, start_of(past), start_of(past + 1), made.products)) old.push_back(std::move(unit));
        made.next_units = next.size();
        made.old_units = old.size();

        for (const char* name : {"full", "update", "update_alone", "frozen"}) {
            ContinualArm arm;
            arm.name = name;
            Trained trained = *first;
            if (arm.name != "frozen") {
                const bool full = arm.name == "full";
                auto made_now = train(month, name, full ? nullptr : &chains.at(name), arm.name == "update" ? options.replay_share : 0);
                if (!made_now) return made_now.error();
                trained = *made_now;
                if (!full) chains.at(name) = trained;
                arm.seconds = trained.seconds;
                arm.train_seconds = trained.run.train_seconds;
                arm.epochs = trained.run.epochs;
            }
            auto network = NetworkRecommender::load(trained.run.weights);
            if (!network) return network.error();
            judge(arm, Older(*network), next, old, made.products, options.network);
            made.arms.push_back(std::move(arm));
        }
        ContinualArm repeats;
        repeats.name = "own_repeats";
        const auto known = shop.before(cut.ms, true);
        judge(repeats, OwnRepeats(std::make_shared<Popularity>(known, made.products, 0, cut.ms)), next, old, made.products, options.network);
        made.arms.push_back(std::move(repeats));

        const auto& arms = made.arms;
        const auto seed = options.network.seed;
        made.update_over_full_next = difference(arms[1].next_of_unit, arms[0].next_of_unit, seed);
        made.update_over_full_old = difference(arms[1].old_of_unit, arms[0].old_of_unit, seed);
        made.update_over_frozen_next = difference(arms[1].next_of_unit, arms[3].next_of_unit, seed);
        made.replay_over_alone_old = difference(arms[1].old_of_unit, arms[2].old_of_unit, seed);
        if (on_month) on_month(made);
        result.push_back(std::move(made));
    }
    return result;
}

}  // namespace perennial::predict
