#include "journal/segment.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <cerrno>

#include "base/bytes.h"
#include "base/hash.h"

namespace perennial::journal {
namespace {

constexpr std::string_view kMagic = "PRNLJRNL";
constexpr std::uint32_t kVersion = 1;
constexpr std::size_t kReadBytes = 1 << 18;

// The seed ties a record to its place, so that old bytes from elsewhere never pass for a record here.
std::uint64_t checksum(Offset offset, std::string_view payload) noexcept {
    return hash64(payload, offset.value * 0x9e3779b97f4a7c15ULL + payload.size());
}

}  // namespace

std::string segment_name(Offset base) { return fmt::format("{:020}.seg", base.value); }

std::string segment_header(Offset base) {
    std::string header(kMagic);
    put_fixed<std::uint32_t>(header, kVersion);
    put_fixed<std::uint32_t>(header, 0);
    put_fixed<std::uint64_t>(header, base.value);
    put_fixed<std::uint64_t>(header, hash64(header));
    return header;
}

Result<Offset> parse_segment_header(std::string_view bytes, const std::filesystem::path& where) {
    Reader reader(bytes);
    const auto magic = reader.bytes(kMagic.size());
    const auto version = reader.fixed<std::uint32_t>();
    reader.fixed<std::uint32_t>();
    const Offset base{reader.fixed<std::uint64_t>()};
    const auto sum = reader.fixed<std::uint64_t>();
    if (!reader.ok() || magic != kMagic)
        return Error{Code::kCorrupt, fmt::format("{}: want a journal segment (magic {}), got other bytes", where.string(), kMagic)};
    if (version != kVersion)
        return Error{Code::kUnsupported, fmt::format("{}: want journal version {}, got {}", where.string(), kVersion, version)};
    if (sum != hash64(bytes.substr(0, kSegmentHeaderBytes - 8)))
        return Error{Code::kCorrupt, fmt::format("{}: the header's checksum does not match", where.string())};
    return base;
}

void append_record(std::string& out, Offset offset, std::string_view payload) {
    put_fixed<std::uint64_t>(out, checksum(offset, payload));
    put_fixed<std::uint32_t>(out, static_cast<std::uint32_t>(payload.size()));
    out.append(payload);
}

Result<SegmentReader> SegmentReader::open(const std::filesystem::path& path) {
    auto fd = open_file(path, O_RDONLY);
    if (!fd) return fd.error();
    std::string header(kSegmentHeaderBytes, 0);
    const auto got = ::pread(fd->get(), header.data(), header.size(), 0);
    if (got < 0) return io_error("read " + path.string(), errno);
    header.resize(static_cast<std::size_t>(got));
    auto base = parse_segment_header(header, path);
    if (!base) return base.error();
    SegmentReader reader;
    reader.fd_ = std::move(*fd);
    reader.path_ = path;
    reader.base_ = reader.offset_ = *base;
    return reader;
}

Result<bool> SegmentReader::have(std::size_t bytes) {
    while (buffer_.size() - consumed_ < bytes) {
        buffer_.erase(0, std::exchange(consumed_, 0));
        const auto filled = buffer_.size();
        buffer_.resize(filled + std::max(bytes, kReadBytes));
        const auto got = ::pread(fd_.get(), buffer_.data() + filled, buffer_.size() - filled, static_cast<off_t>(position_ + filled));
        buffer_.resize(filled + static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
        if (got < 0) return io_error("read " + path_.string(), errno);
        if (got == 0) return false;
    }
    return true;
}

Result<SegmentReader::State> SegmentReader::next(std::string_view& record) {
    auto header = have(kRecordHeaderBytes);
    if (!header) return header.error();
    if (!*header) return buffer_.size() == consumed_ ? State::kEnd : State::kBad;
    Reader reader(std::string_view(buffer_).substr(consumed_, kRecordHeaderBytes));
    const auto sum = reader.fixed<std::uint64_t>();
    const auto length = reader.fixed<std::uint32_t>();
    if (length > kRecordBytesLimit) return State::kBad;
    auto whole = have(kRecordHeaderBytes + length);
    if (!whole) return whole.error();
    if (!*whole) return State::kBad;
    const auto payload = std::string_view(buffer_).substr(consumed_ + kRecordHeaderBytes, length);
    if (checksum(offset_, payload) != sum) return State::kBad;
    record = payload;
    consumed_ += kRecordHeaderBytes + length;
    position_ += kRecordHeaderBytes + length;
    ++offset_.value;
    return State::kRecord;
}

}  // namespace perennial::journal
