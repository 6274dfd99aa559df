// bench nextitem: the public leave-one-out protocol on a file of item sequences (DESIGN of the protocol: docs/guide/bench.md).
#include <fmt/format.h>

#include <boost/json.hpp>
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

// One line a user: user id, then item ids in time order. Items get dense numbers by first appearance.
Result<Sequences> read_sequences(const fs::path& path) {
    auto source = ByteSource::open(path);
    if (!source) return source.error();
    Sequences result;
    std::unordered_map<std::string, std::int32_t> numbers;
    std::string rest, chunk(1 << 16, 0);
    std::size_t line_number = 0;
    const auto take = [&](std::string_view line) -> Status {
        ++line_number;
        if (line.find('\0') != std::string_view::npos) return Error{Code::kInvalid, fmt::format("{}:{}: want text, got binary bytes", path.string(), line_number)};
        sequence::Sequence user;
        std::size_t at = 0;
        const auto word = [&] {
            while (at < line.size() && (line[at] == ' ' || line[at] == '\t' || line[at] == '\r')) ++at;
            const auto start = at;
            while (at < line.size() && line[at] != ' ' && line[at] != '\t' && line[at] != '\r') ++at;
            return line.substr(start, at - start);
        };
        const auto id = word();
        if (id.empty()) return Done{};
        user.customer = profile::user_key(id);
        for (auto item = word(); !item.empty(); item = word()) {
            const auto number = numbers.try_emplace(std::string(item), static_cast<std::int32_t>(numbers.size())).first->second;
            user.steps.push_back({number, static_cast<std::uint8_t>(event::Kind::kOrderCompleted), 0, 0, static_cast<std::int32_t>(user.steps.size())});
        }
        if (user.steps.empty()) return Error{Code::kInvalid, fmt::format("{}:{}: want a user id and item ids, got '{}' alone", path.string(), line_number, id)};
        result.users.push_back(std::move(user));
        return Done{};
    };
    for (;;) {
        auto got = source->read(chunk.data(), chunk.size());
        if (!got) return got.error();
        if (*got == 0) break;
        rest.append(chunk, 0, *got);
        std::size_t start = 0;
        for (auto end = rest.find('\n'); end != std::string::npos; end = rest.find('\n', start)) {
            PERENNIAL_TRY(take(std::string_view(rest).substr(start, end - start)));
            start = end + 1;
        }
        rest.erase(0, start);
        if (rest.size() > kLineBytesLimit) return Error{Code::kInvalid, fmt::format("{}:{}: want lines of at most {} bytes", path.string(), line_number + 1, kLineBytesLimit)};
    }
    PERENNIAL_TRY(take(rest));
    result.items = numbers.size();
    if (result.users.empty()) return Error{Code::kInvalid, fmt::format("{}: want a line a user, the file is empty", path.string())};
    return result;
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
    auto result = predict::evaluate_next_purchase(split.training, split.test, sequences->items, false, 0, out, network);
    if (!result) return result.error();
    result->protocol = "leave_one_out";
    result->description = {"Last item test, the one before it validation; all items ranked but those in the history.", "最后一项为测试，倒数第二项为验证；除历史中的商品外对全部商品排序。"};

    boost::json::object report{{"bench", "nextitem"}, {"sequences", options.sequences.filename().string()}, {"commit", build_commit()}, {"machine", machine_description()},
        {"users", sequences->users.size()}, {"users_tested", split.test.size()}, {"items", sequences->items}, {"seed", options.common.seed}, {"threads", options.common.threads},
        {"train_seconds", result->network.train_seconds}, {"train_seconds_to_best", result->network.best_seconds},
        {"positions_per_second", result->network.targets_per_second}, {"epochs", result->network.epochs}, {"best_epoch", result->network.best_epoch}};
    boost::json::object baselines;
    for (const auto& method : result->methods) {
        if (method.name == "mixture") put_metrics(report, method);
        else put_metrics(baselines[method.name].emplace_object(), method);
    }
    report["baselines"] = std::move(baselines);
    report["chosen_on_validation"] = measure::to_json(*result).at("chosen_on_validation");
    if (options.common.json) fmt::print("{}\n", boost::json::serialize(report));
    else fmt::print("{}", measure::to_text(*result));
    return Done{};
}

}  // namespace perennial::app
