#include "api/uploads.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <boost/json.hpp>
#include <charconv>
#include <condition_variable>
#include <deque>
#include <map>
#include <mutex>
#include <optional>
#include <thread>
#include <utility>
#include <vector>

#include "base/file.h"
#include "base/log.h"
#include "base/signature.h"
#include "base/text.h"
#include "base/time.h"
#include "ingest/mapping.h"

namespace perennial::api {
namespace {

namespace fs = std::filesystem;
using boost::json::object;

constexpr std::string_view kTusVersion = "1.0.0";
constexpr std::size_t kNameBytesLimit = 100, kMappingBytesLimit = 8 * 1024;

enum class Stage { kReceiving, kImporting, kDone, kFailed };
constexpr std::string_view kStageNames[] = {"receiving", "importing", "done", "failed"};

struct Upload {
    std::string id, name, mapping, created, error;
    std::uint64_t length = 0;
    Stage stage = Stage::kReceiving;
    object report;
    std::uint64_t offset = 0;           // bytes on the disk
    bool busy = false;                  // a piece is being written
    std::atomic<std::uint64_t> events = 0;
};
using Shared = std::shared_ptr<Upload>;

std::vector<Header> tus_headers(std::vector<Header> more = {}) {
    more.push_back({"Tus-Resumable", std::string(kTusVersion)});
    return more;
}
Response empty_answer(unsigned status, std::vector<Header> headers = {}) { return {.status = status, .content_type = {}, .headers = tus_headers(std::move(headers))}; }
Response refusal(unsigned status, std::string_view code, std::string_view message, std::vector<Header> headers = {}) {
    return error_response(status, code, message, tus_headers(std::move(headers)));
}
Response no_such_upload() { return refusal(404, "not_found", "upload: no such one"); }
Response disk_trouble(const Error& error) {
    log::error("upload: {}", error.message);
    return refusal(error.code == Code::kFull ? 507 : 500, error.code == Code::kFull ? "disk_full" : "internal", "the upload could not be written; see the server's log");
}

std::optional<std::uint64_t> whole_number(std::string_view text) {
    std::uint64_t number = 0;
    const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
    return error == std::errc() && end == text.data() + text.size() && !text.empty() ? std::optional(number) : std::nullopt;
}

// "filename d29ybGQ=,mapping ZXZlbnRz": keys and base64 values.
Result<std::map<std::string, std::string>> parse_metadata(std::string_view text) {
    std::map<std::string, std::string> metadata;
    while (!(text = trim(text)).empty()) {
        const auto pair = trim(text.substr(0, text.find(',')));
        text.remove_prefix(std::min(text.find(',') + 1 == 0 ? text.size() : text.find(',') + 1, text.size()));
        const auto blank = std::min(pair.find(' '), pair.size());
        const auto value = from_base64(trim(pair.substr(blank)));
        if (pair.empty() || blank == 0 || !value) return Error{Code::kInvalid, fmt::format("Upload-Metadata: want keys and base64 values, got '{}'", clip(to_utf8(pair), 60))};
        metadata[std::string(pair.substr(0, blank))] = *value;
    }
    return metadata;
}

// A file's name as the quarantine and the report will show it: no folders, nothing odd.
std::string safe_name(std::string_view given) {
    std::string name;
    for (const char c : given.substr(std::min(given.find_last_of("/\\") + 1, given.size())))
        if (name.size() < kNameBytesLimit) name += (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' || c == '_' || c == '.' ? c : '_';
    return name.empty() || name.starts_with('.') ? "upload" + name : name;
}

}  // namespace

struct Uploads::State {
    State(UploadOptions given, Import given_import) : options(std::move(given)), import(std::move(given_import)) {}

    fs::path state_path(const Upload& upload) const { return options.directory / (upload.id + ".json"); }
    fs::path folder(const Upload& upload) const { return options.directory / upload.id; }
    fs::path file(const Upload& upload) const { return folder(upload) / upload.name; }
    fs::path mapping_file(const Upload& upload) const { return options.directory / (upload.id + ".toml"); }

    // What outlives the process: everything but the offset, which is the file's size.
    Status save(const Upload& upload) const {
        const object state{{"name", upload.name}, {"mapping", upload.mapping}, {"created", upload.created}, {"length", upload.length},
                           {"stage", kStageNames[static_cast<int>(upload.stage)]}, {"error", upload.error}, {"report", upload.report}};
        PERENNIAL_TRY(write_file(state_path(upload), boost::json::serialize(state) + "\n"));
        return sync_directory(options.directory);
    }

    object describe(const Upload& upload) const {
        object about{{"id", upload.id}, {"name", upload.name}, {"state", kStageNames[static_cast<int>(upload.stage)]}, {"created", upload.created},
                     {"length", upload.length}, {"offset", upload.offset}, {"events", upload.events.load()}};
        if (!upload.error.empty()) about["error"] = upload.error;
        if (!upload.report.empty()) about["report"] = upload.report;
        return about;
    }

    Status load() {
        std::error_code error;
        fs::create_directories(options.directory, error);
        if (error) return Error{Code::kIo, fmt::format("create {}: {}", options.directory.string(), error.message())};
        for (const auto& entry : fs::directory_iterator(options.directory, error)) {
            if (entry.path().extension() != ".json") continue;
            auto text = read_file(entry.path(), 64 << 20);
            if (!text) return text.error();
            boost::system::error_code bad;
            const auto value = boost::json::parse(*text, bad);
            if (bad || !value.is_object()) return Error{Code::kCorrupt, fmt::format("{}: want an upload's state as JSON", entry.path().string())};
            auto upload = std::make_shared<Upload>();
            try {
                upload->id = entry.path().stem().string();
                upload->name = value.at("name").as_string();
                upload->mapping = value.at("mapping").as_string();
                upload->created = value.at("created").as_string();
                upload->error = value.at("error").as_string();
                upload->length = value.at("length").to_number<std::uint64_t>();
                upload->report = value.at("report").as_object();
                const auto stage = std::ranges::find(kStageNames, std::string_view(value.at("stage").as_string()));
                if (stage == std::end(kStageNames)) throw std::runtime_error("stage");
                upload->stage = static_cast<Stage>(stage - std::begin(kStageNames));
            } catch (const std::exception&) {
                return Error{Code::kCorrupt, fmt::format("{}: want an upload's state, got other fields", entry.path().string())};
            }
            std::error_code none;
            const auto size = fs::file_size(file(*upload), none);
            upload->offset = upload->stage == Stage::kReceiving || upload->stage == Stage::kImporting ? (none ? 0 : size) : upload->length;
            if (upload->stage == Stage::kReceiving && upload->offset == upload->length) upload->stage = Stage::kImporting;
            if (upload->stage == Stage::kImporting) waiting.push_back(upload);
            uploads[upload->id] = std::move(upload);
        }
        std::ranges::sort(waiting, {}, [](const Shared& upload) { return upload->created; });
        return Done{};
    }

    Shared find(std::string_view id) {
        const std::lock_guard lock(mutex);
        const auto found = uploads.find(std::string(id));
        return found == uploads.end() ? nullptr : found->second;
    }

    Response create(const Request& request) {
        const auto length = whole_number(request.header("upload-length"));
        if (!length || *length == 0) return refusal(400, "invalid", "Upload-Length: want the file's size in bytes, at least 1");
        if (*length > options.file_bytes_limit) return refusal(413, "too_large", fmt::format("Upload-Length: want at most {} bytes, got {}", options.file_bytes_limit, *length));
        const auto metadata = parse_metadata(request.header("upload-metadata"));
        if (!metadata) return refusal(400, "invalid", metadata.error().message);
        const auto said = [&](const char* key) { return metadata->contains(key) ? metadata->at(key) : std::string(); };
        auto upload = std::make_shared<Upload>();
        upload->id = random_hex(12);
        upload->name = safe_name(said("filename"));
        upload->length = *length;
        upload->created = iso8601(wall_clock_now());
        upload->mapping = said("mapping");
        const auto presets = ingest::preset_names();
        if (!upload->mapping.empty() && std::ranges::find(presets, upload->mapping) == presets.end())
            return refusal(400, "invalid", fmt::format("mapping: want {}, got '{}'; a mapping of your own goes as text into mapping_toml", fmt::join(presets, ", "), clip(to_utf8(upload->mapping), 40)));
        const auto own_mapping = said("mapping_toml");
        if (own_mapping.size() > kMappingBytesLimit) return refusal(400, "invalid", fmt::format("mapping_toml: want at most {} bytes, got {}", kMappingBytesLimit, own_mapping.size()));
        {
            const std::lock_guard lock(mutex);
            const auto unfinished = std::ranges::count_if(uploads, [](const auto& one) { return one.second->stage == Stage::kReceiving || one.second->stage == Stage::kImporting; });
            if (static_cast<std::size_t>(unfinished) >= options.unfinished_limit)
                return refusal(429, "too_many_uploads", fmt::format("want at most {} uploads that are not imported yet; finish or delete one", options.unfinished_limit), {{"Retry-After", "60"}});
            uploads[upload->id] = upload;
        }
        const auto made = [&]() -> Status {
            std::error_code error;
            fs::create_directory(folder(*upload), error);
            if (error) return Error{Code::kIo, fmt::format("create {}: {}", folder(*upload).string(), error.message())};
            if (!own_mapping.empty()) {
                upload->mapping = mapping_file(*upload).string();
                PERENNIAL_TRY(write_file(upload->mapping, own_mapping));
                if (const auto checked = ingest::load_mapping(upload->mapping); !checked) return checked.error();
            }
            if (auto fd = open_file(file(*upload), O_WRONLY | O_CREAT | O_CLOEXEC); !fd) return fd.error();
            PERENNIAL_TRY(sync_directory(folder(*upload)));
            return save(*upload);
        }();
        if (!made) {
            forget(upload);
            if (made.error().code == Code::kInvalid) return refusal(400, "invalid", made.error().message);
            return disk_trouble(made.error());
        }
        return empty_answer(201, {{"Location", "/v1/uploads/" + upload->id}, {"Upload-Offset", "0"}});
    }

    Response append(const Request& request, const Shared& upload) {
        if (!equal_ignoring_case(trim(request.header("content-type")), "application/offset+octet-stream"))
            return refusal(415, "wrong_type", "Content-Type: want application/offset+octet-stream");
        const auto offset = whole_number(request.header("upload-offset"));
        if (!offset) return refusal(400, "invalid", "Upload-Offset: want the byte that the piece begins at");
        {
            const std::lock_guard lock(mutex);
            if (upload->busy) return refusal(423, "locked", "another piece of this upload is being written");
            if (*offset != upload->offset || upload->stage != Stage::kReceiving)
                return refusal(409, "wrong_offset", fmt::format("Upload-Offset: want {}, got {}", upload->offset, *offset), {{"Upload-Offset", fmt::format("{}", upload->offset)}});
            if (request.body.size() > upload->length - upload->offset)
                return refusal(413, "too_large", fmt::format("piece: want at most {} bytes, which the upload still lacks, got {}", upload->length - upload->offset, request.body.size()));
            upload->busy = true;
        }
        const auto written = write_piece(*upload, request.body);
        const std::lock_guard lock(mutex);
        upload->busy = false;
        if (!written) {  // what did get there counts: the client asks for the offset
            std::error_code none;
            const auto size = fs::file_size(file(*upload), none);
            if (!none) upload->offset = size;
            return disk_trouble(written.error());
        }
        upload->offset += request.body.size();
        if (upload->offset == upload->length) {
            upload->stage = Stage::kImporting;
            waiting.push_back(upload);
            work.notify_one();
        }
        return empty_answer(204, {{"Upload-Offset", fmt::format("{}", upload->offset)}});
    }

    Status write_piece(const Upload& upload, std::string_view piece) const {
        auto fd = open_file(file(upload), O_WRONLY | O_APPEND | O_CLOEXEC);
        if (!fd) return fd.error();
        PERENNIAL_TRY(write_all(fd->get(), piece, "upload"));
        return sync_data(fd->get(), "upload");
    }

    // Of an upload that nobody works on.
    void forget(const Shared& upload) {
        std::error_code ignored;
        fs::remove_all(folder(*upload), ignored);
        fs::remove(mapping_file(*upload), ignored);
        fs::remove(state_path(*upload), ignored);
        const std::lock_guard lock(mutex);
        uploads.erase(upload->id);
    }

    Response terminate(const Shared& upload) {
        {
            const std::lock_guard lock(mutex);
            if (upload->busy || upload->stage == Stage::kImporting) return refusal(423, "locked", "the upload is being written or imported");
            upload->busy = true;  // nobody may begin a piece now
        }
        forget(upload);
        return empty_answer(204);
    }

    void run() {
        for (;;) {
            Shared upload;
            {
                std::unique_lock lock(mutex);
                work.wait(lock, [&] { return stopping || !waiting.empty(); });
                if (stopping) return;
                upload = waiting.front();
                waiting.pop_front();
            }
            import_one(upload);
        }
    }

    void import_one(const Shared& upload) {
        upload->events = 0;
        Result<object> report = Error{Code::kIo, "the import ended without a report"};
        try {
            report = import({.file = file(*upload), .mapping = upload->mapping, .events = upload->events, .stopping = stopping});
        } catch (const std::exception& failure) {
            report = Error{Code::kIo, failure.what()};
        }
        if (!report && stopping) return;  // the next server begins it again
        std::vector<Shared> old;
        {
            const std::lock_guard lock(mutex);
            if (report) upload->report = std::move(*report);
            else upload->error = report.error().message;
            upload->stage = report ? Stage::kDone : Stage::kFailed;
            if (const auto saved = save(*upload); !saved) log::error("upload {}: {}", upload->id, saved.error().message);
            for (const auto& [id, one] : uploads)
                if (one->stage == Stage::kDone || one->stage == Stage::kFailed) old.push_back(one);
        }
        if (report) log::info("upload {} ({}) is imported", upload->id, upload->name);
        else log::error("upload {} ({}): {}", upload->id, upload->name, upload->error);
        // The state is on the disk: the file has done its work.
        std::error_code ignored;
        fs::remove_all(folder(*upload), ignored);
        std::ranges::sort(old, std::ranges::greater{}, [](const Shared& one) { return one->created; });
        for (std::size_t i = options.finished_kept; i < old.size(); ++i) forget(old[i]);
    }

    Response list() {
        boost::json::array all;
        const std::lock_guard lock(mutex);
        for (const auto& [id, upload] : uploads) {
            auto about = describe(*upload);
            about.erase("report");
            all.push_back(std::move(about));
        }
        std::ranges::sort(all, std::ranges::greater{}, [](const boost::json::value& one) { return std::string(one.at("created").as_string()); });
        return {.body = boost::json::serialize(object{{"uploads", std::move(all)}})};
    }

    const UploadOptions options;
    const Import import;
    std::mutex mutex;
    std::condition_variable work;
    std::map<std::string, Shared> uploads;  // under mutex, as are the uploads' fields and the queue
    std::deque<Shared> waiting;             // for their import
    std::atomic<bool> stopping = false;
    std::thread importer;
};

Uploads::Uploads(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
Uploads::~Uploads() { stop(); }

Result<std::unique_ptr<Uploads>> Uploads::open(UploadOptions options, Import import) {
    auto state = std::make_unique<State>(std::move(options), std::move(import));
    PERENNIAL_TRY(state->load());
    state->importer = std::thread([state = state.get()] { state->run(); });
    return std::unique_ptr<Uploads>(new Uploads(std::move(state)));
}

void Uploads::stop() {
    {
        const std::lock_guard lock(state_->mutex);
        state_->stopping = true;
        state_->work.notify_all();
    }
    if (state_->importer.joinable()) state_->importer.join();
}

Response Uploads::answer(const Request& request, std::string_view id) {
    auto& state = *state_;
    const auto& method = request.method;
    if (method == "OPTIONS")
        return empty_answer(204, {{"Tus-Version", std::string(kTusVersion)}, {"Tus-Extension", "creation,termination"}, {"Tus-Max-Size", fmt::format("{}", state.options.file_bytes_limit)}});
    if (method == "GET" && id.empty()) return state.list();
    const auto upload = id.empty() ? nullptr : state.find(id);
    if (method == "GET") {
        if (!upload) return no_such_upload();
        const std::lock_guard lock(state.mutex);
        return {.body = boost::json::serialize(state.describe(*upload))};
    }
    if (request.header("tus-resumable") != kTusVersion)
        return refusal(412, "wrong_version", fmt::format("Tus-Resumable: want {}", kTusVersion), {{"Tus-Version", std::string(kTusVersion)}});
    if (id.empty()) return state.create(request);
    if (!upload) return no_such_upload();
    if (method == "PATCH") return state.append(request, upload);
    if (method == "DELETE") return state.terminate(upload);
    const std::lock_guard lock(state.mutex);
    return empty_answer(200, {{"Upload-Offset", fmt::format("{}", upload->offset)}, {"Upload-Length", fmt::format("{}", upload->length)}});
}

}  // namespace perennial::api
