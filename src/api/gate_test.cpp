#include "api/gate.h"

#include <gtest/gtest.h>

#include <array>
#include <future>
#include <map>
#include <set>

#include "api/routes.h"
#include "base/file.h"

namespace perennial::api {
namespace {

using govern::Role;

struct Shop {
    TempDir dir;
    std::map<Role, std::string> keys;
    govern::KeyRing ring{dir.path() / "keys.json"};
    std::unique_ptr<Api> api;

    Shop() {
        for (std::size_t r = 0; r < govern::kRoles; ++r)
            keys[static_cast<Role>(r)] = govern::create_key(dir.path() / "keys.json", "test", static_cast<Role>(r), {1'780'000'000'000}).value();
        Services services;
        services.append = [](std::vector<event::Event> events) -> Result<profile::Receipt> { return profile::Receipt{events.size(), 0}; };
        services.quarantine = [](std::vector<ingest::Reject>) -> Status { return Done{}; };
        services.recommendations = [](const RecommendationQuery&) -> Result<boost::json::value> { return boost::json::value("answer"); };
        services.customer = [](const CustomerQuery&) -> Result<boost::json::value> { return boost::json::value("answer"); };
        api = std::make_unique<Api>(std::move(services), ApiOptions{.keys = &ring, .local_names_only = false});
    }

    unsigned ask(std::string_view method, std::string path, const std::string& key) {
        if (const auto open = path.find('{'); open != std::string::npos) path = path.substr(0, open) + "x" + path.substr(path.find('}') + 1);
        Request request{.method = std::string(method), .path = path, .query = path == "/v1/recommendations" ? "user_id=1" : path.ends_with("mp/collect") ? "api_secret=" + key : ""};
        if (path == "/v1/projects/x/settings") request.path = "/v1/projects/" + (key.empty() ? "none" : key) + "/settings";
        request.headers.push_back({"Host", "shop.example"});
        if (!key.empty()) request.headers.push_back({"Authorization", "Bearer " + key});
        std::promise<unsigned> status;
        api->handle(std::move(request), Reply([&](Response response) { status.set_value(response.status); }));
        return status.get_future().get();
    }
};

// Who may, written out once more, path by path.
std::set<Role> may(std::string_view path) {
    if (path == "/" || path == "/report.html" || path == "/metrics") return {Role::kViewer, Role::kAnalyst, Role::kOperator, Role::kAdmin};
    if (path == "/v1/recommendations" || path == "/v1/customers/{id}") return {Role::kAnalyst, Role::kOperator, Role::kAdmin};
    if (path.starts_with("/v1/uploads") || path.starts_with("/v1/deliveries")) return {Role::kOperator, Role::kAdmin};
    return {Role::kSource, Role::kOperator, Role::kAdmin};
}

TEST(Gate, every_route_with_every_role_without_a_key_and_with_another_shops) {
    Shop shop, other;
    std::size_t tried = 0;
    for (const auto& line : route_list()) {
        const auto blank = line.find(' ');
        const std::string method = line.substr(0, blank), path = line.substr(blank + 1);
        const bool open = path == "/healthz" || path == "/readyz" || path == "/openapi.json" || path == "/favicon.ico";
        const bool is_signed = path.starts_with("/v1/webhooks/");  // a signature stands for the key
        const bool settings = path == "/v1/projects/{key}/settings";  // 404 for every key that may not send
        const auto passed = [&](unsigned status) { return status != 401 && status != 403 && !(settings && status == 404); };
        for (const auto& key : {std::string(), std::string("pk_wrong"), other.keys[Role::kAdmin]}) {
            const auto status = shop.ask(method, path, key);
            if (open) {
                EXPECT_TRUE(passed(status)) << line;
            } else if (!is_signed) {
                EXPECT_EQ(status, settings ? 404u : 401u) << line << " '" << key << "'";
            }
        }
        if (open || is_signed) continue;
        for (const auto& [role, key] : shop.keys) {
            const auto status = shop.ask(method, path, key);
            EXPECT_EQ(passed(status), may(path).contains(role)) << line << " as " << govern::name(role) << ": " << status;
            if (!passed(status) && !settings) {
                EXPECT_EQ(status, 403u) << line;
            }
            ++tried;
        }
    }
    EXPECT_GT(tried, 100u);
}

TEST(Gate, without_any_key_others_are_refused_where_they_can_reach_the_address) {
    TempDir dir;
    govern::KeyRing none(dir.path() / "keys.json");
    const std::array<std::string, 0> nothing{};
    EXPECT_FALSE(Gate({.ring = &none}).refuses(nothing, Need::kChange)) << "this machine alone";
    EXPECT_EQ(Gate({.ring = &none, .always = true}).refuses(nothing, Need::kChange)->status, 401u) << "the file of keys was taken away";
    ASSERT_TRUE(write_file(dir.path() / "keys.json", "broken").ok());
    govern::KeyRing broken(dir.path() / "keys.json");
    EXPECT_EQ(Gate({.ring = &broken}).refuses(nothing, Need::kReport)->status, 401u) << "a file that cannot be read opens no door";
}

TEST(Gate, the_two_keys_of_the_settings_go_on_beside_the_shops_own) {
    Shop shop;
    const Gate gate({.write_key = "w", .api_key = "r", .ring = &shop.ring});
    const auto refuses = [&](const std::string& key, Need need) { return gate.refuses(std::array{key}, need).has_value(); };
    EXPECT_FALSE(refuses("w", Need::kSend));
    EXPECT_TRUE(refuses("w", Need::kReport));
    EXPECT_TRUE(refuses("r", Need::kSend));
    for (const auto need : {Need::kReport, Need::kPeople, Need::kChange}) EXPECT_FALSE(refuses("r", need));
    EXPECT_FALSE(refuses(shop.keys[Role::kSource], Need::kSend));
    EXPECT_TRUE(refuses(shop.keys[Role::kSource], Need::kReport));
}

}  // namespace
}  // namespace perennial::api
