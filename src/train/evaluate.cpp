#include "train/evaluate.h"

#include <ATen/ATen.h>
#include <ATen/Parallel.h>

#include <algorithm>
#include <cmath>
#include <limits>

#include "base/parallel.h"
#include "kernels/norm_gate.h"

namespace perennial::train {
namespace {

// Rows of logits that a group holds at once: 64 over 12 000 products are 3 MiB; of a large catalogue fewer, 64 MiB a thread.
// Each group reads the whole table: 16 rows over a million products keep that below the cost of the products themselves.
constexpr std::size_t kUnitsPerGroupMax = 64, kGroupFloats = 16u << 20;

// Units of one sequence are neighbours and share its forward pass.
Quality evaluate_group(const TorchNetwork& network, const model::TrainingData& data, std::span<const Unit> units) {
    const auto& config = network.config();
    const auto reach = config.blocks * (config.history_limit - 1) + 1;  // positions that can act on a state
    Batch batch;
    std::vector<std::int64_t> rows, gaps;
    for (std::size_t u = 0; u < units.size();) {
        auto next = u;
        while (next < units.size() && units[next].sequence == units[u].sequence) ++next;
        const auto sequence_begin = data.offsets[units[u].sequence];
        const Window window{units[u].sequence, std::max(sequence_begin, units[u].begin - reach), units[next - 1].begin};
        const auto first_row = batch.positions();
        if (window.begin < window.end) append_history(data, window, batch);
        for (; u < next; ++u) {
            rows.push_back(units[u].begin == sequence_begin ? -1 : first_row + units[u].begin - 1 - window.begin);
            gaps.push_back(static_cast<std::int64_t>(units[u].gap));
        }
    }
    Rng unused(0);
    const auto query = network.requested(network.hidden(batch, 0, unused), rows, gaps);
    const auto logits = at::addmm(network.product_bias(), query, network.product_table().t());
    const auto products = static_cast<std::size_t>(logits.size(1));

    std::vector<float> shares(products);
    Quality sum;
    for (std::size_t u = 0; u < units.size(); ++u) {
        float* row = logits.data_ptr<float>() + u * products;
        kernels::softmax({row, products}, shares, products);
        const auto likeliest = std::max_element(row, row + products) - row;
        const double log_mass = double{row[likeliest]} - std::log(double{shares[static_cast<std::size_t>(likeliest)]});
        for (const auto seen : units[u].seen) row[seen] = -std::numeric_limits<float>::infinity();
        double gain = 0, ideal = 0, hits = 0, loss = 0;
        const auto relevant = units[u].relevant.size();
        for (std::size_t k = 0; k < std::min<std::size_t>(relevant, 10); ++k) ideal += 1 / std::log2(static_cast<double>(k) + 2);
        for (const auto product : units[u].relevant) {
            const auto wanted = static_cast<std::size_t>(product);
            const float score = row[wanted];
            loss += log_mass - score;
            std::size_t rank = 0;
            for (std::size_t p = 0; p < products; ++p) rank += row[p] > score || (row[p] == score && p < wanted);
            if (rank >= 10) continue;
            gain += 1 / std::log2(static_cast<double>(rank) + 2);
            hits += 1;
        }
        sum.loss += loss / static_cast<double>(relevant);
        sum.ndcg10 += gain / ideal;
        sum.recall10 += hits / static_cast<double>(relevant);
    }
    return sum;
}

}  // namespace

Quality evaluate(const TorchNetwork& network, const model::TrainingData& data, std::span<const Unit> units, unsigned threads) {
    const auto per_group = std::clamp<std::size_t>(kGroupFloats / std::max<std::size_t>(static_cast<std::size_t>(data.products), 1), 1, kUnitsPerGroupMax);
    std::vector<Quality> groups((units.size() + per_group - 1) / per_group);
    parallel_for(units.size(), per_group, threads, [&](std::size_t begin, std::size_t end) {
        at::set_num_threads(1);  // of this thread: the groups are the parallelism
        const at::NoGradGuard no_gradients;
        groups[begin / per_group] = evaluate_group(network, data, units.subspan(begin, end - begin));
    });
    Quality mean;
    const auto count = static_cast<double>(std::max<std::size_t>(units.size(), 1));
    for (const auto& group : groups) {
        mean.loss += group.loss / count;
        mean.ndcg10 += group.ndcg10 / count;
        mean.recall10 += group.recall10 / count;
    }
    return mean;
}

}  // namespace perennial::train
