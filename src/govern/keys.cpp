#include "govern/keys.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <mutex>
#include <unordered_map>

#include "base/file.h"
#include "base/log.h"
#include "base/text.h"

namespace perennial::govern {
namespace {

namespace json = boost::json;
namespace fs = std::filesystem;

constexpr std::array<std::string_view, kRoles> kNames{"source", "viewer", "analyst", "operator", "admin"};
constexpr std::string_view kPrefix = "pk_";
constexpr std::size_t kIdLetters = 12, kSecretLetters = 43;  // 62^43: 256 bits
// The secrets are random, so that the hash need not be as slow as a password's.
constexpr unsigned long long kOperations = 2;
constexpr std::size_t kMemory = 8u << 20;
constexpr std::string_view kVersion = "1";

std::string random_letters(std::size_t count) {
    constexpr std::string_view kLetters = "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
    std::string text;
    for (std::size_t i = 0; i < count; ++i) text += kLetters[randombytes_uniform(static_cast<std::uint32_t>(kLetters.size()))];
    return text;
}

Status write_keys(const fs::path& path, const std::vector<Key>& keys) {
    json::array rows;
    for (const auto& key : keys)
        rows.push_back({{"id", key.id}, {"name", key.name}, {"role", name(key.role)}, {"hash", key.hash}, {"created", iso8601(key.created)},
                        {"revoked", key.revoked ? json::value(iso8601(*key.revoked)) : json::value(nullptr)}});
    return write_file(path, json::serialize(json::object{{"format", "perennial.keys"}, {"version", kVersion}, {"keys", std::move(rows)}}) + "\n");
}

// One change at a time, of all processes.
template <class Change>
Status change_keys(const fs::path& path, Change&& change) {
    auto lock_path = path;
    lock_path += ".lock";
    const auto lock = open_file(lock_path, O_RDWR | O_CREAT, 0600);
    if (!lock) return lock.error();
    while (::flock(lock->get(), LOCK_EX) != 0)
        if (errno != EINTR) return Error{Code::kIo, fmt::format("lock {}", lock_path.string())};
    auto keys = read_keys(path);
    if (!keys) return keys.error();
    PERENNIAL_TRY(change(*keys));
    return write_keys(path, *keys);
}

// The id in "pk_ID_SECRET"; empty for another form.
std::string_view id_of(std::string_view shown) {
    if (shown.size() != kPrefix.size() + kIdLetters + 1 + kSecretLetters || !shown.starts_with(kPrefix) || shown[kPrefix.size() + kIdLetters] != '_') return {};
    return shown.substr(kPrefix.size(), kIdLetters);
}

}  // namespace

std::string_view name(Role role) noexcept { return kNames[static_cast<std::size_t>(role)]; }

std::optional<Role> role_from_name(std::string_view name) noexcept {
    const auto at = std::ranges::find(kNames, name);
    return at == kNames.end() ? std::nullopt : std::optional(static_cast<Role>(at - kNames.begin()));
}

Result<std::vector<Key>> parse_keys(std::string_view text, std::string_view source) {
    const auto corrupt = [&](std::string_view what) { return Error{Code::kCorrupt, fmt::format("{}: {}", source, what)}; };
    boost::system::error_code error;
    const auto value = json::parse(text, error);
    if (error || !value.is_object()) return corrupt("want a JSON object");
    const auto text_of = [](const json::object& object, std::string_view key) -> std::optional<std::string> {
        const auto* found = object.if_contains(key);
        return found && found->is_string() ? std::optional(std::string(found->as_string())) : std::nullopt;
    };
    if (text_of(value.as_object(), "format") != "perennial.keys" || text_of(value.as_object(), "version") != kVersion)
        return Error{Code::kUnsupported, fmt::format("{}: want perennial.keys version {}", source, kVersion)};
    const auto* rows = value.as_object().if_contains("keys");
    if (!rows || !rows->is_array() || rows->as_array().size() > kKeysLimit) return corrupt(fmt::format("want keys as an array of at most {}", kKeysLimit));
    std::vector<Key> keys;
    for (const auto& row : rows->as_array()) {
        const auto broken = [&](std::string_view what) { return corrupt(fmt::format("key {}: {}", keys.size() + 1, what)); };
        if (!row.is_object()) return broken("want an object");
        const auto& object = row.as_object();
        const auto id = text_of(object, "id"), key_name = text_of(object, "name"), role = text_of(object, "role"), hash = text_of(object, "hash"), created = text_of(object, "created");
        if (!id || id->size() != kIdLetters || !key_name || !hash || !hash->starts_with("$argon2id$") || hash->size() >= crypto_pwhash_STRBYTES || !created) return broken("a field is missing or wrong");
        const auto known_role = role_from_name(role.value_or(""));
        const auto when = parse_iso8601(*created);
        if (!known_role) return broken(fmt::format("want a role of {}, got '{}'", fmt::join(kNames, ", "), role.value_or("")));
        if (!when) return broken("want a time in created");
        Key key{*id, *key_name, *known_role, *hash, *when, {}};
        if (const auto revoked = text_of(object, "revoked")) {
            const auto end = parse_iso8601(*revoked);
            if (!end) return broken("want a time or null in revoked");
            key.revoked = *end;
        } else if (const auto* none = object.if_contains("revoked"); none && !none->is_null()) {
            return broken("want a time or null in revoked");  // what cannot be read must not stay valid
        }
        keys.push_back(std::move(key));
    }
    return keys;
}

Result<std::vector<Key>> read_keys(const fs::path& path) {
    std::error_code error;
    if (!fs::exists(path, error)) return std::vector<Key>();
    const auto text = read_file(path);
    if (!text) return text.error();
    return parse_keys(*text, path.string());
}

Result<std::string> create_key(const fs::path& path, std::string_view key_name, Role role, UtcTime now) {
    if (trim(key_name).empty() || key_name.size() > kKeyNameLimit || !is_valid_utf8(key_name))
        return Error{Code::kInvalid, fmt::format("key: want a name of 1 to {} bytes", kKeyNameLimit)};
    if (sodium_init() < 0) return Error{Code::kIo, "key: the machine gives no random numbers"};
    const auto id = random_letters(kIdLetters);
    const auto key = fmt::format("{}{}_{}", kPrefix, id, random_letters(kSecretLetters));
    std::array<char, crypto_pwhash_STRBYTES> hash{};
    if (crypto_pwhash_str(hash.data(), key.data(), key.size(), kOperations, kMemory) != 0) return Error{Code::kIo, "key: no memory to hash it"};
    PERENNIAL_TRY(change_keys(path, [&](std::vector<Key>& keys) -> Status {
        if (keys.size() >= kKeysLimit) return Error{Code::kFull, fmt::format("{}: holds {} keys, no more are kept", path.string(), kKeysLimit)};
        keys.push_back({id, std::string(key_name), role, hash.data(), now, {}});
        return Done{};
    }));
    return key;
}

Status revoke_key(const fs::path& path, std::string_view id, UtcTime now) {
    return change_keys(path, [&](std::vector<Key>& keys) -> Status {
        const auto at = std::ranges::find(keys, id, &Key::id);
        if (at == keys.end()) return Error{Code::kNotFound, fmt::format("{}: no key {}", path.string(), id)};
        if (at->revoked) return Error{Code::kInvalid, fmt::format("key {}: revoked at {} already", id, iso8601(*at->revoked))};
        at->revoked = now;
        return Done{};
    });
}

struct KeyRing::State {
    using Stamp = std::array<std::int64_t, 4>;  // inode, size, seconds and nanoseconds of the last change

    fs::path path;
    std::mutex mutex;
    std::array<unsigned char, crypto_generichash_KEYBYTES> secret{};
    std::vector<Key> keys;
    std::unordered_map<std::string, std::string> remembered;  // keyed hash of what was shown to the id; empty: wrong
    Stamp stamp{};
    double looked = -1e9, second = -1e9;
    int hashes = 0;

    Status look() {
        const double now = monotonic_seconds();
        if (now - looked < 1) return Done{};
        struct stat info {};
        Stamp fresh{};
        if (::stat(path.c_str(), &info) == 0)
            fresh = {static_cast<std::int64_t>(info.st_ino), static_cast<std::int64_t>(info.st_size), info.st_mtim.tv_sec, info.st_mtim.tv_nsec};
        if (fresh != stamp) {
            auto read = read_keys(path);
            if (!read) return read.error();
            keys = std::move(*read);
            remembered.clear();
            stamp = fresh;
        }
        looked = now;
        return Done{};
    }
};

KeyRing::KeyRing(fs::path path) : state_(std::make_unique<State>()) {
    state_->path = std::move(path);
    if (sodium_init() < 0) log::error("the machine gives no random numbers; keys are forgotten more easily");
    crypto_generichash_keygen(state_->secret.data());
}
KeyRing::KeyRing(KeyRing&&) noexcept = default;
KeyRing::~KeyRing() = default;

bool KeyRing::empty() {
    const std::lock_guard lock(state_->mutex);
    return state_->look().ok() && state_->keys.empty();
}

Result<std::optional<KeyRing::Holder>> KeyRing::holder(std::string_view shown) {
    const auto id = id_of(shown);
    if (id.empty()) return std::optional<Holder>();
    auto& state = *state_;
    const std::lock_guard lock(state.mutex);
    PERENNIAL_TRY(state.look());
    const auto key = std::ranges::find(state.keys, id, &Key::id);
    if (key == state.keys.end() || key->revoked) return std::optional<Holder>();
    std::string fast(crypto_generichash_BYTES, '\0');
    crypto_generichash(reinterpret_cast<unsigned char*>(fast.data()), fast.size(), reinterpret_cast<const unsigned char*>(shown.data()), shown.size(), state.secret.data(), state.secret.size());
    auto known = state.remembered.find(fast);
    if (known == state.remembered.end()) {
        if (const double now = monotonic_seconds(); now - state.second >= 1) state.second = now, state.hashes = 0;
        if (++state.hashes > kHashesPerSecond) return Error{Code::kBusy, "too many new keys are shown at once; try again in a second"};
        const bool right = crypto_pwhash_str_verify(key->hash.c_str(), shown.data(), shown.size()) == 0;
        if (state.remembered.size() >= kRememberedKeys) state.remembered.clear();
        known = state.remembered.emplace(std::move(fast), right ? key->id : std::string()).first;
    }
    if (known->second.empty()) return std::optional<Holder>();
    return std::optional(Holder{key->id, key->role});
}

}  // namespace perennial::govern
