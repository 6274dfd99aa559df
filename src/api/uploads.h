// Files sent in pieces and then imported: the tus 1.0.0 protocol (core, creation, termination; tus.io/protocols) in front
// of what `perennial import` does. Each upload is a folder of its own; its offset is the size of its file, so a piece that
// was answered is on the disk, and after any death of either side the client asks for the offset and goes on. One upload
// is imported at a time; an import that was cut off starts again by itself, and known message ids keep it from doubling.
// docs/formats/uploads.md has the answers and the files. Threads: any; imports run on a thread of its own.
#pragma once

#include <atomic>
#include <boost/json/object.hpp>

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <memory>
#include <string>
#include <string_view>

#include "api/http.h"
#include "base/result.h"

namespace perennial::api {

struct UploadOptions {
    std::filesystem::path directory;                         // made when it is missing
    std::uint64_t file_bytes_limit = std::uint64_t{16} << 30;  // Tus-Max-Size
    std::size_t unfinished_limit = 64;                       // uploads that are not imported yet: one more is answered 429
    std::size_t finished_kept = 256;                         // reports of older ones are forgotten
};

// What the import of one file is told.
struct UploadImport {
    std::filesystem::path file;
    std::string mapping;                 // preset name or path; empty: found from the header
    std::atomic<std::uint64_t>& events;  // to be counted up as events become durable
    const std::atomic<bool>& stopping;   // once true: leave off with any error; the import starts again with the next server
};

class Uploads {
public:
    // The report (docs/formats/import-report.md), or why there is none.
    using Import = std::function<Result<boost::json::object>(const UploadImport&)>;

    // Finds what a server before this one left and goes on with it. Errors: kIo, kCorrupt.
    static Result<std::unique_ptr<Uploads>> open(UploadOptions options, Import import);
    ~Uploads();  // stop()

    // `id` empty: the collection. May take as long as one write and sync of the disk.
    Response answer(const Request& request, std::string_view id);
    void stop();

private:
    struct State;
    explicit Uploads(std::unique_ptr<State> state) noexcept;
    std::unique_ptr<State> state_;
};

}  // namespace perennial::api
