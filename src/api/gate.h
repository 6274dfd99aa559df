// Who may pass: the keys that a request shows against what its route needs. Keys are write_key and api_key of
// perennial.toml, and the shop's own with their roles (govern/keys.h). Without any key everything is open, and the server
// answers this machine alone.
// Threads: from any.
#pragma once

#include <optional>
#include <span>
#include <string>

#include "api/http.h"
#include "govern/keys.h"

namespace perennial::api {

// To send events; to see totals; to see a single customer; to change what the shop holds.
enum class Need { kSend, kReport, kPeople, kChange };
bool allows(govern::Role role, Need need) noexcept;

struct GateKeys {
    std::string write_key, api_key;   // kSend alone; all but kSend
    govern::KeyRing* ring = nullptr;  // may be null
    bool always = false;              // without any key nothing passes, instead of everything: others can reach the address
};

class Gate {
public:
    explicit Gate(GateKeys keys) : keys_(std::move(keys)) {}
    // Nothing: pass. Else the answer: 401 unauthorized (no key, or none that is known), 403 forbidden (known, but its role may
    // not), 429 busy_keys (too many unknown keys at once), 503 (the keys cannot be read).
    std::optional<Response> refuses(std::span<const std::string> shown, Need need) const;

private:
    GateKeys keys_;
};

}  // namespace perennial::api
