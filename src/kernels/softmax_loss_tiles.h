// The body of softmax_loss.h's two tasks over a vector type V, for softmax_loss_avx2.cpp and _avx512.cpp and only for them.
// No std:: template here: see variants.h.
//
// One micro-kernel serves all three products, because each is a sum of (a scalar of A) x (a vector of B):
//   logits  [class, row]    = E[class, k] x hT[k, row]               k over the width
//   d_h     [row, width]   += p[k, row] x E[k, width]                k over the classes of a chunk
//   d_table [class, width] += p[class, k] x weighted_h[k, width]     k over the rows of a tile
// p lies as [class, row]: rows are vector lanes, so a softmax's maxima and sums need no shuffles, and nothing but the small h
// has to be packed for any of the three.
#pragma once

#include "kernels/variants.h"

namespace perennial::kernels {

// A row's shift moves when a logit rises above it by more than this: rarely after the first chunk, and e^40 times the
// number of classes is far below float's limit.
static constexpr float kShiftSlack = 40.0f;

// C[m, n] = start(m, n) + sum over j < outer, k < inner of a(m, j, k) * b[j inner + k, n] for M rows and N vectors of C,
// which stay in registers. b has `b_step` floats from one k to the next, c `c_step` from one m to the next.
template <class V, std::size_t M, std::size_t N, class Start, class A>
static inline void product_tile(const Start& start, const A& a, std::size_t outer, std::size_t inner, const float* b,
                                std::size_t b_step, float* c, std::size_t c_step) noexcept {
    typename V::Type sum[M][N];
#pragma GCC unroll 16
    for (std::size_t m = 0; m < M; ++m)
#pragma GCC unroll 4
        for (std::size_t n = 0; n < N; ++n) sum[m][n] = start(m, n);
    for (std::size_t j = 0; j < outer; ++j)
        for (std::size_t k = 0; k < inner; ++k, b += b_step) {
            typename V::Type right[N];
#pragma GCC unroll 4
            for (std::size_t n = 0; n < N; ++n) right[n] = V::load(b + n * V::kLanes);
#pragma GCC unroll 16
            for (std::size_t m = 0; m < M; ++m) {
                const typename V::Type left = V::set1(a(m, j, k));
#pragma GCC unroll 4
                for (std::size_t n = 0; n < N; ++n) sum[m][n] = V::fma(left, right[n], sum[m][n]);
            }
        }
#pragma GCC unroll 16
    for (std::size_t m = 0; m < M; ++m)
#pragma GCC unroll 4
        for (std::size_t n = 0; n < N; ++n) V::store(c + m * c_step + n * V::kLanes, sum[m][n]);
}

// Calls body.run<M>(first) for the groups of `count` rows of C, as even as they come: 32 rows in groups of up to 12 are
// 11 + 11 + 10, because a last group of 8 would leave the multipliers waiting for one another.
template <class V, std::size_t M = V::kGroup, class Body>
static inline void one_group(std::size_t size, std::size_t first, const Body& body) noexcept {
    if (size == M) body.template run<M>(first);
    else if constexpr (M > 1) one_group<V, M - 1>(size, first, body);
}
template <class V, class Body>
static inline void for_each_group(std::size_t count, const Body& body) noexcept {
    std::size_t groups = (count + V::kGroup - 1) / V::kGroup;
    for (std::size_t first = 0; groups > 0; --groups) {
        const std::size_t size = (count - first + groups - 1) / groups;
        one_group<V>(size, first, body);
        first += size;
    }
}

// Logits of `count` classes for all rows of the strip.
template <class V, std::size_t N>
struct Logits {
    const float *table, *bias, *h_columns;
    float* to;
    std::size_t width;
    template <std::size_t M>
    void run(std::size_t first) const noexcept {
        const float *rows = table + first * width, *add = bias + first;
        const auto row = [=, w = width](std::size_t m, std::size_t, std::size_t k) {
            // The next group's rows, spread over k: M short streams at once are more than the hardware's own prefetch follows.
            if (m == 0) __builtin_prefetch(rows + M * w + k * M);
            return rows[m * w + k];
        };
        for (std::size_t lane = 0; lane < kLossRows; lane += N * V::kLanes)
            product_tile<V, M, N>([=](std::size_t m, std::size_t) { return V::set1(add[m]); }, row, 1, width, h_columns + lane,
                                  kLossRows, to + first * kLossRows + lane, kLossRows);
    }
};

// Columns column .. column + N vectors of d_h += p^T E over `count` classes.
template <class V, std::size_t N>
struct RowGradient {
    const float *p, *table;
    float* d_h;
    std::size_t count, width, column;
    template <std::size_t M>
    void run(std::size_t first) const noexcept {
        float* to = d_h + first * width + column;
        const float* from = p + first;
        product_tile<V, M, N>([=, w = width](std::size_t m, std::size_t n) { return V::load(to + m * w + n * V::kLanes); },
                              [=](std::size_t m, std::size_t, std::size_t k) { return from[k * kLossRows + m]; }, 1, count,
                              table + column, width, to, width);
    }
};

// Columns column .. column + N vectors of the classes' gradient from all strips of a tile.
template <class V, std::size_t N>
struct ClassGradient {
    const LossTable part;
    std::size_t column;
    template <std::size_t M>
    void run(std::size_t first) const noexcept {
        const std::size_t width = part.width, c = part.first + first, strip = part.classes * kLossRows;
        float* to = part.d_table + c * width + column;
        const float* from = part.p + c * kLossRows;
        product_tile<V, M, N>(
            [=, add = part.add](std::size_t m, std::size_t n) { return add ? V::load(to + m * width + n * V::kLanes) : V::zero(); },
            [=](std::size_t m, std::size_t j, std::size_t k) {
                // The same rows of the next strip, likewise.
                if (m == 0) __builtin_prefetch(from + (j + 1) * strip + k * M);
                return from[j * strip + m * kLossRows + k];
            },
            part.strips, kLossRows,
            part.weighted_h + column, width, to, width);
    }
};

// Calls body(column, vectors of 2 or 1) along the width.
template <class V, template <class, std::size_t> class Product, class... Fields>
static inline void for_each_column(std::size_t count, std::size_t width, Fields... fields) noexcept {
    std::size_t column = 0;
    for (; column + 2 * V::kLanes <= width; column += 2 * V::kLanes) for_each_group<V>(count, Product<V, 2>{fields..., column});
    for (; column < width; column += V::kLanes) for_each_group<V>(count, Product<V, 1>{fields..., column});
}

// What a strip carries from chunk to chunk. Lanes are rows.
template <class V>
struct Raised {
    float shift[kLossRows], target_logit[kLossRows];
    double sum[kLossRows];

    // After a look at the chunk's logits: moves the shift of the rows that need it, and what earlier chunks left with it.
    void make_room(const LossStrip& s, const float* logits, std::size_t count, std::size_t done) noexcept {
        float top[kLossRows];
        bool moves = false;
        for (std::size_t lane = 0; lane < kLossRows; lane += V::kLanes) {
            auto best = V::load(logits + lane);
            for (std::size_t c = 1; c < count; ++c) best = V::max(best, V::load(logits + c * kLossRows + lane));
            V::store(top + lane, best);
        }
        for (std::size_t r = 0; r < kLossRows; ++r) moves |= top[r] > shift[r] + kShiftSlack;
        if (!moves) return;
        float factor[kLossRows];
        for (std::size_t r = 0; r < kLossRows; ++r) {
            const bool move = top[r] > shift[r] + kShiftSlack;
            factor[r] = move ? __builtin_expf(shift[r] - top[r]) : 1.0f;
            if (move) shift[r] = top[r];
            sum[r] *= double{factor[r]};
        }
        if (done == 0 || s.d_h == nullptr) return;
        for (std::size_t c = 0; c < done; ++c)
            for (std::size_t r = 0; r < kLossRows; ++r) s.p[c * kLossRows + r] *= factor[r];
        for (std::size_t r = 0; r < s.rows; ++r)
            for (std::size_t i = 0; i < s.width; ++i) s.d_h[r * s.width + i] *= factor[r];
    }

    void raise(float* logits, std::size_t count) noexcept {
        for (std::size_t lane = 0; lane < kLossRows; lane += V::kLanes) {
            const auto down = V::load(shift + lane);
            auto total = V::zero();
            for (std::size_t c = 0; c < count; ++c) {
                const auto e = V::exp(V::sub(V::load(logits + c * kLossRows + lane), down));
                V::store(logits + c * kLossRows + lane, e);
                total = V::add(total, e);
            }
            float totals[kLossRows];
            V::store(totals, total);
            for (std::size_t k = 0; k < V::kLanes; ++k) sum[lane + k] += double{totals[k]};
        }
    }
};

template <class V>
static inline void loss_strip_of(const LossStrip& s) noexcept {
    for (std::size_t i = 0; i < s.width; ++i)
        for (std::size_t r = 0; r < kLossRows; ++r) s.h_columns[i * kLossRows + r] = r < s.rows ? s.h[r * s.width + i] : 0.0f;
    Raised<V> raised;
    for (std::size_t r = 0; r < kLossRows; ++r) {
        raised.shift[r] = -1e30f;  // below any logit in use: the first chunk that has one moves it
        raised.target_logit[r] = 0;
        raised.sum[r] = 0;
    }
    const bool gradient = s.d_h != nullptr;
    for (std::size_t i = 0; gradient && i < s.rows * s.width; ++i) s.d_h[i] = 0;
    for (std::size_t begin = 0; begin < s.classes; begin += kLossChunk) {
        const std::size_t count = s.classes - begin < kLossChunk ? s.classes - begin : kLossChunk;
        float* p = s.p + (gradient ? begin * kLossRows : 0);
        const float* rows = s.table + begin * s.width;
        for_each_group<V>(count, Logits<V, 2>{rows, s.bias + begin, s.h_columns, p, s.width});
        for (std::size_t r = 0; r < s.rows; ++r) {
            const std::size_t at = static_cast<std::size_t>(s.targets[r]) - begin;  // huge when before `begin`
            if (at < count) raised.target_logit[r] = p[at * kLossRows + r];
        }
        raised.make_room(s, p, count, begin);
        raised.raise(p, count);
        if (gradient) for_each_column<V, RowGradient>(s.rows, s.width, p, rows, s.d_h, count, s.width);
    }
    // loss = log(sum of e^(l - shift)) + shift - l[target]: nothing in it can underflow.
    for (std::size_t r = 0; r < s.rows; ++r)
        s.loss[r] = __builtin_log(raised.sum[r]) + (double{raised.shift[r]} - double{raised.target_logit[r]});
    if (!gradient) return;
    for (std::size_t r = 0; r < kLossRows; ++r) {
        const bool idle = r >= s.rows;
        const float weight = s.weights[r] = idle ? 0.0f : static_cast<float>(s.scale / raised.sum[r]);
        const float* h = s.h + r * s.width;
        for (std::size_t i = 0; i < s.width; ++i) s.weighted_h[r * s.width + i] = idle ? 0.0f : weight * h[i];
        if (idle) continue;
        const auto target = static_cast<std::size_t>(s.targets[r]);
        const auto scale = static_cast<float>(s.scale);
        for (std::size_t i = 0; i < s.width; ++i)
            s.d_h[r * s.width + i] = weight * s.d_h[r * s.width + i] - scale * s.table[target * s.width + i];
        float& p = s.p[target * kLossRows + r];  // p weight becomes (p weight) - scale
        p = static_cast<float>(double{p} - raised.sum[r]);
    }
}

template <class V>
static inline void loss_table_of(const LossTable& part) noexcept {
    for_each_column<V, ClassGradient>(part.count, part.width, part);
    for (std::size_t c = part.first; c < part.first + part.count; ++c) {
        auto sum = V::zero();
        for (std::size_t j = 0; j < part.strips; ++j)
            for (std::size_t lane = 0; lane < kLossRows; lane += V::kLanes)
                sum = V::fma(V::load(part.p + (j * part.classes + c) * kLossRows + lane), V::load(part.weights + j * kLossRows + lane), sum);
        part.d_bias[c] = V::sum(sum) + (part.add ? part.d_bias[c] : 0.0f);
    }
}

}  // namespace perennial::kernels
