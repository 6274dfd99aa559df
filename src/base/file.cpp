#include "base/file.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <stdexcept>

namespace perennial {

std::string_view name(Code code) noexcept {
    switch (code) {
        case Code::kInvalid: return "invalid";
        case Code::kNotFound: return "not_found";
        case Code::kExists: return "exists";
        case Code::kCorrupt: return "corrupt";
        case Code::kFull: return "full";
        case Code::kIo: return "io";
        case Code::kDenied: return "denied";
        case Code::kBusy: return "busy";
        case Code::kUnsupported: return "unsupported";
    }
    return "unknown";
}

Error io_error(std::string_view what, int error_number) {
    const Code code = error_number == ENOSPC || error_number == EDQUOT || error_number == EFBIG ? Code::kFull
                      : error_number == ENOENT                         ? Code::kNotFound
                                                                       : Code::kIo;
    return {code, fmt::format("{}: {}", what, std::strerror(error_number))};
}

Fd::~Fd() {
    if (fd_ >= 0) ::close(fd_);
}

Result<Fd> open_file(const std::filesystem::path& path, int flags, unsigned mode) {
    const int fd = ::open(path.c_str(), flags | O_CLOEXEC, mode);
    if (fd < 0) return io_error("open " + path.string(), errno);
    return Fd(fd);
}

Status write_all(int fd, std::string_view bytes, std::string_view what) {
    while (!bytes.empty()) {
        const auto written = ::write(fd, bytes.data(), bytes.size());
        if (written < 0 && errno == EINTR) continue;
        if (written < 0) return io_error(fmt::format("write {}", what), errno);
        bytes.remove_prefix(static_cast<std::size_t>(written));
    }
    return Done{};
}

Status sync_data(int fd, std::string_view what) {
    if (::fdatasync(fd) != 0) return io_error(fmt::format("fdatasync {}", what), errno);
    return Done{};
}

Status sync_directory(const std::filesystem::path& directory) {
    auto fd = open_file(directory.empty() ? "." : directory, O_RDONLY | O_DIRECTORY);
    if (!fd) return fd.error();
    if (::fsync(fd->get()) != 0) return io_error("fsync " + directory.string(), errno);
    return Done{};
}

Result<std::string> read_file(const std::filesystem::path& path, std::uint64_t bytes_limit) {
    auto fd = open_file(path, O_RDONLY);
    if (!fd) return fd.error();
    std::string bytes;
    struct stat info{};
    if (::fstat(fd->get(), &info) == 0 && S_ISDIR(info.st_mode))
        return Error{Code::kIo, fmt::format("read {}: it is a directory", path.string())};
    if (info.st_size > 0) bytes.reserve(std::min(static_cast<std::uint64_t>(info.st_size), bytes_limit) + 1);
    std::array<char, 1 << 16> chunk;
    for (;;) {
        const auto got = ::read(fd->get(), chunk.data(), chunk.size());
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return io_error("read " + path.string(), errno);
        if (got == 0) return bytes;
        bytes.append(chunk.data(), static_cast<std::size_t>(got));
        if (bytes.size() > bytes_limit)
            return Error{Code::kFull, fmt::format("read {}: larger than the limit of {} bytes", path.string(), bytes_limit)};
    }
}

Status write_file(const std::filesystem::path& path, std::string_view bytes) { return write_file(path, std::span(&bytes, 1)); }

Status write_file(const std::filesystem::path& path, std::span<const std::string_view> pieces) {
    const std::filesystem::path temporary = path.string() + ".tmp";
    {
        auto fd = open_file(temporary, O_WRONLY | O_CREAT | O_TRUNC);
        if (!fd) return fd.error();
        Status status = Done{};
        for (const auto piece : pieces)
            if (status) status = write_all(fd->get(), piece, path.string());
        if (status) status = sync_data(fd->get(), path.string());
        if (!status) {
            ::unlink(temporary.c_str());
            return status;
        }
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) return io_error("rename to " + path.string(), errno);
    return sync_directory(path.parent_path());
}

struct ByteSource::State {
    Fd fd;
    std::string path;
    std::uint64_t size = 0, position = 0;
    bool gzip = false, stream_open = false, file_ended = false, member_ended = false;
    z_stream stream{};
    std::array<unsigned char, 1 << 16> input;
    ~State() {
        if (stream_open) inflateEnd(&stream);
    }

    Result<std::size_t> fill() {
        const auto got = ::read(fd.get(), input.data(), input.size());
        if (got < 0) return io_error("read " + path, errno);
        position += static_cast<std::uint64_t>(got);
        file_ended = got == 0;
        return static_cast<std::size_t>(got);
    }
};

Result<ByteSource> ByteSource::open(const std::filesystem::path& path) {
    auto state = std::make_unique<State>();
    auto fd = open_file(path, O_RDONLY);
    if (!fd) return fd.error();
    state->fd = std::move(*fd);
    state->path = path.string();
    struct stat info{};
    if (::fstat(state->fd.get(), &info) != 0) return io_error("stat " + path.string(), errno);
    if (S_ISDIR(info.st_mode)) return Error{Code::kInvalid, fmt::format("{}: want a file, it is a directory", path.string())};
    state->size = static_cast<std::uint64_t>(info.st_size);
    std::array<unsigned char, 2> magic{};
    state->gzip = ::pread(state->fd.get(), magic.data(), 2, 0) == 2 && magic[0] == 0x1f && magic[1] == 0x8b;
    if (state->gzip) {
        if (inflateInit2(&state->stream, 15 + 16) != Z_OK) return Error{Code::kIo, "zlib: cannot start"};
        state->stream_open = true;
    }
    return ByteSource(std::move(state));
}

ByteSource::ByteSource(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
ByteSource::ByteSource(ByteSource&&) noexcept = default;
ByteSource& ByteSource::operator=(ByteSource&&) noexcept = default;
ByteSource::~ByteSource() = default;

Result<std::size_t> ByteSource::read(char* out, std::size_t capacity) {
    auto& s = *state_;
    if (!s.gzip) {
        const auto got = ::read(s.fd.get(), out, capacity);
        if (got < 0) return io_error("read " + s.path, errno);
        s.position += static_cast<std::uint64_t>(got);
        return static_cast<std::size_t>(got);
    }
    s.stream.next_out = reinterpret_cast<unsigned char*>(out);
    s.stream.avail_out = static_cast<unsigned>(std::min<std::size_t>(capacity, 1u << 30));
    while (s.stream.avail_out > 0) {
        if (s.stream.avail_in == 0 && !s.file_ended) {
            auto got = s.fill();
            if (!got) return got.error();
            s.stream.next_in = s.input.data();
            s.stream.avail_in = static_cast<unsigned>(*got);
        }
        if (s.member_ended) {  // gzip files may be several members one after another
            if (s.stream.avail_in == 0) break;
            inflateReset(&s.stream);
            s.member_ended = false;
        }
        const int code = inflate(&s.stream, Z_NO_FLUSH);
        if (code == Z_STREAM_END) s.member_ended = true;
        else if (code == Z_BUF_ERROR && s.file_ended)
            return Error{Code::kCorrupt, fmt::format("{}: the gzip stream is cut short after {} bytes", s.path, s.position)};
        else if (code != Z_OK && code != Z_BUF_ERROR)
            return Error{Code::kCorrupt, fmt::format("{}: damaged gzip stream near byte {}", s.path, s.position - s.stream.avail_in)};
    }
    return std::min<std::size_t>(capacity, 1u << 30) - s.stream.avail_out;
}

std::uint64_t ByteSource::position() const noexcept { return state_->position; }
std::uint64_t ByteSource::size() const noexcept { return state_->size; }

TempDir::TempDir(std::string_view prefix) {
    std::string pattern = (std::filesystem::temp_directory_path() / (std::string(prefix) + "-XXXXXX")).string();
    if (::mkdtemp(pattern.data()) == nullptr) throw std::runtime_error("mkdtemp " + pattern + ": " + std::strerror(errno));
    path_ = pattern;
}

TempDir::~TempDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
}

}  // namespace perennial
