#include "deliver/deliveries.h"

#include <curl/curl.h>
#include <fmt/format.h>

#include <algorithm>
#include <boost/json.hpp>
#include <condition_variable>
#include <mutex>
#include <set>
#include <thread>
#include <utility>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/rng.h"
#include "base/signature.h"
#include "base/text.h"
#include "base/toml.h"
#include "deliver/standard_webhooks.h"

namespace perennial::deliver {
namespace {

using std::chrono::milliseconds;

constexpr std::size_t kAnswerBytesKept = 200;  // of an answer's body, for the reason of a failure
constexpr long kGone = 410;
constexpr std::int64_t kRetryAfterSecondsLimit = 3600;

struct Answer {
    long status = 0;  // 0: none came
    std::string error, body;
    std::int64_t retry_after_seconds = 0;
    bool delivered() const noexcept { return status >= 200 && status < 300; }
};

std::size_t keep_body(char* bytes, std::size_t one, std::size_t count, void* into) {
    auto& body = *static_cast<std::string*>(into);
    body.append(bytes, std::min(count * one, kAnswerBytesKept - std::min(kAnswerBytesKept, body.size())));
    return count * one;
}

// One connection to one endpoint, kept open between letters.
class Post {
public:
    Post() : handle_(curl_easy_init()) {}
    Post(const Post&) = delete;
    Post& operator=(const Post&) = delete;
    ~Post() { curl_easy_cleanup(handle_); }

    Answer send(const std::string& url, const std::string& body, const std::vector<std::string>& headers, milliseconds timeout) {
        Answer answer;
        if (!handle_) return {.error = "no memory for a connection"};
        curl_slist* list = nullptr;
        for (const auto& header : headers) list = curl_slist_append(list, header.c_str());
        curl_easy_reset(handle_);
        curl_easy_setopt(handle_, CURLOPT_URL, url.c_str());
        curl_easy_setopt(handle_, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(handle_, CURLOPT_HTTPHEADER, list);
        curl_easy_setopt(handle_, CURLOPT_POSTFIELDS, body.c_str());
        curl_easy_setopt(handle_, CURLOPT_POSTFIELDSIZE, static_cast<long>(body.size()));
        curl_easy_setopt(handle_, CURLOPT_TIMEOUT_MS, static_cast<long>(timeout.count()));
        curl_easy_setopt(handle_, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(handle_, CURLOPT_FOLLOWLOCATION, 0L);  // a redirection is a failure
        curl_easy_setopt(handle_, CURLOPT_WRITEFUNCTION, keep_body);
        curl_easy_setopt(handle_, CURLOPT_WRITEDATA, &answer.body);
        const auto code = curl_easy_perform(handle_);
        curl_slist_free_all(list);
        if (code != CURLE_OK) return {.error = curl_easy_strerror(code)};
        curl_easy_getinfo(handle_, CURLINFO_RESPONSE_CODE, &answer.status);
        curl_off_t wait = 0;
        if (curl_easy_getinfo(handle_, CURLINFO_RETRY_AFTER, &wait) == CURLE_OK) answer.retry_after_seconds = std::clamp<std::int64_t>(wait, 0, kRetryAfterSecondsLimit);
        if (!answer.delivered()) answer.error = fmt::format("answered {}: {}", answer.status, trim(to_utf8(clip(answer.body, kAnswerBytesKept))));
        return answer;
    }

private:
    CURL* handle_;
};

Error bad_endpoint(const std::filesystem::path& path, std::size_t number, std::string_view want) {
    return {Code::kInvalid, fmt::format("{}: endpoint {}: want {}", path.string(), number, want)};
}

}  // namespace

bool Endpoint::wants(std::string_view type) const { return types.empty() || std::ranges::any_of(types, [&](const auto& pattern) { return matches_glob(type, pattern); }); }

Result<std::vector<Endpoint>> load_endpoints(const std::filesystem::path& path) {
    auto text = read_file(path, 1 << 20);
    if (!text && text.error().code == Code::kNotFound) return std::vector<Endpoint>();
    if (!text) return text.error();
    auto table = parse_toml(*text, path.string());
    if (!table) return table.error();
    std::vector<Endpoint> endpoints;
    const auto* list = (*table)["endpoint"].as_array();
    if (table->size() != (list ? 1u : 0u)) return Error{Code::kInvalid, fmt::format("{}: want [[endpoint]] tables only", path.string())};
    for (std::size_t i = 0; list && i < list->size(); ++i) {
        const auto* one = (*list)[i].as_table();
        if (!one) return bad_endpoint(path, i + 1, "a table");
        Endpoint endpoint{.name = (*one)["name"].value_or(std::string()), .url = (*one)["url"].value_or(std::string())};
        if (endpoint.name.empty() || endpoint.name.find('\n') != std::string::npos) return bad_endpoint(path, i + 1, "a name on one line");
        if (!endpoint.url.starts_with("https://") && !endpoint.url.starts_with("http://")) return bad_endpoint(path, i + 1, "a url that begins with https:// or http://");
        const auto secrets = (*one)["secret"].value_or(std::string());
        for (std::string_view rest = trim(secrets); !rest.empty();) {
            const auto secret = rest.substr(0, rest.find(' '));
            rest = trim(rest.substr(secret.size()));
            auto key = webhook_key(secret);
            if (!key) return bad_endpoint(path, i + 1, key.error().message);
            endpoint.keys.push_back(std::move(*key));
        }
        if (endpoint.keys.empty()) return bad_endpoint(path, i + 1, "a secret");
        if (const auto* types = (*one)["types"].as_array())
            for (const auto& type : *types) endpoint.types.push_back(type.value_or(std::string()));
        endpoints.push_back(std::move(endpoint));
    }
    return endpoints;
}

// Sends one endpoint's letters, the earliest due first.
struct Deliveries::Worker {
    Worker(Outbox& all_letters, const DeliveryOptions& all_options, const Endpoint& own)
        : outbox(all_letters), options(all_options), endpoint(own), jitter(hash64(own.name)), thread([this] { run(); }) {}

    void wake() {
        const std::lock_guard lock(mutex);
        woken = true;
        changed.notify_one();
    }
    void stop() {
        {
            const std::lock_guard lock(mutex);
            stopping = true;
            changed.notify_one();
        }
        if (thread.joinable()) thread.join();
    }

    // False once it is to stop.
    bool sleep(std::int64_t ms) {
        std::unique_lock lock(mutex);
        changed.wait_for(lock, milliseconds(std::clamp<std::int64_t>(ms, 0, 60'000)), [&] { return stopping || woken; });
        woken = false;
        return !stopping;
    }
    // As sleep(), whoever wakes it.
    bool rest(std::int64_t ms) {
        std::unique_lock lock(mutex);
        changed.wait_for(lock, milliseconds(ms), [&] { return stopping; });
        return !stopping;
    }

    void run() {
        Post post;
        for (bool open = true; open;) {
            auto letter = outbox.first(endpoint.name);
            if (!letter) {
                log::error("webhook {}: {}", endpoint.name, letter.error().message);
                open = rest(options.rest_limit.count());
            } else if (!*letter) {
                open = sleep(60'000);
            } else if (const auto wait = (*letter)->next_try.ms - wall_clock_now().ms; wait > 0) {
                open = sleep(wait);
            } else if (off) {
                (*letter)->error = "the endpoint answered 410 and is switched off";
                open = kept(outbox.bury(**letter));
            } else {
                open = try_once(post, std::move(**letter));
            }
        }
    }

    // Without the disk there is nothing to do but wait.
    bool kept(const Status& done) {
        if (done) return rest(0);
        log::error("webhook {}: {}", endpoint.name, done.error().message);
        return rest(options.rest_limit.count());
    }

    bool try_once(Post& post, Letter letter) {
        const auto seconds = wall_clock_now().ms / 1000;
        std::vector<std::string> signatures;
        for (const auto& key : endpoint.keys) signatures.push_back(webhook_signature(key, letter.id, seconds, letter.body));
        const auto answer = post.send(endpoint.url, letter.body,
                                      {"Content-Type: application/json", "User-Agent: perennial", "Expect:", "webhook-id: " + letter.id, fmt::format("webhook-timestamp: {}", seconds),
                                       fmt::format("webhook-signature: {}", fmt::join(signatures, " "))},
                                      options.timeout);
        if (answer.delivered()) {
            failures = 0;
            const bool open = kept(outbox.remove(letter));
            const std::lock_guard lock(mutex);
            ++delivered;
            last_error.clear();
            return open;
        }
        if (failures++ == 0) log::warn("webhook {}: {}", endpoint.name, answer.error);
        letter.error = answer.error;
        {
            const std::lock_guard lock(mutex);
            last_error = answer.error;
            off = off || answer.status == kGone;
        }
        if (letter.tries++ >= options.waits.size() || off) return kept(outbox.bury(letter));
        const double spread = 0.9 + 0.2 * jitter.uniform();
        const auto wait = std::max(static_cast<std::int64_t>(static_cast<double>(options.waits[letter.tries - 1].count()) * spread), answer.retry_after_seconds * 1000);
        letter.next_try = {wall_clock_now().ms + wait};
        if (!kept(outbox.put_off(letter))) return false;
        const auto doublings = std::min<std::size_t>(failures - 1, 20);
        return rest(std::max(std::min(options.rest_first.count() << doublings, options.rest_limit.count()), answer.retry_after_seconds * 1000));
    }

    EndpointState state() const {
        const std::lock_guard lock(mutex);
        return {.name = endpoint.name, .url = endpoint.url, .last_error = last_error, .letters = outbox.counts(endpoint.name), .delivered = delivered, .off = off};
    }

    Outbox& outbox;
    const DeliveryOptions& options;
    const Endpoint& endpoint;
    Rng jitter;                // the thread's own, as is the next
    std::size_t failures = 0;  // in a row
    mutable std::mutex mutex;
    std::condition_variable changed;
    std::string last_error;    // under mutex, as are the next four; `off` is written by the thread alone
    std::size_t delivered = 0;
    bool off = false, woken = false, stopping = false;
    std::thread thread;        // last: starts when the rest is ready
};

Deliveries::Deliveries(Outbox outbox, DeliveryOptions options) : outbox_(std::move(outbox)), options_(std::move(options)) {
    for (const auto& endpoint : options_.endpoints) workers_.push_back(std::make_unique<Worker>(outbox_, options_, endpoint));
}
Deliveries::~Deliveries() { stop(); }

Result<std::unique_ptr<Deliveries>> Deliveries::open(const std::filesystem::path& directory, DeliveryOptions options) {
    static const auto curl_ready = curl_global_init(CURL_GLOBAL_DEFAULT);
    if (curl_ready != CURLE_OK) return Error{Code::kIo, "webhooks: libcurl cannot start"};
    if (options.endpoints.size() > kEndpointsLimit) return Error{Code::kInvalid, fmt::format("webhooks: want at most {} endpoints, got {}", kEndpointsLimit, options.endpoints.size())};
    std::set<std::string> names;
    for (const auto& endpoint : options.endpoints)
        if (!names.insert(endpoint.name).second) return Error{Code::kInvalid, fmt::format("webhooks: want a name of its own for each endpoint, got '{}' twice", endpoint.name)};
    auto outbox = Outbox::open(directory);
    if (!outbox) return outbox.error();
    return std::unique_ptr<Deliveries>(new Deliveries(std::move(*outbox), std::move(options)));
}

Result<std::string> Deliveries::send(std::string_view type, const boost::json::object& data, std::string id) {
    const auto now = wall_clock_now();
    if (id.empty()) id = "msg_" + random_hex(16);
    if (id.find_first_of(".\r\n \t") != std::string::npos) return Error{Code::kInvalid, "webhook id: want no dots and no blanks"};
    const auto body = boost::json::serialize(boost::json::object{{"type", type}, {"timestamp", iso8601(now)}, {"data", data}});
    std::vector<Letter> letters;
    for (const auto& endpoint : options_.endpoints)
        if (endpoint.wants(type)) letters.push_back({.endpoint = endpoint.name, .id = id, .type = std::string(type), .body = body, .created = now, .next_try = now});
    PERENNIAL_TRY(outbox_.put(letters));
    for (const auto& worker : workers_) worker->wake();
    return id;
}

std::vector<EndpointState> Deliveries::endpoints() const {
    std::vector<EndpointState> states;
    for (const auto& worker : workers_) states.push_back(worker->state());
    return states;
}

Status Deliveries::revive(std::string_view id) {
    PERENNIAL_TRY(outbox_.revive(id, wall_clock_now()));
    for (const auto& worker : workers_) worker->wake();
    return Done{};
}

void Deliveries::stop() {
    for (const auto& worker : workers_) worker->stop();
}

}  // namespace perennial::deliver
