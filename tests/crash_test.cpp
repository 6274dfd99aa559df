// Crash recovery of the real program: an import is killed again and again, and nothing may be lost or doubled.
#include <gtest/gtest.h>

#include "base/file.h"
#include "base/rng.h"
#include "event/codec.h"
#include "profile/store.h"
#include "program.h"

namespace perennial::test {
namespace {

constexpr std::size_t kRows = 150'000;
constexpr int kKills = 50;

std::uint64_t journal_bytes(const fs::path& shop) {
    std::uint64_t bytes = 0;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(shop / "journal", error))
        if (entry.path().extension() == ".seg") bytes += entry.file_size(error);
    return bytes;
}

// What the journal holds, without when we took it in.
std::vector<event::Event> journal_events(const fs::path& shop) {
    std::vector<event::Event> events;
    auto cursor = journal::Cursor::open(shop / "journal");
    if (!cursor) throw std::runtime_error(cursor.error().message);
    std::string_view record;
    for (;;) {
        const auto more = cursor->next(record);
        if (!more) throw std::runtime_error(more.error().message);
        if (!*more) return events;
        auto event = event::decode(record);
        if (!event) throw std::runtime_error(event.error().message);
        event->received = {};
        events.push_back(std::move(*event));
    }
}

profile::Store open_store(const fs::path& shop, bool read_only) {
    auto store = profile::Store::open(shop, {.read_only = read_only});
    if (!store) throw std::runtime_error(store.error().message);
    return std::move(*store);
}

std::uint64_t folded(const fs::path& shop) {
    std::error_code error;
    if (!fs::exists(shop / "state" / "CURRENT", error)) return 0;
    return open_store(shop, true).folded().value;
}

std::string dump(const fs::path& shop) {
    auto bytes = open_store(shop, false).dump();
    if (!bytes) throw std::runtime_error(bytes.error().message);
    return std::move(*bytes);
}

std::vector<std::string> import_into(const fs::path& shop, const fs::path& csv) { return {"import", "--shop", shop, csv, "--json"}; }

// The whole export, imported once and never disturbed, and what must come out of any other way of importing it.
struct Reference {
    fs::path csv;
    double seconds = 0;
    std::uint64_t events = 0;
    std::vector<event::Event> journal;
};

void expect_complete(const fs::path& shop, const Reference& reference) {
    const auto report = json::parse(run_well(import_into(shop, reference.csv)).out).at(0);
    EXPECT_EQ(sum_of_fates(report), kRows);
    EXPECT_EQ(report.at("accepted").to_number<std::uint64_t>() + report.at("already_known").to_number<std::uint64_t>(), reference.events);
    EXPECT_TRUE(journal_events(shop) == reference.journal) << "want the same events in the same order, each once";
    const auto resumed = dump(shop);
    fs::remove_all(shop / "state");
    EXPECT_TRUE(resumed == dump(shop)) << "the resumed state differs from the one rebuilt from the journal";
}

TEST(Crash, an_import_killed_fifty_times_ends_as_one_that_was_never_killed) {
    const TempDir scratch("perennial-crash");
    Reference reference{.csv = scratch.path() / "orders.csv"};
    Rng rng(20110101);
    const auto exported = online_retail_export(kRows, rng.fork(1));
    write_text(reference.csv, exported.csv);
    const auto whole = scratch.path() / "whole";
    const auto uninterrupted = run_well(import_into(whole, reference.csv));
    reference.seconds = uninterrupted.seconds;
    reference.events = json::parse(uninterrupted.out).at(0).at("accepted").to_number<std::uint64_t>();
    ASSERT_EQ(reference.events, kRows - exported.duplicates);
    reference.journal = journal_events(whole);
    ASSERT_EQ(reference.journal.size(), reference.events);

    // Every other kill comes while the file is still read or known rows are passed over; the others once the journal has
    // grown, at a random moment of the append, the fold or the group after it. A shop that has everything makes room for a
    // new one, so that there is always something left to write.
    int kills_while_writing = 0, shops = 1;
    std::uint64_t seen = 0;
    const auto shop = [&] { return scratch.path() / ("killed-" + std::to_string(shops)); };
    for (int kill = 0; kill < kKills; ++kill) {
        const auto before = journal_bytes(shop());
        Process import(perennial(import_into(shop(), reference.csv)), {});
        if (kill % 2 == 0) {
            import.wait_for_end(Seconds(0.5 * reference.seconds * rng.uniform()));
        } else {
            while (journal_bytes(shop()) == before && !import.wait_for_end(Seconds(0.001))) {}
            import.wait_for_end(Seconds(0.05 * rng.uniform()));
        }
        import.signal(SIGKILL);
        import.finish();
        kills_while_writing += journal_bytes(shop()) > before;

        const auto now = folded(shop());
        ASSERT_GE(now, seen) << "after kill " << kill << " the shop knows fewer events than before";
        ASSERT_LE(now, reference.events);
        seen = now;
        if (kill % 7 == 3) {  // the journal's own recovery, apart from the program's
            const auto recovered = open_store(shop(), false).folded().value;
            ASSERT_GE(recovered, seen);
            seen = recovered;
        }
        if (seen == reference.events) {
            expect_complete(shop(), reference);
            fs::remove_all(shop());
            seen = 0;
            ++shops;
        }
    }
    expect_complete(shop(), reference);
    RecordProperty("kills_while_writing", kills_while_writing);
    RecordProperty("shops", shops);
    EXPECT_GE(kills_while_writing, kKills / 4) << "the kills missed the writing";
}

TEST(Crash, what_became_of_every_row_is_known_even_when_the_crash_came_just_before_the_report) {
    const TempDir scratch("perennial-crash");
    const fs::path csv = scratch.path() / "orders.csv", shop = scratch.path() / "shop";
    write_text(csv, online_retail_export(2'000, Rng(3)).csv);
    run_well(import_into(shop, csv));
    fs::remove_all(shop / "imports");  // all events are in, and the crash came before the report was written
    run_well(import_into(shop, csv));
    const auto reports = json::parse(run_well({"check", "--shop", shop, "--json"}).out);
    ASSERT_FALSE(reports.as_array().empty()) << "no report of the file, though it was imported again";
    EXPECT_EQ(sum_of_fates(reports.at(0)), 2'000u);
}

TEST(Crash, a_state_folder_cut_off_in_the_middle_of_its_making_is_made_again) {
    const TempDir scratch("perennial-crash");
    const fs::path csv = scratch.path() / "orders.csv", shop = scratch.path() / "shop";
    write_text(csv, online_retail_export(2'000, Rng(4)).csv);
    run_well(import_into(shop, csv));
    const auto before = dump(shop);
    fs::remove_all(shop / "state");
    fs::create_directories(shop / "state");
    run_well(import_into(shop, csv));
    EXPECT_TRUE(before == dump(shop));
}

}  // namespace
}  // namespace perennial::test
