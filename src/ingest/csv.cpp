#include "ingest/csv.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "base/text.h"

namespace perennial::ingest {
namespace {

constexpr std::size_t kChunkBytes = 256 * 1024;
constexpr std::size_t kProblemRawBytes = 4096;  // of a row without end, this much is shown
constexpr std::array<char, 4> kSeparators{',', ';', '\t', '|'};

bool is_ascii(std::string_view text) noexcept {
    std::uint64_t high = 0;
    std::size_t i = 0;
    for (; i + 8 <= text.size(); i += 8) {
        std::uint64_t word;
        std::memcpy(&word, text.data() + i, 8);
        high |= word;
    }
    for (; i < text.size(); ++i) high |= static_cast<std::uint64_t>(static_cast<unsigned char>(text[i]) & 0x80) << 56;
    return (high & 0x8080808080808080ULL) == 0;
}

// Where a row's fields and the row itself end, one byte at a time. A quote opens a field only at its first byte;
// elsewhere it is an ordinary character, as spreadsheets write it.
class QuoteMachine {
public:
    enum class Step { kByte, kSkip, kField, kRow };

    explicit QuoteMachine(char separator) noexcept : separator_(separator) {}

    Step step(char c) noexcept {
        if (quoted_) {
            if (c != '"') return Step::kByte;
            quoted_ = false;
            after_quote_ = true;
            return Step::kSkip;
        }
        if (after_quote_ && c == '"') {  // a doubled quote stands for one
            after_quote_ = false;
            quoted_ = true;
            return Step::kByte;
        }
        after_quote_ = false;
        if (c == separator_) {
            at_start_ = true;
            return Step::kField;
        }
        if (c == '\n') return Step::kRow;
        if (c == '"' && at_start_) {
            at_start_ = false;
            quoted_ = true;
            return Step::kSkip;
        }
        at_start_ = false;
        return Step::kByte;
    }

    bool quoted() const noexcept { return quoted_; }

private:
    char separator_;
    bool quoted_ = false, after_quote_ = false, at_start_ = true;
};

char find_separator(std::string_view header) {
    std::array<std::size_t, kSeparators.size()> counts{};
    bool quoted = false;
    for (const char c : header) {
        if (c == '"') quoted = !quoted;
        if (quoted) continue;
        for (std::size_t i = 0; i < kSeparators.size(); ++i) counts[i] += c == kSeparators[i];
    }
    return kSeparators[static_cast<std::size_t>(std::ranges::max_element(counts) - counts.begin())];
}

std::string_view without_carriage_return(std::string_view line) noexcept {
    if (!line.empty() && line.back() == '\r') line.remove_suffix(1);
    return line;
}

std::string_view guess_of_binary(std::string_view bytes) noexcept {
    if (bytes.starts_with("PK\x03\x04")) return " (a zip file or an Excel workbook: save it as CSV)";
    if (bytes.starts_with("\xff\xfe") || bytes.starts_with("\xfe\xff")) return " (UTF-16: save it as UTF-8)";
    if (bytes.starts_with("PAR1")) return " (a Parquet file: export it as CSV)";
    return "";
}

}  // namespace

struct CsvReader::State {
    std::string name;
    CsvOptions options;
    std::optional<ByteSource> file;
    std::string text;               // instead of a file
    std::size_t text_read = 0;
    std::vector<char> buffer;
    std::size_t begin = 0, end = 0;  // bytes not yet handed out
    bool ended = false;
    std::uint64_t line = 1;         // of the byte at `begin`
    char separator = ',';
    std::vector<std::string> header;
    std::vector<std::string_view> fields;
    std::string unquoted, converted;  // what fields point into when they cannot point into the buffer

    Result<std::size_t> read_more(char* out, std::size_t capacity) {
        if (file) return file->read(out, capacity);
        const std::size_t count = std::min(capacity, text.size() - text_read);
        text.copy(out, count, text_read);
        text_read += count;
        return count;
    }

    // Moves what is left to the front and reads behind it. Afterwards `begin` is 0.
    Status refill() {
        if (begin > 0) std::memmove(buffer.data(), buffer.data() + begin, end - begin);
        end -= begin;
        begin = 0;
        if (buffer.size() < end + kChunkBytes) buffer.resize(end + kChunkBytes);
        auto got = read_more(buffer.data() + end, kChunkBytes);
        if (!got) return got.error();
        if (std::memchr(buffer.data() + end, 0, *got) != nullptr)
            return Error{Code::kInvalid, fmt::format("{}: not a text file: a NUL byte near line {}{}", name, line,
                                                     guess_of_binary({buffer.data(), end + *got}))};
        end += *got;
        ended = *got == 0;
        return Done{};
    }

    // Distance from `begin` to the next '\n', or to the end of input; nothing when it is farther than the row limit.
    Result<std::optional<std::size_t>> line_length() {
        for (std::size_t seen = 0;;) {
            const void* found = end > begin + seen ? std::memchr(buffer.data() + begin + seen, '\n', end - begin - seen) : nullptr;
            if (found) return std::optional<std::size_t>(static_cast<std::size_t>(static_cast<const char*>(found) - buffer.data()) - begin);
            seen = end - begin;
            if (ended) return std::optional<std::size_t>(seen);
            if (seen > options.row_bytes_limit) return std::optional<std::size_t>();
            PERENNIAL_TRY(refill());
        }
    }

    // The same for a row that holds quotes: nothing also when its last quote is never closed.
    Result<std::optional<std::size_t>> quoted_row_length() {
        QuoteMachine machine(separator);
        for (std::size_t i = 0;; ++i) {
            if (begin + i == end) {
                if (i > options.row_bytes_limit) return std::optional<std::size_t>();
                if (!ended) PERENNIAL_TRY(refill());
                if (begin + i == end) return machine.quoted() ? std::optional<std::size_t>() : std::optional<std::size_t>(i);
            }
            if (machine.step(buffer[begin + i]) == QuoteMachine::Step::kRow) return std::optional<std::size_t>(i);
        }
    }

    void consume(std::size_t length, std::uint64_t lines) noexcept {
        begin = std::min(end, begin + length + 1);
        line += lines;
    }

    // A line without an end: its beginning is the row's raw text, the rest is passed over.
    Result<bool> pass_over_endless_line(CsvRow& row) {
        converted = to_utf8({buffer.data() + begin, std::min(kProblemRawBytes, end - begin)});
        row.raw = converted;
        row.problem = fmt::format("row: want at most {} bytes, got more", options.row_bytes_limit);
        for (;;) {
            const void* found = std::memchr(buffer.data() + begin, '\n', end - begin);
            if (found) {
                begin = static_cast<std::size_t>(static_cast<const char*>(found) - buffer.data()) + 1;
                ++line;
                return true;
            }
            begin = end;
            if (ended) return true;
            PERENNIAL_TRY(refill());
        }
    }

    void split_plain(std::string_view raw) {
        fields.clear();
        const char* at = raw.data();
        const char* const stop = at + raw.size();
        while (const void* found = std::memchr(at, separator, static_cast<std::size_t>(stop - at))) {
            const char* next = static_cast<const char*>(found);
            fields.emplace_back(at, static_cast<std::size_t>(next - at));
            at = next + 1;
        }
        fields.emplace_back(at, static_cast<std::size_t>(stop - at));
    }

    void split_quoted(std::string_view raw) {
        fields.clear();
        unquoted.clear();
        unquoted.reserve(raw.size() + 1);  // never grows below, so that the views stay good
        QuoteMachine machine(separator);
        std::size_t start = 0;
        const auto close = [&] {
            fields.push_back(std::string_view(unquoted).substr(start));
            start = unquoted.size();
        };
        for (const char c : raw) {
            switch (machine.step(c)) {
                case QuoteMachine::Step::kByte: unquoted.push_back(c); break;
                case QuoteMachine::Step::kField: close(); break;
                case QuoteMachine::Step::kSkip:
                case QuoteMachine::Step::kRow: break;
            }
        }
        close();
    }

    std::string_view as_utf8(std::string_view raw) {
        if (is_ascii(raw) || is_valid_utf8(raw)) return raw;
        converted = to_utf8(raw);
        return converted;
    }

    Result<bool> next_raw(CsvRow& row) {
        for (;;) {
            row.problem.clear();
            row.fields = {};
            auto length = line_length();
            if (!length) return length.error();
            row.line = line;
            if (!*length) return pass_over_endless_line(row);
            if (begin == end) return false;
            std::string_view raw(buffer.data() + begin, **length);
            if (without_carriage_return(raw).empty()) {
                consume(**length, 1);
                continue;
            }
            if (std::memchr(raw.data(), '"', raw.size()) == nullptr) {
                consume(**length, 1);
                row.raw = as_utf8(without_carriage_return(raw));
                split_plain(row.raw);
                row.fields = fields;
                return true;
            }
            auto whole = quoted_row_length();
            if (!whole) return whole.error();
            if (!*whole) {  // give up this line only and go on behind it
                length = line_length();
                if (!length) return length.error();
                row.raw = as_utf8(without_carriage_return({buffer.data() + begin, length->value_or(kProblemRawBytes)}));
                row.problem = "row: a quote is opened and never closed";
                consume(length->value_or(kProblemRawBytes), 1);
                return true;
            }
            raw = {buffer.data() + begin, **whole};
            consume(**whole, 1 + static_cast<std::uint64_t>(std::ranges::count(raw, '\n')));
            row.raw = as_utf8(without_carriage_return(raw));
            split_quoted(row.raw);
            row.fields = fields;
            return true;
        }
    }
};

CsvReader::CsvReader(std::unique_ptr<State> state) noexcept : state_(std::move(state)) {}
CsvReader::CsvReader(CsvReader&&) noexcept = default;
CsvReader& CsvReader::operator=(CsvReader&&) noexcept = default;
CsvReader::~CsvReader() = default;

Result<CsvReader> CsvReader::open(const std::filesystem::path& path, CsvOptions options) {
    auto file = ByteSource::open(path);
    if (!file) return file.error();
    auto state = std::make_unique<State>();
    state->name = path.string();
    state->options = options;
    state->file.emplace(std::move(*file));
    return start(std::move(state));
}

Result<CsvReader> CsvReader::over(std::string text, CsvOptions options) {
    auto state = std::make_unique<State>();
    state->name = "text";
    state->options = options;
    state->text = std::move(text);
    return start(std::move(state));
}

Result<CsvReader> CsvReader::start(std::unique_ptr<State> state) {
    State& s = *state;
    PERENNIAL_TRY(s.refill());
    const std::string_view front(s.buffer.data(), s.end);
    if (front.starts_with("\xff\xfe") || front.starts_with("\xfe\xff"))
        return Error{Code::kInvalid, fmt::format("{}: not a text file{}", s.name, guess_of_binary(front))};
    if (front.starts_with("\xEF\xBB\xBF")) s.begin = 3;
    auto length = s.line_length();
    if (!length) return length.error();
    s.separator = s.options.separator.value_or(find_separator({s.buffer.data() + s.begin, length->value_or(0)}));
    CsvRow row;
    auto got = s.next_raw(row);
    if (!got) return got.error();
    if (!*got) return Error{Code::kInvalid, fmt::format("{}: want a header line, the file is empty", s.name)};
    if (!row.problem.empty()) return Error{Code::kInvalid, fmt::format("{}: header: {}", s.name, row.problem)};
    if (row.fields.size() > kColumnsLimit)
        return Error{Code::kInvalid, fmt::format("{}: header: want at most {} columns, got {}", s.name, kColumnsLimit, row.fields.size())};
    for (const auto field : row.fields) s.header.emplace_back(trim(field));
    return CsvReader(std::move(state));
}

const std::vector<std::string>& CsvReader::header() const noexcept { return state_->header; }
char CsvReader::separator() const noexcept { return state_->separator; }

Result<bool> CsvReader::next(CsvRow& row) {
    auto got = state_->next_raw(row);
    if (!got || !*got || !row.problem.empty()) return got;
    if (row.fields.size() != state_->header.size())
        row.problem = fmt::format("row: want {} columns, got {}", state_->header.size(), row.fields.size());
    return true;
}

double CsvReader::share_read() const noexcept {
    if (!state_->file || state_->file->size() == 0) return 1;
    return static_cast<double>(state_->file->position()) / static_cast<double>(state_->file->size());
}

}  // namespace perennial::ingest
