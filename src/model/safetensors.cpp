#include "model/safetensors.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cassert>
#include <cstring>

#include "base/bytes.h"
#include "base/file.h"

namespace perennial::model {
namespace {

namespace json = boost::json;

// The limit of the reference implementation: a header is parsed whole before anything in it is believed.
constexpr std::uint64_t kHeaderBytesLimit = 100'000'000;
constexpr std::array<std::pair<Dtype, std::string_view>, 4> kDtypes{
    {{Dtype::kF32, "F32"}, {Dtype::kI64, "I64"}, {Dtype::kI32, "I32"}, {Dtype::kU8, "U8"}}};

Result<std::uint64_t> whole_number(const json::value& value) {
    if (value.is_uint64()) return value.get_uint64();
    if (value.is_int64() && value.get_int64() >= 0) return static_cast<std::uint64_t>(value.get_int64());
    return Error{Code::kCorrupt, "want a whole number >= 0"};
}

Result<TensorInfo> tensor_info(const json::value& value) {
    const auto* object = value.if_object();
    if (object == nullptr) return Error{Code::kCorrupt, "want an object"};
    const auto* dtype = object->if_contains("dtype");
    const auto* shape = object->if_contains("shape");
    const auto* offsets = object->if_contains("data_offsets");
    if (dtype == nullptr || !dtype->is_string() || shape == nullptr || !shape->is_array() || offsets == nullptr ||
        !offsets->is_array() || offsets->get_array().size() != 2)
        return Error{Code::kCorrupt, "want dtype, shape and two data_offsets"};

    TensorInfo info;
    const std::string_view wanted(dtype->get_string().data(), dtype->get_string().size());
    const auto* known = std::ranges::find(kDtypes, wanted, &std::pair<Dtype, std::string_view>::second);
    if (known == kDtypes.end()) return Error{Code::kUnsupported, fmt::format("dtype: want F32, I64, I32 or U8, got '{}'", wanted)};
    info.dtype = known->first;

    std::uint64_t count = bytes_of(info.dtype);
    for (const auto& extent : shape->get_array()) {
        auto size = whole_number(extent);
        if (!size) return Error{Code::kCorrupt, "shape: " + size.error().message};
        if (*size > INT64_MAX || __builtin_mul_overflow(count, *size, &count)) return Error{Code::kCorrupt, "shape: too large"};
        info.shape.push_back(static_cast<std::int64_t>(*size));
    }
    const auto begin = whole_number(offsets->get_array()[0]), end = whole_number(offsets->get_array()[1]);
    if (!begin || !end) return Error{Code::kCorrupt, "data_offsets: want whole numbers >= 0"};
    if (*begin > *end || *end - *begin != count)
        return Error{Code::kCorrupt, fmt::format("the shape takes {} bytes, data_offsets are {} to {}", count, *begin, *end)};
    info.begin = *begin;
    info.end = *end;
    return info;
}

}  // namespace

std::string_view name(Dtype dtype) noexcept { return kDtypes[static_cast<std::size_t>(dtype)].second; }
std::size_t bytes_of(Dtype dtype) noexcept { return dtype == Dtype::kI64 ? 8 : dtype == Dtype::kU8 ? 1 : 4; }

Error Safetensors::corrupt(std::string_view what) const { return {Code::kCorrupt, fmt::format("{}: {}", file_, what)}; }

Result<Safetensors> Safetensors::parse(std::string bytes, std::string_view file) {
    Safetensors out;
    out.file_ = file;
    out.bytes_ = std::move(bytes);
    Reader reader(out.bytes_);
    const auto header_bytes = reader.fixed<std::uint64_t>();
    if (!reader.ok()) return out.corrupt(fmt::format("want an 8-byte header length, the file has {} bytes", out.bytes_.size()));
    if (header_bytes > kHeaderBytesLimit || header_bytes > reader.rest().size())
        return out.corrupt(fmt::format("header of {} bytes in a file of {}: not safetensors, or cut short", header_bytes, out.bytes_.size()));
    const auto header = reader.bytes(header_bytes);
    out.data_ = 8 + header_bytes;

    json::error_code failure;
    const auto parsed = json::parse(json::string_view(header.data(), header.size()), failure);
    if (failure) return out.corrupt("header: " + failure.message());
    if (!parsed.is_object()) return out.corrupt("header: want a JSON object");
    for (const auto& item : parsed.get_object()) {
        const std::string key(item.key().data(), item.key().size());
        if (key == "__metadata__") {
            if (!item.value().is_object()) return out.corrupt("__metadata__: want an object");
            for (const auto& pair : item.value().get_object()) {
                if (!pair.value().is_string()) return out.corrupt("__metadata__: want strings");
                out.metadata_.emplace(std::string(pair.key().data(), pair.key().size()), pair.value().get_string().c_str());
            }
            continue;
        }
        auto info = tensor_info(item.value());
        if (!info) return Error{info.error().code, fmt::format("{}: tensor '{}': {}", file, key, info.error().message)};
        out.tensors_.emplace(key, std::move(*info));
    }

    // The ranges, in order, must tile the data exactly: no overlap, no gap, nothing behind the last.
    std::vector<const TensorInfo*> order;
    for (const auto& [key, info] : out.tensors_) order.push_back(&info);
    std::ranges::sort(order, [](const auto* a, const auto* b) { return std::pair(a->begin, a->end) < std::pair(b->begin, b->end); });
    std::uint64_t reached = 0;
    for (const auto* info : order) {
        if (info->begin != reached) return out.corrupt(fmt::format("tensor data overlap or leave a gap at byte {}", reached));
        reached = info->end;
    }
    if (reached != reader.rest().size())
        return out.corrupt(fmt::format("the header describes {} bytes of tensors, the file holds {}", reached, reader.rest().size()));
    return out;
}

Result<Safetensors> Safetensors::open(const std::filesystem::path& path) {
    auto bytes = read_file(path);
    if (!bytes) return bytes.error();
    return parse(std::move(*bytes), path.string());
}

Result<std::string> Safetensors::text(const std::string& key) const {
    const auto found = metadata_.find(key);
    if (found == metadata_.end()) return corrupt(fmt::format("metadata '{}' is missing", key));
    return found->second;
}

template <class T>
Result<std::vector<T>> Safetensors::copy(const std::string& tensor, Dtype dtype, std::span<const std::int64_t> shape) const {
    const auto found = tensors_.find(tensor);
    if (found == tensors_.end()) return corrupt(fmt::format("tensor '{}' is missing", tensor));
    const auto& info = found->second;
    const bool fits = std::ranges::equal(info.shape, shape, [](std::int64_t got, std::int64_t want) { return want == -1 || got == want; });
    if (info.dtype != dtype || !fits)
        return corrupt(fmt::format("tensor '{}': want {} [{}], got {} [{}]", tensor, name(dtype), fmt::join(shape, ", "),
                                   name(info.dtype), fmt::join(info.shape, ", ")));
    std::vector<T> values((info.end - info.begin) / sizeof(T));
    if (!values.empty()) std::memcpy(values.data(), bytes_.data() + data_ + info.begin, values.size() * sizeof(T));
    return values;
}

Result<std::vector<float>> Safetensors::floats(const std::string& tensor, std::span<const std::int64_t> shape) const {
    return copy<float>(tensor, Dtype::kF32, shape);
}
Result<std::vector<std::int64_t>> Safetensors::longs(const std::string& tensor, std::span<const std::int64_t> shape) const {
    return copy<std::int64_t>(tensor, Dtype::kI64, shape);
}
Result<std::vector<std::int32_t>> Safetensors::ints(const std::string& tensor, std::span<const std::int64_t> shape) const {
    return copy<std::int32_t>(tensor, Dtype::kI32, shape);
}
Result<std::vector<std::uint8_t>> Safetensors::bytes(const std::string& tensor, std::span<const std::int64_t> shape) const {
    return copy<std::uint8_t>(tensor, Dtype::kU8, shape);
}

SafetensorsWriter::Tensor& SafetensorsWriter::insert(std::string tensor, Dtype dtype, std::span<const std::int64_t> shape, std::size_t count) {
    [[maybe_unused]] std::int64_t product = 1;
    for (const auto extent : shape) product *= extent;
    assert(static_cast<std::size_t>(product) == count && !tensors_.contains(tensor));
    return tensors_.emplace(std::move(tensor), Tensor{dtype, {shape.begin(), shape.end()}, {}, {}}).first->second;
}

void SafetensorsWriter::add(std::string tensor, Dtype dtype, std::span<const std::int64_t> shape, const void* values, std::size_t count) {
    auto& out = insert(std::move(tensor), dtype, shape, count);
    out.own.resize(count * bytes_of(dtype));
    if (count > 0) std::memcpy(out.own.data(), values, out.own.size());
}

void SafetensorsWriter::refer(std::string tensor, std::span<const std::int64_t> shape, std::span<const float> values) {
    insert(std::move(tensor), Dtype::kF32, shape, values.size()).outside = {reinterpret_cast<const char*>(values.data()), values.size_bytes()};
}

void SafetensorsWriter::add(std::string tensor, std::span<const std::int64_t> shape, std::span<const float> values) {
    add(std::move(tensor), Dtype::kF32, shape, values.data(), values.size());
}
void SafetensorsWriter::add(std::string tensor, std::span<const std::int64_t> shape, std::span<const std::int64_t> values) {
    add(std::move(tensor), Dtype::kI64, shape, values.data(), values.size());
}
void SafetensorsWriter::add(std::string tensor, std::span<const std::int64_t> shape, std::span<const std::int32_t> values) {
    add(std::move(tensor), Dtype::kI32, shape, values.data(), values.size());
}
void SafetensorsWriter::add(std::string tensor, std::span<const std::int64_t> shape, std::span<const std::uint8_t> values) {
    add(std::move(tensor), Dtype::kU8, shape, values.data(), values.size());
}

std::vector<std::string_view> SafetensorsWriter::pieces(std::string& header) const {
    // Widest dtype first keeps every tensor aligned to its element, whatever the counts.
    std::vector<const std::pair<const std::string, Tensor>*> order;
    for (const auto& tensor : tensors_) order.push_back(&tensor);
    std::ranges::stable_sort(order, std::ranges::greater{}, [](const auto* tensor) { return bytes_of(tensor->second.dtype); });

    json::object description, metadata;
    for (const auto& [key, value] : metadata_) metadata[key] = value;
    description["__metadata__"] = std::move(metadata);
    std::uint64_t offset = 0;
    for (const auto* tensor : order) {
        const auto& [key, value] = *tensor;
        json::array shape(value.shape.begin(), value.shape.end());
        description[key] = {{"dtype", name(value.dtype)}, {"shape", std::move(shape)}, {"data_offsets", {offset, offset + value.bytes().size()}}};
        offset += value.bytes().size();
    }
    std::string text = json::serialize(description);
    text.resize((text.size() + 7) / 8 * 8, ' ');
    header.clear();
    put_fixed(header, static_cast<std::uint64_t>(text.size()));
    header += text;
    std::vector<std::string_view> all{header};
    for (const auto* tensor : order) all.push_back(tensor->second.bytes());
    return all;
}

std::string SafetensorsWriter::bytes() const {
    std::string header, out;
    const auto all = pieces(header);
    std::size_t size = 0;
    for (const auto piece : all) size += piece.size();
    out.reserve(size);
    for (const auto piece : all) out += piece;
    return out;
}

Status SafetensorsWriter::write(const std::filesystem::path& path) const {
    std::string header;
    return write_file(path, pieces(header));
}

}  // namespace perennial::model
