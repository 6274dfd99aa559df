// Non-cryptographic hashes (XXH3), stable across machines and releases: they are written to disk.
#pragma once

#include <xxhash.h>

#include <cstdint>
#include <string>
#include <string_view>

namespace perennial {

inline std::uint64_t hash64(std::string_view bytes, std::uint64_t seed = 0) noexcept {
    return XXH3_64bits_withSeed(bytes.data(), bytes.size(), seed);
}

struct Hash128 {
    std::uint64_t low = 0, high = 0;
    bool operator==(const Hash128&) const = default;
};

inline Hash128 hash128(std::string_view bytes) noexcept {
    const auto hash = XXH3_128bits(bytes.data(), bytes.size());
    return {hash.low64, hash.high64};
}

inline std::string hex(const Hash128& hash) {
    static constexpr char kDigits[] = "0123456789abcdef";
    std::string text(32, '0');
    for (unsigned i = 0; i < 16; ++i) {
        text[15 - i] = kDigits[(hash.high >> (4 * i)) & 15];
        text[31 - i] = kDigits[(hash.low >> (4 * i)) & 15];
    }
    return text;
}

struct Hash128Hasher {
    std::size_t operator()(const Hash128& hash) const noexcept { return hash.low; }
};

// Lets unordered maps keyed by std::string be asked with a string_view, without a copy.
struct StringHash {
    using is_transparent = void;
    std::size_t operator()(std::string_view text) const noexcept { return hash64(text); }
};

}  // namespace perennial
