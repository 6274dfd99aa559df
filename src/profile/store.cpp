#include "profile/store.h"

#include <fmt/format.h>
#include <rocksdb/db.h>
#include <rocksdb/filter_policy.h>
#include <rocksdb/memtablerep.h>
#include <rocksdb/merge_operator.h>
#include <rocksdb/options.h>
#include <rocksdb/slice_transform.h>
#include <rocksdb/table.h>
#include <rocksdb/write_batch.h>

#include <algorithm>
#include <atomic>
#include <map>
#include <mutex>
#include <set>
#include <unordered_map>
#include <unordered_set>

#include "base/bytes.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/progress.h"
#include "event/codec.h"
#include "profile/fold_queue.h"

namespace perennial::profile {
namespace {

namespace fs = std::filesystem;
using rocksdb::Slice;

// First byte of a key says what stands there (docs/formats/state.md).
enum Table : char { kLinks = 'l', kKnownIds = 'd', kMeta = 'm', kProfiles = 'p', kProducts = 'c', kTimelines = 't', kMerges = 'i' };
constexpr std::string_view kOffsetKey = "moffset", kLastTimeKey = "mlast_time", kVersionKey = "mversion";
constexpr std::string_view kVersion = "1";
constexpr std::size_t kFoldParts = 4;  // of what may wait, folded at once: append() waits for a part at most
constexpr int kJoinsLimit = 8;  // an id that was joined to an id that was joined ...: a longer chain ends here, the same way each time

std::string table_key(Table table, std::string_view rest) {
    std::string key(1, table);
    key.append(rest);
    return key;
}

std::string id_key(const Hash128& hash) {
    std::string key(1, kKnownIds);
    put_fixed(key, hash.high);
    put_fixed(key, hash.low);
    return key;
}

constexpr std::size_t kMemtableBuckets = 1 << 19;  // 4 MB of pointers; some 300,000 records fill a memtable

Slice slice(std::string_view text) { return {text.data(), text.size()}; }

// A timeline is the events' bytes one after another, so adding to it needs no read.
class Append : public rocksdb::AssociativeMergeOperator {
public:
    bool Merge(const Slice&, const Slice* existing, const Slice& value, std::string* merged, rocksdb::Logger*) const override {
        merged->clear();
        if (existing) merged->append(existing->data(), existing->size());
        merged->append(value.data(), value.size());
        return true;
    }
    const char* Name() const override { return "perennial.append"; }
};

rocksdb::Options rocksdb_options() {
    rocksdb::Options options;
    options.create_if_missing = true;
    options.merge_operator = std::make_shared<Append>();
    options.write_buffer_size = 64u << 20;
    options.max_write_buffer_number = 4;  // sorting one for its file takes a while: writing goes on in the next
    options.max_background_jobs = 2;
    // New records go into a hash table instead of a sorted list: an event brings three, and keys hardly ever neighbour the
    // one before. Walks sort what is in memory first.
    options.prefix_extractor.reset(rocksdb::NewNoopTransform());
    options.memtable_factory.reset(rocksdb::NewHashLinkListRepFactory(kMemtableBuckets));
    options.allow_concurrent_memtable_write = false;
    options.info_log_level = rocksdb::ERROR_LEVEL;
    options.keep_log_file_num = 2;
    rocksdb::BlockBasedTableOptions table;
    table.filter_policy.reset(rocksdb::NewBloomFilterPolicy(10));  // most message ids asked for are new
    table.block_cache = rocksdb::NewLRUCache(64u << 20);
    options.table_factory.reset(rocksdb::NewBlockBasedTableFactory(table));
    return options;
}

Error rocksdb_error(std::string_view what, const rocksdb::Status& status) {
    const Code code = status.IsNoSpace() ? Code::kFull : status.IsCorruption() ? Code::kCorrupt : status.IsBusy() ? Code::kBusy : Code::kIo;
    return {code, fmt::format("state: {}: {}", what, status.ToString())};
}

}  // namespace

Result<std::vector<event::Event>> decode_timeline(std::string_view bytes) {
    std::vector<event::Event> events;
    Reader reader(bytes);
    while (!reader.empty()) {
        const auto record = reader.string();
        if (!reader.ok()) return Error{Code::kCorrupt, "timeline: cut short"};
        auto event = event::decode(record);
        if (!event) return event.error();
        events.push_back(std::move(*event));
    }
    std::ranges::stable_sort(events, {}, &event::Event::time);
    return events;
}

struct Store::State {
    fs::path directory;
    StoreOptions options;
    std::optional<journal::Journal> journal;  // absent when read only
    std::unique_ptr<rocksdb::DB> db;
    std::unordered_map<std::string, catalog::Product, StringHash, std::equal_to<>> products;  // the writer's working copy
    bool products_stale = true;  // the working copy must be read again: at the start, and after a fold that failed
    TimelineWatcher* watcher = nullptr;  // under folding
    std::mutex folding;
    std::atomic<std::uint64_t> folded{0};
    std::atomic<std::int64_t> last_time_ms{0};
    mutable std::mutex groups_mutex;
    std::shared_ptr<const MergeGroups> merge_groups = std::make_shared<const MergeGroups>();  // swapped whole, under groups_mutex

    std::shared_ptr<const MergeGroups> groups() const {
        const std::lock_guard lock(groups_mutex);
        return merge_groups;
    }

    Result<std::optional<std::string>> get(std::string_view key) const {
        std::string value;
        const auto status = db->Get({}, slice(key), &value);
        if (status.IsNotFound()) return std::optional<std::string>{};
        if (!status.ok()) return rocksdb_error("read", status);
        return std::optional(std::move(value));
    }

    Status for_each(char table, const std::function<Result<bool>(std::string_view, std::string_view)>& visit) const {
        rocksdb::ReadOptions walk;
        walk.total_order_seek = true;
        const std::unique_ptr<rocksdb::Iterator> it(db->NewIterator(walk));
        const std::string prefix(1, table);
        for (it->Seek(prefix); it->Valid() && it->key().starts_with(prefix); it->Next()) {
            auto more = visit({it->key().data() + 1, it->key().size() - 1}, {it->value().data(), it->value().size()});
            if (!more) return more.error();
            if (!*more) return Done{};
        }
        if (!it->status().ok()) return rocksdb_error("walk", it->status());
        return Done{};
    }

    Result<std::vector<event::Event>> timeline(const CustomerKey& key, const MergeGroups& groups) const;
    Result<bool> speaks_for_group(char table, std::string_view key, const MergeGroups& groups) const;
    Result<std::vector<MergeDecision>> merge_decisions() const;

    Status open_state();
    Status load_groups();
    Status load_products();
    Status catch_up();
    Status fold(std::span<const event::Event> events, journal::Offset next);

    std::optional<FoldQueue> behind;  // last: its thread uses the rest
};

namespace {

// What one batch of events changes, gathered before it is written at once.
class Fold {
public:
    explicit Fold(Store::State& state) : state_(state) {}

    Status apply(const event::Event& event) {
        ids_.push_back(id_key(hash128(event.message_id)));
        if (const auto decision = merge_decision_of(event)) {  // about customers, not of them: no timeline holds it
            bytes_.clear();
            event::encode(event, bytes_);
            merges_[decision->a + '\0' + decision->b] = bytes_;
            decided_.insert({decision->a, decision->b});
            return Done{};
        }
        if (event.time <= after_days(event.received, 1)) last_time_ms_ = std::max(last_time_ms_, event.time.ms);
        if (!event.product.empty()) touch_product(event);
        auto key = key_of(event);
        if (key.empty()) return Done{};
        auto resolved = resolve(key);
        if (!resolved) return resolved.error();
        PERENNIAL_TRY(join(event, *resolved));
        bytes_.clear();
        event::encode(event, bytes_);
        put_string(appended_[*resolved], bytes_);
        return Done{};
    }

    Status write(journal::Offset next) {
        if (state_.watcher == nullptr) return write_batch(next);
        const auto regrouped = keys_of_changed_groups();
        for (const auto& key : regrouped) state_.watcher->changing(key);
        for (const auto& key : emptied_) state_.watcher->changing(key);
        for (const auto& [key, bytes] : appended_)
            if (!emptied_.contains(key)) state_.watcher->changing(key);
        const auto written = write_batch(next);
        for (const auto& key : regrouped) state_.watcher->changed(key, {}, true);
        for (const auto& key : emptied_) state_.watcher->changed(key, {}, true);
        for (const auto& [key, bytes] : appended_)
            if (!emptied_.contains(key)) state_.watcher->changed(key, bytes, !written);
        return written;
    }

private:
    // Keys whose joined timeline changes though their own may not: of the groups that events came to, and, as they are and
    // as they will be, of the groups that were decided on.
    std::set<CustomerKey> keys_of_changed_groups() const {
        const auto groups = state_.groups();
        std::set<CustomerKey> keys;
        const auto add = [&](const CustomerKey& key) {
            for (const auto& member : groups->members(key)) keys.insert(member);
        };
        for (const auto& key : emptied_) add(key);
        for (const auto& [key, bytes] : appended_) add(key);
        for (const auto& key : decided_) {
            keys.insert(key);
            add(key);
        }
        return keys;
    }

    Status write_batch(journal::Offset next) {
        for (const auto& [pair, bytes] : merges_) batch_.Put(table_key(kMerges, pair), bytes);
        std::ranges::sort(ids_);  // neighbours in the memtable are written while it is in cache
        for (const auto& id : ids_) batch_.Put(slice(id), {});
        for (const auto& key : emptied_) {
            batch_.Delete(table_key(kTimelines, key));
            batch_.Delete(table_key(kProfiles, key));
        }
        for (const auto& [from, to] : links_) batch_.Put(table_key(kLinks, from), to);
        for (const auto& [key, bytes] : appended_) {
            if (bytes.empty()) continue;
            batch_.Merge(table_key(kTimelines, key), bytes);
            if (!is_customer(key)) continue;
            auto profile = extended_profile(key, bytes);
            if (!profile) return profile.error();
            batch_.Put(table_key(kProfiles, key), encode(*profile));
        }
        for (const auto* product : touched_) batch_.Put(table_key(kProducts, product->id), catalog::encode(*product));
        batch_.Put(slice(kOffsetKey), fmt::format("{}", next.value));
        const auto last = std::max(last_time_ms_, state_.last_time_ms.load());
        batch_.Put(slice(kLastTimeKey), fmt::format("{}", last));
        // Not synced: after a power cut the fold may be behind the journal, never ahead of it, and catches up.
        const auto status = state_.db->Write({}, &batch_);
        if (!status.ok()) return rocksdb_error("write", status);
        state_.last_time_ms = last;
        state_.folded = next.value;
        return merges_.empty() ? Status(Done{}) : state_.load_groups();
    }

    Result<CustomerKey> resolve(CustomerKey key) {
        for (int joins = 0; joins < kJoinsLimit; ++joins) {
            if (const auto fresh = links_.find(key); fresh != links_.end()) {
                key = fresh->second;
                continue;
            }
            if (key.starts_with("o:")) return key;
            auto stored = state_.get(table_key(kLinks, key));
            if (!stored) return stored.error();
            if (!*stored) return key;
            key = **stored;
        }
        return key;
    }

    Status join(const event::Event& event, const CustomerKey& to) {
        PERENNIAL_TRY(join_key(joined_key(event), to));
        if (event.kind == event::Kind::kAlias && !event.anonymous_id.empty()) PERENNIAL_TRY(join_key(user_key(event.anonymous_id), to));
        return Done{};
    }

    // The first sign-in brings an anonymous past along; later ones on the same device only lead future events.
    Status join_key(const CustomerKey& from, const CustomerKey& to) {
        if (from.empty() || from == to) return Done{};
        auto leads_to = resolve(from);
        if (!leads_to) return leads_to.error();
        if (*leads_to == to) return Done{};
        if (*leads_to == from) {
            auto stored = stored_timeline(from);
            if (!stored) return stored.error();
            const std::string past = *stored + appended_[from];
            appended_[from].clear();
            emptied_.insert(from);
            if (!past.empty()) appended_[to] += past;
        }
        links_[from] = to;
        return Done{};
    }

    Result<std::string> stored_timeline(const CustomerKey& key) {
        if (emptied_.contains(key)) return std::string{};
        auto stored = state_.get(table_key(kTimelines, key));
        if (!stored) return stored.error();
        return std::move(*stored).value_or(std::string{});
    }

    // The stored profile plus the new events; folded anew from the whole timeline when some of them came late.
    Result<Profile> extended_profile(const CustomerKey& key, std::string_view new_bytes) {
        auto added = decode_timeline(new_bytes);
        if (!added) return added.error();
        Profile profile;
        if (!emptied_.contains(key)) {
            auto stored = state_.get(table_key(kProfiles, key));
            if (!stored) return stored.error();
            if (*stored) {
                auto decoded = decode_profile(**stored);
                if (!decoded) return decoded.error();
                profile = std::move(*decoded);
            }
        }
        if (profile.events > 0 && added->front().time < profile.last_seen) {
            auto before = stored_timeline(key);
            if (!before) return before.error();
            auto timeline = decode_timeline(before->append(new_bytes));
            if (!timeline) return timeline.error();
            return profile::fold(*timeline);
        }
        for (const auto& event : *added) profile::apply(profile, event);
        return profile;
    }

    void touch_product(const event::Event& event) {
        auto [at, is_new] = state_.products.try_emplace(event.product);
        if (is_new) at->second.id = event.product;
        catalog::apply(at->second, event);
        touched_.insert(&at->second);
    }

    Store::State& state_;
    rocksdb::WriteBatch batch_;
    std::vector<std::string> ids_;
    std::map<CustomerKey, std::string> appended_;   // ordered: the same events give the same batch
    std::map<CustomerKey, CustomerKey> links_;
    std::set<CustomerKey> emptied_;
    std::map<std::string, std::string> merges_;   // pair of keys -> its last decision
    std::set<CustomerKey> decided_;               // keys of those pairs
    std::unordered_set<const catalog::Product*> touched_;
    std::int64_t last_time_ms_ = 0;
    std::string bytes_;
};

}  // namespace

Status Store::State::open_state() {
    const auto path = (directory / "state").string();
    rocksdb::DB* opened = nullptr;
    const auto status = options.read_only ? rocksdb::DB::OpenForReadOnly(rocksdb_options(), path, &opened)
                                          : rocksdb::DB::Open(rocksdb_options(), path, &opened);
    if (!status.ok()) return rocksdb_error("open " + path, status);
    db.reset(opened);
    auto version = get(kVersionKey);
    if (!version) return version.error();
    if (*version && **version != kVersion)
        return Error{Code::kUnsupported, fmt::format("{}: want state version {}, got {}; delete the folder, it is rebuilt from the journal", path, kVersion, **version)};
    if (!*version && !options.read_only) db->Put({}, slice(kVersionKey), slice(kVersion));
    auto offset = get(kOffsetKey);
    if (!offset) return offset.error();
    if (*offset) folded = std::stoull(**offset);
    auto last = get(kLastTimeKey);
    if (!last) return last.error();
    if (*last) last_time_ms = std::stoll(**last);
    return load_groups();
}

Result<std::vector<MergeDecision>> Store::State::merge_decisions() const {
    std::vector<MergeDecision> decisions;
    PERENNIAL_TRY(for_each(kMerges, [&](std::string_view pair, std::string_view bytes) -> Result<bool> {
        auto event = event::decode(bytes);
        if (!event) return event.error();
        auto decision = merge_decision_of(*event);
        if (!decision) return Error{Code::kCorrupt, fmt::format("state: no merge decision under '{}'", pair)};
        decisions.push_back(std::move(*decision));
        return true;
    }));
    return decisions;
}

Status Store::State::load_groups() {
    auto decisions = merge_decisions();
    if (!decisions) return decisions.error();
    auto fresh = std::make_shared<const MergeGroups>(*decisions);
    const std::lock_guard lock(groups_mutex);
    merge_groups = std::move(fresh);
    return Done{};
}

// Of a person of several keys, the timelines of all: in time order, equal times by key.
Result<std::vector<event::Event>> Store::State::timeline(const CustomerKey& key, const MergeGroups& groups) const {
    const auto members = groups.members(key);
    std::string bytes;
    for (const auto& member : members.empty() ? std::span<const CustomerKey>(&key, 1) : members) {
        auto own = get(table_key(kTimelines, member));
        if (!own) return own.error();
        if (*own) bytes += **own;
    }
    return decode_timeline(bytes);
}

// On a walk, should the group of `key` be shown here? At the key that speaks for it, or at its first one where that has nothing.
Result<bool> Store::State::speaks_for_group(char table, std::string_view key, const MergeGroups& groups) const {
    const auto canonical = groups.canonical(CustomerKey(key));
    if (canonical == key) return true;
    const auto there = [&](const CustomerKey& member) { return get(table_key(static_cast<Table>(table), member)); };
    auto found = there(canonical);
    if (!found) return found.error();
    if (*found) return false;
    for (const auto& member : groups.members(canonical)) {
        if (member == key) return true;
        if (found = there(member); !found) return found.error();
        if (*found) return false;
    }
    return true;
}

Status Store::State::fold(std::span<const event::Event> events, journal::Offset next) {
    const std::lock_guard lock(folding);
    if (products_stale) PERENNIAL_TRY(load_products());
    products_stale = true;  // until the batch is written, the working copy is ahead of the stored products
    Fold fold(*this);
    for (const auto& event : events) PERENNIAL_TRY(fold.apply(event));
    PERENNIAL_TRY(fold.write(next));
    products_stale = false;
    return Done{};
}

Status Store::State::load_products() {
    products.clear();
    PERENNIAL_TRY(for_each(kProducts, [&](std::string_view id, std::string_view bytes) -> Result<bool> {
        auto product = catalog::decode_product(bytes);
        if (!product) return product.error();
        products.emplace(id, std::move(*product));
        return true;
    }));
    products_stale = false;
    return Done{};
}

Status Store::State::catch_up() {
    if (folded > journal->next_offset().value)
        return Error{Code::kCorrupt, fmt::format("{}: the state has seen {} events but the journal holds {}: journal files are missing; restore them from a backup",
                                                 directory.string(), folded.load(), journal->next_offset().value)};
    if (folded == journal->next_offset().value) return Done{};
    auto cursor = journal::Cursor::open(directory / "journal", {folded});
    if (!cursor) return cursor.error();
    Progress progress("Rebuilding state", journal->next_offset().value - folded, "events");
    std::vector<event::Event> events;
    std::string_view record;
    for (;;) {
        auto more = cursor->next(record);
        if (!more) return more.error();
        if (*more) {
            auto event = event::decode(record);
            if (!event) return event.error();
            events.push_back(std::move(*event));
        }
        if (events.size() >= options.fold_events || (!*more && !events.empty())) {
            PERENNIAL_TRY(fold(events, cursor->offset()));
            progress.advance(events.size());
            events.clear();
        }
        if (!*more) break;
    }
    if (folded != journal->next_offset().value)
        return Error{Code::kCorrupt, fmt::format("{}: the journal ends at event {} when read, want {}; restore its files from a backup", directory.string(),
                                                 folded.load(), journal->next_offset().value)};
    return Done{};
}

Result<Store> Store::open(const fs::path& directory, const StoreOptions& options) {
    auto state = std::make_unique<State>();
    state->directory = directory;
    state->options = options;
    if (options.read_only) {
        std::error_code ignored;
        if (!fs::exists(directory / "state" / "CURRENT", ignored))
            return Error{Code::kNotFound, fmt::format("{}: no state here; `perennial import --shop {} FILE` makes it, and rebuilds it where there is a journal", directory.string(), directory.string())};
        PERENNIAL_TRY(state->open_state());
        return Store(std::move(state));
    }
    auto journal = journal::Journal::open(directory / "journal", options.journal);
    if (!journal) return journal.error();
    state->journal = std::move(*journal);
    PERENNIAL_TRY(state->open_state());
    PERENNIAL_TRY(state->catch_up());
    if (options.fold_behind_events > 0)
        state->behind.emplace(options.fold_behind_events, std::max<std::size_t>(1, options.fold_behind_events / kFoldParts), [s = state.get()](auto events, auto next) { return s->fold(events, next); });
    return Store(std::move(state));
}

Store::Store(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Store::Store(Store&&) noexcept = default;
Store& Store::operator=(Store&&) noexcept = default;
Store::~Store() = default;

Result<Receipt> Store::append(std::vector<event::Event> events) {
    auto& state = *state_;
    if (!state.journal) return Error{Code::kBusy, "the shop was opened for reading only"};
    // After a failed fold the journal is ahead: fold what it holds before asking whether an id is known, or a client that
    // sends again would be taken twice.
    if (state.behind) PERENNIAL_TRY(state.behind->make_room());
    else PERENNIAL_TRY(state.catch_up());
    Receipt receipt;
    std::unordered_set<Hash128, Hash128Hasher> in_group;
    std::vector<Hash128> ids;  // of `fresh`
    std::vector<event::Event> fresh;
    std::vector<std::string> records;
    fresh.reserve(events.size());
    records.reserve(events.size());
    rocksdb::PinnableSlice found;
    for (auto& event : events) {
        const auto id = hash128(event.message_id);
        const auto key = id_key(id);
        // First what waits for its fold, then the fold: an id leaves the one after it has come into the other.
        const bool seen_here = !in_group.insert(id).second || (state.behind && state.behind->knows(id));
        const auto status = seen_here ? rocksdb::Status::OK() : state.db->Get({}, state.db->DefaultColumnFamily(), slice(key), &found);
        found.Reset();
        if (!status.ok() && !status.IsNotFound()) return rocksdb_error("read", status);
        if (status.ok()) {
            ++receipt.already_known;
            continue;
        }
        event::encode(event, records.emplace_back());
        fresh.push_back(std::move(event));
        ids.push_back(id);
    }
    receipt.accepted = fresh.size();
    if (fresh.empty()) return receipt;
    auto first = state.journal->append(records);
    if (!first) return first.error();
    if (state.behind) state.behind->push(std::move(fresh), state.journal->next_offset(), ids);
    else PERENNIAL_TRY(state.fold(fresh, state.journal->next_offset()));
    return receipt;
}

void Store::watch(TimelineWatcher* watcher) noexcept {
    const std::lock_guard lock(state_->folding);
    state_->watcher = watcher;
}

Status Store::settle(std::chrono::milliseconds limit) const { return state_->behind ? state_->behind->wait_until_folded(limit) : Done{}; }

CustomerKey Store::resolve(const CustomerKey& key) const { return state_->groups()->canonical(own_key(key)); }

std::vector<CustomerKey> Store::merged_with(const CustomerKey& key) const {
    const auto groups = state_->groups();
    const auto members = groups->members(own_key(key));
    return {members.begin(), members.end()};
}

Result<std::vector<MergeDecision>> Store::merge_decisions() const { return state_->merge_decisions(); }

CustomerKey Store::own_key(const CustomerKey& key) const {
    CustomerKey at = key;
    for (int joins = 0; joins < kJoinsLimit; ++joins) {
        auto next = state_->get(table_key(kLinks, at));
        if (!next || !*next) break;
        at = **next;
    }
    return at;
}

Result<std::optional<Profile>> Store::profile(const CustomerKey& key) const {
    const auto own = own_key(key);
    const auto groups = state_->groups();
    if (!groups->members(own).empty()) {
        auto timeline = state_->timeline(own, *groups);
        if (!timeline) return timeline.error();
        if (timeline->empty()) return std::optional<Profile>{};
        return std::optional(fold(*timeline));
    }
    auto bytes = state_->get(table_key(kProfiles, own));
    if (!bytes) return bytes.error();
    if (!*bytes) return std::optional<Profile>{};
    auto profile = decode_profile(**bytes);
    if (!profile) return profile.error();
    return std::optional(std::move(*profile));
}

Result<std::vector<event::Event>> Store::timeline(const CustomerKey& key) const { return state_->timeline(own_key(key), *state_->groups()); }

Status Store::for_each_profile(const std::function<bool(const CustomerKey&, const Profile&)>& visit) const {
    const auto groups = state_->groups();
    return state_->for_each(kProfiles, [&](std::string_view key, std::string_view bytes) -> Result<bool> {
        if (const CustomerKey own(key); !groups->empty() && !groups->members(own).empty()) {
            auto here = state_->speaks_for_group(kProfiles, key, *groups);
            if (!here) return here.error();
            if (!*here) return true;
            auto timeline = state_->timeline(own, *groups);
            if (!timeline) return timeline.error();
            return visit(groups->canonical(own), fold(*timeline));
        }
        auto profile = decode_profile(bytes);
        if (!profile) return profile.error();
        return visit(CustomerKey(key), *profile);
    });
}

Status Store::for_each_timeline(bool with_anonymous_orders,
                                const std::function<bool(const CustomerKey&, const std::vector<event::Event>&)>& visit) const {
    const auto groups = state_->groups();
    return state_->for_each(kTimelines, [&](std::string_view key, std::string_view bytes) -> Result<bool> {
        const bool merged = !groups->empty() && !groups->members(CustomerKey(key)).empty();
        const auto shown = merged ? groups->canonical(CustomerKey(key)) : CustomerKey(key);
        if (!with_anonymous_orders && !is_customer(shown)) return true;
        if (merged) {
            auto here = state_->speaks_for_group(kTimelines, key, *groups);
            if (!here) return here.error();
            if (!*here) return true;
        }
        auto timeline = merged ? state_->timeline(shown, *groups) : decode_timeline(bytes);
        if (!timeline) return timeline.error();
        return visit(shown, *timeline);
    });
}

Result<std::vector<catalog::Product>> Store::products() const {
    std::vector<catalog::Product> products;
    PERENNIAL_TRY(state_->for_each(kProducts, [&](std::string_view, std::string_view bytes) -> Result<bool> {
        auto product = catalog::decode_product(bytes);
        if (!product) return product.error();
        products.push_back(std::move(*product));
        return true;
    }));
    return products;
}

journal::Offset Store::folded() const noexcept { return {state_->folded}; }
UtcTime Store::last_event_time() const noexcept { return {state_->last_time_ms}; }

Result<std::string> Store::dump() const {
    std::string all;
    for (const char table : {char{kProducts}, char{kKnownIds}, char{kLinks}, char{kMerges}, char{kMeta}, char{kProfiles}, char{kTimelines}})
        PERENNIAL_TRY(state_->for_each(table, [&](std::string_view key, std::string_view value) -> Result<bool> {
            all += table;
            put_string(all, key);
            put_string(all, value);
            return true;
        }));
    return all;
}

Status Store::flush() {
    const auto status = state_->db->Flush({});
    if (!status.ok()) return rocksdb_error("flush", status);
    return Done{};
}

}  // namespace perennial::profile
