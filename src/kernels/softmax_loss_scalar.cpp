// The reference of softmax_loss.h. A strip's logits are all made before any is raised, so the best of a row is known; the
// vector variants meet the classes chunk by chunk and move the shift when they must.
#include <cmath>

#include "kernels/variants.h"

namespace perennial::kernels::scalar {

void loss_strip(const LossStrip& s) noexcept {
    const std::size_t width = s.width;
    for (std::size_t r = 0; r < kLossRows; ++r) {
        float *p = s.p + r, *weighted_h = s.weighted_h + r * width;
        const bool idle = r >= s.rows;
        const float* h = s.h + r * width;
        if (!idle) {
            const auto target = static_cast<std::size_t>(s.targets[r]);
            float top = -INFINITY;
            for (std::size_t c = 0; c < s.classes; ++c) {
                float logit = 0;
                for (std::size_t i = 0; i < width; ++i) logit += h[i] * s.table[c * width + i];
                p[c * kLossRows] = logit + s.bias[c];
                top = std::fmax(top, p[c * kLossRows]);
            }
            double sum = 0;
            for (std::size_t c = 0; c < s.classes; ++c) sum += std::exp(p[c * kLossRows] - top);
            // -log p[target] = log(sum of e^(l - top)) + top - l[target]: nothing in it can underflow.
            const double log_sum = std::log(sum) + double{top};
            s.loss[r] = log_sum - double{p[target * kLossRows]};
            for (std::size_t c = 0; c < s.classes; ++c)
                p[c * kLossRows] = static_cast<float>(std::exp(double{p[c * kLossRows]} - log_sum) - (c == target ? 1 : 0));
        }
        if (s.d_h == nullptr) continue;
        s.weights[r] = idle ? 0.0f : static_cast<float>(s.scale);
        for (std::size_t i = 0; i < width; ++i) {
            weighted_h[i] = idle ? 0.0f : s.weights[r] * h[i];
            if (idle) continue;
            float sum = 0;
            for (std::size_t c = 0; c < s.classes; ++c) sum += p[c * kLossRows] * s.table[c * width + i];
            s.d_h[r * width + i] = s.weights[r] * sum;
        }
        for (std::size_t c = 0; idle && c < s.classes; ++c) p[c * kLossRows] = 0;  // never read as a stale NaN
    }
}

void loss_table(const LossTable& part) noexcept {
    const std::size_t width = part.width;
    for (std::size_t c = part.first; c < part.first + part.count; ++c) {
        if (!part.add) {
            part.d_bias[c] = 0;
            for (std::size_t i = 0; i < width; ++i) part.d_table[c * width + i] = 0;
        }
        for (std::size_t r = 0; r < part.strips * kLossRows; ++r) {
            const float p = part.p[(r / kLossRows * part.classes + c) * kLossRows + r % kLossRows];
            part.d_bias[c] += p * part.weights[r];
            for (std::size_t i = 0; i < width; ++i) part.d_table[c * width + i] += p * part.weighted_h[r * width + i];
        }
    }
}

}  // namespace perennial::kernels::scalar
