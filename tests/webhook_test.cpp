// Outgoing webhooks against a real receiver on this machine that fails, hangs, goes away and comes back.
#include <gtest/gtest.h>

#include <boost/json.hpp>
#include <condition_variable>
#include <map>
#include <mutex>
#include <set>

#include "api/http_server.h"
#include "base/file.h"
#include "deliver/deliveries.h"
#include "deliver/standard_webhooks.h"
#include "program.h"
#include "server.h"

namespace perennial::test {
namespace {

using namespace std::chrono_literals;

// Checks every signature, then answers as it is told; remembers how often each message came.
class Receiver {
public:
    using Behave = std::function<void(int number, const std::string& id, const api::Reply& reply)>;

    explicit Receiver(Behave behave, std::uint16_t port = 0) : behave_(std::move(behave)), server_(started(port)) {}
    ~Receiver() { server_.stop(); }

    std::string url() const { return "http://127.0.0.1:" + std::to_string(server_.port()) + "/hook"; }
    std::uint16_t port() const { return server_.port(); }
    const std::string secret() const { return "whsec_" + std::string("MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"); }
    deliver::Endpoint endpoint(std::string name, std::vector<std::string> types = {}) const {
        return {.name = std::move(name), .url = url(), .keys = {*deliver::webhook_key(secret())}, .types = std::move(types)};
    }
    void done(const std::string& id) {
        const std::lock_guard lock(mutex_);
        ++taken_[id];
        changed_.notify_all();
    }
    bool wait_for(std::size_t messages) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, 60s, [&] { return taken_.size() >= messages; });
    }
    std::map<std::string, int> taken() const {
        const std::lock_guard lock(mutex_);
        return taken_;
    }
    int requests() const { return requests_; }
    int unsigned_requests() const { return unsigned_; }

private:
    api::Server started(std::uint16_t port) {
        auto server = api::Server::start({.port = port, .threads = 1, .limits = {.drain = 100ms}}, [this](api::Request request, api::Reply reply) {
            const std::array keys{*deliver::webhook_key(secret())};
            const std::string id(request.header("webhook-id"));
            if (!deliver::verify_webhook(keys, {.id = id, .timestamp = request.header("webhook-timestamp"), .signature = request.header("webhook-signature"), .body = request.body}, wall_clock_now()))
                ++unsigned_;
            behave_(requests_++, id, reply);
        });
        if (!server) throw std::runtime_error(server.error().message);
        return std::move(server).value();
    }

    Behave behave_;
    std::atomic<int> requests_ = 0, unsigned_ = 0;
    mutable std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::string, int> taken_;  // by id, under mutex_
    api::Server server_;
};

deliver::DeliveryOptions quick(std::vector<deliver::Endpoint> endpoints) {
    deliver::DeliveryOptions options;
    options.endpoints = std::move(endpoints);
    options.waits = std::vector<std::chrono::milliseconds>(9, 5ms);
    options.rest_first = 1ms;
    options.rest_limit = 20ms;
    options.timeout = 10s;
    return options;
}

std::unique_ptr<deliver::Deliveries> opened(const TempDir& dir, deliver::DeliveryOptions options) {
    auto all = deliver::Deliveries::open(dir.path() / "outbox", std::move(options));
    if (!all) throw std::runtime_error(all.error().message);
    return std::move(all).value();
}

TEST(Webhooks, arrive_signed_and_under_one_id_although_the_receiver_fails_again_and_again) {
    const TempDir dir;
    std::mutex mutex;
    std::map<std::string, int> seen;
    Receiver* self = nullptr;
    Receiver receiver([&](int number, const std::string& id, const api::Reply& reply) {
        const std::lock_guard lock(mutex);
        const int before = seen[id]++;
        if (before < number % 3) return reply({.status = number % 2 ? 500u : 302u, .headers = {{"Location", "http://127.0.0.1:1/"}}});
        self->done(id);
        reply({.status = 200});
    });
    self = &receiver;
    auto all = opened(dir, quick({receiver.endpoint("crm")}));
    std::set<std::string> sent;
    for (int i = 0; i < 200; ++i) {
        const auto id = all->send("segment.entered", {{"customer", i}});
        ASSERT_TRUE(id.ok()) << id.error().message;
        sent.insert(*id);
    }
    EXPECT_TRUE(receiver.wait_for(200));
    all->stop();
    EXPECT_EQ(receiver.unsigned_requests(), 0);
    EXPECT_GT(receiver.requests(), 200) << "some failed";
    std::set<std::string> arrived;
    for (const auto& [id, count] : receiver.taken()) arrived.insert(id);
    EXPECT_EQ(arrived, sent);
    EXPECT_EQ(all->endpoints().at(0).letters.waiting, 0u);
    EXPECT_TRUE(all->dead(10)->empty());
}

TEST(Webhooks, wait_on_the_disk_while_the_receiver_is_away) {
    const TempDir dir;
    std::uint16_t port = 0;
    { port = Receiver([](int, const std::string&, const api::Reply& reply) { reply({}); }).port(); }
    const deliver::Endpoint endpoint{.name = "crm", .url = "http://127.0.0.1:" + std::to_string(port) + "/hook", .keys = {*deliver::webhook_key("whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw")}, .types = {}};
    auto options = quick({endpoint});
    options.waits.assign(9, 1h);
    {
        auto away = opened(dir, options);
        for (int i = 0; i < 20; ++i) ASSERT_TRUE(away->send("t", {{"n", i}}, "m" + std::to_string(i)).ok());
    }
    {  // Nobody to send to: they are kept all the same.
        auto outbox = deliver::Outbox::open(dir.path() / "outbox");
        ASSERT_TRUE(outbox.ok());
        EXPECT_EQ(outbox->counts("crm").waiting, 20u);
    }
    options.waits.assign(9, 5ms);
    {  // their hour passes
        auto outbox = deliver::Outbox::open(dir.path() / "outbox");
        std::vector<deliver::Letter> letters;
        for (int i = 0; i < 20; ++i) {
            letters.push_back(**outbox->first("crm"));
            ASSERT_TRUE(outbox->remove(letters.back()).ok());
        }
        for (auto& letter : letters) letter.next_try = letter.created;
        ASSERT_TRUE(outbox->put(letters).ok());
    }
    Receiver* self = nullptr;
    Receiver receiver([&](int, const std::string& id, const api::Reply& reply) {
        self->done(id);
        reply({.status = 204});
    }, port);
    self = &receiver;
    auto back = opened(dir, options);
    EXPECT_TRUE(receiver.wait_for(20));
    back->stop();
    EXPECT_EQ(receiver.unsigned_requests(), 0);
}

TEST(Webhooks, are_dead_once_every_try_has_failed_and_can_be_sent_again) {
    const TempDir dir;
    std::atomic<bool> well = false;
    Receiver* self = nullptr;
    Receiver receiver([&](int, const std::string& id, const api::Reply& reply) {
        if (!well) return reply({.status = 500, .body = "no"});
        self->done(id);
        reply({});
    });
    self = &receiver;
    auto options = quick({receiver.endpoint("crm")});
    options.waits.assign(2, 1ms);
    auto all = opened(dir, options);
    const auto id = *all->send("t", {});
    while (all->dead(1)->empty()) std::this_thread::yield();
    const auto dead = all->dead(10)->at(0);
    EXPECT_EQ(dead.id, id);
    EXPECT_EQ(dead.tries, 3u);
    EXPECT_EQ(dead.error, "answered 500: no");
    EXPECT_EQ(receiver.requests(), 3);
    well = true;
    ASSERT_TRUE(all->revive(id).ok());
    EXPECT_TRUE(receiver.wait_for(1));
    EXPECT_EQ(receiver.taken().count(id), 1u);
}

TEST(Webhooks, an_endpoint_that_hangs_or_is_gone_holds_up_no_other) {
    const TempDir dir;
    std::mutex mutex;
    std::vector<api::Reply> held;  // under mutex
    Receiver hanging([&](int, const std::string&, const api::Reply& reply) {
        const std::lock_guard lock(mutex);
        held.push_back(reply);
    });
    Receiver gone([](int, const std::string&, const api::Reply& reply) { reply({.status = 410}); });
    Receiver* self = nullptr;
    Receiver well([&](int, const std::string& id, const api::Reply& reply) {
        self->done(id);
        reply({});
    });
    self = &well;
    auto all = opened(dir, quick({hanging.endpoint("hanging"), gone.endpoint("gone"), well.endpoint("well", {"a.*"})}));
    for (int i = 0; i < 50; ++i) ASSERT_TRUE(all->send(i % 2 ? "a.x" : "b.x", {}).ok());
    EXPECT_TRUE(well.wait_for(25)) << "while the first one still hangs";
    while (all->endpoints().at(1).letters.dead < 50) std::this_thread::yield();
    EXPECT_EQ(gone.requests(), 1) << "410 switches off";
    EXPECT_TRUE(all->endpoints().at(1).off);
    EXPECT_EQ(well.requests(), 25) << "it wanted no others";
    const std::lock_guard lock(mutex);
    for (const auto& reply : held) reply({});
}

TEST(Webhooks, what_a_server_was_told_to_send_is_sent_after_it_was_killed) {
    const TempDir scratch("perennial-webhook");
    const auto shop = scratch.path() / "shop";
    run_well({"init", shop});
    std::uint16_t port = 0;
    { port = Receiver([](int, const std::string&, const api::Reply& reply) { reply({}); }).port(); }
    write_text(shop / "webhooks.toml", "[[endpoint]]\nname = \"crm\"\nurl = \"http://127.0.0.1:" + std::to_string(port) +
                                           "/hook\"\nsecret = \"whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw\"\n");
    std::string id;
    {
        Server server(shop);
        const auto answer = server.post("/v1/deliveries/ping", "");
        ASSERT_EQ(answer.status, 200) << answer.body;
        id = json::parse(answer.body).at("id").as_string();
        server.process().signal(SIGKILL);
        server.process().finish();
    }
    Receiver* self = nullptr;
    Receiver receiver([&](int, const std::string& got, const api::Reply& reply) {
        self->done(got);
        reply({});
    }, port);
    self = &receiver;
    Server server(shop);
    EXPECT_TRUE(receiver.wait_for(1));
    EXPECT_EQ(receiver.taken().count(id), 1u);
    EXPECT_EQ(receiver.unsigned_requests(), 0);
    json::value about;
    for (int i = 0; i < 100; ++i) {
        about = json::parse(server.get("/v1/deliveries").body);
        if (about.at("endpoints").at(0).at("delivered") == 1) break;
        server.process().wait_for_end(Seconds(0.05));
    }
    EXPECT_EQ(about.at("endpoints").at(0).at("waiting"), 0) << about;
    EXPECT_EQ(server.post("/v1/deliveries/nothing/retry", "").status, 404);
}

}  // namespace
}  // namespace perennial::test
