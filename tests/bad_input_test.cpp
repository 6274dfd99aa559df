// Everything that can go wrong outside the program: each time it says in one line what was wanted, what came and where,
// ends with exit code 1 (failed) or 2 (wrong usage), and loses nothing.
#include <gtest/gtest.h>

#include <arpa/inet.h>
#include <netinet/in.h>
#include <sys/socket.h>
#include <zlib.h>

#include "base/file.h"
#include "base/rng.h"
#include "profile/store.h"
#include "program.h"

namespace perennial::test {
namespace {

std::string gzipped(const std::string& text) {
    z_stream stream{};
    if (::deflateInit2(&stream, 6, Z_DEFLATED, 15 + 16, 8, Z_DEFAULT_STRATEGY) != Z_OK) throw std::runtime_error("deflateInit2");
    std::string out(::deflateBound(&stream, text.size()) + 64, '\0');
    stream.next_in = reinterpret_cast<Bytef*>(const_cast<char*>(text.data()));
    stream.avail_in = static_cast<uInt>(text.size());
    stream.next_out = reinterpret_cast<Bytef*>(out.data());
    stream.avail_out = static_cast<uInt>(out.size());
    ::deflate(&stream, Z_FINISH);
    out.resize(stream.total_out);
    ::deflateEnd(&stream);
    return out;
}

std::string dump(const fs::path& shop) {
    auto store = profile::Store::open(shop, {.read_only = true});
    if (!store) throw std::runtime_error(store.error().message);
    auto bytes = store->dump();
    if (!bytes) throw std::runtime_error(bytes.error().message);
    return std::move(*bytes);
}

// A small shop, and a check after each misfortune that it holds what it held.
class BadInput : public ::testing::Test {
protected:
    void SetUp() override {
        exported_ = online_retail_export(3'000, Rng(11));
        write_text(csv(), exported_.csv);
        run_well({"import", "--shop", shop(), csv()});
        before_ = dump(shop());
    }
    fs::path at(const std::string& name) const { return scratch_.path() / name; }
    fs::path shop() const { return at("shop"); }
    fs::path csv() const { return at("orders.csv"); }
    fs::path file(const std::string& name, std::string_view bytes) const {
        write_text(at(name), bytes);
        return at(name);
    }
    fs::path segment() const {
        for (const auto& entry : fs::directory_iterator(shop() / "journal"))
            if (entry.path().extension() == ".seg") return entry.path();
        throw std::runtime_error("no segment");
    }

    // Fails with `code`; says each of `wanted` in its complaint; the shop is as it was.
    std::string expect_failure(int code, const std::vector<std::string>& arguments, const std::vector<std::string>& wanted, const ProcessOptions& options = {.time_limit = Seconds(30)}) const {
        const auto outcome = run(arguments, options);
        EXPECT_EQ(outcome.exit_code, code) << outcome;
        EXPECT_EQ(outcome.out, "") << "a failure has no result";
        const auto said = complaint(outcome);
        for (const auto& text : wanted) EXPECT_NE(said.find(text), std::string::npos) << "want \"" << text << "\" in: " << said;
        EXPECT_TRUE(dump(shop()) == before_) << "the shop changed";
        return said;
    }
    void expect_refused(const fs::path& input, const std::vector<std::string>& wanted) const {
        auto all = wanted;
        all.push_back(input.filename().string());
        expect_failure(1, {"import", "--shop", shop(), input}, all);
    }

    TempDir scratch_{"perennial-bad"};
    Export exported_;
    std::string before_;
};

TEST_F(BadInput, a_file_that_is_no_export_is_refused_by_name_and_reason) {
    expect_refused(file("empty.csv", ""), {"empty"});
    expect_refused(file("empty.csv.gz", gzipped("")), {"empty"});
    Rng rng(1);
    std::string noise(100'000, '\0');
    for (auto& c : noise) c = static_cast<char>(rng.below(256));
    expect_refused(file("noise.csv", noise), {"text"});
    expect_refused(at("nothing-here.csv"), {"No such file"});
    fs::create_directories(at("folder.csv"));
    expect_refused(at("folder.csv"), {"directory"});
    const auto packed = gzipped(exported_.csv);
    for (const std::size_t bytes : {std::size_t{2}, std::size_t{20}, packed.size() / 2, packed.size() - 1})
        expect_refused(file("cut.csv.gz", packed.substr(0, bytes)), {"cut short"});
    auto damaged = packed;
    damaged[packed.size() / 2] = static_cast<char>(~damaged[packed.size() / 2]);
    expect_refused(file("damaged.csv.gz", damaged), {"gzip"});
}

TEST_F(BadInput, a_header_that_fits_no_preset_is_shown_beside_what_would_fit) {
    const auto outcome = run({"import", "--shop", shop(), file("other.csv", "alpha,beta,gamma\n1,2,3\n")});
    EXPECT_EQ(outcome.exit_code, 1);
    for (const auto* text : {"other.csv", "InvoiceNo", "got: alpha, beta, gamma", "--map"}) EXPECT_NE(outcome.err.find(text), std::string::npos) << text << "\n" << outcome;
    EXPECT_TRUE(dump(shop()) == before_);
}

TEST_F(BadInput, unreadable_rows_in_a_readable_file_go_to_the_quarantine_with_line_and_reason) {
    const auto text = exported_.csv.substr(0, exported_.csv.find('\n') + 1) + "900001,X1,THING,many,2011-01-01 10:00:00,2.50,17850,United Kingdom\n"
                      "900001,X2,THING,2,yesterday,2.50,17850,United Kingdom\n900001,X3,THING,2,2011-01-01 10:00:00,2.50,17850,United Kingdom\n";
    const auto report = json::parse(run_well({"import", "--shop", shop(), file("three.csv", text), "--json"}).out).at(0);
    EXPECT_EQ(sum_of_fates(report), 3u);
    EXPECT_EQ(report.at("accepted").to_number<int>(), 1);
    const auto quarantine = lines(read_text(shop() / "quarantine" / "quarantine.jsonl"));
    ASSERT_EQ(quarantine.size(), 2u);
    EXPECT_EQ(json::parse(quarantine[0]).at("line").to_number<int>(), 2);
    EXPECT_EQ(json::parse(quarantine[1]).at("line").to_number<int>(), 3);
    EXPECT_NE(quarantine[0].find("many"), std::string::npos);
}

TEST_F(BadInput, wrong_usage_has_exit_code_2_and_names_what_came) {
    expect_failure(2, {"import", "--shop", shop(), "--bogus", csv()}, {"--bogus", "--help"});
    expect_failure(2, {"recommend", "--shop", shop(), "--customer", "12346", "-n", "many"}, {"many"});
    expect_failure(2, {"recommend", "--shop", shop()}, {"--customer"});
    expect_failure(2, {}, {"--help"});
}

TEST_F(BadInput, an_unknown_command_is_named) { expect_failure(2, {"nonsense"}, {"nonsense"}); }

TEST_F(BadInput, an_import_without_files_is_wrong_usage) { expect_failure(2, {"import", "--shop", shop()}, {"file"}); }

TEST_F(BadInput, a_cleaning_rule_can_be_left_out_more_than_once_before_or_after_the_files) {
    for (const auto& arguments : std::vector<std::vector<std::string>>{{"--without", "charges", csv()}, {csv(), "--without", "charges", "--without", "missing_description"},
                                                                       {"--without", "charges", "--without", "missing_description", csv()}}) {
        auto all = std::vector<std::string>{"import", "--shop", at("elsewhere")};
        all.insert(all.end(), arguments.begin(), arguments.end());
        const auto outcome = run(all);
        EXPECT_EQ(outcome.exit_code, 0) << outcome;
    }
}

TEST_F(BadInput, a_cleaning_rule_that_is_none_is_named) {
    expect_failure(1, {"import", "--shop", shop(), csv(), "--without", "no_such_rule"}, {"no_such_rule"});
}

TEST_F(BadInput, a_folder_without_a_shop_is_named_by_every_command_that_reads) {
    const std::string nowhere = at("nowhere");
    for (const auto& arguments : std::vector<std::vector<std::string>>{{"check"}, {"train"}, {"evaluate"}, {"report"}, {"customer", "12346"}, {"recommend", "--customer", "12346"}, {"serve", "--listen", "127.0.0.1:0"}}) {
        auto all = arguments;
        all.insert(all.begin() + 1, {"--shop", nowhere});
        expect_failure(1, all, {nowhere, "no shop"});
        EXPECT_FALSE(fs::exists(nowhere)) << arguments[0] << " made a folder";
    }
}

TEST_F(BadInput, an_unknown_customer_is_an_answer_for_recommend_and_an_error_for_customer) {
    expect_failure(1, {"customer", "--shop", shop(), "nobody-knows"}, {"nobody-knows"});
    const auto body = json::parse(run_well({"recommend", "--shop", shop(), "--customer", "nobody-knows", "--json"}).out);
    EXPECT_EQ(body.at("known_customer"), false);
    EXPECT_EQ(body.at("recommendations").as_array().size(), 10u) << "what is popular";
}

TEST_F(BadInput, a_number_of_recommendations_out_of_range_is_refused_not_clamped) {
    expect_failure(2, {"recommend", "--shop", shop(), "--customer", "12346", "-n", "0"}, {"1 to 100", "0"});
    expect_failure(2, {"recommend", "--shop", shop(), "--customer", "12346", "-n", "101"}, {"1 to 100", "101"});
}

TEST_F(BadInput, settings_that_cannot_be_read_are_named_by_line_and_key) {
    struct Case { std::string text; int line; std::string key; };
    const std::vector<Case> cases{{"name = \"unfinished", 1, ""}, {"\n\ncolour = \"red\"", 3, "colour"}, {"name = 7", 1, "name"},
                                  {"[listen]\nport = 8080", 1, "listen"}, {"name = \"a\"\nname = \"b\"", 2, "name"}};
    for (const auto& [text, line, key] : cases) {
        write_text(shop() / "perennial.toml", text);
        for (const std::string command : {"check", "import", "serve"}) {
            std::vector<std::string> arguments{command, "--shop", shop()};
            if (command == "import") arguments.push_back(csv());
            const auto said = expect_failure(1, arguments, {"perennial.toml", key});
            const auto number = std::to_string(line);
            EXPECT_TRUE(said.find("line " + number) != std::string::npos || said.find("perennial.toml:" + number) != std::string::npos) << "want line " << number << " in: " << said;
        }
    }
    write_text(shop() / "perennial.toml", std::string("\0\1\2", 3));
    expect_failure(1, {"check", "--shop", shop()}, {"perennial.toml"});
}

TEST_F(BadInput, an_address_to_listen_on_that_is_none_is_refused) {
    for (const std::string listen : {"nonsense", "127.0.0.1:99999", "127.0.0.1:", "127.0.0.1:80x", "[::1:80"})
        expect_failure(1, {"serve", "--shop", shop(), "--listen", listen}, {listen});
}

TEST_F(BadInput, a_mapping_that_cannot_be_read_is_named_by_place) {
    const auto import_with = [&](const std::string& mapping) { return std::vector<std::string>{"import", "--shop", shop(), "--map", mapping, csv()}; };
    expect_failure(1, import_with("no-such-preset"), {"no-such-preset", "online-retail"});
    expect_failure(1, import_with(at("absent.toml")), {"absent.toml"});
    expect_failure(1, import_with(file("broken.toml", "name = [\n")), {"broken.toml", "line"});
    expect_failure(1, import_with(file("key.toml", "flavour = \"x\"\n[columns]\ntime = \"InvoiceDate\"\n")), {"key.toml", "flavour"});
    expect_failure(1, import_with(file("column.toml", "[columns]\ntime = \"When\"\nproduct = \"StockCode\"\n")), {"column.toml", "When"});
    expect_failure(1, import_with(file("type.toml", "[columns]\ntime = 5\n")), {"type.toml", "time"});
    expect_failure(1, import_with("retailrocket"), {"retailrocket", "lacks"});
    expect_failure(1, import_with(file("binary.toml", std::string("\xff\xfe\0[", 4))), {"binary.toml"});
}

TEST_F(BadInput, a_shop_that_cannot_be_made_is_refused_with_its_path) {
    expect_failure(1, {"import", "--shop", csv() / "shop", csv()}, {"orders.csv"});
    expect_failure(1, {"init", "/proc/no/shop"}, {"/proc/no/shop"});
}

TEST_F(BadInput, a_full_disk_at_any_moment_of_an_import_is_an_error_and_a_second_try_loses_nothing) {
    const auto big = file("big.csv", online_retail_export(40'000, Rng(12)).csv);
    run_well({"import", "--shop", at("reference"), big});
    const auto events = profile::Store::open(at("reference"), {.read_only = true})->folded().value;
    for (const rlim_t bytes : {0u, 10'000u, 100'000u, 500'000u, 1'000'000u, 2'000'000u, 4'000'000u}) {
        const auto full = at("full-" + std::to_string(bytes));
        const auto outcome = run({"import", "--shop", full, big}, {.file_bytes_limit = bytes});
        EXPECT_EQ(outcome.exit_code, 1) << "limit " << bytes << "\n" << outcome;
        complaint(outcome);
        const auto again = run({"import", "--shop", full, big, "--json"});
        ASSERT_EQ(again.exit_code, 0) << "limit " << bytes << "\n" << again;
        EXPECT_EQ(sum_of_fates(json::parse(again.out).at(0)), 40'000u);
        auto store = profile::Store::open(full, {.read_only = true});
        ASSERT_TRUE(store.ok());
        EXPECT_EQ(store->folded().value, events) << "limit " << bytes;
    }
}

TEST_F(BadInput, a_result_that_could_not_be_written_is_a_failure) {
    for (const std::string arguments : {"check --json", "check", "customer 12346 --json", "recommend --customer 12346"}) {
        const auto outcome = Process({"/bin/sh", "-c", std::string(PERENNIAL_PROGRAM) + " " + arguments + " --shop " + shop().string() + " > /dev/full"}, {.time_limit = Seconds(20)}).finish();
        EXPECT_EQ(outcome.exit_code, 1) << arguments << " > /dev/full\n" << outcome;
    }
}

TEST_F(BadInput, a_port_in_use_is_named) {
    Fd taken(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ASSERT_EQ(::bind(taken.get(), reinterpret_cast<sockaddr*>(&address), size), 0);
    ASSERT_EQ(::listen(taken.get(), 1), 0);
    ASSERT_EQ(::getsockname(taken.get(), reinterpret_cast<sockaddr*>(&address), &size), 0);
    const auto listen = "127.0.0.1:" + std::to_string(ntohs(address.sin_port));
    expect_failure(1, {"serve", "--shop", shop(), "--listen", listen}, {listen, "in use"});
}

TEST_F(BadInput, bytes_after_the_last_whole_record_are_set_aside_with_a_warning) {
    const auto path = segment();
    const auto whole = read_text(path);
    Rng rng(2);
    for (const std::size_t surplus : {1u, 7u, 300u}) {
        std::string tail(surplus, '\0');
        for (auto& c : tail) c = static_cast<char>(rng.below(256));
        write_text(path, whole + tail);
        const auto outcome = run({"import", "--shop", shop(), csv()});
        EXPECT_EQ(outcome.exit_code, 0) << outcome;
        EXPECT_NE(outcome.err.find("set aside"), std::string::npos) << outcome;
        const fs::path torn = path.string() + ".torn-" + std::to_string(whole.size());
        ASSERT_TRUE(fs::exists(torn));
        EXPECT_EQ(read_text(torn), tail);
        EXPECT_EQ(read_text(path), whole);
        EXPECT_TRUE(dump(shop()) == before_);
        fs::remove(torn);
    }
}

TEST_F(BadInput, an_acknowledged_record_that_is_damaged_is_never_passed_over_in_silence) {
    const auto path = segment();
    auto bytes = read_text(path);
    bytes.back() = static_cast<char>(~bytes.back());
    write_text(path, bytes);
    const auto refused = run({"import", "--shop", shop(), csv()});
    EXPECT_EQ(refused.exit_code, 1) << "the state knows an event that the journal lost\n" << refused;
    EXPECT_NE(complaint(refused).find("journal"), std::string::npos);
    EXPECT_EQ(run({"check", "--shop", shop()}).exit_code, 0) << "reading goes on";

    // The way out: give the state up; importing the file again brings back what was lost.
    fs::remove_all(shop() / "state");
    const auto report = json::parse(run_well({"import", "--shop", shop(), csv(), "--json"}).out).at(0);
    EXPECT_EQ(report.at("accepted").to_number<int>(), 1);
    EXPECT_EQ(profile::Store::open(shop(), {.read_only = true})->folded().value, exported_.rows - exported_.duplicates);
}

TEST_F(BadInput, damage_in_the_middle_of_the_journal_stops_a_rebuild) {
    const auto path = segment();
    auto bytes = read_text(path);
    bytes[bytes.size() / 2] = static_cast<char>(~bytes[bytes.size() / 2]);
    write_text(path, bytes);
    fs::remove_all(shop() / "state");
    const auto outcome = run({"import", "--shop", shop(), csv()});
    // Half of the events must not vanish as if they had never been acknowledged.
    EXPECT_TRUE(outcome.exit_code == 1 || outcome.err.find("set aside") != std::string::npos) << outcome;
    std::uintmax_t kept = 0;
    for (const auto& entry : fs::directory_iterator(shop() / "journal")) kept += entry.file_size();
    EXPECT_GE(kept, bytes.size()) << "every byte is still there, if only set aside";
}

TEST_F(BadInput, a_journal_segment_that_is_missing_is_noticed) {
    const auto many = at("many");
    run_well({"init", many});
    {
        auto from = profile::Store::open(shop(), {.read_only = true});
        auto to = profile::Store::open(many, {.journal = {.segment_bytes = 60'000}});
        ASSERT_TRUE(from.ok() && to.ok());
        std::vector<event::Event> group;
        const auto pass = [&](std::size_t at_least) {
            if (group.size() < at_least) return;
            ASSERT_TRUE(to->append(std::move(group)).ok());
            group.clear();
        };
        ASSERT_TRUE(from->for_each_timeline(true, [&](const auto&, const auto& events) {
            group.insert(group.end(), events.begin(), events.end());
            pass(100);
            return true;
        }).ok());
        pass(1);
    }
    std::vector<fs::path> segments;
    for (const auto& entry : fs::directory_iterator(many / "journal"))
        if (entry.path().extension() == ".seg") segments.push_back(entry.path());
    std::ranges::sort(segments);
    ASSERT_GE(segments.size(), 4u);
    for (const auto& [missing, with_state] : std::vector<std::pair<fs::path, bool>>{{segments.back(), true}, {segments.front(), false}, {segments[segments.size() / 2], false}}) {
        const auto shop_copy = at("copy");
        fs::remove_all(shop_copy);
        fs::copy(many, shop_copy, fs::copy_options::recursive);
        fs::remove(shop_copy / "journal" / missing.filename());
        if (!with_state) fs::remove_all(shop_copy / "state");
        const auto outcome = run({"import", "--shop", shop_copy, csv()});
        EXPECT_EQ(outcome.exit_code, 1) << "without " << missing.filename() << "\n" << outcome;
        EXPECT_NE(complaint(outcome).find("journal"), std::string::npos) << outcome;
    }
}

TEST_F(BadInput, a_second_importer_is_told_which_process_is_first) {
    const auto big = file("big.csv", online_retail_export(150'000, Rng(13)).csv);
    const auto busy = at("busy");
    Process first(perennial({"import", "--shop", busy, big}), {});
    for (int i = 0; i < 5'000 && !fs::exists(busy / "journal" / "LOCK") && !first.wait_for_end(Seconds(0.001)); ++i) {}
    Outcome second;
    std::string said;
    for (int i = 0; i < 50 && !first.wait_for_end(Seconds(0.002)); ++i) {  // the lock file is there a moment before its holder's name
        second = run({"import", "--shop", busy, csv()});
        said = complaint(second);
        if (said.find(std::to_string(first.pid())) != std::string::npos) break;
    }
    EXPECT_EQ(second.exit_code, 1) << second;
    EXPECT_NE(said.find("in use by process " + std::to_string(first.pid())), std::string::npos) << said;
    EXPECT_EQ(first.finish().exit_code, 0) << "the first is not disturbed";
    EXPECT_EQ(run({"import", "--shop", busy, csv()}).exit_code, 0) << "and afterwards the shop is free";
}

TEST_F(BadInput, a_state_folder_that_is_damaged_is_an_error_or_is_rebuilt_but_never_half_an_answer) {
    for (const auto& entry : fs::directory_iterator(shop() / "state"))
        if (entry.path().extension() == ".sst") write_text(entry.path(), std::string(entry.file_size(), 'x'));
    const auto outcome = run({"customer", "--shop", shop(), "12346"});
    EXPECT_EQ(outcome.exit_code, 1) << outcome;
    complaint(outcome);
    fs::remove_all(shop() / "state");
    run_well({"import", "--shop", shop(), csv()});
    EXPECT_TRUE(dump(shop()) == before_);
}

TEST_F(BadInput, training_a_shop_without_purchases_says_so) {
    run_well({"init", at("bare")});
    for (const std::string command : {"train", "evaluate", "report"}) {
        const auto outcome = run({command, "--shop", at("bare")});
        EXPECT_EQ(outcome.exit_code, 1) << outcome;
        complaint(outcome);
    }
}

#ifdef PERENNIAL_TRAINS

// A trained shop, made once; each test damages a copy.
class BadModel : public ::testing::Test {
protected:
    static void SetUpTestSuite() {
        made_ = new TempDir("perennial-model");
        run_well({"simulate", "--out", made_->path() / "simulated", "--customers", "60", "--products", "20", "--days", "200"});
        run_well({"import", "--shop", made_->path() / "shop", made_->path() / "simulated" / "events.jsonl"});
        run_well({"train", "--shop", made_->path() / "shop", "--seconds", "1"});
    }
    static void TearDownTestSuite() { delete std::exchange(made_, nullptr); }
    void SetUp() override { fs::copy(made_->path() / "shop", shop(), fs::copy_options::recursive); }
    fs::path shop() const { return scratch_.path() / "shop"; }
    fs::path model(const std::string& name) const { return shop() / "models" / lines(read_text(shop() / "models" / "current")).at(0) / name; }

    void expect_failure_naming(const std::string& file) const {
        for (const auto& arguments : std::vector<std::vector<std::string>>{{"recommend", "--shop", shop(), "--customer", "C000001"}, {"customer", "--shop", shop(), "C000001"}, {"serve", "--shop", shop(), "--listen", "127.0.0.1:0"}}) {
            const auto outcome = run(arguments, {.time_limit = Seconds(20)});
            EXPECT_EQ(outcome.exit_code, 1) << outcome;
            EXPECT_NE(complaint(outcome).find(file), std::string::npos) << outcome;
        }
    }
    TempDir scratch_{"perennial-model"};

private:
    static inline TempDir* made_ = nullptr;
};

TEST_F(BadModel, a_weight_file_that_is_cut_short_or_is_something_else_is_refused_by_name) {
    const auto path = model("model.safetensors");
    const auto whole = read_text(path);
    ASSERT_EQ(run({"recommend", "--shop", shop(), "--customer", "C000001"}).exit_code, 0);
    for (const auto& bytes : {std::string(), whole.substr(0, 7), whole.substr(0, 100), whole.substr(0, whole.size() / 2), whole.substr(0, whole.size() - 1), whole + "x",
                              std::string(50'000, 'x'), std::string(8, '\xff') + "{}", std::string(20, '\0')}) {
        write_text(path, bytes);
        expect_failure_naming("model.safetensors");
    }
    fs::remove(path);
    expect_failure_naming("model.safetensors");
}

TEST_F(BadModel, every_other_file_of_a_model_is_checked_as_well) {
    for (const std::string name : {"vocabulary.txt", "next-purchase.json"}) {
        const auto whole = read_text(model(name));
        for (const auto& bytes : {std::string(), whole.substr(0, whole.size() / 2), std::string("\xff\xfe\0\1", 4)}) {
            write_text(model(name), bytes);
            const auto outcome = run({"recommend", "--shop", shop(), "--customer", "C000001"});
            EXPECT_EQ(outcome.exit_code, 1) << name << " of " << bytes.size() << " bytes\n" << outcome;
            complaint(outcome);
        }
        write_text(model(name), whole);
    }
    ASSERT_EQ(run({"recommend", "--shop", shop(), "--customer", "C000001"}).exit_code, 0);
    write_text(shop() / "models" / "current", "run-that-is-gone\n");
    expect_failure_naming("run-that-is-gone");
}

TEST_F(BadModel, training_killed_midway_leaves_no_process_behind_and_the_old_model_in_place) {
    const auto current = read_text(shop() / "models" / "current");
    Process training(perennial({"train", "--shop", shop(), "--seconds", "60", "--seed", "9"}), {});
    const auto runs = [&] { return std::distance(fs::directory_iterator(shop() / "models"), fs::directory_iterator()); };
    for (int i = 0; i < 500 && runs() < 3 && !training.wait_for_end(Seconds(0.01)); ++i) {}
    ASSERT_FALSE(training.wait_for_end(Seconds(0.8))) << "the training ended before it could be killed";
    training.signal(SIGKILL);
    // The trainer is of the same process group: once the group is empty, nobody is left.
    pollfd none{-1, 0, 0};
    bool gone = false;
    const auto group = training.pid();
    training.finish();
    for (int i = 0; i < 100 && !gone; ++i) {
        gone = ::kill(-group, 0) != 0 && errno == ESRCH;
        if (!gone) ::poll(&none, 1, 50);
    }
    EXPECT_TRUE(gone) << "perennial-train goes on without its parent";
    if (!gone) ::kill(-group, SIGKILL);
    EXPECT_EQ(read_text(shop() / "models" / "current"), current);
    EXPECT_EQ(run({"recommend", "--shop", shop(), "--customer", "C000001"}).exit_code, 0);
}

TEST_F(BadModel, a_disk_that_fills_during_training_keeps_the_old_model) {
    const auto current = read_text(shop() / "models" / "current");
    const auto outcome = run({"train", "--shop", shop(), "--seconds", "1"}, {.file_bytes_limit = 100'000});
    EXPECT_EQ(outcome.exit_code, 1) << outcome;
    complaint(outcome);
    EXPECT_EQ(read_text(shop() / "models" / "current"), current);
    EXPECT_EQ(run({"recommend", "--shop", shop(), "--customer", "C000001"}).exit_code, 0);
}

TEST_F(BadModel, a_trainer_that_is_missing_is_named_and_nothing_else_needs_it) {
    const auto outcome = Process({"/usr/bin/env", "PERENNIAL_TRAIN=/no/such/trainer", PERENNIAL_PROGRAM, "train", "--shop", shop()}, {.time_limit = Seconds(20)}).finish();
    EXPECT_EQ(outcome.exit_code, 1) << outcome;
    EXPECT_NE(complaint(outcome).find("/no/such/trainer"), std::string::npos);
    const auto answer = Process({"/usr/bin/env", "PERENNIAL_TRAIN=/no/such/trainer", PERENNIAL_PROGRAM, "recommend", "--shop", shop(), "--customer", "C000001"}, {}).finish();
    EXPECT_EQ(answer.exit_code, 0) << answer;
}

#endif

}  // namespace
}  // namespace perennial::test
