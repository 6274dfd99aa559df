// serve: one process that takes events and answers. The journal's writer is this process alone while it runs.
#include <fmt/format.h>
#include <poll.h>
#include <sys/signalfd.h>

#include <boost/json.hpp>
#include <chrono>
#include <condition_variable>
#include <csignal>
#include <memory>
#include <mutex>
#include <stop_token>
#include <thread>

#include "answers.h"
#include "api/api_server.h"
#include "base/file.h"
#include "base/log.h"
#include "build_info.h"
#include "commands.h"
#include "govern/keys.h"
#include "ingest/import.h"
#include "ingest/quarantine.h"
#include "shop.h"

namespace perennial::app {
namespace {

// SIGINT and SIGTERM as a descriptor, so that stopping is ordinary code and not a handler. Made before any thread.
Result<Fd> stop_signals() {
    sigset_t set;
    ::sigemptyset(&set);
    ::sigaddset(&set, SIGINT);
    ::sigaddset(&set, SIGTERM);
    ::pthread_sigmask(SIG_BLOCK, &set, nullptr);
    const int fd = ::signalfd(-1, &set, SFD_CLOEXEC);
    if (fd < 0) return io_error("signalfd", errno);
    return Fd(fd);
}

// The answers that serve now, swapped whole when a training finishes or the first purchase arrives, so that a request
// sees one set of models from beginning to end. Threads: get() from any; a thread of its own looks for news.
class LiveAnswers {
public:
    LiveAnswers(const profile::Store& store, fs::path shop, unsigned threads, predict::CustomerStates& states, std::shared_ptr<const Answers> first)
        : store_(store), states_(states), shop_(std::move(shop)), threads_(threads), answers_(std::move(first)), watcher_([this](std::stop_token stop) { watch(stop); }) {}

    std::shared_ptr<const Answers> get() const {
        const std::lock_guard lock(mutex_);
        return answers_;
    }

private:
    static constexpr auto kLookEvery = std::chrono::seconds(1);

    void watch(const std::stop_token& stop) {
        std::mutex sleep_mutex;
        std::condition_variable_any wake;
        std::unique_lock sleep(sleep_mutex);
        auto refused = get()->run();  // the last run that could not be loaded: said once
        while (!wake.wait_for(sleep, stop, kLookEvery, [] { return false; }) && !stop.stop_requested()) {
            const auto now = get();
            const auto directory = predict::current_run(shop_);
            const auto run = directory.filename().string();
            const bool trained = (run != now->run() && run != refused) || (run == now->run() && !run.empty() && TaskAnswers::stamp(directory) != now->tasks()), started = now->empty() && store_.folded() != now->seen();
            if (!trained && !started) continue;
            auto fresh = Answers::open(store_, shop_, threads_, &states_);
            if (!fresh) {
                log::warn("keeping the models of {}: {}", now->run(), fresh.error().message);
                refused = run;
                continue;
            }
            const std::lock_guard lock(mutex_);
            answers_ = std::move(*fresh);
            log::info("serving {}", answers_->run().empty() ? "counting memories, nothing is trained yet" : answers_->run());
        }
    }

    const profile::Store& store_;
    predict::CustomerStates& states_;
    const fs::path shop_;
    const unsigned threads_;
    mutable std::mutex mutex_;
    std::shared_ptr<const Answers> answers_;  // under mutex_
    std::jthread watcher_;                    // last: starts when the rest is ready
};

// What `perennial import` does, beside live events: small batches, so that those wait for some tens of milliseconds at most.
Result<boost::json::object> import_upload(const Shop& shop, const api::UploadImport& upload, const api::Intake::Append& append) {
    constexpr std::size_t kBatchEvents = 4096;
    const ingest::ImportOptions options{.mapping = upload.mapping, .quarantine_dir = shop.quarantine(), .batch_events = kBatchEvents, .show_progress = false};
    auto report = ingest::import_file(upload.file, options, [&](std::vector<event::Event>&& events) -> Result<ingest::SinkReceipt> {
        if (upload.stopping) return Error{Code::kBusy, "the server is stopping"};
        const auto count = events.size();
        auto receipt = append(std::move(events));
        if (!receipt) return receipt.error();
        upload.events += count;
        return ingest::SinkReceipt{receipt->accepted, receipt->already_known};
    });
    if (!report) return report.error();
    report->file = upload.file.filename().string();
    PERENNIAL_TRY(write_json(import_report_path(shop, upload.file.string()), ingest::to_json(*report)));
    return ingest::to_json(*report);
}

// A customer to try the addresses with: the one with the most orders.
std::string example_customer(const profile::Store& store) {
    std::string best = "ID";
    std::size_t most = 0;
    (void)store.for_each_profile([&](const profile::CustomerKey& key, const profile::Profile& profile) {
        if (key.starts_with("u:") && profile.orders.size() > most) most = profile.orders.size(), best = key.substr(2);
        return true;
    });
    return best;
}

}  // namespace

Status serve(const ServeCommand& options) {
    auto shop = open_shop(options.common.shop);
    if (!shop) return shop.error();
    auto stop = stop_signals();
    if (!stop) return stop.error();
    auto store = profile::Store::open(shop->directory, {.fold_behind_events = profile::kFoldBehindEvents});
    if (!store) return store.error();
    auto quarantine = ingest::Quarantine::open(shop->quarantine());
    if (!quarantine) return quarantine.error();
    predict::CustomerStates states(*store);
    auto loaded = Answers::open(*store, shop->directory, options.common.threads, &states);
    if (!loaded) return loaded.error();
    const auto currency = (*loaded)->currency();
    const LiveAnswers answers(*store, shop->directory, options.common.threads, states, std::move(*loaded));

    api::Services services;
    // The intake's writer and the import of an upload take turns.
    std::mutex append_mutex;
    const auto append = [&](std::vector<event::Event> events) {
        const std::lock_guard lock(append_mutex);
        return store->append(std::move(events));
    };
    services.append = append;
    services.quarantine = [&](std::vector<ingest::Reject> rejects) -> Status {
        for (const auto& reject : rejects) PERENNIAL_TRY(quarantine->add("http", 0, reject.reason, reject.raw, wall_clock_now()));
        return quarantine->sync();
    };
    // A read sees what was acknowledged before it; under a load that the fold cannot follow it answers after this time with what is there.
    constexpr std::chrono::milliseconds kReadWait(50);
    services.recommendations = [&](const api::RecommendationQuery& query) -> Result<boost::json::value> {
        (void)store->settle(kReadWait);
        auto found = answers.get()->recommendations(query.key(), query.count, query.reasons);
        if (!found) return found.error();
        return boost::json::value(std::move(*found));
    };
    services.customer = [&](const api::CustomerQuery& query) -> Result<boost::json::value> {
        (void)store->settle(kReadWait);
        auto found = answers.get()->customer(query.key(), query.horizon_days);
        if (!found) return found.error();
        return boost::json::value(std::move(*found));
    };
    services.report_html = [&] {
        auto page = read_file(shop->report());
        return page ? std::move(*page) : std::string();
    };
    services.kept_states = [&] {
        const auto counts = states.counts();
        return api::KeptStates{counts.hits, counts.misses, counts.overtaken, counts.left, counts.customers, counts.bytes};
    };
    services.ready = [] { return true; };  // everything was loaded before the port was opened
    auto uploads = api::Uploads::open({.directory = shop->uploads()}, [&](const api::UploadImport& upload) { return import_upload(*shop, upload, append); });
    if (!uploads) return uploads.error();
    services.uploads = uploads->get();
    auto endpoints = deliver::load_endpoints(shop->webhooks());
    if (!endpoints) return endpoints.error();
    auto deliveries = deliver::Deliveries::open(shop->outbox(), {.endpoints = std::move(*endpoints)});
    if (!deliveries) return deliveries.error();
    services.deliveries = deliveries->get();
    auto listen = api::parse_listen(options.listen.empty() ? shop->settings.listen : options.listen);
    if (!listen) return listen.error();
    govern::KeyRing keys(shop->keys());
    api::ApiServerOptions server_options;
    server_options.listen = *listen;
    server_options.io_threads = options.common.threads;
    server_options.api.write_key = shop->settings.write_key;
    server_options.api.api_key = shop->settings.api_key;
    server_options.api.keys = &keys;
    server_options.api.webhook_secrets = {.shopify = shop->settings.shopify_secret, .woocommerce = shop->settings.woocommerce_secret};
    server_options.api.commit = build_commit();
    server_options.api.currency = currency;
    auto server = api::ApiServer::start(std::move(server_options), std::move(services));
    if (!server) return server.error();

    PERENNIAL_TRY(record_audit(*shop, "serve.start", server->url(), {{"run", answers.get()->run()}, {"keys", !shop->settings.write_key.empty() || !keys.empty()}}));
    const auto url = server->url(), example = example_customer(*store);
    fmt::print("Serving {}. Open in a browser:\n  {}/                                    the report\n", shop->directory.string(), url);
    fmt::print("  {}/v1/recommendations?user_id={}&n=10\n  {}/v1/customers/{}\n  {}/metrics   {}/openapi.json\n", url, example, url, example, url, url);
    fmt::print("Events go to {}/v1/batch and /v1/track. Ctrl-C stops.\n", url);
    std::fflush(stdout);
    pollfd wait{stop->get(), POLLIN, 0};
    while (::poll(&wait, 1, -1) < 0 && errno == EINTR) {}
    log::info("stopping: finishing what was begun");
    server->stop();
    (*uploads)->stop();
    (*deliveries)->stop();
    if (const auto settled = store->settle(); !settled) log::warn("profiles are behind the journal until the next start: {}", settled.error().message);
    PERENNIAL_TRY(record_audit(*shop, "serve.stop", url, {{"events", store->folded().value}}));
    return store->flush();
}

}  // namespace perennial::app
