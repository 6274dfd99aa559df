// Result<T>: a value, or an Error that says what was wanted, what came, and where.
// For failures that can happen in a correct program. What cannot happen is asserted.
#pragma once

#include <cassert>
#include <string>
#include <string_view>
#include <utility>
#include <variant>

namespace perennial {

enum class Code {
    kInvalid,    // the input is wrong: a field, a flag, a format
    kNotFound,   // what was named does not exist
    kExists,     // it exists already and must not be overwritten
    kCorrupt,    // stored bytes fail their checksum or their format
    kFull,       // a named bound was reached (queue, segment, disk)
    kIo,         // the operating system refused
    kDenied,     // missing or wrong credentials
    kBusy,       // another process holds it
    kUnsupported // understood, but not built into this program
};

std::string_view name(Code code) noexcept;

struct Error {
    Code code = Code::kInvalid;
    std::string message;
};

// The system's reason for errno, after what was tried: io_error("open /x/y") -> "open /x/y: No such file".
// ENOSPC becomes kFull, everything else kIo.
Error io_error(std::string_view what, int error_number);

template <class T>
class [[nodiscard]] Result {
public:
    Result(T value) : state_(std::in_place_index<0>, std::move(value)) {}      // NOLINT: implicit by design
    Result(Error error) : state_(std::in_place_index<1>, std::move(error)) {}  // NOLINT

    bool ok() const noexcept { return state_.index() == 0; }
    explicit operator bool() const noexcept { return ok(); }

    T& value() & { assert(ok()); return std::get<0>(state_); }
    const T& value() const& { assert(ok()); return std::get<0>(state_); }
    T&& value() && { assert(ok()); return std::get<0>(std::move(state_)); }
    T& operator*() & { return value(); }
    const T& operator*() const& { return value(); }
    T* operator->() { return &value(); }
    const T* operator->() const { return &value(); }

    const Error& error() const { assert(!ok()); return std::get<1>(state_); }

private:
    std::variant<T, Error> state_;
};

struct Done {};
using Status = Result<Done>;

}  // namespace perennial

// Returns the error of `expression` from the enclosing function, if there is one.
#define PERENNIAL_TRY(expression)                                     \
    do {                                                              \
        if (auto perennial_status_ = (expression); !perennial_status_) \
            return perennial_status_.error();                         \
    } while (false)
