// The safetensors container: an 8-byte header length, a JSON header, then the tensors' bytes (docs/formats/weights.md).
// Format: https://github.com/huggingface/safetensors. Read here: F32, I64, I32, U8, and a string-to-string metadata map.
// Threads: an open file is immutable; any thread may read it.
#pragma once

#include <cstdint>
#include <filesystem>
#include <map>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/result.h"

namespace perennial::model {

enum class Dtype : std::uint8_t { kF32, kI64, kI32, kU8 };
std::string_view name(Dtype dtype) noexcept;
std::size_t bytes_of(Dtype dtype) noexcept;

struct TensorInfo {
    Dtype dtype = Dtype::kF32;
    std::vector<std::int64_t> shape;
    std::uint64_t begin = 0, end = 0;  // bytes, from the start of the data
};

class Safetensors {
public:
    // Refuses whatever is malformed with kCorrupt: a header longer than the file, JSON that is none, a shape that does not
    // give the byte count, ranges that overlap, leave gaps or run past the end. kUnsupported: a dtype not listed above.
    // `file` names the source in messages.
    static Result<Safetensors> parse(std::string bytes, std::string_view file);
    static Result<Safetensors> open(const std::filesystem::path& path);

    const std::map<std::string, std::string>& metadata() const noexcept { return metadata_; }
    const std::map<std::string, TensorInfo>& tensors() const noexcept { return tensors_; }

    // The metadata value, or kCorrupt naming what is missing.
    Result<std::string> text(const std::string& key) const;
    // A copy of the tensor. kCorrupt when it is missing or has another dtype or shape; -1 in `shape` matches any extent.
    Result<std::vector<float>> floats(const std::string& tensor, std::span<const std::int64_t> shape) const;
    Result<std::vector<std::int64_t>> longs(const std::string& tensor, std::span<const std::int64_t> shape) const;
    Result<std::vector<std::int32_t>> ints(const std::string& tensor, std::span<const std::int64_t> shape) const;
    Result<std::vector<std::uint8_t>> bytes(const std::string& tensor, std::span<const std::int64_t> shape) const;

private:
    template <class T>
    Result<std::vector<T>> copy(const std::string& tensor, Dtype dtype, std::span<const std::int64_t> shape) const;
    Error corrupt(std::string_view what) const;

    std::string file_, bytes_;
    std::size_t data_ = 0;  // where the tensors' bytes start in bytes_
    std::map<std::string, std::string> metadata_;
    std::map<std::string, TensorInfo> tensors_;
};

// Collects tensors, then writes the file in one step (a reader sees the old file or the new). The same calls give the
// same bytes.
class SafetensorsWriter {
public:
    void metadata(std::string key, std::string value) { metadata_[std::move(key)] = std::move(value); }
    void add(std::string tensor, std::span<const std::int64_t> shape, std::span<const float> values);
    void add(std::string tensor, std::span<const std::int64_t> shape, std::span<const std::int64_t> values);
    void add(std::string tensor, std::span<const std::int64_t> shape, std::span<const std::int32_t> values);
    void add(std::string tensor, std::span<const std::int64_t> shape, std::span<const std::uint8_t> values);
    // As add(), without a copy: the values must stay as they are until the file is written.
    void refer(std::string tensor, std::span<const std::int64_t> shape, std::span<const float> values);
    std::string bytes() const;
    // Holds no second copy of the tensors, unlike write_file(path, bytes()).
    Status write(const std::filesystem::path& path) const;

private:
    struct Tensor {
        Dtype dtype;
        std::vector<std::int64_t> shape;
        std::string own;           // a copy of the values, or
        std::string_view outside;  // where they lie
        std::string_view bytes() const { return own.empty() ? outside : own; }
    };
    void add(std::string tensor, Dtype dtype, std::span<const std::int64_t> shape, const void* values, std::size_t count);
    Tensor& insert(std::string tensor, Dtype dtype, std::span<const std::int64_t> shape, std::size_t count);
    std::vector<std::string_view> pieces(std::string& header) const;  // of the file in order; the first looks at `header`

    std::map<std::string, std::string> metadata_;
    std::map<std::string, Tensor> tensors_;
};

}  // namespace perennial::model
