// Which of the customer's events moved a score, and by how much: integrated gradients over the events' input vectors.
// Source: Sundararajan, Taly and Yan 2017 (arXiv:1703.01365). With x the inputs as they are and x0 a baseline,
//   effect of event i = <x_i - x0_i, integral over a in 0..1 of the gradient by x_i at x0 + a (x - x0)>,
// so that all effects sum to value(x) - value(x0), up to the error of the sum that stands for the integral.
//
// Shapes: T events, D width, P products. Threads: const members from any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <functional>
#include <limits>
#include <span>
#include <vector>

#include "model/network.h"

namespace perennial::model {

// What the baseline takes away from every event. Neither goes to zero vectors: the first norm would make noise of them.
enum class Absent {
    kProduct,  // the product vector alone: something of that kind happened then, but nobody knows with what
    kDetails,  // product, quantity and gap: an event of its kind at a time unknown (attention still sees the stamps)
};

// A number read off the customer vector h [D]. Returns it and writes its gradient by h.
using Readout = std::function<double(std::span<const float> h, std::span<float> d_h)>;

struct Attribution {
    std::vector<double> effects;     // [T]; positive: the event raises the value
    double value = 0, baseline = 0;  // of the readout with all events, and with all of them at the baseline
    double missing() const noexcept; // value - baseline - sum of effects: what the sum over the path left out
};

struct AttributionOptions {
    Absent absent = Absent::kProduct;
    std::size_t path_steps = 16;  // > 0; points of the path
    std::size_t latest = std::numeric_limits<std::size_t>::max();  // > 0; events before the latest so many stay as they are
    bool ends = true;             // false: value and baseline are left at 0 and two forward passes are saved
    bool integrate = true;        // false: gradient times input, one point alone; what integration is compared with
};

// Holds nothing of its own: the network must outlive it.
class Explainer {
public:
    explicit Explainer(const Network& network) noexcept : network_(network) {}

    // Logit of each product less the mean logit under `shares` [P] (sum 1): with the network's own shares its gradient is
    // that of the log-probability. For sessions with at least one event. O(P D).
    std::vector<Readout> contrasts(const Request& request, std::span<const std::int32_t> products, std::span<const float> shares) const;
    // -log P(no purchase until to_days | none until from_days), as Network::survival: greater is sooner.
    Readout hazard(double from_days, double to_days) const;

    // One attribution a readout. `steps` as they would extend an empty session: the first has an unknown gap. An event
    // further back than the network's reach has effect 0. No steps: effects empty, values of the start vector.
    // O(path steps x readouts x events on the path x (L - 1/2) (D^2 + F D + window D)).
    std::vector<Attribution> attribute(std::span<const Step> steps, std::span<const Readout> readouts, const AttributionOptions& options) const;

private:
    struct Pass;  // one sequence

    const Network& network_;
};

}  // namespace perennial::model
