#include "item_files.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <optional>

#include "base/file.h"
#include "base/text.h"
#include "ingest/csv.h"
#include "predict/content.h"

namespace perennial::app {
namespace {

constexpr std::size_t kLineBytesLimit = 16u << 20;
constexpr std::size_t kItemsFileBytesLimit = 1u << 30;
constexpr std::size_t kTextWords = 3;         // a column whose values have more blanks than this on average is text
constexpr double kNumericShare = 0.95;        // of a column's values, to be read as numbers
constexpr std::size_t kNumericValuesMin = 20; // fewer distinct numbers are codes

class SequenceReader {
public:
    explicit SequenceReader(fs::path path) : path_(std::move(path)) {}

    Status line(std::string_view line) {
        ++line_number_;
        if (line.find('\0') != std::string_view::npos) return Error{Code::kInvalid, fmt::format("{}:{}: want text, got binary bytes", path_.string(), line_number_)};
        std::size_t at = 0, words = 0;
        std::int32_t user = 0;
        const auto blank = [&](char c) { return c == ' ' || c == '\t' || c == '\r'; };
        for (;; ++words) {
            while (at < line.size() && blank(line[at])) ++at;
            const auto start = at;
            while (at < line.size() && !blank(line[at])) ++at;
            const auto word = line.substr(start, at - start);
            if (word.empty()) break;
            if (words == 0) {
                user = number(users_, word);
                if (static_cast<std::size_t>(user) == result_.users.size()) result_.users.push_back({profile::user_key(word), {}});
                else ++repeated_users_;
                continue;
            }
            auto& steps = result_.users[static_cast<std::size_t>(user)].steps;
            steps.push_back({number(result_.items, word), static_cast<std::uint8_t>(event::Kind::kOrderCompleted), 0, 0, static_cast<std::int32_t>(steps.size())});
        }
        if (words == 1) return Error{Code::kInvalid, fmt::format("{}:{}: want a user id and item ids, got '{}' alone", path_.string(), line_number_, line)};
        if (words > 2 && repeated_users_ > 0)
            return Error{Code::kInvalid, fmt::format("{}:{}: want one line a user, or lines of two words (user, item); a user came again and this line has {} words", path_.string(), line_number_, words)};
        most_words_ = std::max(most_words_, words);
        if (most_words_ > 2 && repeated_users_ > 0)
            return Error{Code::kInvalid, fmt::format("{}:{}: want one line a user, got a user again", path_.string(), line_number_)};
        return Done{};
    }

    Result<ItemSequences> take() {
        if (result_.users.empty()) return Error{Code::kInvalid, fmt::format("{}: want a line a user or a line an action, the file is empty", path_.string())};
        return std::move(result_);
    }
    std::size_t lines() const noexcept { return line_number_; }

private:
    using Numbers = std::unordered_map<std::string, std::int32_t>;
    static std::int32_t number(Numbers& numbers, std::string_view word) {
        return numbers.try_emplace(std::string(word), static_cast<std::int32_t>(numbers.size())).first->second;
    }
    fs::path path_;
    ItemSequences result_;
    Numbers users_;
    std::size_t line_number_ = 0, repeated_users_ = 0, most_words_ = 0;
};

using Items = std::unordered_map<std::string, std::int32_t>;

struct ItemRow {
    std::size_t item = 0;
    std::vector<std::string> fields;
};

void add_column(predict::ContentBuilder& content, const std::string& name, std::size_t column, const std::vector<ItemRow>& rows) {
    std::size_t filled = 0, numeric = 0, blanks = 0;
    std::vector<double> numbers;
    for (const auto& row : rows) {
        const auto value = trim(row.fields[column]);
        if (value.empty()) continue;
        ++filled;
        blanks += static_cast<std::size_t>(std::ranges::count(value, ' '));
        if (const auto number = to_number(value)) ++numeric, numbers.push_back(*number);
    }
    if (filled == 0) return;
    std::ranges::sort(numbers);
    const auto distinct = static_cast<std::size_t>(std::unique(numbers.begin(), numbers.end()) - numbers.begin());
    const bool number = static_cast<double>(numeric) >= kNumericShare * static_cast<double>(filled) && distinct >= kNumericValuesMin;
    const bool text = blanks > kTextWords * filled;
    for (const auto& row : rows) {
        const std::string_view value = row.fields[column];
        if (number) content.add_number(row.item, name, to_number(trim(value)).value_or(0));
        else if (text) content.add_text(row.item, value);
        else
            for (std::size_t start = 0; start <= value.size();) {
                const auto end = std::min(value.find('|', start), value.size());
                content.add_value(row.item, name, value.substr(start, end - start));
                start = end + 1;
            }
    }
}

Result<std::size_t> add_csv(const fs::path& path, const Items& items, predict::ContentBuilder& content) {
    auto reader = ingest::CsvReader::open(path);
    if (!reader) return reader.error();
    const auto header = reader->header();
    std::size_t key = 0;
    for (const std::string_view wanted : {"item_id", "item", "product_id", "product", "id", "movieid"}) {
        const auto found = std::ranges::find_if(header, [&](const auto& name) { return lower(name) == wanted; });
        if (found == header.end()) continue;
        key = static_cast<std::size_t>(found - header.begin());
        break;
    }
    std::vector<ItemRow> rows;
    ingest::CsvRow row;
    for (;;) {
        auto more = reader->next(row);
        if (!more) return more.error();
        if (!*more) break;
        if (!row.problem.empty()) return Error{Code::kInvalid, fmt::format("{}:{}: {}", path.string(), row.line, row.problem)};
        if (const auto item = items.find(std::string(trim(row.fields[key]))); item != items.end())
            rows.push_back({static_cast<std::size_t>(item->second), {row.fields.begin(), row.fields.end()}});
    }
    for (std::size_t column = 0; column < header.size(); ++column)
        if (column != key) add_column(content, lower(header[column]), column, rows);
    return rows.size();
}

Result<std::string> read_all(const fs::path& path) {
    auto source = ByteSource::open(path);
    if (!source) return source.error();
    std::string bytes, chunk(1 << 20, 0);
    for (;;) {
        auto got = source->read(chunk.data(), chunk.size());
        if (!got) return got.error();
        if (*got == 0) return bytes;
        bytes.append(chunk, 0, *got);
        if (bytes.size() > kItemsFileBytesLimit) return Error{Code::kFull, fmt::format("{}: want at most {} bytes", path.string(), kItemsFileBytesLimit)};
    }
}

Result<std::size_t> add_json(const fs::path& path, const Items& items, predict::ContentBuilder& content) {
    auto bytes = read_all(path);
    if (!bytes) return bytes.error();
    boost::system::error_code error;
    const auto document = boost::json::parse(*bytes, error);
    if (error || !document.is_object()) return Error{Code::kInvalid, fmt::format("{}: want one JSON object, item id to its values", path.string())};
    std::size_t found = 0;
    const auto text = [](const boost::json::value& value) { return value.is_string() ? std::string(value.as_string()) : boost::json::serialize(value); };
    for (const auto& [id, value] : document.as_object()) {
        const auto item = items.find(std::string(id));
        if (item == items.end()) continue;
        ++found;
        const auto number = static_cast<std::size_t>(item->second);
        if (const auto* values = value.if_array())
            for (const auto& one : *values) content.add_value(number, "attribute", text(one));
        else content.add_value(number, "attribute", text(value));
    }
    return found;
}

bool is_json(const fs::path& path) {
    return path.extension() == ".json" || (path.extension() == ".gz" && path.stem().extension() == ".json");
}

}  // namespace

Result<ItemSequences> read_sequences(const fs::path& path) {
    auto source = ByteSource::open(path);
    if (!source) return source.error();
    SequenceReader reader(path);
    std::string rest, chunk(1 << 16, 0);
    for (;;) {
        auto got = source->read(chunk.data(), chunk.size());
        if (!got) return got.error();
        if (*got == 0) break;
        rest.append(chunk, 0, *got);
        std::size_t start = 0;
        for (auto end = rest.find('\n'); end != std::string::npos; end = rest.find('\n', start)) {
            PERENNIAL_TRY(reader.line(std::string_view(rest).substr(start, end - start)));
            start = end + 1;
        }
        rest.erase(0, start);
        if (rest.size() > kLineBytesLimit) return Error{Code::kInvalid, fmt::format("{}:{}: want lines of at most {} bytes", path.string(), reader.lines() + 1, kLineBytesLimit)};
    }
    PERENNIAL_TRY(reader.line(rest));
    return reader.take();
}

Result<model::ProductContent> read_items(std::span<const fs::path> paths, const Items& items) {
    predict::ContentBuilder content(items.size());
    for (const auto& path : paths) {
        auto found = is_json(path) ? add_json(path, items, content) : add_csv(path, items, content);
        if (!found) return found.error();
        if (*found == 0) return Error{Code::kInvalid, fmt::format("{}: want lines of items that are in the sequences, got none", path.string())};
    }
    return content.build();
}

}  // namespace perennial::app
