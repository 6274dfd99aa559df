// Letters to other systems that must not be lost: kept in RocksDB until the receiver has said yes, or in the dead letters
// once every try has failed. A letter is a body and the endpoint it goes to; what is put is on the disk on return.
// docs/formats/outbox.md. Threads: any.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"
#include "base/time.h"

namespace perennial::deliver {

inline constexpr std::size_t kLettersLimit = 100'000;  // waiting, of all endpoints together
inline constexpr std::size_t kLetterBytesLimit = 20 * 1024;  // of a body: what the specification advises
inline constexpr std::size_t kDeadLimit = 10'000;      // dead letters; the oldest go first

struct Letter {
    std::string endpoint, id;  // together they name it; the id is the receiver's de-duplication key and never changes
    std::string type, body;
    UtcTime created, next_try;
    std::uint32_t tries = 0;
    std::string error;         // of the last try
};

struct LetterCounts { std::size_t waiting = 0, dead = 0; };

class Outbox {
public:
    // Errors: kBusy (another process has it), kIo, kCorrupt.
    static Result<Outbox> open(const std::filesystem::path& directory);
    Outbox(Outbox&&) noexcept;
    Outbox& operator=(Outbox&&) noexcept;
    ~Outbox();

    // All or none, durable. A letter that is there already (waiting or dead) stays as it is.
    // Errors: kFull (kLettersLimit), kInvalid (a body over its limit, a name with a line break), kIo.
    Status put(const std::vector<Letter>& letters);
    // The endpoint's letter with the earliest next_try, due or not.
    Result<std::optional<Letter>> first(std::string_view endpoint) const;
    Status remove(const Letter& letter);                 // it was delivered
    Status put_off(const Letter& letter);                // keeps its new next_try, tries and error
    Status bury(const Letter& letter);                   // to the dead letters
    Status revive(std::string_view id, UtcTime now);     // waits again, with no tries; of every endpoint. Errors: kNotFound
    Result<std::vector<Letter>> dead(std::size_t limit) const;  // newest first
    LetterCounts counts(std::string_view endpoint) const;

private:
    struct State;
    explicit Outbox(std::unique_ptr<State> state) noexcept;
    std::unique_ptr<State> state_;
};

}  // namespace perennial::deliver
