#include "predict/boosted_trees.h"

#include <fmt/format.h>
#include <xgboost/c_api.h>

#include <cmath>
#include <limits>

#include "base/file.h"

namespace perennial::predict {
namespace {

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
    auto rows = matrix(features, columns);
    if (!rows) return rows.error();
    if (labels.size() * columns != features.size() || labels.empty())
        return Error{Code::kInvalid, fmt::format("boosted trees: want a label for each of {} rows, got {}", features.size() / columns, labels.size())};
    const std::vector<float> truth(labels.begin(), labels.end());
    PERENNIAL_TRY(check(XGDMatrixSetFloatInfo(rows->get(), "label", truth.data(), truth.size()), "labels"));
    BoosterHandle handle = nullptr;
    const DMatrixHandle matrices[] = {rows->get()};
    PERENNIAL_TRY(check(XGBoosterCreate(matrices, 1, &handle), "create"));
    BoostedTrees trees;
    trees.booster_.reset(handle);
    const std::pair<const char*, std::string> settings[] = {
        {"objective", "binary:logistic"}, {"tree_method", "hist"}, {"verbosity", "0"}, {"max_depth", std::to_string(options.depth)},
        {"eta", fmt::format("{}", options.learning_rate)}, {"subsample", fmt::format("{}", options.row_share)},
        {"colsample_bytree", fmt::format("{}", options.column_share)}, {"min_child_weight", fmt::format("{}", options.leaf_rows_min)},
        {"seed", std::to_string(options.seed)}, {"nthread", std::to_string(options.threads)}};
    for (const auto& [key, value] : settings) PERENNIAL_TRY(check(XGBoosterSetParam(handle, key, value.c_str()), key));
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

}  // namespace perennial::predict
