// Validation: how well the network ranks all products for the units of batches.h.
// Threads: const; starts `threads` - 1 helpers. The result does not depend on their number.
#pragma once

#include <span>

#include "train/batches.h"
#include "train/torch_network.h"

namespace perennial::train {

struct Quality {
    double loss = 0;      // mean over units of the mean -log p of the relevant products
    double ndcg10 = 0;    // binary gain; the ideal ranks all relevant products first
    double recall10 = 0;  // share of the relevant products among the first ten
};

// Mean over `units`, zeros when there are none. Equal scores rank the lower product number first.
Quality evaluate(const TorchNetwork& network, const model::TrainingData& data, std::span<const Unit> units, unsigned threads);

}  // namespace perennial::train
