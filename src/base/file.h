// Files: an owning descriptor, whole-file read and write, and a reader that unpacks gzip on the way.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <utility>

#include "base/result.h"

namespace perennial {

class Fd {
public:
    Fd() = default;
    explicit Fd(int fd) noexcept : fd_(fd) {}
    Fd(Fd&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
    Fd& operator=(Fd&& other) noexcept { std::swap(fd_, other.fd_); return *this; }
    ~Fd();
    int get() const noexcept { return fd_; }
    explicit operator bool() const noexcept { return fd_ >= 0; }

private:
    int fd_ = -1;
};

Result<Fd> open_file(const std::filesystem::path& path, int flags, unsigned mode = 0644);
Status write_all(int fd, std::string_view bytes, std::string_view what);
Status sync_data(int fd, std::string_view what);            // fdatasync
Status sync_directory(const std::filesystem::path& directory);  // makes a created or renamed name durable

// Errors: kNotFound, kIo, kFull (larger than `bytes_limit`).
Result<std::string> read_file(const std::filesystem::path& path, std::uint64_t bytes_limit = std::uint64_t{8} << 30);

// Replaces `path` in one step (temporary file, fdatasync, rename), so that a reader sees the old bytes or the new.
Status write_file(const std::filesystem::path& path, std::string_view bytes);
// The same of pieces that follow one another.
Status write_file(const std::filesystem::path& path, std::span<const std::string_view> pieces);

// A file's bytes in order; a gzip file (magic 1f 8b) is unpacked. Not thread-safe.
class ByteSource {
public:
    static Result<ByteSource> open(const std::filesystem::path& path);
    ByteSource(ByteSource&&) noexcept;
    ByteSource& operator=(ByteSource&&) noexcept;
    ~ByteSource();

    // Fills up to `capacity` bytes; 0 at the end. Errors: kIo, kCorrupt (gzip stream damaged or cut short).
    Result<std::size_t> read(char* out, std::size_t capacity);
    // Bytes of the file itself consumed so far, and its size: for progress.
    std::uint64_t position() const noexcept;
    std::uint64_t size() const noexcept;

private:
    struct State;
    explicit ByteSource(std::unique_ptr<State> state) noexcept;
    std::unique_ptr<State> state_;
};

// A scratch directory, removed with its contents at the end of its life.
class TempDir {
public:
    explicit TempDir(std::string_view prefix = "perennial");
    ~TempDir();
    TempDir(const TempDir&) = delete;
    TempDir& operator=(const TempDir&) = delete;
    const std::filesystem::path& path() const noexcept { return path_; }

private:
    std::filesystem::path path_;
};

}  // namespace perennial
