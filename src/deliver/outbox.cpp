#include "deliver/outbox.h"

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <boost/json.hpp>
#include <map>
#include <mutex>
#include <set>
#include <utility>

namespace perennial::deliver {
namespace {

using boost::json::object;

// Keys: "q" waiting, "d" dead; endpoint, line break, id.
std::string key_of(char list, std::string_view endpoint, std::string_view id) { return fmt::format("{}{}\n{}", list, endpoint, id); }

std::string value_of(const Letter& letter) {
    return boost::json::serialize(object{{"type", letter.type}, {"body", letter.body}, {"created", letter.created.ms}, {"next_try", letter.next_try.ms}, {"tries", letter.tries}, {"error", letter.error}});
}

Result<Letter> letter_of(std::string_view key, std::string_view value) {
    const auto line = key.find('\n');
    boost::system::error_code error;
    const auto parsed = boost::json::parse(value, error);
    try {
        if (error || line == std::string_view::npos) throw std::runtime_error("form");
        return Letter{.endpoint = std::string(key.substr(1, line - 1)), .id = std::string(key.substr(line + 1)), .type = std::string(parsed.at("type").as_string()),
                      .body = std::string(parsed.at("body").as_string()), .created = {parsed.at("created").to_number<std::int64_t>()},
                      .next_try = {parsed.at("next_try").to_number<std::int64_t>()}, .tries = parsed.at("tries").to_number<std::uint32_t>(),
                      .error = std::string(parsed.at("error").as_string())};
    } catch (const std::exception&) {
        return Error{Code::kCorrupt, "outbox: a record that is no letter"};
    }
}

Error storage_error(const rocksdb::Status& status) {
    const auto code = status.IsNoSpace() ? Code::kFull : status.IsCorruption() ? Code::kCorrupt : status.ToString().find("lock") != std::string::npos ? Code::kBusy : Code::kIo;
    return {code, "outbox: " + status.ToString()};
}

}  // namespace

struct Outbox::State {
    using Turn = std::pair<std::int64_t, std::string>;  // next_try or created, id

    std::unique_ptr<rocksdb::DB> db;
    mutable std::mutex mutex;
    std::map<std::string, std::set<Turn>, std::less<>> waiting;  // by endpoint; under mutex, as are the next three
    std::map<std::string, std::size_t, std::less<>> dead;        // letters by endpoint
    std::set<std::pair<std::int64_t, std::string>> graves;       // created, key: the oldest go first
    std::size_t total = 0;                                       // waiting

    static rocksdb::WriteOptions durable() {
        rocksdb::WriteOptions options;
        options.sync = true;
        return options;
    }

    Status load() {
        const std::unique_ptr<rocksdb::Iterator> at(db->NewIterator({}));
        for (at->SeekToFirst(); at->Valid(); at->Next()) {
            auto letter = letter_of(at->key().ToStringView(), at->value().ToStringView());
            if (!letter) return letter.error();
            if (at->key()[0] == 'd') {
                ++dead[letter->endpoint];
                graves.insert({letter->created.ms, at->key().ToString()});
            } else {
                waiting[letter->endpoint].insert({letter->next_try.ms, letter->id});
                ++total;
            }
        }
        return at->status().ok() ? Status(Done{}) : Status(storage_error(at->status()));
    }

    bool knows(const std::string& key) const {
        std::string ignored;
        return db->Get({}, key, &ignored).ok();
    }

    Status write(rocksdb::WriteBatch& batch) {
        const auto status = db->Write(durable(), &batch);
        return status.ok() ? Status(Done{}) : Status(storage_error(status));
    }

    // The turn is found by id: a letter's next_try may have been changed by its holder.
    void take_turn(const Letter& letter) {
        auto& turns = waiting[letter.endpoint];
        const auto found = std::ranges::find(turns, letter.id, &Turn::second);
        if (found == turns.end()) return;
        turns.erase(found);
        --total;
    }
};

Outbox::Outbox(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Outbox::Outbox(Outbox&&) noexcept = default;
Outbox& Outbox::operator=(Outbox&&) noexcept = default;
Outbox::~Outbox() = default;

Result<Outbox> Outbox::open(const std::filesystem::path& directory) {
    auto state = std::make_unique<State>();
    rocksdb::Options options;
    options.create_if_missing = true;
    options.write_buffer_size = 4 << 20;
    options.keep_log_file_num = 2;
    rocksdb::DB* db = nullptr;
    std::error_code error;
    std::filesystem::create_directories(directory.parent_path(), error);
    if (const auto status = rocksdb::DB::Open(options, directory.string(), &db); !status.ok()) return storage_error(status);
    state->db.reset(db);
    PERENNIAL_TRY(state->load());
    return Outbox(std::move(state));
}

Status Outbox::put(const std::vector<Letter>& letters) {
    auto& state = *state_;
    const std::lock_guard lock(state.mutex);
    rocksdb::WriteBatch batch;
    std::vector<const Letter*> fresh;
    for (const auto& letter : letters) {
        if (letter.body.size() > kLetterBytesLimit) return Error{Code::kInvalid, fmt::format("letter: want a body of at most {} bytes, got {}", kLetterBytesLimit, letter.body.size())};
        if (letter.endpoint.find('\n') != std::string::npos || letter.id.empty()) return Error{Code::kInvalid, "letter: want an id, and an endpoint's name on one line"};
        const auto key = key_of('q', letter.endpoint, letter.id);
        if (state.knows(key) || state.knows(key_of('d', letter.endpoint, letter.id))) continue;
        batch.Put(key, value_of(letter));
        fresh.push_back(&letter);
    }
    if (state.total + fresh.size() > kLettersLimit) return Error{Code::kFull, fmt::format("outbox: want at most {} letters waiting; a receiver is down, or too slow", kLettersLimit)};
    if (fresh.empty()) return Done{};
    PERENNIAL_TRY(state.write(batch));
    for (const auto* letter : fresh) state.total += state.waiting[letter->endpoint].insert({letter->next_try.ms, letter->id}).second;
    return Done{};
}

Result<std::optional<Letter>> Outbox::first(std::string_view endpoint) const {
    const std::lock_guard lock(state_->mutex);
    const auto found = state_->waiting.find(endpoint);
    if (found == state_->waiting.end() || found->second.empty()) return std::optional<Letter>();
    const auto key = key_of('q', endpoint, found->second.begin()->second);
    std::string value;
    if (const auto status = state_->db->Get({}, key, &value); !status.ok()) return storage_error(status);
    auto letter = letter_of(key, value);
    if (!letter) return letter.error();
    return std::optional(std::move(*letter));
}

Status Outbox::remove(const Letter& letter) {
    const std::lock_guard lock(state_->mutex);
    rocksdb::WriteBatch batch;
    batch.Delete(key_of('q', letter.endpoint, letter.id));
    PERENNIAL_TRY(state_->write(batch));
    state_->take_turn(letter);
    return Done{};
}

Status Outbox::put_off(const Letter& letter) {
    const std::lock_guard lock(state_->mutex);
    rocksdb::WriteBatch batch;
    batch.Put(key_of('q', letter.endpoint, letter.id), value_of(letter));
    PERENNIAL_TRY(state_->write(batch));
    state_->take_turn(letter);
    state_->waiting[letter.endpoint].insert({letter.next_try.ms, letter.id});
    ++state_->total;
    return Done{};
}

Status Outbox::bury(const Letter& letter) {
    auto& state = *state_;
    const std::lock_guard lock(state.mutex);
    rocksdb::WriteBatch batch;
    const auto grave = key_of('d', letter.endpoint, letter.id);
    batch.Delete(key_of('q', letter.endpoint, letter.id));
    batch.Put(grave, value_of(letter));
    std::optional<std::pair<std::int64_t, std::string>> oldest;
    if (state.graves.size() >= kDeadLimit) batch.Delete((oldest = *state.graves.begin())->second);
    PERENNIAL_TRY(state.write(batch));
    state.take_turn(letter);
    state.graves.insert({letter.created.ms, grave});
    ++state.dead[letter.endpoint];
    if (oldest) {
        state.graves.erase(*oldest);
        --state.dead[oldest->second.substr(1, oldest->second.find('\n') - 1)];
    }
    return Done{};
}

Status Outbox::revive(std::string_view id, UtcTime now) {
    auto& state = *state_;
    const std::lock_guard lock(state.mutex);
    rocksdb::WriteBatch batch;
    std::vector<std::pair<std::pair<std::int64_t, std::string>, Letter>> risen;
    for (const auto& grave : state.graves) {
        if (!grave.second.ends_with("\n" + std::string(id))) continue;
        std::string value;
        if (const auto status = state.db->Get({}, grave.second, &value); !status.ok()) return storage_error(status);
        auto letter = letter_of(grave.second, value);
        if (!letter) return letter.error();
        letter->tries = 0;
        letter->next_try = now;
        batch.Delete(grave.second);
        batch.Put(key_of('q', letter->endpoint, letter->id), value_of(*letter));
        risen.push_back({grave, std::move(*letter)});
    }
    if (risen.empty()) return Error{Code::kNotFound, "delivery: no dead letter of that id"};
    PERENNIAL_TRY(state.write(batch));
    for (const auto& [grave, letter] : risen) {
        state.graves.erase(grave);
        --state.dead[letter.endpoint];
        state.waiting[letter.endpoint].insert({letter.next_try.ms, letter.id});
        ++state.total;
    }
    return Done{};
}

Result<std::vector<Letter>> Outbox::dead(std::size_t limit) const {
    const std::lock_guard lock(state_->mutex);
    std::vector<Letter> letters;
    for (auto at = state_->graves.rbegin(); at != state_->graves.rend() && letters.size() < limit; ++at) {
        std::string value;
        if (const auto status = state_->db->Get({}, at->second, &value); !status.ok()) return storage_error(status);
        auto letter = letter_of(at->second, value);
        if (!letter) return letter.error();
        letters.push_back(std::move(*letter));
    }
    return letters;
}

LetterCounts Outbox::counts(std::string_view endpoint) const {
    const std::lock_guard lock(state_->mutex);
    const auto waiting = state_->waiting.find(endpoint);
    const auto dead = state_->dead.find(endpoint);
    return {waiting == state_->waiting.end() ? 0 : waiting->second.size(), dead == state_->dead.end() ? 0 : dead->second};
}

}  // namespace perennial::deliver
