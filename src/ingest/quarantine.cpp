#include "ingest/quarantine.h"

#include <fcntl.h>
#include <fmt/format.h>

#include "base/hash.h"
#include "base/text.h"
#include "ingest/json_text.h"

namespace perennial::ingest {
namespace {

constexpr std::size_t kPendingBytesLimit = 256 * 1024;

}  // namespace

Result<Quarantine> Quarantine::open(const std::filesystem::path& directory) {
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error) return Error{Code::kIo, fmt::format("make directory {}: {}", directory.string(), error.message())};
    Quarantine quarantine;
    quarantine.path_ = directory / kQuarantineFile;
    auto fd = open_file(quarantine.path_, O_WRONLY | O_CREAT | O_APPEND);
    if (!fd) return fd.error();
    quarantine.fd_ = std::move(*fd);
    quarantine.keeps_ = true;
    return quarantine;
}

Status Quarantine::add(std::string_view file, std::uint64_t line, std::string_view reason, std::string_view raw, UtcTime received) {
    ++count_;
    if (!keeps_) return Done{};
    const auto kept = clip(raw, kQuarantineRawBytesLimit);
    pending_ += '{';
    append_json_member(pending_, "id", hex(hash128(raw)));
    append_json_member(pending_, "file", to_utf8(file));
    pending_ += fmt::format(",\"line\":{}", line);
    append_json_member(pending_, "reason", to_utf8(reason));
    append_json_member(pending_, "received", iso8601(received));
    if (kept.size() < raw.size()) pending_ += fmt::format(",\"raw_bytes\":{}", raw.size());
    append_json_member(pending_, "raw", to_utf8(kept));
    pending_ += "}\n";
    return pending_.size() > kPendingBytesLimit ? flush() : Status(Done{});
}

Status Quarantine::flush() {
    if (pending_.empty()) return Done{};
    PERENNIAL_TRY(write_all(fd_.get(), pending_, path_.string()));
    pending_.clear();
    return Done{};
}

Status Quarantine::sync() {
    if (!keeps_) return Done{};
    PERENNIAL_TRY(flush());
    PERENNIAL_TRY(sync_data(fd_.get(), path_.string()));
    return sync_directory(path_.parent_path());
}

}  // namespace perennial::ingest
