#include "api/uploads.h"

#include <gtest/gtest.h>
#include <fmt/format.h>

#include <boost/json.hpp>
#include <chrono>
#include <future>
#include <thread>

#include "base/file.h"
#include "base/signature.h"
#include "ingest/mapping.h"

namespace perennial::api {
namespace {

namespace fs = std::filesystem;

Request tus(std::string method, std::vector<Header> headers = {}, std::string body = {}) {
    headers.push_back({"Tus-Resumable", "1.0.0"});
    return {.method = std::move(method), .path = {}, .headers = std::move(headers), .body = std::move(body)};
}
std::string header_of(const Response& response, std::string_view name) {
    for (const auto& header : response.headers)
        if (header.name == name) return header.value;
    return {};
}

// Uploads whose import hands the file's bytes over and ends when it is told to.
struct Desk {
    TempDir dir;
    std::string imported, mapping, name;
    std::promise<void> begun;
    std::function<Result<boost::json::object>(const UploadImport&)> import = [this](const UploadImport& upload) -> Result<boost::json::object> {
        imported = read_file(upload.file).value();
        name = upload.file.filename();
        mapping = upload.mapping.ends_with(".toml") ? read_file(upload.mapping).value() : upload.mapping;
        upload.events = imported.size();
        return boost::json::object{{"rows", imported.size()}};
    };
    std::unique_ptr<Uploads> uploads = open();

    std::unique_ptr<Uploads> open(UploadOptions options = {}) {
        options.directory = dir.path() / "uploads";
        auto opened = Uploads::open(options, [this](const UploadImport& upload) { return import(upload); });
        EXPECT_TRUE(opened.ok()) << opened.error().message;
        return std::move(opened).value();
    }
    std::string begin(std::size_t length, std::string_view metadata = {}) {
        const auto answer = uploads->answer(tus("POST", {{"Upload-Length", fmt::format("{}", length)}, {"Upload-Metadata", std::string(metadata)}}), {});
        EXPECT_EQ(answer.status, 201u) << answer.body;
        const auto location = header_of(answer, "Location");
        EXPECT_TRUE(location.starts_with("/v1/uploads/"));
        return location.substr(12);
    }
    Response piece(const std::string& id, std::size_t offset, std::string bytes) {
        return uploads->answer(tus("PATCH", {{"Content-Type", "application/offset+octet-stream"}, {"Upload-Offset", fmt::format("{}", offset)}}, std::move(bytes)), id);
    }
    boost::json::value about(const std::string& id) { return boost::json::parse(uploads->answer({.method = "GET"}, id).body); }
    boost::json::value ended(const std::string& id) {
        for (int i = 0; i < 2000; ++i) {
            auto now = about(id);
            if (now.at("state") == "done" || now.at("state") == "failed") return now;
            std::this_thread::sleep_for(std::chrono::milliseconds(5));
        }
        ADD_FAILURE() << "the import did not end";
        return {};
    }
};

std::string metadata(std::string_view key, std::string_view value) { return fmt::format("{} {}", key, to_base64(value)); }

TEST(Uploads, take_a_file_in_pieces_and_import_it_once_it_is_whole) {
    Desk desk;
    const auto id = desk.begin(10, metadata("filename", "../odd name.jsonl") + "," + metadata("mapping", "events"));
    EXPECT_EQ(header_of(desk.uploads->answer(tus("HEAD"), id), "Upload-Offset"), "0");
    EXPECT_EQ(header_of(desk.piece(id, 0, "01234"), "Upload-Offset"), "5");
    EXPECT_EQ(header_of(desk.uploads->answer(tus("HEAD"), id), "Upload-Offset"), "5");
    EXPECT_EQ(desk.about(id).at("state"), "receiving");
    EXPECT_EQ(desk.piece(id, 5, "56789").status, 204u);
    const auto done = desk.ended(id);
    EXPECT_EQ(done.at("state"), "done");
    EXPECT_EQ(done.at("report").at("rows"), 10);
    EXPECT_EQ(done.at("events"), 10);
    EXPECT_EQ(desk.imported, "0123456789");
    EXPECT_EQ(desk.name, "odd_name.jsonl");
    EXPECT_EQ(desk.mapping, "events");
    EXPECT_EQ(header_of(desk.uploads->answer(tus("HEAD"), id), "Upload-Offset"), "10");
    EXPECT_EQ(desk.piece(id, 10, "more").status, 409u);
}

TEST(Uploads, refuse_what_the_protocol_refuses) {
    Desk desk;
    const auto id = desk.begin(10);
    const auto status = [&](const Request& request, const std::string& of) { return desk.uploads->answer(request, of).status; };
    EXPECT_EQ(status({.method = "PATCH"}, id), 412u);
    EXPECT_EQ(status(tus("HEAD"), "nowhere"), 404u);
    EXPECT_EQ(status({.method = "GET"}, "../../etc/passwd"), 404u);
    EXPECT_EQ(status(tus("PATCH", {{"Upload-Offset", "0"}}, "x"), id), 415u);
    EXPECT_EQ(status(tus("PATCH", {{"Content-Type", "application/offset+octet-stream"}}, "x"), id), 400u);
    EXPECT_EQ(desk.piece(id, 3, "x").status, 409u);
    EXPECT_EQ(desk.piece(id, 0, "12345678901").status, 413u);
    for (const char* length : {"", "0", "-1", "ten", "99999999999999999999"}) EXPECT_EQ(status(tus("POST", {{"Upload-Length", length}}), {}), 400u) << length;
    EXPECT_EQ(status(tus("POST", {{"Upload-Length", "17179869185"}}), {}), 413u);
    EXPECT_EQ(status(tus("POST", {{"Upload-Length", "1"}, {"Upload-Metadata", "filename !"}}), {}), 400u);
    EXPECT_EQ(status(tus("POST", {{"Upload-Length", "1"}, {"Upload-Metadata", metadata("mapping", "/etc/passwd")}}), {}), 400u);
    EXPECT_EQ(status(tus("POST", {{"Upload-Length", "1"}, {"Upload-Metadata", metadata("mapping_toml", "[")}}), {}), 400u);
    const auto options = desk.uploads->answer({.method = "OPTIONS"}, {});
    EXPECT_EQ(options.status, 204u);
    EXPECT_EQ(header_of(options, "Tus-Extension"), "creation,termination");
    EXPECT_EQ(header_of(desk.uploads->answer(tus("HEAD"), id), "Upload-Offset"), "0") << "nothing of all that was kept";
}

TEST(Uploads, go_on_where_the_disk_stands_after_a_new_start) {
    Desk desk;
    const auto id = desk.begin(10, metadata("mapping_toml", "name = \"mine\"\n[columns]\ntime = \"t\"\n"));
    EXPECT_EQ(desk.piece(id, 0, "0123").status, 204u);
    desk.uploads.reset();
    // As a power cut in the middle of a piece leaves it: some bytes that were never answered.
    write_all(open_file(desk.dir.path() / "uploads" / id / "upload", 1 | 02000).value().get(), "4", "file").value();
    desk.uploads = desk.open();
    EXPECT_EQ(header_of(desk.uploads->answer(tus("HEAD"), id), "Upload-Offset"), "5");
    EXPECT_EQ(desk.piece(id, 5, "56789").status, 204u);
    EXPECT_EQ(desk.ended(id).at("state"), "done");
    EXPECT_EQ(desk.imported, "0123456789");
    EXPECT_NE(desk.mapping.find("mine"), std::string::npos);
    desk.uploads.reset();
    desk.uploads = desk.open();
    EXPECT_EQ(desk.about(id).at("report").at("rows"), 10) << "a report outlives the server";
}

TEST(Uploads, begin_an_import_again_that_a_stop_cut_off) {
    Desk desk;
    std::promise<void> begun;
    desk.import = [&](const UploadImport& upload) -> Result<boost::json::object> {
        begun.set_value();
        while (!upload.stopping) std::this_thread::yield();
        return Error{Code::kBusy, "stopping"};
    };
    const auto id = desk.begin(3);
    desk.piece(id, 0, "abc");
    begun.get_future().wait();
    EXPECT_EQ(desk.uploads->answer(tus("DELETE"), id).status, 423u);
    desk.uploads.reset();
    desk.import = [](const UploadImport&) -> Result<boost::json::object> { return boost::json::object{{"rows", 1}}; };
    desk.uploads = desk.open();
    EXPECT_EQ(desk.ended(id).at("state"), "done");
}

TEST(Uploads, say_why_an_import_failed_and_can_be_deleted) {
    Desk desk;
    desk.import = [](const UploadImport&) -> Result<boost::json::object> { return Error{Code::kInvalid, "header: want columns"}; };
    const auto id = desk.begin(3);
    desk.piece(id, 0, "abc");
    EXPECT_EQ(desk.ended(id).at("error"), "header: want columns");
    EXPECT_EQ(desk.uploads->answer(tus("DELETE"), id).status, 204u);
    EXPECT_EQ(desk.uploads->answer({.method = "GET"}, id).status, 404u);
    EXPECT_TRUE(fs::is_empty(desk.dir.path() / "uploads"));
}

TEST(Uploads, are_bounded_in_number_and_old_reports_go) {
    Desk desk;
    desk.uploads.reset();
    desk.uploads = desk.open({.unfinished_limit = 2, .finished_kept = 2});
    desk.begin(5);
    const auto last = desk.begin(5);
    EXPECT_EQ(desk.uploads->answer(tus("POST", {{"Upload-Length", "5"}}), {}).status, 429u);
    EXPECT_EQ(desk.uploads->answer(tus("DELETE"), last).status, 204u);
    for (int i = 0; i < 4; ++i) {
        const auto id = desk.begin(1);
        desk.piece(id, 0, "x");
        desk.ended(id);
    }
    desk.uploads.reset();  // the importer has tidied up by then
    desk.uploads = desk.open();
    EXPECT_EQ(boost::json::parse(desk.uploads->answer({.method = "GET"}, {}).body).at("uploads").as_array().size(), 3u) << "two reports, and one that is not finished";
}

}  // namespace
}  // namespace perennial::api
