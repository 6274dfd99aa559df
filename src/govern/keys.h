// Keys of the HTTP API and what their holders may do. A key is "pk_ID_SECRET"; the file keeps an Argon2id hash of it, so
// that who reads the file cannot use it (docs/formats/keys.md).
// Source: Argon2, RFC 9106 (libsodium's crypto_pwhash_str).
// Threads: plain functions take a lock on the file; a KeyRing is used from any thread.
#pragma once

#include <chrono>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace perennial::govern {

// source: sends events, reads nothing. viewer: report and metrics, no single customer. analyst: customers too. operator:
// also what changes the shop. admin: all.
enum class Role : unsigned char { kSource, kViewer, kAnalyst, kOperator, kAdmin };
inline constexpr std::size_t kRoles = 5;
std::string_view name(Role role) noexcept;  // "source", ...
std::optional<Role> role_from_name(std::string_view name) noexcept;

struct Key {
    std::string id;    // 12 letters and digits
    std::string name;  // what a person calls it
    Role role = Role::kSource;
    std::string hash;  // "$argon2id$..."
    UtcTime created;
    std::optional<UtcTime> revoked;
};

inline constexpr std::size_t kKeysLimit = 1000;
inline constexpr std::size_t kKeyNameLimit = 100;  // bytes

// Oldest first; none where there is no file. Errors: kCorrupt naming the key, kIo.
Result<std::vector<Key>> read_keys(const std::filesystem::path& path);
Result<std::vector<Key>> parse_keys(std::string_view json, std::string_view source);

// Makes a key and returns it: it is shown this once. Durable on return. About 10 ms.
// Errors: kInvalid (name), kFull (kKeysLimit), kCorrupt, kIo.
Result<std::string> create_key(const std::filesystem::path& path, std::string_view name, Role role, UtcTime now);
// Errors: kNotFound; kInvalid (revoked before).
Status revoke_key(const std::filesystem::path& path, std::string_view id, UtcTime now);

// The keys of a file, asked often: a key is hashed the first time it is shown, and known by a keyed fast hash after that.
// Changes of the file are seen within a second.
class KeyRing {
public:
    explicit KeyRing(std::filesystem::path path);
    KeyRing(KeyRing&&) noexcept;
    ~KeyRing();

    struct Holder {
        std::string id;
        Role role = Role::kSource;
    };
    // Nothing for a key that is unknown, wrong or revoked. Errors: kBusy (more than kHashesPerSecond keys were shown for the
    // first time in this second: somebody guesses), kCorrupt, kIo.
    Result<std::optional<Holder>> holder(std::string_view shown);
    bool empty();  // there is no key, not even a revoked one; false where the file cannot be read

private:
    struct State;
    std::unique_ptr<State> state_;
};
inline constexpr int kHashesPerSecond = 50;
inline constexpr std::size_t kRememberedKeys = 4096;  // right and wrong ones; when it is full all are forgotten

}  // namespace perennial::govern
