#include <gtest/gtest.h>
#include <arpa/inet.h>
#include <fmt/format.h>
#include <sys/socket.h>
#include <unistd.h>
#include <zlib.h>

#include <algorithm>
#include <atomic>
#include <boost/json.hpp>
#include <chrono>
#include <condition_variable>
#include <future>
#include <map>
#include <mutex>
#include <set>
#include <thread>

#include "api/api_server.h"
#include "api/body.h"
#include "api/credentials.h"
#include "api/http_server.h"
#include "api/request_reader.h"
#include "base/file.h"
#include "base/rng.h"
#include "base/text.h"
#include "base/time.h"

namespace perennial::api {
namespace {

using namespace std::chrono_literals;

struct Answer {
    int status = 0;  // 0: the server closed the connection without one
    std::map<std::string, std::string> headers;  // by lower-case name
    std::string body;
};

// A blocking client that knows just enough of HTTP, and gives up after ten seconds instead of hanging.
class Client {
public:
    explicit Client(std::uint16_t port) : fd_(::socket(AF_INET, SOCK_STREAM, 0)) {
        const timeval patience{.tv_sec = 10, .tv_usec = 0};
        ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
        ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
        sockaddr_in to{};
        to.sin_family = AF_INET;
        to.sin_port = htons(port);
        to.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
        EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<const sockaddr*>(&to), sizeof to), 0);
    }

    // False when the server has closed the connection.
    bool send(std::string_view bytes) {
        while (!bytes.empty()) {
            const auto sent = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
            if (sent <= 0) return false;
            bytes.remove_prefix(static_cast<std::size_t>(sent));
        }
        return true;
    }

    Answer read(bool without_body = false) {
        Answer answer;
        while (buffer_.find("\r\n\r\n") == std::string::npos)
            if (!receive()) return answer;
        const auto head = buffer_.substr(0, buffer_.find("\r\n\r\n"));
        buffer_.erase(0, head.size() + 4);
        answer.status = std::stoi(head.substr(9, 3));
        for (std::size_t at = head.find("\r\n"); at != std::string::npos;) {
            const auto end = std::min(head.find("\r\n", at + 2), head.size());
            const auto line = head.substr(at + 2, end - at - 2);
            const auto colon = line.find(':');
            answer.headers[lower(line.substr(0, colon))] = std::string(trim(line.substr(colon + 1)));
            at = end == head.size() ? std::string::npos : end;
        }
        const auto found = answer.headers.find("content-length");
        const std::size_t length = found == answer.headers.end() || without_body ? 0 : std::stoul(found->second);
        while (buffer_.size() < length)
            if (!receive()) return {};
        answer.body = buffer_.substr(0, length);
        buffer_.erase(0, length);
        return answer;
    }

    bool server_closed() { return buffer_.empty() && !receive(); }
    void finish_sending() { ::shutdown(fd_.get(), SHUT_WR); }

private:
    bool receive() {
        char bytes[65536];
        const auto count = ::recv(fd_.get(), bytes, sizeof bytes, 0);
        if (count <= 0) return false;
        buffer_.append(bytes, static_cast<std::size_t>(count));
        return true;
    }

    Fd fd_;
    std::string buffer_;
};

std::string request(std::string_view method, std::string_view target, std::string_view body = {}, std::string_view headers = {}) {
    return fmt::format("{} {} HTTP/1.1\r\nHost: localhost\r\n{}Content-Length: {}\r\n\r\n{}", method, target, headers, body.size(), body);
}

std::string track(std::string_view id, std::string_view user = "u1") {
    return fmt::format(R"({{"type":"track","event":"Product Viewed","messageId":"{}","userId":"{}","properties":{{"product_id":"p1"}}}})", id, user);
}

std::string gzip(std::string_view text) {
    z_stream stream{};
    EXPECT_EQ(deflateInit2(&stream, 6, Z_DEFLATED, 16 + MAX_WBITS, 8, Z_DEFAULT_STRATEGY), Z_OK);
    std::string out(deflateBound(&stream, text.size()) + 64, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    EXPECT_EQ(deflate(&stream, Z_FINISH), Z_STREAM_END);
    out.resize(stream.total_out);
    deflateEnd(&stream);
    return out;
}

// Holds the writer until it is opened.
class Gate {
public:
    void open() {
        const std::lock_guard lock(mutex_);
        open_ = true;
        changed_.notify_all();
    }
    void pass() {
        std::unique_lock lock(mutex_);
        ++arrived_;
        changed_.notify_all();
        changed_.wait(lock, [&] { return open_; });
    }
    void wait_for_arrival() {
        std::unique_lock lock(mutex_);
        changed_.wait(lock, [&] { return arrived_ > 0; });
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    bool open_ = false;
    int arrived_ = 0;
};

// A real store behind a real server.
struct Shop {
    TempDir dir;
    profile::Store store;
    std::mutex mutex;
    std::vector<ingest::Reject> rejects;  // under mutex
    std::atomic<bool> disk_full = false, quarantine_full = false, ready = true;
    std::string html = "<h1>report</h1>";
    std::optional<ApiServer> server;

    explicit Shop(ApiServerOptions options = {}) : store(opened(dir)) {
        options.listen.port = 0;
        auto started = ApiServer::start(std::move(options), services());
        EXPECT_TRUE(started.ok()) << (started.ok() ? "" : started.error().message);
        server.emplace(std::move(started).value());
    }

    static profile::Store opened(const TempDir& dir) {
        auto store = profile::Store::open(dir.path());
        EXPECT_TRUE(store.ok());
        return std::move(store).value();
    }

    Services services() {
        return {.recommendations = [](const RecommendationQuery& query) -> Result<boost::json::value> {
                    if (query.key() == "u:nobody") return Error{Code::kNotFound, "customer: no such one"};
                    if (query.key() == "u:broken") return Error{Code::kIo, "secret path"};
                    if (query.key() == "u:untrained") return Error{Code::kUnsupported, "no model"};
                    if (query.key() == "u:throws") throw std::runtime_error("secret");
                    if (query.reasons != decide::Reasons::kShort) return boost::json::value{{"key", query.key()}, {"reasons", decide::kReasonsNames[static_cast<std::size_t>(query.reasons)]}};
                    return boost::json::value{{"key", query.key()}, {"n", query.count}};
                },
                .customer = [this](const CustomerQuery& query) -> Result<boost::json::value> {
                    const auto timeline = store.timeline(query.key());
                    if (!timeline || timeline.value().empty()) return Error{Code::kNotFound, "customer: no such one"};
                    return boost::json::value{{"key", query.key()}, {"events", timeline.value().size()}};
                },
                .report_html = [this] { return html; },
                .append = [this](std::vector<event::Event> events) -> Result<profile::Receipt> {
                    if (disk_full) return Error{Code::kFull, "write journal: No space left on device"};
                    return store.append(std::move(events));
                },
                .quarantine = [this](std::vector<ingest::Reject> more) -> Status {
                    if (quarantine_full) return Error{Code::kFull, "write quarantine: No space left on device"};
                    const std::lock_guard lock(mutex);
                    std::ranges::move(more, std::back_inserter(rejects));
                    return Done{};
                },
                .ready = [this] { return ready.load(); }};
    }

    Client client() const { return Client(server->port()); }
    Answer ask(std::string_view bytes) const {
        auto one = client();
        one.send(bytes);
        return one.read();
    }
    Answer get(std::string_view target, std::string_view headers = {}) const { return ask(request("GET", target, {}, headers)); }
    Answer post(std::string_view target, std::string_view body, std::string_view headers = {}) const { return ask(request("POST", target, body, headers)); }
    std::size_t events_of(std::string_view key) const { return store.timeline(std::string(key)).value().size(); }
};

std::string upper(std::string text) {
    for (char& c : text) c = static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
    return text;
}

std::string code_of(const Answer& answer) {
    boost::system::error_code error;
    const auto body = boost::json::parse(answer.body, error);
    if (error || !body.is_object() || !body.as_object().contains("code")) return "(no code in '" + answer.body + "')";
    EXPECT_FALSE(body.at("message").as_string().empty());
    return std::string(body.at("code").as_string());
}

TEST(Contract, answers_every_path_as_its_page_says) {
    const Shop shop;
    const std::string identify = R"({"messageId":"i1","userId":"u1","traits":{"email":"a@b.c"},"anonymousId":null})";
    const std::string batch = R"({"batch":[)" + track("b1") + "," + track("b2") + R"(],"sentAt":"2024-01-01T00:00:00.000Z"})";
    struct Case { std::string method, target, body; int status; std::string want; };  // want: the body, or an error's code
    const std::vector<Case> cases{
        {"POST", "/v1/track", track("t1"), 200, R"({"success":true})"},
        {"POST", "/v1/t", track("t2"), 200, R"({"success":true})"},
        {"POST", "/v1/t?source=web", track("t3"), 200, R"({"success":true})"},
        {"POST", "/v1/identify", identify, 200, R"({"success":true})"},
        {"POST", "/v1/i", identify, 200, R"({"success":true})"},
        {"POST", "/v1/page", R"({"userId":"u1","name":"Home"})", 200, R"({"success":true})"},
        {"POST", "/v1/p", R"({"anonymousId":"a1","name":"Home"})", 200, R"({"success":true})"},
        {"POST", "/v1/screen", R"({"userId":"u1","name":"Home"})", 200, R"({"success":true})"},
        {"POST", "/v1/s", R"({"userId":"u1","name":"Cart"})", 200, R"({"success":true})"},
        {"POST", "/v1/group", R"({"userId":"u1","groupId":"g"})", 200, R"({"success":true})"},
        {"POST", "/v1/g", R"({"userId":"u1","groupId":"h"})", 200, R"({"success":true})"},
        {"POST", "/v1/alias", R"({"userId":"u2","previousId":"u1"})", 200, R"({"success":true})"},
        {"POST", "/v1/a", R"({"userId":"u2","previousId":"a1"})", 200, R"({"success":true})"},
        {"POST", "/v1/batch", batch, 200, R"({"success":true})"},
        {"POST", "/v1/b", batch, 200, R"({"success":true})"},
        {"POST", "/v1/import", batch, 200, R"({"success":true})"},
        {"POST", "/v1/batch", R"({"batch":[]})", 200, R"({"success":true})"},
        {"POST", "/v1/track", R"({"event":"nobody"})", 200, R"({"success":true})"},           // to the quarantine
        {"POST", "/v1/batch", R"({"batch":[1,{"type":"odd"}]})", 200, R"({"success":true})"},  // both to the quarantine
        {"POST", "/v1/track", "", 400, "invalid_json"},
        {"POST", "/v1/track", "{\"a\":", 400, "invalid_json"},
        {"POST", "/v1/track", "[]", 400, "invalid_json"},
        {"POST", "/v1/batch", "{}", 400, "invalid_json"},
        {"GET", "/v1/track", "", 405, "wrong_method"},
        {"PUT", "/v1/batch", batch, 405, "wrong_method"},
        {"POST", "/v1/recommendations?user_id=1", "", 405, "wrong_method"},
        {"DELETE", "/", "", 405, "wrong_method"},
        {"BREW", "/healthz", "", 405, "wrong_method"},
        {"POST", "/v1/nothing", "{}", 404, "not_found"},
        {"GET", "/v1/tracks", "", 404, "not_found"},
        {"GET", "/v1/customers/", "", 404, "not_found"},
        {"GET", "/v1/customers/a/b", "", 404, "not_found"},
        {"GET", "/../etc/passwd", "", 404, "not_found"},
        {"GET", "/v1/recommendations?user_id=7", "", 200, R"({"key":"u:7","n":10})"},
        {"GET", "/v1/recommendations?anonymous_id=x%20y&n=100", "", 200, R"({"key":"a:x y","n":100})"},
        {"GET", "/v1/recommendations?anonymous_id=x&user_id=7&n=1", "", 200, R"({"key":"u:7","n":1})"},
        {"GET", "/v1/recommendations", "", 400, "invalid"},
        {"GET", "/v1/recommendations?user_id=7&reasons=short", "", 200, R"({"key":"u:7","n":10})"},
        {"GET", "/v1/recommendations?user_id=7&reasons=full", "", 200, R"({"key":"u:7","reasons":"full"})"},
        {"GET", "/v1/recommendations?user_id=7&reasons=none", "", 200, R"({"key":"u:7","reasons":"none"})"},
        {"GET", "/v1/recommendations?user_id=7&reasons=long", "", 400, "invalid"},
        {"GET", "/v1/recommendations?user_id=", "", 400, "invalid"},
        {"GET", "/v1/recommendations?user_id=7&n=0", "", 400, "invalid"},
        {"GET", "/v1/recommendations?user_id=7&n=101", "", 400, "invalid"},
        {"GET", "/v1/recommendations?user_id=7&n=1.5", "", 400, "invalid"},
        {"GET", "/v1/recommendations?user_id=7&n=-1", "", 400, "invalid"},
        {"GET", "/v1/recommendations?user_id=%zz", "", 400, "invalid"},
        {"GET", "/v1/recommendations?user_id=%ff", "", 400, "invalid"},
        {"GET", "/v1/recommendations?user_id=" + std::string(257, 'x'), "", 400, "invalid"},
        {"GET", "/v1/recommendations?user_id=nobody", "", 404, "not_found"},
        {"GET", "/v1/recommendations?user_id=untrained", "", 501, "unsupported"},
        {"GET", "/v1/recommendations?user_id=broken", "", 500, "internal"},
        {"GET", "/v1/recommendations?user_id=throws", "", 500, "internal"},
        {"GET", "/v1/customers/nobody", "", 404, "not_found"},
        {"GET", "/v1/customers/u%zz", "", 400, "invalid"},
        {"GET", "/v1/customers/u1?anonymous=yes", "", 400, "invalid"},
        {"GET", "/v1/customers/u1?horizon_days=0", "", 400, "invalid"},
        {"GET", "/v1/customers/u1?horizon_days=731", "", 400, "invalid"},
        {"GET", "/v1/customers/u1?horizon_days=soon", "", 400, "invalid"},
        {"GET", "/", "", 200, "<h1>report</h1>"},
        {"GET", "/report.html", "", 200, "<h1>report</h1>"},
        {"GET", "/healthz", "", 200, R"({"status":"alive"})"},
        {"GET", "http://localhost/healthz", "", 200, R"({"status":"alive"})"},
        {"GET", "/readyz", "", 200, R"({"status":"ready"})"},
        {"GET", "/favicon.ico", "", 204, ""},
        {"GET", "/v1/projects/any%20key/settings", "", 200, R"({"integrations":{"Segment.io":{"apiKey":"any key","apiHost":"localhost/v1","protocol":"http"}},"metrics":{"sampleRate":0}})"},
        {"GET", "/v1/projects//settings", "", 404, "not_found"},
        {"GET", "/v1/projects/a/b/settings", "", 404, "not_found"},
        {"GET", "/v1/projects/a%zz/settings", "", 400, "invalid"},
        {"POST", "/v1/projects/a/settings", "{}", 405, "wrong_method"},
    };
    for (const auto& [method, target, body, status, want] : cases) {
        const auto answer = shop.ask(request(method, target, body));
        EXPECT_EQ(answer.status, status) << method << ' ' << target << ' ' << body << " -> " << answer.body;
        EXPECT_EQ(status < 400 ? answer.body : code_of(answer), want) << method << ' ' << target << ' ' << body;
        EXPECT_EQ(answer.body.find("secret"), std::string::npos);
        EXPECT_EQ(answer.headers.contains("allow"), status == 405) << target;
    }
}

TEST(Contract, takes_any_content_type_and_keys_in_any_place_when_there_are_no_keys) {
    const Shop shop;
    for (const std::string_view headers : {"Content-Type: text/plain\r\n", "Content-Type: application/x-www-form-urlencoded\r\n", "Content-Type: \r\n",
                                           "Authorization: Basic a2V5Og==\r\n", "Authorization: Bearer x\r\n", "X-API-Key: x\r\n", "X-Retry-Count: 3\r\n"})
        EXPECT_EQ(shop.post("/v1/track", track("m"), headers).body, R"({"success":true})") << headers;
    EXPECT_EQ(shop.events_of("u:u1"), 1u);
}

TEST(Contract, keeps_a_bad_event_of_a_batch_and_takes_the_good_ones) {
    Shop shop;
    EXPECT_EQ(shop.post("/v1/batch", R"({"batch":[{"type":"track","event":"x","messageId":"bad"},)" + track("good") + "]}").status, 200);
    EXPECT_EQ(shop.events_of("u:u1"), 1u);
    ASSERT_EQ(shop.rejects.size(), 1u);
    EXPECT_NE(shop.rejects[0].raw.find("\"bad\""), std::string::npos);
    EXPECT_FALSE(shop.rejects[0].reason.empty());
}

TEST(Contract, decodes_the_id_of_a_customer) {
    const Shop shop;
    shop.post("/v1/track", track("m1", "a/b +c"));
    shop.post("/v1/track", R"({"event":"x","anonymousId":"d","messageId":"m2"})");
    EXPECT_EQ(shop.get("/v1/customers/a%2Fb%20+c").body, R"({"key":"u:a/b +c","events":1})");
    EXPECT_EQ(shop.get("/v1/customers/d?anonymous=1").body, R"({"key":"a:d","events":1})");
    EXPECT_EQ(shop.get("/v1/customers/d").status, 404);
}

TEST(Contract, says_when_it_is_not_ready_and_when_there_is_no_report) {
    Shop shop;
    shop.ready = false;
    shop.html.clear();
    EXPECT_EQ(shop.get("/readyz").status, 503);
    EXPECT_EQ(shop.get("/healthz").status, 200);
    EXPECT_EQ(code_of(shop.get("/")), "no_report");
}

TEST(Contract, answers_head_like_get_without_the_body) {
    const Shop shop;
    auto client = shop.client();
    client.send(request("HEAD", "/report.html") + request("GET", "/healthz"));
    const auto head = client.read(true);
    EXPECT_EQ(head.status, 200);
    EXPECT_EQ(head.headers.at("content-length"), "15");
    EXPECT_EQ(client.read().body, R"({"status":"alive"})");
}

TEST(Contract, answers_a_browsers_preflight_on_tracking_paths_only) {
    const Shop shop;
    const auto answer = shop.ask(request("OPTIONS", "/v1/t", {}, "Origin: http://localhost:3000\r\nAccess-Control-Request-Method: POST\r\n"));
    EXPECT_EQ(answer.status, 204);
    EXPECT_EQ(answer.headers.at("access-control-allow-origin"), "*");
    for (const std::string_view name : {"authorization", "content-type", "x-retry-count", "x-api-key"})
        EXPECT_NE(answer.headers.at("access-control-allow-headers").find(name), std::string::npos);
    EXPECT_EQ(shop.post("/v1/t", "{", "Origin: http://localhost:3000\r\n").headers.at("access-control-allow-origin"), "*");
    const auto read = shop.ask(request("OPTIONS", "/v1/recommendations"));
    EXPECT_EQ(read.status, 405);
    EXPECT_FALSE(read.headers.contains("access-control-allow-origin"));
}

TEST(Contract, tells_the_browser_library_to_send_to_the_address_it_asked) {
    ApiServerOptions options;
    options.api.write_key = "w";
    options.api.api_key = "r";
    const Shop shop(std::move(options));
    auto client = shop.client();
    client.send("GET /v1/projects/w/settings HTTP/1.1\r\nHost: events.example.org\r\nX-Forwarded-Proto: https\r\nOrigin: https://shop.example.org\r\n\r\n");
    const auto answer = client.read();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.headers.at("access-control-allow-origin"), "*");
    const auto settings = boost::json::parse(answer.body);
    EXPECT_EQ(settings.at("integrations").at("Segment.io").at("apiHost"), "events.example.org/v1");
    EXPECT_EQ(settings.at("integrations").at("Segment.io").at("protocol"), "https");
    EXPECT_EQ(shop.get("/v1/projects/wrong/settings").status, 404);
}

TEST(Contract, describes_exactly_the_routes_there_are) {
    const auto document = boost::json::parse(openapi_json());
    EXPECT_EQ(document.at("openapi").as_string(), "3.1.0");
    EXPECT_EQ(document.at("info").at("version").as_string().find('@'), std::string::npos);
    std::set<std::string> described;
    for (const auto& path : document.at("paths").as_object())
        for (const auto& method : path.value().as_object()) described.insert(fmt::format("{} {}", upper(method.key()), std::string(path.key())));
    const auto routes = route_list();
    EXPECT_EQ(described, std::set<std::string>(routes.begin(), routes.end()));
    EXPECT_EQ(Shop().get("/openapi.json").body, openapi_json());
}

TEST(Contract, counts_requests_events_and_refusals) {
    const Shop shop;
    shop.post("/v1/batch", R"({"batch":[)" + track("m1") + "," + track("m1") + R"(,{"type":"odd"}]})");
    shop.get("/nowhere");
    shop.ask("NONSENSE\r\n\r\n");
    const auto answer = shop.get("/metrics");
    EXPECT_EQ(answer.headers.at("content-type"), "text/plain; version=0.0.4; charset=utf-8");
    for (const std::string_view line : {"perennial_http_requests_total{code=\"200\",route=\"/v1/batch\"} 1\n", "perennial_events_accepted_total 1\n",
                                        "perennial_events_duplicate_total 1\n", "perennial_events_rejected_total 1\n", "perennial_intake_queue 0\n",
                                        "perennial_intake_full_total 0\n", "perennial_http_request_seconds_count{route=\"/v1/batch\"} 1\n",
                                        "perennial_http_requests_total{code=\"404\",route=\"none\"} 1\n",
                                        "perennial_http_requests_total{code=\"400\",route=\"none\"} 1\n", "perennial_build_info{"})
        EXPECT_NE(answer.body.find(line), std::string::npos) << line << answer.body;
}

TEST(Connection, answers_pipelined_requests_in_their_order) {
    const Shop shop;
    auto client = shop.client();
    std::string bytes;
    for (int i = 0; i < 50; ++i)
        bytes += request("POST", "/v1/track", track(fmt::format("m{}", i))) + request("GET", fmt::format("/v1/recommendations?user_id={}", i)) + request("GET", "/healthz");
    client.send(bytes);
    for (int i = 0; i < 50; ++i) {
        ASSERT_EQ(client.read().body, R"({"success":true})");
        ASSERT_EQ(client.read().body, fmt::format(R"({{"key":"u:{}","n":10}})", i));
        ASSERT_EQ(client.read().body, R"({"status":"alive"})");
    }
    EXPECT_EQ(shop.events_of("u:u1"), 50u);
}

TEST(Connection, keeps_or_closes_as_the_client_asks) {
    const Shop shop;
    auto client = shop.client();
    for (int i = 0; i < 3; ++i) {
        client.send(request("GET", "/healthz"));
        ASSERT_EQ(client.read().headers.at("connection"), "keep-alive");
    }
    client.send(request("GET", "/healthz", {}, "Connection: close\r\n"));
    EXPECT_EQ(client.read().headers.at("connection"), "close");
    EXPECT_TRUE(client.server_closed());
    auto old = shop.client();
    old.send("GET /healthz HTTP/1.0\r\n\r\n");
    EXPECT_EQ(old.read().status, 200);
    EXPECT_TRUE(old.server_closed());
}

TEST(Connection, answers_a_client_that_has_finished_sending) {
    const Shop shop;
    auto client = shop.client();
    client.send(request("POST", "/v1/track", track("m1")));
    client.finish_sending();
    EXPECT_EQ(client.read().status, 200);
    EXPECT_TRUE(client.server_closed());
}

TEST(Connection, reads_chunked_bodies_cut_at_any_byte) {
    const Shop shop;
    auto client = shop.client();
    const auto body = track("m1");
    const std::string head = "POST /v1/track HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n";
    const auto bytes = head + fmt::format("5\r\n{}\r\n{:x};ext=1\r\n{}\r\n0\r\nTrailer: x\r\n\r\n", body.substr(0, 5), body.size() - 5, body.substr(5));
    for (const char byte : bytes) ASSERT_TRUE(client.send({&byte, 1}));
    EXPECT_EQ(client.read().body, R"({"success":true})");
    for (std::size_t cut = 0; cut < bytes.size(); cut += 7) {
        client.send(bytes.substr(0, cut));
        client.send(bytes.substr(cut));
        ASSERT_EQ(client.read().status, 200) << cut;
    }
    EXPECT_EQ(shop.events_of("u:u1"), 1u);
}

TEST(Connection, tells_a_waiting_client_to_continue_unless_the_body_is_too_large) {
    const Shop shop;
    auto client = shop.client();
    const auto body = track("m1");
    client.send(fmt::format("POST /v1/track HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: {}\r\n\r\n", body.size()));
    EXPECT_EQ(client.read().status, 100);
    client.send(body);
    EXPECT_EQ(client.read().status, 200);
    client.send("POST /v1/track HTTP/1.1\r\nHost: localhost\r\nExpect: 100-continue\r\nContent-Length: 99999999\r\n\r\n");
    EXPECT_EQ(client.read().status, 413);
}

TEST(Connection, refuses_what_is_too_large_and_lets_the_client_read_why) {
    const Shop shop;
    const std::string large(2'000'000, 'x');
    EXPECT_EQ(code_of(shop.post("/v1/batch", large)), "body_too_large");
    EXPECT_EQ(shop.post("/v1/batch", large).status, 413);
    auto chunked = shop.client();
    chunked.send("POST /v1/batch HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n");
    chunked.send(fmt::format("{:x}\r\n{}\r\n0\r\n\r\n", large.size(), large));
    EXPECT_EQ(chunked.read().status, 413);
    EXPECT_EQ(shop.get("/healthz", "X-Long: " + std::string(20'000, 'x') + "\r\n").status, 431);
    EXPECT_EQ(shop.get("/" + std::string(20'000, 'x')).status, 431);
    auto endless = shop.client();
    endless.send("POST /v1/batch HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;" + std::string(30'000, 'x'));
    EXPECT_GE(endless.read().status, 400);
    EXPECT_EQ(shop.get("/healthz").status, 200);
    const std::string most = R"({"batch":[],"pad":")" + std::string(500 * 1024 - 21, ' ') + "\"}";
    ASSERT_EQ(most.size(), 500u * 1024);
    EXPECT_EQ(shop.post("/v1/batch", most).status, 200);
    EXPECT_EQ(shop.post("/v1/batch", most + " ").status, 413);
}

TEST(Connection, refuses_garbage_and_requests_that_proxies_read_differently) {
    const Shop shop;
    for (const std::string_view bytes : {
             "\x16\x03\x01\x02\x01\x01\xfc\r\n\r\n", "GET\r\n\r\n", "GET / HTTP/9.9\r\n\r\n", "GET /healthz HTTP/1.1\r\n\r\n",  // without Host
             "GET /healthz HTTP/1.1\r\nHost: a\r\nHost: b\r\n\r\n", "GET /healthz HTTP/1.1\r\nHost : localhost\r\n\r\n",
             "POST /v1/t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n{}",
             "POST /v1/t HTTP/1.1\r\nHost: localhost\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
             "POST /v1/t HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
             "POST /v1/t HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: identity\r\nContent-Length: 2\r\n\r\n{}",
             "POST /v1/t HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n\r\n", "POST /v1/t HTTP/1.1\r\nHost: localhost\r\nContent-Length: -1\r\n\r\n"}) {
        auto client = shop.client();
        client.send(bytes);
        const auto answer = client.read();
        EXPECT_EQ(answer.status, 400) << bytes;
        EXPECT_EQ(code_of(answer), "bad_request") << bytes;
        client.finish_sending();
        EXPECT_TRUE(client.server_closed()) << bytes;
    }
    Rng rng(7);
    for (int round = 0; round < 200; ++round) {
        std::string noise(rng.below(300), '\0');
        for (char& byte : noise) byte = static_cast<char>(rng.below(256));
        auto client = shop.client();
        client.send(noise);
        client.finish_sending();
        const int status = client.read().status;
        EXPECT_TRUE(status == 0 || status == 400) << status;
    }
    EXPECT_EQ(shop.get("/healthz").status, 200);
}

TEST(Connection, gives_up_on_slow_and_idle_clients) {
    ApiServerOptions options;
    options.limits.request = 100ms;
    options.limits.idle = 200ms;
    const Shop shop(options);
    auto slow = shop.client();
    slow.send("POST /v1/track HTTP/1.1\r\nHost: localhost\r\nContent-Le");
    const auto answer = slow.read();
    EXPECT_EQ(answer.status, 408);
    EXPECT_EQ(code_of(answer), "too_slow");
    auto idle = shop.client();
    idle.send(request("GET", "/healthz"));
    EXPECT_EQ(idle.read().status, 200);
    EXPECT_TRUE(idle.server_closed());
    EXPECT_TRUE(shop.client().server_closed());
}

TEST(Connection, refuses_one_connection_too_many) {
    ApiServerOptions options;
    options.limits.connections = 2;
    const Shop shop(options);
    auto first = shop.client(), second = shop.client();
    for (auto* client : {&first, &second}) {
        client->send(request("GET", "/healthz"));
        ASSERT_EQ(client->read().status, 200);
    }
    const auto refused = shop.client().read();
    EXPECT_EQ(refused.status, 503);
    EXPECT_EQ(code_of(refused), "too_many_connections");
    first.send(request("GET", "/healthz"));
    EXPECT_EQ(first.read().status, 200);
}

TEST(Body, unpacks_gzip_within_its_limit) {
    const Shop shop;
    const auto packed = gzip(track("m1"));
    EXPECT_EQ(shop.post("/v1/track", packed, "Content-Encoding: gzip\r\nContent-Type: application/x-www-form-urlencoded\r\n").status, 200);
    EXPECT_EQ(shop.post("/v1/track", packed).status, 200);  // known by its first bytes
    EXPECT_EQ(shop.events_of("u:u1"), 1u);
    EXPECT_EQ(code_of(shop.post("/v1/track", gzip(std::string(10'000'000, ' ')), "Content-Encoding: gzip\r\n")), "body_too_large");
    EXPECT_EQ(code_of(shop.post("/v1/track", track("m"), "Content-Encoding: gzip\r\n")), "invalid_gzip");
    EXPECT_EQ(code_of(shop.post("/v1/track", track("m"), "Content-Encoding: br\r\n")), "unsupported_encoding");
}

TEST(Body, refuses_gzip_cut_at_any_byte_and_reads_members_end_to_end) {
    const std::string text(100'000, 'a');
    const auto packed = gzip(text);
    for (std::size_t cut = 0; cut < packed.size(); ++cut) ASSERT_FALSE(unpacked_body(packed.substr(0, cut), "gzip", 500'000).ok()) << cut;
    EXPECT_EQ(unpacked_body(packed + packed, "gzip", 500'000).value(), text + text);
    EXPECT_EQ(unpacked_body(packed, "gzip", 100'000).value(), text);
    EXPECT_EQ(unpacked_body(packed, "gzip", 99'999).error().code, Code::kFull);
}

TEST(Intake, takes_each_event_once_from_fifty_clients_that_send_it_again_and_again) {
    const Shop shop;
    constexpr int kClients = 50, kEvents = 40;
    std::vector<std::jthread> threads;
    std::atomic<int> acknowledged = 0;
    for (int who = 0; who < kClients; ++who)
        threads.emplace_back([&, who] {
            auto client = shop.client();
            for (int i = 0; i < kEvents; ++i) {  // every client sends the same events, each from another one on
                client.send(request("POST", "/v1/track", track(fmt::format("m{}", (i + who) % kEvents), "crowd")));
                if (client.read().status == 200) ++acknowledged;
            }
        });
    threads.clear();
    EXPECT_EQ(acknowledged, kClients * kEvents);
    std::set<std::string> ids;
    const auto timeline = shop.store.timeline("u:crowd");
    for (const auto& event : timeline.value()) EXPECT_TRUE(ids.insert(event.message_id).second);
    EXPECT_EQ(ids.size(), std::size_t{kEvents});
}

TEST(Intake, has_stored_an_event_when_it_acknowledges_it) {
    const Shop shop;
    auto client = shop.client();
    for (std::size_t i = 1; i <= 50; ++i) {
        client.send(request("POST", "/v1/track", track(fmt::format("m{}", i))));
        ASSERT_EQ(client.read().status, 200);
        ASSERT_EQ(shop.events_of("u:u1"), i);
        ASSERT_EQ(shop.get("/v1/customers/u1").body, fmt::format(R"({{"key":"u:u1","events":{}}})", i));
    }
}

TEST(Intake, acknowledges_nothing_that_could_not_be_stored_and_goes_on_reading) {
    Shop shop;
    shop.disk_full = true;
    const auto refused = shop.post("/v1/track", track("m1"));
    EXPECT_EQ(refused.status, 503);
    EXPECT_EQ(code_of(refused), "not_stored");
    EXPECT_TRUE(refused.headers.contains("retry-after"));
    EXPECT_EQ(refused.body.find("journal"), std::string::npos);
    EXPECT_EQ(shop.get("/v1/recommendations?user_id=7").status, 200);
    EXPECT_EQ(shop.events_of("u:u1"), 0u);
    shop.disk_full = false;
    EXPECT_EQ(shop.post("/v1/track", track("m1")).status, 200);
    EXPECT_EQ(shop.events_of("u:u1"), 1u);
    shop.quarantine_full = true;
    EXPECT_EQ(shop.post("/v1/track", "{}").status, 503);
    EXPECT_NE(shop.get("/metrics").body.find("perennial_intake_failed_total 2\n"), std::string::npos);
}

struct HeldIntake {  // an intake whose writer stands at a gate
    Gate gate;
    Metrics metrics{{}, "test"};
    std::atomic<int> appends = 0;
    std::atomic<std::size_t> done = 0, failed = 0;
    Intake intake;

    explicit HeldIntake(const IntakeOptions& options)
        : intake(options,
                 [this](std::vector<event::Event> events) -> Result<profile::Receipt> {
                     ++appends;
                     gate.pass();
                     return profile::Receipt{.accepted = events.size(), .already_known = 0};
                 },
                 [](std::vector<ingest::Reject>) -> Status { return Done{}; }, metrics) {}

    Intake::Answer submit(std::size_t events = 1, std::size_t bytes = 10) {
        return intake.submit({.events = std::vector<event::Event>(events), .rejects = {}, .body_bytes = bytes, .done = [this](const Status& status) {
                                  ++(status ? done : failed);
                              }});
    }
};

TEST(Intake, stores_all_that_waited_in_one_append) {
    HeldIntake held({});
    held.submit();
    held.gate.wait_for_arrival();
    for (int i = 0; i < 1000; ++i) ASSERT_EQ(held.submit(), Intake::Answer::kTaken);
    held.gate.open();
    held.intake.stop();
    EXPECT_EQ(held.appends, 2);
    EXPECT_EQ(held.done, 1001u);
    EXPECT_EQ(held.submit(), Intake::Answer::kClosed);
}

TEST(Intake, is_full_by_requests_and_by_bytes_and_ends_groups_by_events) {
    HeldIntake held({.queue_requests_limit = 4, .queue_bytes_limit = 1000, .group_events_limit = 10});
    held.submit();
    held.gate.wait_for_arrival();
    EXPECT_EQ(held.submit(10, 900), Intake::Answer::kTaken);
    EXPECT_EQ(held.submit(1, 101), Intake::Answer::kFull);
    EXPECT_EQ(held.submit(1, 100), Intake::Answer::kTaken);
    EXPECT_EQ(held.submit(1, 0), Intake::Answer::kTaken);
    EXPECT_EQ(held.submit(1, 0), Intake::Answer::kTaken);
    EXPECT_EQ(held.submit(1, 0), Intake::Answer::kFull);
    held.gate.open();
    held.intake.stop();
    EXPECT_EQ(held.appends, 3);
    EXPECT_EQ(held.done, 5u);
}

// A server whose events are stored only when the test says so.
struct HeldServer {
    Gate gate;
    std::optional<ApiServer> server;

    explicit HeldServer(ApiServerOptions options) {
        options.listen.port = 0;
        auto started = ApiServer::start(std::move(options),
                                        {.recommendations = {}, .customer = {}, .report_html = {},
                                         .append = [this](std::vector<event::Event> events) -> Result<profile::Receipt> {
                                             gate.pass();
                                             return profile::Receipt{.accepted = events.size(), .already_known = 0};
                                         },
                                         .quarantine = [](std::vector<ingest::Reject>) -> Status { return Done{}; }, .ready = {}});
        EXPECT_TRUE(started.ok());
        server.emplace(std::move(started).value());
    }
    ~HeldServer() { gate.open(); }
};

TEST(Intake, lets_many_requests_wait_without_a_thread_each_and_says_when_too_many_do) {
    ApiServerOptions options;
    options.io_threads = 1;
    options.api.intake.queue_requests_limit = 200;
    HeldServer held(options);
    const auto port = held.server->port();
    std::vector<Client> clients;
    const auto send_one = [&](int id) {
        clients.emplace_back(port);
        clients.back().send(request("POST", "/v1/track", track(fmt::format("m{}", id))));
    };
    send_one(0);
    held.gate.wait_for_arrival();
    for (int i = 1; i <= 200; ++i) send_one(i);
    // One I/O thread serves its connections in the order of their bytes, so a 429 proves that all before it wait.
    Client last(port);
    for (Answer answer; answer.status != 429;) {
        last.send(request("GET", "/metrics"));
        const auto metrics = last.read();
        ASSERT_EQ(metrics.status, 200);
        if (metrics.body.find("perennial_intake_queue 200\n") == std::string::npos) continue;
        last.send(request("POST", "/v1/track", track("one more")));
        answer = last.read();
        EXPECT_EQ(answer.headers.at("retry-after"), "1");
        EXPECT_EQ(code_of(answer), "intake_full");
    }
    last.send(request("GET", "/metrics"));
    EXPECT_NE(last.read().body.find("perennial_intake_full_total 1\n"), std::string::npos);
    held.gate.open();
    for (auto& client : clients) EXPECT_EQ(client.read().status, 200);
}

TEST(Stop, answers_what_runs_and_closes_what_idles) {
    HeldServer held({});
    const auto port = held.server->port();
    Client idle(port), waiting(port);
    idle.send(request("GET", "/healthz"));
    EXPECT_EQ(idle.read().status, 200);
    waiting.send(request("POST", "/v1/track", track("m1")));
    held.gate.wait_for_arrival();
    auto stopping = std::async(std::launch::async, [&] { held.server->stop(); });
    EXPECT_TRUE(idle.server_closed());
    EXPECT_EQ(stopping.wait_for(50ms), std::future_status::timeout);
    held.gate.open();
    const auto answer = waiting.read();
    EXPECT_EQ(answer.status, 200);
    EXPECT_EQ(answer.headers.at("connection"), "close");
    waiting.finish_sending();
    EXPECT_EQ(stopping.wait_for(10s), std::future_status::ready);
    held.server->stop();  // again: nothing happens
}

TEST(Stop, loses_no_acknowledged_event_under_load) {
    Shop shop;
    std::atomic<std::size_t> acknowledged = 0, sent = 0;
    std::vector<std::jthread> threads;
    for (int who = 0; who < 20; ++who)
        threads.emplace_back([&, who] {
            auto client = shop.client();
            for (int i = 0;; ++i) {
                if (!client.send(request("POST", "/v1/track", track(fmt::format("{}-{}", who, i), "load")))) return;
                ++sent;
                if (client.read().status != 200) return;
                ++acknowledged;
            }
        });
    while (acknowledged < 500) std::this_thread::yield();
    shop.server->stop();
    threads.clear();
    EXPECT_GE(shop.events_of("u:load"), acknowledged);
    EXPECT_LE(shop.events_of("u:load"), sent);
}

TEST(Stop, gives_up_on_a_handler_that_never_answers) {
    std::vector<Reply> kept;
    ServerOptions options{.port = 0};
    options.limits.drain = 100ms;
    std::promise<void> arrived;
    auto server = Server::start(options, [&](Request, Reply reply) {
        kept.push_back(std::move(reply));
        arrived.set_value();
    });
    ASSERT_TRUE(server.ok());
    Client client(server->port());
    client.send(request("GET", "/"));
    arrived.get_future().wait();
    server.value().stop();
    EXPECT_EQ(client.read().status, 0);
    kept.front()({.body = "too late"});  // must do no harm
    kept.clear();
}

TEST(Server, answers_500_for_a_dropped_reply_and_for_a_handler_that_throws) {
    auto server = Server::start({.port = 0}, [](Request request, Reply) {
        if (request.path == "/throw") throw std::runtime_error("x");
    });
    ASSERT_TRUE(server.ok());
    Client client(server->port());
    for (const auto path : {"/drop", "/throw", "/drop"}) {
        client.send(request("GET", path));
        EXPECT_EQ(client.read().status, 500) << path;
    }
}

TEST(Server, sends_large_answers_whole_and_takes_answers_from_any_thread) {
    std::string large(5'000'000, 'x');
    std::vector<std::jthread> threads;
    std::mutex mutex;
    auto server = Server::start({.port = 0, .threads = 3}, [&](Request, Reply reply) {
        const std::lock_guard lock(mutex);
        threads.emplace_back([&large, reply] {
            reply({.body = large});
            reply({.status = 500});  // the first one counts
        });
    });
    ASSERT_TRUE(server.ok());
    for (int i = 0; i < 10; ++i) {
        Client client(server->port());
        client.send(request("GET", "/"));
        EXPECT_EQ(client.read().body.size(), large.size());
    }
}

TEST(Server, says_which_address_it_cannot_have) {
    auto first = Server::start({.port = 0}, [](Request, Reply) {});
    ASSERT_TRUE(first.ok());
    const auto second = Server::start({.port = first->port()}, [](Request, Reply) {});
    ASSERT_FALSE(second.ok());
    EXPECT_EQ(second.error().code, Code::kBusy);
    EXPECT_EQ(second.error().message, fmt::format("127.0.0.1:{} is in use by another program; choose another with --listen", first->port()));
    EXPECT_EQ(Server::start({.address = "example.com", .port = 0}, {}).error().code, Code::kInvalid);
    EXPECT_EQ(Server::start({.address = "192.0.2.1", .port = 0}, {}).error().code, Code::kInvalid);
}

ApiServerOptions with_keys() {
    ApiServerOptions options;
    options.api.write_key = "write";
    options.api.api_key = "read";
    return options;
}

TEST(Keys, are_needed_once_they_are_set) {
    const Shop shop(with_keys());
    struct Case { std::string_view headers; bool track, read; };
    for (const auto& [headers, may_track, may_read] : std::vector<Case>{
             {"", false, false},
             {"Authorization: Basic d3JpdGU6\r\n", true, false},      // write:
             {"Authorization: Basic d3JpdGU=\r\n", true, false},      // write, without the colon
             {"Authorization: basic cmVhZDo=\r\n", false, true},      // read:
             {"Authorization: Basic bWU6cmVhZA==\r\n", false, true},  // me:read
             {"Authorization: Bearer write\r\n", true, false},
             {"Authorization: Bearer read\r\n", false, true},
             {"X-API-Key: write\r\n", true, false},
             {"X-API-Key: read\r\n", false, true},
             {"X-API-Key: rea\r\n", false, false},
             {"X-API-Key: readread\r\n", false, false},
             {"Authorization: Basic !!!\r\n", false, false},
             {"Authorization: Bearer\r\n", false, false},
             {"Authorization: read\r\n", false, false}}) {
        const auto tracked = shop.post("/v1/track", track("m1"), headers);
        EXPECT_EQ(tracked.status, may_track ? 200 : 401) << headers;
        if (!may_track) {
            EXPECT_EQ(code_of(tracked), "unauthorized");
        }
        for (const auto target : {"/v1/recommendations?user_id=1", "/v1/customers/u1", "/", "/report.html", "/metrics"}) {
            const int status = shop.get(target, headers).status;
            EXPECT_EQ(status == 401, !may_read) << target << ' ' << headers << status;
        }
        for (const auto target : {"/healthz", "/readyz", "/openapi.json"}) EXPECT_EQ(shop.get(target, headers).status, 200) << target;
    }
    EXPECT_EQ(shop.post("/v1/batch", R"({"writeKey":"write","batch":[]})").status, 200);
    EXPECT_EQ(shop.post("/v1/batch", R"({"writeKey":"read","batch":[]})").status, 401);
    EXPECT_EQ(shop.post("/v1/batch", "{", "X-API-Key: write\r\n").status, 400);
    EXPECT_EQ(shop.post("/v1/batch", "{").status, 401);
    EXPECT_EQ(shop.ask(request("OPTIONS", "/v1/t")).status, 204);
    EXPECT_EQ(shop.ask("GET /healthz HTTP/1.1\r\nHost: shop.example\r\n\r\n").status, 200);  // any name, once there are keys
}

TEST(Keys, compare_as_wanted) {
    for (const auto& [shown, key, same] : std::vector<std::tuple<std::string_view, std::string_view, bool>>{
             {"a", "a", true}, {"a", "b", false}, {"aa", "a", false}, {"a", "aa", false}, {"", "a", false}, {"", "", false}, {"a", "", false}})
        EXPECT_EQ(same_key(shown, key), same) << shown << ' ' << key;
}

TEST(Keys, nobody_from_elsewhere_without_them) {
    const Shop shop;
    for (const std::string_view host : {"evil.example", "evil.example:8080", "127.0.0.1.evil.example", "localhost.evil", "[::2]", "0.0.0.0"}) {
        const auto answer = shop.ask(fmt::format("GET /v1/customers/u1 HTTP/1.1\r\nHost: {}\r\n\r\n", host));
        EXPECT_EQ(answer.status, 403) << host;
        EXPECT_EQ(code_of(answer), "foreign_source");
    }
    for (const std::string_view host : {"localhost", "LOCALHOST:8080", "127.0.0.1:1", "[::1]:8080", "[::1]"})
        EXPECT_EQ(shop.ask(fmt::format("GET /healthz HTTP/1.1\r\nHost: {}\r\n\r\n", host)).status, 200) << host;
    for (const std::string_view origin : {"https://evil.example", "null", "http://localhost.evil"})
        EXPECT_EQ(shop.post("/v1/t", track("m1"), fmt::format("Origin: {}\r\n", origin)).status, 403) << origin;
    EXPECT_EQ(shop.post("/v1/t", track("m1"), "Origin: http://127.0.0.1:3000\r\n").status, 200);
}

TEST(Keys, are_wanted_before_other_machines_may_reach_the_server) {
    const auto error = [](std::string address, std::string write_key, std::string api_key) {
        ApiServerOptions options;
        options.listen = {.address = std::move(address), .port = 0};
        options.api.write_key = std::move(write_key);
        options.api.api_key = std::move(api_key);
        const auto started = ApiServer::start(std::move(options), {});
        return started ? std::string() : std::string(name(started.error().code));
    };
    EXPECT_EQ(error("0.0.0.0", "", ""), name(Code::kDenied));
    EXPECT_EQ(error("::", "", ""), name(Code::kDenied));
    EXPECT_EQ(error("127.0.0.1", "w", ""), name(Code::kInvalid));
    EXPECT_EQ(error("127.0.0.1", "", "r"), name(Code::kInvalid));
    EXPECT_EQ(error("127.0.0.1", "same", "same"), name(Code::kInvalid));
    EXPECT_EQ(error("0.0.0.0", "w", "r"), "");
    EXPECT_EQ(error("127.0.0.2", "", ""), "");
    EXPECT_EQ(error("localhost", "", ""), "");
}

TEST(Listen, reads_addresses_as_people_write_them) {
    struct Case { std::string_view text, address; int port; };
    for (const auto& [text, address, port] : std::vector<Case>{
             {"127.0.0.1:8080", "127.0.0.1", 8080}, {"[::1]:0", "::1", 0}, {"localhost:65535", "localhost", 65535}, {":9000", "127.0.0.1", 9000}, {"9000", "127.0.0.1", 9000}}) {
        const auto listen = parse_listen(text);
        ASSERT_TRUE(listen.ok()) << text;
        EXPECT_EQ(listen.value().address, address);
        EXPECT_EQ(listen.value().port, port);
    }
    for (const std::string_view text : {"", "127.0.0.1", "127.0.0.1:", "127.0.0.1:x", "127.0.0.1:65536", "::1:80", "127.0.0.1:-1"}) EXPECT_FALSE(parse_listen(text).ok()) << text;
}

TEST(RequestReader, reads_the_same_requests_wherever_the_bytes_are_cut) {
    const std::string bytes = request("POST", "/v1/track?x=1", "{\"a\":1}", "X-A: b\r\n") + "GET /%41 HTTP/1.1\r\nHost: h\r\n\r\n" +
                              "POST /c HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n" +
                              "POST /d HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n";
    for (std::size_t step = 1; step <= bytes.size(); ++step) {
        std::vector<Request> read;
        std::string pending;
        RequestReader reader(HttpLimits{});
        for (std::size_t at = 0; at < bytes.size(); at += step) {
            pending += bytes.substr(at, step);
            std::string_view rest = pending;
            RequestReader::State state;
            while ((state = reader.feed(rest)) == RequestReader::State::kComplete) {
                read.push_back(reader.take());
                reader = RequestReader(HttpLimits{});
            }
            ASSERT_EQ(state, RequestReader::State::kNeedsMore);
            pending = std::string(rest);
        }
        ASSERT_EQ(read.size(), 4u) << step;
        EXPECT_EQ(read[0].path + "|" + read[0].query + "|" + read[0].body, "/v1/track|x=1|{\"a\":1}");
        EXPECT_EQ(read[0].header("x-a"), "b");
        EXPECT_EQ(read[1].path, "/%41");
        EXPECT_EQ(read[2].body, "abc");
        EXPECT_EQ(read[3].path + read[3].body, "/d");
    }
}

}  // namespace
}  // namespace perennial::api
