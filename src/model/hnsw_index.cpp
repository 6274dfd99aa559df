#include <algorithm>
#include <atomic>
#include <cmath>
#include <exception>
#include <new>
#include <mutex>
#include <vector>

#include <hnswlib/hnswlib.h>

#include "base/parallel.h"
#include "kernels/linear.h"
#include "model/product_index.h"

namespace perennial::model {
namespace {

// Rows are padded to whole vectors of eight.
std::size_t padded(std::size_t columns) { return (columns + 7) / 8 * 8; }

// hnswlib's own distances use what the compiler flags allow; ours use what the CPU has.
class InnerProduct : public hnswlib::SpaceInterface<float> {
public:
    explicit InnerProduct(std::size_t columns) : columns_(columns) {}
    std::size_t get_data_size() override { return columns_ * sizeof(float); }
    hnswlib::DISTFUNC<float> get_dist_func() override { return distance; }
    void* get_dist_func_param() override { return &columns_; }

private:
    static float distance(const void* a, const void* b, const void* columns) {
        const std::int32_t first = 0;
        float dot;
        kernels::table().linear_rows(static_cast<const float*>(a), static_cast<const float*>(b), nullptr, &first, &dot, *static_cast<const std::size_t*>(columns), 1);
        return -dot;
    }
    std::size_t columns_;
};

class HnswIndex : public GraphIndex {
public:
    HnswIndex(const ProductTable& table, const HnswOptions& options)
        : table_(table), columns_(padded(table.width + 1)), space_(columns_),
          graph_(&space_, std::max<std::size_t>(1, table.bias.size()), options.links, options.build_effort, options.seed) {
        graph_.setEf(options.search_effort);
        // The library's prefetch reads one link past the last of a row's upper lists: there is room for one more.
        graph_.size_links_per_element_ += sizeof(hnswlib::tableint);
        const std::size_t products = table.bias.size(), width = table.width;
        std::atomic<bool> failed = false;
        std::exception_ptr failure;
        parallel_for(products, 256, options.threads, [&](std::size_t begin, std::size_t end) {
            std::vector<float> row(columns_, 0.0f);
            try {
                for (std::size_t p = begin; p < end; ++p) {
                    std::ranges::copy(table.vectors.subspan(p * width, width), row.begin());
                    row[width] = table.bias[p];
                    graph_.addPoint(row.data(), p);
                }
            } catch (...) {
                if (!failed.exchange(true)) failure = std::current_exception();
            }
        });
        if (failure) std::rethrow_exception(failure);
    }

    std::string_view name() const override { return "hnsw"; }

    void top(std::span<TopQuery> queries) const override {
        std::vector<float> x(columns_, 0.0f);
        std::vector<std::int32_t> products;
        std::vector<float> scores;
        for (auto& query : queries) {
            std::ranges::copy(query.x, x.begin());
            x[table_.width] = 1;
            const std::size_t wanted = std::min(query.best.size() + query.excluded.size(), table_.bias.size());
            products.clear();
            if (wanted > 0)
                for (auto found = graph_.searchKnn(x.data(), wanted); !found.empty(); found.pop())
                    if (const auto p = static_cast<std::int32_t>(found.top().second); !std::ranges::binary_search(query.excluded, p)) products.push_back(p);
            scores.resize(products.size());
            kernels::linear_rows(query.x, table_.vectors, table_.bias, products, scores);
            std::vector<Ranked> ranked;
            for (std::size_t i = 0; i < products.size(); ++i) ranked.push_back({scores[i], products[i]});
            std::ranges::sort(ranked, kernels::ranks_before);
            query.count = std::min(ranked.size(), query.best.size());
            query.rescored = ranked.size();
            std::copy_n(ranked.begin(), query.count, query.best.begin());
        }
    }

    void set_search_effort(std::size_t effort) override { graph_.setEf(effort); }

    std::size_t bytes() const override {
        std::size_t upper = 0;
        for (std::size_t p = 0; p < graph_.cur_element_count; ++p) upper += static_cast<std::size_t>(graph_.element_levels_[p]) * graph_.size_links_per_element_;
        // rows with their links, upper levels, and a lock, a level and a label for each row
        return graph_.max_elements_ * (graph_.size_data_per_element_ + sizeof(std::mutex) + sizeof(int) + sizeof(void*) + 48) + upper;
    }

private:
    ProductTable table_;
    std::size_t columns_;
    InnerProduct space_;
    hnswlib::HierarchicalNSW<float> graph_;
};

}  // namespace

Result<std::unique_ptr<GraphIndex>> make_hnsw_index(const ProductTable& table, const HnswOptions& options) {
    const auto finite = [](std::span<const float> values) { return std::ranges::all_of(values, [](float v) { return std::isfinite(v); }); };
    if (!finite(table.vectors) || !finite(table.bias)) return Error{Code::kInvalid, "product index: want finite vectors and biases"};
    try {
        return std::unique_ptr<GraphIndex>(std::make_unique<HnswIndex>(table, options));
    } catch (const std::exception& failure) {
        return Error{Code::kFull, std::string("product index: ") + failure.what()};
    }
}

}  // namespace perennial::model
