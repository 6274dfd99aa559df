#include "kernels/int8.h"
#include "model/product_index.h"

namespace perennial::model {
namespace {

class ExactIndex : public ProductIndex {
public:
    explicit ExactIndex(const ProductTable& table) : table_(table), int8_(kernels::Int8Table::make(table.vectors, table.bias, table.width)) {}
    std::string_view name() const override { return int8_ ? "exact int8" : "exact float32"; }
    void top(std::span<TopQuery> queries) const override {
        if (int8_) kernels::top_n_rows(*int8_, table_.vectors, table_.bias, queries);
        else kernels::top_n_rows(table_.vectors, table_.bias, queries);
    }
    std::size_t bytes() const override { return int8_ ? int8_->bytes() : 0; }

private:
    ProductTable table_;
    std::optional<kernels::Int8Table> int8_;  // nothing: a number is not finite
};

}  // namespace

std::unique_ptr<ProductIndex> make_exact_index(const ProductTable& table) { return std::make_unique<ExactIndex>(table); }

}  // namespace perennial::model
