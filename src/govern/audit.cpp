#include "govern/audit.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sodium.h>
#include <sys/file.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cstring>
#include <optional>

#include "base/file.h"

namespace perennial::govern {
namespace {

namespace json = boost::json;

const std::string kNoHead(64, '0');
constexpr std::string_view kHashField = ",\"hash\":\"";

std::string hash_of(std::string_view body) {
    std::array<unsigned char, 32> hash{};
    crypto_generichash(hash.data(), hash.size(), reinterpret_cast<const unsigned char*>(body.data()), body.size(), nullptr, 0);
    std::string text;
    for (const auto byte : hash) text += fmt::format("{:02x}", byte);
    return text;
}

// The line up to its hash. The order of the fields is part of the format.
std::string body_of(const AuditEntry& entry, std::string_view before) {
    const auto quoted = [](std::string_view text) { return json::serialize(json::value(text)); };
    return fmt::format(R"({{"number":{},"time":"{}","who":{},"what":{},"subject":{},"details":{},"before":"{}")", entry.number, iso8601(entry.time), quoted(entry.who),
                       quoted(entry.what), quoted(entry.subject), entry.details, before);
}

struct Line {
    AuditEntry entry;
    std::string before, hash;
};

// What a whole line says; its own hash is checked, its place in the chain is not.
Result<Line> parse_line(std::string_view line) {
    const auto corrupt = [](std::string_view what) { return Error{Code::kCorrupt, std::string(what)}; };
    const auto at = line.rfind(kHashField);
    if (line.size() > kAuditLineLimit || at == std::string_view::npos || !line.ends_with("\"}")) return corrupt("is no audit entry");
    boost::system::error_code error;
    json::parse_options options;
    const auto value = json::parse(line, error, {}, options);
    if (error || !value.is_object()) return corrupt("is no JSON object");
    const auto& object = value.as_object();
    const auto text = [&](std::string_view key) -> std::optional<std::string> {
        const auto* found = object.if_contains(key);
        if (!found || !found->is_string()) return std::nullopt;
        return std::string(found->as_string());
    };
    const auto* number = object.if_contains("number");
    const auto* details = object.if_contains("details");
    const auto time = text("time"), who = text("who"), what = text("what"), subject = text("subject"), before = text("before"), hash = text("hash");
    if (!number || !number->is_int64() || number->as_int64() < 1 || !details || !details->is_object() || !time || !who || !what || !subject || !before || !hash)
        return corrupt("lacks a field of an audit entry");
    const auto when = parse_iso8601(*time);
    if (!when) return corrupt("has no time that can be read");
    if (hash_of(line.substr(0, at)) != *hash) return corrupt("was changed: its hash does not fit");
    return Line{{static_cast<std::uint64_t>(number->as_int64()), *when, *who, *what, *subject, json::serialize(*details)}, *before, *hash};
}

Error io_error(std::string_view what, const std::filesystem::path& path) {
    return {errno == ENOSPC ? Code::kFull : Code::kIo, fmt::format("{}: {}: {}", path.string(), what, std::strerror(errno))};
}

}  // namespace

Result<std::string> record(const std::filesystem::path& path, AuditEntry entry) {
    boost::system::error_code error;
    const auto details = json::parse(entry.details, error);
    if (error || !details.is_object()) return Error{Code::kInvalid, fmt::format("audit: want details as a JSON object, got '{}'", entry.details)};
    entry.details = json::serialize(details);  // one line
    auto fd = open_file(path, O_RDWR | O_CREAT | O_APPEND, 0600);
    if (!fd) return fd.error();
    while (::flock(fd->get(), LOCK_EX) != 0)
        if (errno != EINTR) return io_error("lock", path);
    const auto size = ::lseek(fd->get(), 0, SEEK_END);
    if (size < 0) return io_error("seek", path);
    // The last whole line, and behind it what a crash left of another.
    const auto reach = std::min<std::int64_t>(size, 2 * static_cast<std::int64_t>(kAuditLineLimit) + 2);
    std::string tail(static_cast<std::size_t>(reach), '\0');
    for (std::size_t done = 0; done < tail.size();) {
        const auto count = ::pread(fd->get(), tail.data() + done, tail.size() - done, size - reach + static_cast<std::int64_t>(done));
        if (count < 0 && errno == EINTR) continue;
        if (count <= 0) return io_error("read", path);
        done += static_cast<std::size_t>(count);
    }
    const auto whole = tail.rfind('\n') + 1;  // 0 where there is none
    if (whole == 0 && reach < size) return Error{Code::kCorrupt, fmt::format("{}: its last line is longer than any entry", path.string())};
    if (whole < tail.size() && ::ftruncate(fd->get(), size - static_cast<std::int64_t>(tail.size() - whole)) != 0) return io_error("truncate", path);
    std::string head = kNoHead;
    entry.number = 1;
    if (whole > 0) {
        const auto begin = whole < 2 ? 0 : tail.rfind('\n', whole - 2) + 1;
        const auto last = parse_line(std::string_view(tail).substr(begin, whole - 1 - begin));
        if (!last) return Error{Code::kCorrupt, fmt::format("{}: its last line {}", path.string(), last.error().message)};
        head = last->hash;
        entry.number = last->entry.number + 1;
    }
    auto line = body_of(entry, head);
    head = hash_of(line);
    line += fmt::format("{}{}\"}}", kHashField, head);
    if (line.size() > kAuditLineLimit) return Error{Code::kInvalid, fmt::format("audit: want an entry of at most {} bytes, got {}", kAuditLineLimit, line.size())};
    PERENNIAL_TRY(write_all(fd->get(), line + "\n", path.string()));
    PERENNIAL_TRY(sync_data(fd->get(), path.string()));
    if (size == 0) PERENNIAL_TRY(sync_directory(path.parent_path().empty() ? "." : path.parent_path()));
    return head;
}

Result<AuditSummary> verify_text(std::string_view bytes, std::string_view source, const std::function<void(const AuditEntry&)>& visit, std::string_view known_head) {
    AuditSummary summary{.head = kNoHead};
    bool known = known_head.empty() || known_head == kNoHead;
    while (!bytes.empty()) {
        const auto end = bytes.find('\n');
        if (end == std::string_view::npos) {
            summary.torn_bytes = bytes.size();
            break;
        }
        auto line = parse_line(bytes.substr(0, end));
        const auto corrupt = [&](std::string_view what) { return Error{Code::kCorrupt, fmt::format("{}: line {} {}", source, summary.entries + 1, what)}; };
        if (!line) return corrupt(line.error().message);
        if (line->before != summary.head) return corrupt("does not follow the line before it: lines were removed or put in");
        if (line->entry.number != summary.entries + 1) return corrupt("has another number than its place");
        ++summary.entries;
        summary.head = line->hash;
        known = known || summary.head == known_head;
        if (visit) visit(line->entry);
        bytes.remove_prefix(end + 1);
    }
    if (!known) return Error{Code::kCorrupt, fmt::format("{}: the head {} is not in it: its end was cut off, or it is another log", source, known_head)};
    return summary;
}

Result<AuditSummary> verify(const std::filesystem::path& path, const std::function<void(const AuditEntry&)>& visit, std::string_view known_head) {
    const auto bytes = read_file(path);
    if (!bytes) return bytes.error();
    return verify_text(*bytes, path.string(), visit, known_head);
}

}  // namespace perennial::govern
