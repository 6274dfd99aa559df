// Pulls from a real PostgreSQL server of the test's own: every row version once, whatever is killed. Skips where there is
// no PostgreSQL.
#include <gtest/gtest.h>

#include <cstdlib>
#include <map>
#include <pwd.h>

#include "base/file.h"
#include "base/rng.h"
#include "profile/store.h"
#include "program.h"

namespace perennial::test {
namespace {

const fs::path kPrograms = "/usr/lib/postgresql/15/bin";

// A server on a socket in a folder of its own. It refuses to run as root: then it runs as the user "postgres".
class Database {
public:
    Database() {
        fs::permissions(scratch_.path(), fs::perms::all);
        if (::geteuid() == 0) as_ = {"/usr/sbin/runuser", "-u", "postgres", "--"};
        command({"initdb", "-D", data(), "-A", "trust", "-U", "shop", "--no-sync"});
        command({"pg_ctl", "-D", data(), "-w", "-l", (scratch_.path() / "log").string(), "-o", "-c listen_addresses='' -c fsync=off -k " + scratch_.path().string(), "start"});
    }
    ~Database() {
        if (!data().empty()) Process(full({"pg_ctl", "-D", data(), "-w", "-m", "immediate", "stop"}), {}).finish();
    }
    std::string connection() const { return "host=" + scratch_.path().string() + " user=shop dbname=postgres"; }
    void sql(const std::string& text) const {
        const auto outcome = Process({"/usr/bin/psql", "-q", "-v", "ON_ERROR_STOP=1", "-d", connection(), "-c", text}, {}).finish();
        if (outcome.exit_code != 0) throw std::runtime_error(outcome.err);
    }
    static bool there() { return fs::exists(kPrograms / "initdb") && fs::exists("/usr/bin/psql") && (::geteuid() != 0 || (::getpwnam("postgres") && fs::exists("/usr/sbin/runuser"))); }

private:
    std::string data() const { return (scratch_.path() / "data").string(); }
    std::vector<std::string> full(std::vector<std::string> arguments) const {
        arguments[0] = (kPrograms / arguments[0]).string();
        arguments.insert(arguments.begin(), as_.begin(), as_.end());
        return arguments;
    }
    void command(const std::vector<std::string>& arguments) const {
        const auto outcome = Process(full(arguments), {.directory = scratch_.path()}).finish();
        if (outcome.exit_code != 0) throw std::runtime_error(arguments[0] + ": " + outcome.out + outcome.err);
    }

    TempDir scratch_{"perennial-postgres"};
    std::vector<std::string> as_;
};

class Pull : public ::testing::Test {
protected:
    void SetUp() override {
        if (!Database::there()) GTEST_SKIP() << "no PostgreSQL here (package postgresql-15)";
        database_.emplace();
        database_->sql("CREATE TABLE line (n bigserial, changed timestamptz, order_no text, customer text, item text, title text, units int, price numeric)");
        write_text(scratch_.path() / "map.toml", "name = \"lines\"\ncurrency = \"EUR\"\n[columns]\ntime = \"changed\"\nuser_id = \"customer\"\norder_id = \"order_no\"\nproduct = \"item\"\ntitle = \"title\"\n"
                                                 "quantity = \"units\"\nprice = \"price\"\n");
    }
    // Rows share their time by sevens: pages must not end among them.
    void add(int from, int count) {
        database_->sql("INSERT INTO line (changed, order_no, customer, item, title, units, price) SELECT timestamptz '2026-01-01 00:00:00.123456+00' + (i / 7) * interval '1 minute', 'o' || i, 'c' || i % 20, 'p' || i % 30,"
                       " E'Thing, \"quoted\"\\n' || i % 30, 1 + i % 3, 9.50 FROM generate_series(" + std::to_string(from) + ", " + std::to_string(from + count - 1) + ") i");
    }
    std::vector<std::string> pull(const std::string& page_rows, const std::vector<std::string>& source = {"--table", "line"}) const {
        std::vector<std::string> arguments{"import", "--shop", shop(), "--postgres", database_->connection(), "--cursor", "changed", "--map", scratch_.path() / "map.toml", "--page-rows", page_rows, "--json"};
        arguments.insert(arguments.end(), source.begin(), source.end());
        return arguments;
    }
    fs::path shop() const { return scratch_.path() / "shop"; }
    std::map<std::string, std::size_t> events() const {
        std::map<std::string, std::size_t> counts;
        const auto store = profile::Store::open(shop(), {.read_only = true});
        EXPECT_TRUE(store.ok());
        for (int c = 0; c < 20; ++c) counts["c" + std::to_string(c)] = store->timeline(profile::user_key("c" + std::to_string(c)))->size();
        return counts;
    }
    static std::map<std::string, std::size_t> each(std::size_t count) {
        std::map<std::string, std::size_t> counts;
        for (int c = 0; c < 20; ++c) counts["c" + std::to_string(c)] = count;
        return counts;
    }

    std::optional<Database> database_;
    TempDir scratch_{"perennial-pull"};
};

TEST_F(Pull, brings_what_is_new_since_the_last_time_and_pages_change_nothing) {
    add(0, 1000);
    const auto first = json::parse(run_well(pull("64")).out).as_array();
    EXPECT_GE(first.size(), 1000u / 70);
    EXPECT_EQ(events(), each(50));
    EXPECT_EQ(json::parse(run_well(pull("64")).out).as_array().size(), 0u) << "nothing is new";
    add(1001, 999);
    database_->sql("UPDATE line SET changed = '2027-02-01', units = 9 WHERE n = 1");
    run_well(pull("100000"));
    EXPECT_EQ(events(), each(100)) << "row 1000 was left out, and the changed row, of the same customer, is a new version";
}

TEST_F(Pull, brings_every_row_once_although_it_is_killed_again_and_again) {
    add(0, 20'000);
    Rng rng(11);
    int kills = 0;
    for (bool done = false; !done; ++kills) {
        ASSERT_LT(kills, 200);
        Process process(perennial(pull("500")), {});
        done = process.wait_for_end(Seconds(kills < 12 ? 0.03 + 0.25 * rng.uniform() : 60));
        process.signal(SIGKILL);
        const auto outcome = process.finish();
        if (done) {
            EXPECT_EQ(outcome.exit_code, 0) << outcome;
        }
        // A row that changes behind a page that is not imported yet does not change what that page brings.
        if (!done && kills % 4 == 0) database_->sql("UPDATE line SET title = title || '!' WHERE n % 5 = 0");
    }
    EXPECT_GT(kills, 3);
    EXPECT_EQ(events(), each(1000));
}

TEST_F(Pull, takes_a_query_and_says_what_is_wrong) {
    add(0, 100);
    run_well(pull("1000", {"--query", "SELECT * FROM line WHERE customer = 'c3'"}));
    EXPECT_EQ(events().at("c3"), 5u);
    EXPECT_EQ(events().at("c4"), 0u);
    EXPECT_NE(complaint(run(pull("10", {"--table", "nowhere"}))).find("nowhere"), std::string::npos);
    EXPECT_EQ(run(pull("10", {"--query", "SELECT 1; DROP TABLE line"})).exit_code, 1);
    EXPECT_EQ(run(pull("10", {"--query", "DELETE FROM line RETURNING *"})).exit_code, 1);
    run_well(pull("1000", {"--query", "SELECT * FROM line WHERE customer = 'c4'"}));
    EXPECT_EQ(events().at("c4"), 5u) << "nobody deleted anything";
    EXPECT_EQ(run({"import", "--shop", shop(), "--postgres", "host=/nowhere", "--table", "line", "--cursor", "changed"}).exit_code, 1);
    EXPECT_EQ(run({"import", "--shop", shop(), "--postgres", "x", "--cursor", "changed"}).exit_code, 2);
}

}  // namespace
}  // namespace perennial::test
