#include "journal/journal.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <charconv>

#include "base/log.h"

namespace perennial::journal {
namespace {

namespace fs = std::filesystem;

std::optional<Offset> base_of(const fs::path& path) {
    const std::string stem = path.stem().string();
    Offset base;
    const auto [end, error] = std::from_chars(stem.data(), stem.data() + stem.size(), base.value);
    if (path.extension() != ".seg" || error != std::errc{} || end != stem.data() + stem.size()) return std::nullopt;
    return base;
}

// Bases of the segments of a folder, rising.
Result<std::vector<Offset>> segments(const fs::path& directory) {
    std::error_code error;
    std::vector<Offset> bases;
    for (const auto& entry : fs::directory_iterator(directory, error))
        if (const auto base = base_of(entry.path())) bases.push_back(*base);
    if (error) return Error{Code::kNotFound, fmt::format("no journal at {}: {}", directory.string(), error.message())};
    std::ranges::sort(bases);
    return bases;
}

Result<Fd> lock_folder(const fs::path& directory) {
    auto fd = open_file(directory / "LOCK", O_RDWR | O_CREAT);
    if (!fd) return fd.error();
    if (::flock(fd->get(), LOCK_EX | LOCK_NB) != 0) {
        char holder[32] = {};
        (void)!::pread(fd->get(), holder, sizeof holder - 1, 0);
        return Error{Code::kBusy, fmt::format("{} is in use by process {}: stop it, or send events through its server", directory.string(), holder)};
    }
    (void)!::ftruncate(fd->get(), 0);
    PERENNIAL_TRY(write_all(fd->get(), fmt::format("{}", ::getpid()), "lock file"));
    return fd;
}

// Copies the bytes after `keep` into a file of their own, then cuts them off.
Result<Recovery> set_aside_tail(const fs::path& path, std::uint64_t keep) {
    auto bytes = read_file(path);
    if (!bytes) return bytes.error();
    Recovery recovery;
    recovery.torn_bytes = bytes->size() - keep;
    if (recovery.torn_bytes == 0) return recovery;
    recovery.torn_file = fmt::format("{}.torn-{}", path.string(), keep);
    PERENNIAL_TRY(write_file(recovery.torn_file, std::string_view(*bytes).substr(keep)));
    if (::truncate(path.c_str(), static_cast<off_t>(keep)) != 0) return io_error("truncate " + path.string(), errno);
    log::warn("journal: {} bytes after the last whole record in {} were never acknowledged; set aside in {}",
              recovery.torn_bytes, path.filename().string(), recovery.torn_file.filename().string());
    return recovery;
}

}  // namespace

Result<Journal> Journal::open(const fs::path& directory, const Options& options) {
    std::error_code error;
    fs::create_directories(directory, error);
    if (error) return Error{Code::kIo, fmt::format("create {}: {}", directory.string(), error.message())};
    Journal journal;
    journal.directory_ = directory;
    journal.options_ = options;
    auto lock = lock_folder(directory);
    if (!lock) return lock.error();
    journal.lock_ = std::move(*lock);

    auto bases = segments(directory);
    if (!bases) return bases.error();
    // A crash right after creating a segment leaves one without a whole header: it holds no record yet.
    while (!bases->empty()) {
        const auto path = directory / segment_name(bases->back());
        if (fs::file_size(path, error) >= kSegmentHeaderBytes) break;
        fs::remove(path, error);
        journal.next_ = bases->back();
        bases->pop_back();
    }
    if (bases->empty()) {
        PERENNIAL_TRY(journal.start_segment());
        return journal;
    }
    journal.segment_path_ = directory / segment_name(bases->back());
    auto reader = SegmentReader::open(journal.segment_path_);
    if (!reader) return reader.error();
    std::string_view record;
    for (;;) {
        auto state = reader->next(record);
        if (!state) return state.error();
        if (*state != SegmentReader::State::kRecord) break;
    }
    auto recovery = set_aside_tail(journal.segment_path_, reader->position());
    if (!recovery) return recovery.error();
    journal.recovery_ = *recovery;
    journal.next_ = reader->offset();
    journal.segment_size_ = reader->position();
    auto fd = open_file(journal.segment_path_, O_WRONLY | O_APPEND);
    if (!fd) return fd.error();
    journal.segment_ = std::move(*fd);
    return journal;
}

Status Journal::start_segment() {
    segment_path_ = directory_ / segment_name(next_);
    auto fd = open_file(segment_path_, O_WRONLY | O_CREAT | O_TRUNC | O_APPEND);
    if (!fd) return fd.error();
    auto status = write_all(fd->get(), segment_header(next_), segment_path_.string());
    if (status && options_.sync) status = sync_data(fd->get(), segment_path_.string());
    if (status && options_.sync) status = sync_directory(directory_);
    if (!status) {
        ::unlink(segment_path_.c_str());
        return status;
    }
    segment_ = std::move(*fd);
    segment_size_ = kSegmentHeaderBytes;
    return Done{};
}

Result<Offset> Journal::append(std::span<const std::string> records) {
    if (broken_) return Error{Code::kIo, "journal: an earlier write failed and could not be taken back; reopen the shop"};
    if (records.empty()) return next_;
    if (segment_size_ >= options_.segment_bytes) PERENNIAL_TRY(start_segment());
    group_.clear();
    Offset offset = next_;
    for (const auto& record : records) {
        if (record.size() > kRecordBytesLimit)
            return Error{Code::kFull, fmt::format("journal: want a record of at most {} bytes, got {}", kRecordBytesLimit, record.size())};
        append_record(group_, offset, record);
        ++offset.value;
    }
    auto status = write_all(segment_.get(), group_, segment_path_.string());
    if (status && options_.sync) status = sync_data(segment_.get(), segment_path_.string());
    if (!status) {
        // Take back what reached the file, so that the next append starts on a whole record.
        broken_ = ::ftruncate(segment_.get(), static_cast<off_t>(segment_size_)) != 0;
        return status.error();
    }
    segment_size_ += group_.size();
    return std::exchange(next_, offset);
}

Result<Cursor> Cursor::open(const fs::path& directory, Offset from) {
    auto bases = segments(directory);
    if (!bases) return bases.error();
    Cursor cursor;
    cursor.directory_ = directory;
    cursor.next_ = from;
    if (bases->empty()) return cursor;
    auto after = std::ranges::upper_bound(*bases, from);
    if (after == bases->begin())
        return Error{Code::kNotFound, fmt::format("journal {}: want offset {}, the first kept is {}", directory.string(), from.value, bases->front().value)};
    auto reader = SegmentReader::open(directory / segment_name(*std::prev(after)));
    if (!reader) return reader.error();
    cursor.reader_ = std::move(*reader);
    std::string_view skipped;
    while (cursor.reader_->offset() < from) {
        auto more = cursor.next(skipped);
        if (!more) return more.error();
        if (!*more)
            return Error{Code::kNotFound, fmt::format("journal {}: want offset {}, it ends at {}", directory.string(), from.value, cursor.offset().value)};
    }
    return cursor;
}

Result<bool> Cursor::next(std::string_view& record) {
    if (!reader_) return false;
    for (;;) {
        auto state = reader_->next(record);
        if (!state) return state.error();
        if (*state == SegmentReader::State::kRecord) return true;
        const auto following = directory_ / segment_name(reader_->offset());
        std::error_code error;
        if (*state == SegmentReader::State::kBad) {
            auto bases = segments(directory_);
            if (!bases) return bases.error();
            if (!bases->empty() && bases->back() > reader_->offset())
                return Error{Code::kCorrupt, fmt::format("journal {}: record {} (byte {} of its segment) fails its checksum; restore this segment from a backup",
                                                         directory_.string(), reader_->offset().value, reader_->position())};
            return false;  // the tail of the last segment: being written, or torn
        }
        // The next segment is named after its first record. One that holds no record yet is this one itself.
        if (reader_->offset() == reader_->base()) return false;
        if (!fs::exists(following, error)) {
            auto bases = segments(directory_);
            if (!bases) return bases.error();
            if (!bases->empty() && bases->back() > reader_->offset())
                return Error{Code::kCorrupt, fmt::format("journal {}: {} is missing, records from {} on; restore it from a backup", directory_.string(),
                                                         following.filename().string(), reader_->offset().value)};
            return false;
        }
        if (fs::file_size(following, error) < kSegmentHeaderBytes) return false;
        auto reader = SegmentReader::open(following);
        if (!reader) return reader.error();
        reader_ = std::move(*reader);
    }
}

}  // namespace perennial::journal
