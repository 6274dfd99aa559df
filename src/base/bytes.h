// Little-endian integers, varints and length-prefixed strings, appended to and read from byte strings.
// Writer functions append; Reader refuses to read past its end and then stays failed, so that a decoder
// can read every field first and test once.
#pragma once

#include <bit>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <type_traits>

namespace perennial {

static_assert(std::endian::native == std::endian::little, "on-disk formats are written as this machine's integers");

template <class T>
    requires std::is_arithmetic_v<T>
void put_fixed(std::string& out, T value) {
    char bytes[sizeof(T)];
    std::memcpy(bytes, &value, sizeof(T));
    out.append(bytes, sizeof(T));
}

inline void put_varint(std::string& out, std::uint64_t value) {
    while (value >= 0x80) {
        out.push_back(static_cast<char>(value | 0x80));
        value >>= 7;
    }
    out.push_back(static_cast<char>(value));
}

inline std::uint64_t zigzag(std::int64_t value) noexcept {
    return (static_cast<std::uint64_t>(value) << 1) ^ static_cast<std::uint64_t>(value >> 63);
}
inline std::int64_t unzigzag(std::uint64_t value) noexcept {
    return static_cast<std::int64_t>(value >> 1) ^ -static_cast<std::int64_t>(value & 1);
}

inline void put_string(std::string& out, std::string_view text) {
    put_varint(out, text.size());
    out.append(text);
}

class Reader {
public:
    explicit Reader(std::string_view bytes) noexcept : rest_(bytes) {}

    bool ok() const noexcept { return ok_; }
    bool empty() const noexcept { return rest_.empty(); }
    std::string_view rest() const noexcept { return rest_; }

    template <class T>
        requires std::is_arithmetic_v<T>
    T fixed() noexcept {
        T value{};
        if (rest_.size() < sizeof(T)) return fail(value);
        std::memcpy(&value, rest_.data(), sizeof(T));
        rest_.remove_prefix(sizeof(T));
        return value;
    }

    std::uint64_t varint() noexcept {
        std::uint64_t value = 0;
        for (unsigned shift = 0; shift < 64; shift += 7) {
            if (rest_.empty()) return fail(std::uint64_t{0});
            const auto byte = static_cast<unsigned char>(rest_.front());
            rest_.remove_prefix(1);
            if (shift == 63 && byte > 1) return fail(std::uint64_t{0});  // would not fit 64 bits
            value |= static_cast<std::uint64_t>(byte & 0x7f) << shift;
            if ((byte & 0x80) == 0) return value;
        }
        return fail(std::uint64_t{0});
    }

    std::string_view bytes(std::uint64_t count) noexcept {
        if (count > rest_.size()) return fail(std::string_view{});
        const auto taken = rest_.substr(0, count);
        rest_.remove_prefix(count);
        return taken;
    }

    std::string_view string() noexcept { return bytes(varint()); }

private:
    template <class T>
    T fail(T value) noexcept {
        ok_ = false;
        rest_ = {};
        return value;
    }

    std::string_view rest_;
    bool ok_ = true;
};

}  // namespace perennial
