#include "predict/boosted_trees.h"

#include <fmt/format.h>
#include <xgboost/c_api.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cassert>
#include <cmath>
#include <limits>
#include <numeric>

#include "base/file.h"

namespace perennial::predict {
namespace {

constexpr const char* kObjectives[] = {"binary:logistic", "multi:softprob", "reg:squarederror", "reg:tweedie"};

Status check(int code, std::string_view what) {
    if (code == 0) return Done{};
    return Error{Code::kIo, fmt::format("boosted trees: {}: {}", what, XGBGetLastError())};
}

struct MatrixFree { void operator()(void* handle) const noexcept { XGDMatrixFree(handle); } };
using Matrix = std::unique_ptr<void, MatrixFree>;

Result<Matrix> matrix(std::span<const float> features, std::size_t columns) {
    if (columns == 0 || features.size() % columns != 0)
        return Error{Code::kInvalid, fmt::format("boosted trees: want rows of {} features, got {} numbers", columns, features.size())};
    DMatrixHandle handle = nullptr;
    PERENNIAL_TRY(check(XGDMatrixCreateFromMat(features.data(), features.size() / columns, columns, std::numeric_limits<float>::quiet_NaN(), &handle), "matrix"));
    return Matrix(handle);
}

Result<std::vector<float>> predict(void* booster, std::span<const float> features, std::size_t columns, int type) {
    auto rows = matrix(features, columns);
    if (!rows) return rows.error();
    const auto config = fmt::format(R"({{"type":{},"training":false,"iteration_begin":0,"iteration_end":0,"strict_shape":false}})", type);
    const bst_ulong* shape = nullptr;
    bst_ulong dimensions = 0;
    const float* values = nullptr;
    PERENNIAL_TRY(check(XGBoosterPredictFromDMatrix(booster, rows->get(), config.c_str(), &shape, &dimensions, &values), "predict"));
    std::size_t count = 1;
    for (bst_ulong d = 0; d < dimensions; ++d) count *= shape[d];
    return std::vector<float>(values, values + count);
}

}  // namespace

void BoostedTrees::Free::operator()(void* handle) const noexcept { XGBoosterFree(handle); }

Result<BoostedTrees> BoostedTrees::train(std::span<const float> features, std::size_t columns, std::span<const std::uint8_t> labels,
                                         const TreeOptions& options) {
    return train(features, columns, std::vector<float>(labels.begin(), labels.end()), {}, {}, kObjectives[static_cast<std::size_t>(options.target)], options);
}

Result<BoostedTrees> BoostedTrees::train(std::span<const float> features, std::size_t columns, std::span<const float> targets,
                                         std::span<const float> weights, const TreeOptions& options) {
    return train(features, columns, targets, weights, {}, kObjectives[static_cast<std::size_t>(options.target)], options);
}

Result<BoostedTrees> BoostedTrees::train_ranking(std::span<const float> features, std::size_t columns, std::span<const std::uint8_t> labels,
                                                 std::span<const std::uint32_t> lists, const TreeOptions& options) {
    if (std::accumulate(lists.begin(), lists.end(), std::size_t{0}) != labels.size())
        return Error{Code::kInvalid, fmt::format("boosted trees: want lists that cover {} rows", labels.size())};
    return train(features, columns, std::vector<float>(labels.begin(), labels.end()), {}, lists, "rank:ndcg", options);
}

Result<BoostedTrees> BoostedTrees::train(std::span<const float> features, std::size_t columns, std::span<const float> labels,
                                         std::span<const float> weights, std::span<const std::uint32_t> lists, const char* objective, const TreeOptions& options) {
    auto rows = matrix(features, columns);
    if (!rows) return rows.error();
    if (labels.size() * columns != features.size() || labels.empty())
        return Error{Code::kInvalid, fmt::format("boosted trees: want a label for each of {} rows, got {}", features.size() / columns, labels.size())};
    PERENNIAL_TRY(check(XGDMatrixSetFloatInfo(rows->get(), "label", labels.data(), labels.size()), "labels"));
    if (!weights.empty()) PERENNIAL_TRY(check(XGDMatrixSetFloatInfo(rows->get(), "weight", weights.data(), weights.size()), "weights"));
    if (!lists.empty()) PERENNIAL_TRY(check(XGDMatrixSetUIntInfo(rows->get(), "group", lists.data(), lists.size()), "lists"));
    BoosterHandle handle = nullptr;
    const DMatrixHandle matrices[] = {rows->get()};
    PERENNIAL_TRY(check(XGBoosterCreate(matrices, 1, &handle), "create"));
    BoostedTrees trees;
    trees.booster_.reset(handle);
    const std::pair<const char*, std::string> settings[] = {
        {"objective", objective}, {"tree_method", "hist"}, {"verbosity", "0"}, {"max_depth", std::to_string(options.depth)},
        {"eta", fmt::format("{}", options.learning_rate)}, {"subsample", fmt::format("{}", options.row_share)},
        {"colsample_bytree", fmt::format("{}", options.column_share)}, {"min_child_weight", fmt::format("{}", options.leaf_rows_min)},
        {"seed", std::to_string(options.seed)}, {"nthread", std::to_string(options.threads)}};
    for (const auto& [key, value] : settings) PERENNIAL_TRY(check(XGBoosterSetParam(handle, key, value.c_str()), key));
    if (options.target == TreeTarget::kClass) PERENNIAL_TRY(check(XGBoosterSetParam(handle, "num_class", std::to_string(options.classes).c_str()), "num_class"));
    for (int round = 0; round < options.rounds; ++round) PERENNIAL_TRY(check(XGBoosterUpdateOneIter(handle, round, rows->get()), "train"));
    return trees;
}

Result<BoostedTrees> BoostedTrees::load(const std::filesystem::path& path) {
    auto bytes = read_file(path);
    if (!bytes) return bytes.error();
    BoosterHandle handle = nullptr;
    PERENNIAL_TRY(check(XGBoosterCreate(nullptr, 0, &handle), "create"));
    BoostedTrees trees;
    trees.booster_.reset(handle);
    if (XGBoosterLoadModel(handle, path.c_str()) != 0) return Error{Code::kCorrupt, fmt::format("{}: no model that libxgboost reads", path.string())};
    return trees;
}

Status BoostedTrees::save(const std::filesystem::path& path) const { return check(XGBoosterSaveModel(booster_.get(), path.c_str()), "save"); }

Result<std::vector<double>> BoostedTrees::probabilities(std::span<const float> features, std::size_t columns) const {
    if (features.empty()) return std::vector<double>{};
    auto values = predict(booster_.get(), features, columns, 0);
    if (!values) return values.error();
    return std::vector<double>(values->begin(), values->end());
}

Result<std::vector<float>> BoostedTrees::contributions(std::span<const float> features, std::size_t columns) const {
    return predict(booster_.get(), features, columns, 2);
}

Result<std::string> BoostedTrees::json() const {
    bst_ulong size = 0;
    const char* bytes = nullptr;
    PERENNIAL_TRY(check(XGBoosterSaveModelToBuffer(booster_.get(), R"({"format":"json"})", &size, &bytes), "save"));
    return std::string(bytes, size);
}

Result<TreeSum> TreeSum::of(const BoostedTrees& trees) {
    auto json = trees.json();
    if (!json) return json.error();
    return parse(*json, std::numeric_limits<std::int32_t>::max());
}

Result<TreeSum> TreeSum::load(const std::filesystem::path& path, std::size_t columns) {
    auto bytes = read_file(path);
    if (!bytes) return bytes.error();
    auto sum = parse(*bytes, columns);
    if (!sum) return Error{sum.error().code, fmt::format("{}: {}", path.string(), sum.error().message)};
    return sum;
}

Status TreeSum::save(const std::filesystem::path& path) const { return write_file(path, json_); }

Result<TreeSum> TreeSum::parse(std::string_view json, std::size_t columns) {
    const auto corrupt = [](std::string_view what) { return Error{Code::kCorrupt, fmt::format("boosted trees: {}", what)}; };
    TreeSum sum;
    sum.json_ = json;
    try {
        const auto document = boost::json::parse(json);
        const auto& model = document.at("learner").at("gradient_booster").at("model");
        const auto whole = [](const boost::json::value& value) { return value.to_number<std::int32_t>(); };
        for (const auto& tree : model.at("trees").as_array()) {
            const auto& left = tree.at("left_children").as_array();
            const auto& right = tree.at("right_children").as_array();
            const auto& feature = tree.at("split_indices").as_array();
            const auto& value = tree.at("split_conditions").as_array();
            const auto& missing = tree.at("default_left").as_array();
            const auto& cover = tree.at("sum_hessian").as_array();
            const auto count = static_cast<std::int32_t>(left.size()), root = static_cast<std::int32_t>(sum.nodes_.size());
            if (count == 0) return corrupt("a tree without nodes");
            for (const auto size : {right.size(), feature.size(), value.size(), missing.size(), cover.size()})
                if (size != left.size()) return corrupt(fmt::format("want columns of {} nodes, got {}", count, size));
            sum.roots_.push_back(root);
            std::vector<std::size_t> level(left.size(), 0);  // 0: the root, or a node that nobody has named yet
            for (std::size_t n = 0; n < left.size(); ++n) {
                Node node{.value = value.at(n).to_number<float>()};
                if (whole(left.at(n)) >= 0) {
                    const auto l = whole(left.at(n)), r = whole(right.at(n));
                    const auto self = static_cast<std::int32_t>(n);
                    // Children behind their parent: a walk always ends.
                    if (l <= self || r <= self || l >= count || r >= count) return corrupt(fmt::format("want children of node {} behind it and below {}, got {} and {}", n, count, l, r));
                    node.feature = whole(feature.at(n));
                    if (node.feature < 0 || static_cast<std::size_t>(node.feature) >= columns) return corrupt(fmt::format("want features below {}, got {}", columns, node.feature));
                    for (const auto child : {l, r}) {
                        auto& below = level[static_cast<std::size_t>(child)];
                        // Two ways to a node would make the work of shapley() grow without bound.
                        if (below != 0) return corrupt(fmt::format("want one parent a node, got two for node {}", child));
                        below = level[n] + 1;
                        if (below > kTreeDepthLimit) return corrupt(fmt::format("want at most {} levels", kTreeDepthLimit));
                    }
                    const auto went_left = cover.at(static_cast<std::size_t>(l)).to_number<double>(), went_right = cover.at(static_cast<std::size_t>(r)).to_number<double>();
                    if (!(went_left >= 0 && went_right >= 0)) return corrupt(fmt::format("want covers >= 0, got {} and {}", went_left, went_right));
                    node.left_share = went_left + went_right > 0 ? static_cast<float>(went_left / (went_left + went_right)) : 0.5f;
                    node.left = root + l;
                    node.right = root + r;
                    const auto& side = missing.at(n);
                    node.missing_left = side.is_bool() ? side.as_bool() : whole(side) != 0;
                }
                sum.nodes_.push_back(node);
            }
        }
    } catch (const std::exception& problem) {
        return corrupt(problem.what());
    }
    return sum;
}

bool TreeSum::goes_left(const Node& node, std::span<const float> row) const noexcept {
    const float x = row[static_cast<std::size_t>(node.feature)];
    return std::isnan(x) ? node.missing_left : x < node.value;
}

float TreeSum::part(std::span<const float> row, std::size_t first, std::size_t last) const noexcept {
    float total = 0;
    for (auto tree = first; tree < std::min(last, roots_.size()); ++tree) {
        const Node* node = &nodes_[static_cast<std::size_t>(roots_[tree])];
        while (node->feature >= 0) {
            node = &nodes_[static_cast<std::size_t>(goes_left(*node, row) ? node->left : node->right)];
        }
        total += node->value;
    }
    return total;
}

namespace {

// [n][s]: s! (n - 1 - s)! / n!, the weight of a coalition of s of a player's n - 1 others.
constexpr auto kWeights = [] {
    std::array<std::array<double, kPlayersLimit>, kPlayersLimit + 1> weights{};
    for (std::size_t n = 1; n <= kPlayersLimit; ++n) {
        weights[n][0] = 1.0 / static_cast<double>(n);
        for (std::size_t s = 1; s < n; ++s) weights[n][s] = weights[n][s - 1] * static_cast<double>(s) / static_cast<double>(n - s);
    }
    return weights;
}();

}  // namespace

// One walk over all leaves. A leaf is reached with the product, over the players on its path, of `follows` (1 or 0: the row's
// features take all turns of that player) for those who are known, and of `share` (of the training rows) for the others.
struct TreeSum::Game {
    const TreeSum& trees;
    std::span<const float> row;
    std::span<const std::uint8_t> player_of;
    std::vector<double>& values;  // [players + 1]
    struct Turn { std::uint8_t player; bool follows; double share; };
    std::array<Turn, kPlayersLimit> path{};
    std::size_t length = 0;

    void walk(const Node& node) {
        if (node.feature < 0) return leaf(node.value);
        const auto player = player_of[static_cast<std::size_t>(node.feature)];
        const bool left = trees.goes_left(node, row);
        std::size_t at = 0;
        while (at < length && path[at].player != player) ++at;
        const Turn before = at < length ? path[at] : Turn{player, true, 1.0};
        const auto known = length;
        length = std::max(length, at + 1);
        for (const bool to_left : {true, false}) {
            const double share = to_left ? node.left_share : 1.0 - node.left_share;
            path[at] = {player, before.follows && to_left == left, before.share * share};
            walk(trees.nodes_[static_cast<std::size_t>(to_left ? node.left : node.right)]);
        }
        path[at] = before;
        length = known;
    }

    // Adds what the leaf gives to each player. Whoever does not follow must be unknown for the leaf to be reached, so only
    // coalitions of followers count: coefficients[s] sums, over those of s followers, the shares of the followers left out.
    void leaf(double value) {
        std::array<double, kPlayersLimit + 1> coefficients, without;
        coefficients[0] = 1;
        double others = value;  // times the shares of those who do not follow
        std::size_t followers = 0;
        for (std::size_t k = 0; k < length; ++k) {
            if (!path[k].follows) {
                others *= path[k].share;
                continue;
            }
            ++followers;
            coefficients[followers] = coefficients[followers - 1];
            for (std::size_t s = followers - 1; s > 0; --s) coefficients[s] = coefficients[s - 1] + path[k].share * coefficients[s];
            coefficients[0] *= path[k].share;
        }
        values.back() += others * coefficients[0];  // nobody known
        if (others == 0 || length == 0) return;
        // Sum over coalitions of a player's `length` - 1 others.
        const auto weighed = [&](const auto& of, std::size_t most) {
            double sum = 0;
            for (std::size_t s = 0; s <= most; ++s) sum += kWeights[length][s] * of[s];
            return sum;
        };
        const double against = followers < length ? others * weighed(coefficients, followers) : 0;
        for (std::size_t k = 0; k < length; ++k) {
            if (!path[k].follows) {
                values[path[k].player] -= against;
                continue;
            }
            // The coefficients without this follower: a division by its (share + t).
            double next = 0;
            for (std::size_t s = followers; s > 0; --s) without[s - 1] = next = coefficients[s] - path[k].share * next;
            values[path[k].player] += others * (1.0 - path[k].share) * weighed(without, followers - 1);
        }
    }
};

std::vector<double> TreeSum::shapley(std::span<const float> row, std::span<const std::uint8_t> player_of, std::size_t players) const {
    assert(players <= kPlayersLimit && player_of.size() == row.size());
    std::vector<double> values(players + 1, 0.0);
    Game game{*this, row, player_of, values};
    for (const auto root : roots_) game.walk(nodes_[static_cast<std::size_t>(root)]);
    return values;
}

}  // namespace perennial::predict
