// A file over HTTP in pieces, and a server that is killed again and again meanwhile: while pieces come, and while it
// imports. In the end every row is there once.
#include <gtest/gtest.h>

#include <map>

#include "base/rng.h"
#include "profile/store.h"
#include "program.h"
#include "server.h"

namespace perennial::test {
namespace {

constexpr int kUsers = 40, kEventsPerUser = 1500;

std::string event_lines() {
    std::string text;
    for (int i = 0; i < kUsers * kEventsPerUser; ++i)
        text += json::serialize(json::object{{"type", "track"}, {"messageId", "up-" + std::to_string(i)}, {"event", "Product Viewed"}, {"userId", "u" + std::to_string(i % kUsers)},
                                             {"timestamp", "2024-05-0" + std::to_string(1 + i % 9) + "T10:00:00Z"}, {"properties", {{"product_id", "p" + std::to_string(i % 50)}}}}) + "\n";
    return text;
}

const std::string kTus = "Tus-Resumable: 1.0.0\r\n";

std::string begin(const Server& server, std::size_t length) {
    const auto answer = ask(server.port(), "POST", "/v1/uploads", {}, kTus + "Upload-Length: " + std::to_string(length) + "\r\nUpload-Metadata: filename ZXZlbnRzLmpzb25s\r\n");
    EXPECT_EQ(answer.status, 201) << answer.body;
    return answer.header("Location");
}
std::size_t offset_of(const Server& server, const std::string& path) {
    const auto answer = ask(server.port(), "HEAD", path, {}, kTus);
    EXPECT_EQ(answer.status, 200);
    return std::stoul(answer.header("Upload-Offset"));
}
int send_piece(const Server& server, const std::string& path, std::size_t offset, const std::string& bytes) {
    return ask(server.port(), "PATCH", path, bytes, kTus + "Content-Type: application/offset+octet-stream\r\nUpload-Offset: " + std::to_string(offset) + "\r\n").status;
}

TEST(Upload, survives_kills_of_the_server_and_brings_every_row_once) {
    const TempDir scratch("perennial-upload");
    const auto shop = scratch.path() / "shop";
    run_well({"init", shop});
    const auto text = event_lines();
    const std::size_t piece = 300'000;
    Rng rng(3);
    std::string path;
    json::value about;
    int kills = 0, killed_while_importing = 0;
    for (bool done = false; !done;) {
        Server server(shop);
        ASSERT_LT(kills, 60) << "no end in sight";
        if (path.empty()) path = begin(server, text.size());
        // Pieces, from wherever the disk stands; a kill after some of them.
        std::size_t offset = offset_of(server, path);
        for (int pieces = 0; offset < text.size() && pieces < 8; ++pieces) {
            ASSERT_EQ(send_piece(server, path, offset, text.substr(offset, piece)), 204);
            offset = std::min(text.size(), offset + piece);
        }
        if (offset == text.size()) {
            if (killed_while_importing < 4) {  // right into the import
                ++killed_while_importing;
                server.process().wait_for_end(Seconds(0.02 + 0.15 * rng.uniform()));
            } else {
                for (int i = 0; i < 600 && !done; ++i) {
                    about = json::parse(server.get(path).body);
                    done = about.at("state") != "importing";
                    server.process().wait_for_end(Seconds(0.05));
                }
                ASSERT_TRUE(done) << about;
            }
        }
        server.process().signal(SIGKILL);
        server.process().finish();
        ++kills;
    }
    EXPECT_EQ(about.at("state"), "done") << about;
    EXPECT_EQ(about.at("report").at("rows").to_number<int>(), kUsers * kEventsPerUser);
    EXPECT_EQ(about.at("report").at("accepted").to_number<int>() + about.at("report").at("already_known").to_number<int>(), kUsers * kEventsPerUser);
    const auto store = profile::Store::open(shop);
    ASSERT_TRUE(store.ok());
    for (int user = 0; user < kUsers; ++user) EXPECT_EQ(store->timeline(profile::user_key("u" + std::to_string(user)))->size(), static_cast<std::size_t>(kEventsPerUser));
}

TEST(Upload, a_csv_comes_in_as_the_command_would_bring_it) {
    const TempDir scratch("perennial-upload");
    const auto by_command = scratch.path() / "command", by_upload = scratch.path() / "upload";
    const auto csv = online_retail_export(3'000, Rng(5)).csv;
    write_text(scratch.path() / "orders.csv", csv);
    run_well({"import", "--shop", by_command, scratch.path() / "orders.csv"});
    run_well({"init", by_upload});
    {
        Server server(by_upload);
        const auto path = begin(server, csv.size());
        ASSERT_EQ(send_piece(server, path, 0, csv), 204);
        json::value about;
        for (int i = 0; i < 400; ++i) {
            about = json::parse(server.get(path).body);
            if (about.at("state") != "importing") break;
            server.process().wait_for_end(Seconds(0.05));
        }
        EXPECT_EQ(about.at("state"), "done") << about;
        EXPECT_EQ(sum_of_fates(about.at("report")), 3'000u);
        server.process().signal(SIGTERM);
        EXPECT_EQ(server.process().finish().exit_code, 0);
    }
    std::map<std::string, std::size_t> counts[2];
    for (int i = 0; i < 2; ++i) {
        const auto store = profile::Store::open(i == 0 ? by_command : by_upload, {.read_only = true});
        ASSERT_TRUE(store.ok());
        ASSERT_TRUE(store->for_each_timeline(true, [&](const auto& key, const auto& events) { return counts[i][key] = events.size(), true; }).ok());
    }
    EXPECT_EQ(counts[0], counts[1]);
    EXPECT_EQ(json::parse(run_well({"check", "--shop", by_upload, "--json"}).out).as_array().size(), 1u);
}

}  // namespace
}  // namespace perennial::test
