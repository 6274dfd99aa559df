// The doors other than tracking, through Api alone: no socket, a request in and a response out.
#include <gtest/gtest.h>
#include <fmt/format.h>

#include <future>
#include <mutex>
#include <set>

#include "api/routes.h"
#include "base/file.h"
#include "base/signature.h"
#include "ingest/measurement.h"

namespace perennial::api {
namespace {

// Keeps what it is given, once by message id, as a store does.
struct Kept {
    std::mutex mutex;
    std::set<std::string> ids;  // under mutex, as is the next
    std::vector<ingest::Reject> rejects;
    bool broken = false;

    Services services() {
        Services s;
        s.append = [this](std::vector<event::Event> events) -> Result<profile::Receipt> {
            const std::lock_guard lock(mutex);
            if (broken) return Error{Code::kFull, "no space"};
            profile::Receipt receipt;
            for (const auto& event : events) ++(ids.insert(event.message_id).second ? receipt.accepted : receipt.already_known);
            return receipt;
        };
        s.quarantine = [this](std::vector<ingest::Reject> more) -> Status {
            const std::lock_guard lock(mutex);
            std::ranges::move(more, std::back_inserter(rejects));
            return Done{};
        };
        return s;
    }
};

Response ask(Api& api, Request request) {
    std::promise<Response> answer;
    request.headers.push_back({"Host", "localhost"});
    api.handle(std::move(request), Reply([&](Response response) { answer.set_value(std::move(response)); }));
    return answer.get_future().get();
}

ApiOptions with_secrets() {
    ApiOptions options;
    options.write_key = "w";
    options.api_key = "r";
    options.webhook_secrets = {.shopify = "old-secret new-secret", .woocommerce = "woo-secret"};
    return options;
}

std::string golden(const std::string& name) { return read_file(std::filesystem::path(PERENNIAL_SOURCE_DIR) / "src/ingest/testdata" / name).value(); }

Request shopify(std::string body, std::string_view topic, std::string_view secret, std::string id = "b54557e4") {
    auto signature = to_base64(hmac_sha256(secret, body));
    return {.method = "POST", .path = "/v1/webhooks/shopify",
            .headers = {{"X-Shopify-Topic", std::string(topic)}, {"X-Shopify-Hmac-Sha256", signature}, {"X-Shopify-Webhook-Id", id}, {"X-Shopify-Shop-Domain", "example.myshopify.com"}},
            .body = std::move(body)};
}

TEST(ShopifyDoor, takes_what_is_signed_with_any_of_the_secrets_once) {
    Kept kept;
    Api api(kept.services(), with_secrets());
    const auto order = golden("shopify_order.json");
    for (const std::string_view secret : {"new-secret", "old-secret", "new-secret"}) {
        const auto answer = ask(api, shopify(order, "orders/create", secret));
        EXPECT_EQ(answer.status, 200u) << answer.body;
        EXPECT_EQ(answer.body, R"({"success":true})");
    }
    EXPECT_EQ(ask(api, shopify(order, "orders/paid", "new-secret", "another")).status, 200u);
    EXPECT_EQ(kept.ids.size(), 6u);
    const std::string product = R"({"id":1,"title":"Tea","variants":[{"price":"2.00"}]})";
    for (int i = 0; i < 3; ++i) EXPECT_EQ(ask(api, shopify(product, "products/update", "new-secret", "p-1")).status, 200u);
    EXPECT_EQ(ask(api, shopify(product, "products/update", "new-secret", "p-2")).status, 200u);
    EXPECT_EQ(kept.ids.size(), 8u) << "one a delivery id";
}

TEST(ShopifyDoor, refuses_every_other_signature_and_keeps_nothing) {
    Kept kept;
    Api api(kept.services(), with_secrets());
    const auto order = golden("shopify_order.json");
    const auto right = to_base64(hmac_sha256("new-secret", order));
    auto with = [&](std::string signature, std::string body) {
        auto request = shopify(std::move(body), "orders/create", "new-secret");
        request.headers[1].value = std::move(signature);
        return ask(api, std::move(request));
    };
    EXPECT_EQ(ask(api, shopify(order, "orders/create", "wrong")).status, 401u);
    EXPECT_EQ(ask(api, shopify(order, "orders/create", "")).status, 401u);
    EXPECT_EQ(ask(api, shopify(order, "orders/create", "old-secret new-secret")).status, 401u);
    for (const auto& signature : {std::string(), std::string("nonsense!"), right.substr(0, 20), right + right, to_base64(right)}) EXPECT_EQ(with(signature, order).status, 401u) << signature;
    EXPECT_EQ(with(right, order + " ").status, 401u);
    for (std::size_t i = 0; i < right.size() - 1; ++i) {
        auto off = right;
        off[i] = off[i] == 'A' ? 'B' : 'A';
        EXPECT_EQ(with(off, order).status, from_base64(off) == from_base64(right) ? 200u : 401u) << i;
    }
    EXPECT_TRUE(kept.ids.empty() && kept.rejects.empty());
}

TEST(ShopifyDoor, answers_200_for_a_topic_of_no_use_and_keeps_it) {
    Kept kept;
    Api api(kept.services(), with_secrets());
    EXPECT_EQ(ask(api, shopify(R"({"id":1})", "themes/publish", "new-secret")).status, 200u);
    EXPECT_EQ(kept.rejects.size(), 1u);
    EXPECT_EQ(ask(api, shopify("not json", "orders/create", "new-secret")).status, 400u);
    EXPECT_EQ(ask(api, shopify("{}", "", "new-secret")).status, 400u);
    EXPECT_EQ(ask(api, {.method = "GET", .path = "/v1/webhooks/shopify"}).status, 405u);
}

TEST(ShopifyDoor, says_so_when_nothing_could_be_stored_so_that_it_comes_again) {
    Kept kept;
    kept.broken = true;
    Api api(kept.services(), with_secrets());
    EXPECT_EQ(ask(api, shopify(golden("shopify_order.json"), "orders/create", "new-secret")).status, 503u);
}

TEST(Doors, are_shut_without_a_secret) {
    Kept kept;
    Api api(kept.services(), {});
    const auto answer = ask(api, shopify("{}", "orders/create", ""));
    EXPECT_EQ(answer.status, 401u);
    EXPECT_NE(answer.body.find("no_secret"), std::string::npos);
}

TEST(WooCommerceDoor, answers_the_ping_and_takes_signed_orders_once) {
    Kept kept;
    Api api(kept.services(), with_secrets());
    EXPECT_EQ(ask(api, {.method = "POST", .path = "/v1/webhooks/woocommerce", .headers = {{"Content-Type", "application/x-www-form-urlencoded"}}, .body = "webhook_id=12"}).status, 200u);
    EXPECT_TRUE(kept.ids.empty() && kept.rejects.empty());
    const auto order = golden("woo_order.json");
    const auto send = [&](std::string_view secret, std::string delivery) {
        return ask(api, {.method = "POST", .path = "/v1/webhooks/woocommerce",
                         .headers = {{"X-WC-Webhook-Topic", "order.updated"}, {"X-WC-Webhook-Signature", to_base64(hmac_sha256(secret, order))}, {"X-WC-Webhook-Delivery-ID", delivery}},
                         .body = order}).status;
    };
    EXPECT_EQ(send("woo-secret", "a"), 200u);
    EXPECT_EQ(send("woo-secret", "b"), 200u);
    EXPECT_EQ(kept.ids.size(), 5u);
    EXPECT_EQ(send("wrong", "c"), 401u);
    EXPECT_EQ(ask(api, {.method = "POST", .path = "/v1/webhooks/woocommerce", .headers = {{"X-WC-Webhook-Topic", "order.updated"}}, .body = "webhook_id=12"}).status, 401u);
}

TEST(MeasurementDoor, answers_204_and_the_debug_twin_says_what_is_wrong) {
    Kept kept;
    Api api(kept.services(), with_secrets());
    const auto send = [&](std::string path, std::string query, std::string body) { return ask(api, {.method = "POST", .path = std::move(path), .query = std::move(query), .body = std::move(body)}); };
    const std::string good = R"({"client_id":"c","timestamp_micros":1767225600000000,"events":[{"name":"view_item","params":{"items":[{"item_id":"a"}]}}]})";
    for (int i = 0; i < 2; ++i) {
        const auto answer = send("/mp/collect", "measurement_id=G-1&api_secret=w", good);
        EXPECT_EQ(answer.status, 204u);
        EXPECT_EQ(answer.body, "");
    }
    EXPECT_EQ(kept.ids.size(), 1u);
    EXPECT_EQ(send("/mp/collect", "api_secret=x", good).status, 401u);
    EXPECT_EQ(send("/mp/collect", "", good).status, 401u);
    EXPECT_EQ(send("/mp/collect", "api_secret=w", "{").status, 400u);
    EXPECT_EQ(send("/mp/collect", "api_secret=w", std::string(ingest::kMeasurementBytesLimit + 1, ' ')).status, 413u);
    EXPECT_EQ(send("/mp/collect", "api_secret=w", R"({"client_id":"c","events":[{"name":"bad name"},{"name":"login"}]})").status, 204u);
    EXPECT_EQ(kept.ids.size(), 2u);
    EXPECT_EQ(kept.rejects.size(), 1u);
    EXPECT_EQ(send("/debug/mp/collect", "api_secret=w", good).body, R"({"validationMessages":[]})");
    EXPECT_NE(send("/debug/mp/collect", "api_secret=w", R"({"events":[{"name":"bad name"}]})").body.find("NAME_INVALID"), std::string::npos);
    EXPECT_EQ(kept.ids.size(), 2u) << "the twin keeps nothing";
}

}  // namespace
}  // namespace perennial::api
