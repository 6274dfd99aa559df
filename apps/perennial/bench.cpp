// bench nextitem: the public leave-one-out protocol on a file of item sequences (DESIGN of the protocol: docs/guide/bench.md).
#include <fmt/format.h>

#include <boost/json.hpp>
#include <optional>
#include <string_view>
#include <unordered_map>

#include "base/file.h"
#include "build_info.h"
#include "commands.h"
#include "measure/evaluation_json.h"
#include "predict/next_purchase.h"
#include "shop.h"

namespace perennial::app {
namespace {

constexpr std::size_t kLineBytesLimit = 16u << 20;

struct Sequences {
    std::vector<sequence::Sequence> users;
    std::size_t items = 0;
};

// One line a user (user id, then item ids in time order) or one line an action (user id, item id; a user's lines in time
// order, not necessarily together). A file whose lines all have two words is of the second kind. Users and items get dense
// numbers by first appearance.
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
            steps.push_back({number(items_, word), static_cast<std::uint8_t>(event::Kind::kOrderCompleted), 0, 0, static_cast<std::int32_t>(steps.size())});
        }
        if (words == 1) return Error{Code::kInvalid, fmt::format("{}:{}: want a user id and item ids, got '{}' alone", path_.string(), line_number_, line)};
        if (words > 2 && repeated_users_ > 0)
            return Error{Code::kInvalid, fmt::format("{}:{}: want one line a user, or lines of two words (user, item); a user came again and this line has {} words", path_.string(), line_number_, words)};
        most_words_ = std::max(most_words_, words);
        if (most_words_ > 2 && repeated_users_ > 0)
            return Error{Code::kInvalid, fmt::format("{}:{}: want one line a user, got a user again", path_.string(), line_number_)};
        return Done{};
    }

    Result<Sequences> take() {
        if (result_.users.empty()) return Error{Code::kInvalid, fmt::format("{}: want a line a user or a line an action, the file is empty", path_.string())};
        result_.items = items_.size();
        return std::move(result_);
    }
    std::size_t lines() const noexcept { return line_number_; }

private:
    using Numbers = std::unordered_map<std::string, std::int32_t>;
    static std::int32_t number(Numbers& numbers, std::string_view word) {
        return numbers.try_emplace(std::string(word), static_cast<std::int32_t>(numbers.size())).first->second;
    }
    fs::path path_;
    Sequences result_;
    Numbers users_, items_;
    std::size_t line_number_ = 0, repeated_users_ = 0, most_words_ = 0;
};

Result<Sequences> read_sequences(const fs::path& path) {
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

void put_metrics(boost::json::object& object, const predict::MethodResult& method) {
    for (std::size_t c = 0; c < predict::kCutoffs.size(); ++c) {
        object[fmt::format("recall@{}", predict::kCutoffs[c])] = method.recall[c].value;
        object[fmt::format("ndcg@{}", predict::kCutoffs[c])] = method.ndcg[c].value;
    }
    object["ndcg@10_interval"] = {method.ndcg[1].low, method.ndcg[1].high};
}

}  // namespace

Status bench_nextitem(const BenchCommand& options) {
    auto sequences = read_sequences(options.sequences);
    if (!sequences) return sequences.error();
    const auto split = predict::leave_one_out(sequences->users, sequences->items, false, true);
    if (split.test.empty()) return Error{Code::kInvalid, fmt::format("{}: want users with three items or more, got none", options.sequences.string())};
    TempDir scratch("perennial-bench");
    predict::NetworkOptions network;
    network.seed = options.common.seed;
    network.threads = options.common.threads;
    network.seconds_limit = options.seconds_limit;
    network.extra = options.train_flags;
    network.label = options.sequences.filename();
    const auto out = options.out.empty() ? scratch.path() : options.out;
    std::optional<predict::SearchResult> search;
    if (options.search.trials > 0) {
        auto found = predict::search_settings(split.training.data, out / "search", network, options.search);
        if (!found) return found.error();
        network.extra.insert(network.extra.end(), found->flags.begin(), found->flags.end());
        network.done = found->winner;
        if (!options.common.json) fmt::print("{}\n", measure::to_text(*found));
        search = std::move(*found);
    }
    auto result = predict::evaluate_next_purchase(split.training, split.test, sequences->items, false, predict::Known::kTrainingAlone, 0, out, network);
    if (!result) return result.error();
    result->protocol = "leave_one_out";
    result->description = {"Last item test, the one before it validation; all items ranked but those in the history.", "最后一项为测试，倒数第二项为验证；除历史中的商品外对全部商品排序。"};

    boost::json::object report{{"bench", "nextitem"}, {"sequences", options.sequences.filename().string()}, {"commit", build_commit()}, {"machine", machine_description()},
        {"users", sequences->users.size()}, {"users_tested", split.test.size()}, {"items", sequences->items}, {"seed", options.common.seed}, {"threads", options.common.threads},
        {"train_seconds", result->network.train_seconds}, {"train_seconds_to_best", result->network.best_seconds},
        {"positions_per_second", result->network.targets_per_second}, {"epochs", result->network.epochs}, {"best_epoch", result->network.best_epoch}};
    if (search) report["search"] = measure::to_json(*search);
    boost::json::object baselines;
    for (const auto& method : result->methods) {
        if (&method == &result->methods.back()) put_metrics(report, method), report["method"] = method.name;  // the best one comes last
        else put_metrics(baselines[method.name].emplace_object(), method);
    }
    report["baselines"] = std::move(baselines);
    report["chosen_on_validation"] = measure::to_json(*result).at("chosen_on_validation");
    if (options.common.json) fmt::print("{}\n", boost::json::serialize(report));
    else fmt::print("{}", measure::to_text(*result));
    return Done{};
}

}  // namespace perennial::app
