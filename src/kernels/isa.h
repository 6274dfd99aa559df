// Which instruction set the kernels use, and the table of function pointers they are called through.
// The table is filled once from the CPU; PERENNIAL_ISA=scalar|avx2|avx512 forces a row, so that one test suite covers all.
// Threads: any. The public functions (linear.h, norm_gate.h, attention.h, top_n.h, int8.h, softmax_loss.h) check their spans, then
// call through here.
#pragma once

#include <cstddef>
#include <cstdint>

namespace perennial::kernels {

enum class Isa { kScalar, kAvx2, kAvx512 };  // in rising order
inline constexpr Isa kEveryIsa[] = {Isa::kScalar, Isa::kAvx2, Isa::kAvx512};

const char* name(Isa isa) noexcept;
bool supported(Isa isa) noexcept;  // built in, and this CPU has it

// One query over its keys. D = heads * head_width; n keys. See attention.h for the maths.
struct AttendRow {
    const float* query;   // [D]
    const float* keys;    // [n, D], `stride` floats from one position to the next
    const float* values;  // [n, D], the same stride
    const float* bias;    // [heads, n], added to the scaled scores
    float* weights;       // [heads, n], result: the attention weights
    std::size_t stride, count, heads, head_width;
};

// Sixteen rows of an Int8Table (int8.h): four of their columns, and what bounds their scores.
struct alignas(64) Int8Quad { std::uint8_t weight[16][4]; };
struct alignas(64) Int8Rows { float scale[16], bias[16], norm[16], error[16]; };
// A query over such rows, and room for the rows that pass. With dot the integer sum less 128 times the sum of x,
//   |score - (scale * row scale * dot + row bias)| <= by_norm * row norm + by_error * row error + more.
struct Int8Query {
    const std::int8_t* x;                   // [4 quads], -64..64: a pair of products with bytes stays below 2^15
    std::int32_t start;                     // -128 * sum of x
    float scale, by_norm, by_error, more;
    float threshold;                        // a row passes when its upper bound reaches this
    std::int32_t* rows;                     // [16 blocks] of what passes: its place from the first block on,
    float* upper;                           // [16 blocks] the most and
    float* lower;                           // [16 blocks] the least that it can score
    std::size_t hits;                       // result
};

// softmax_loss.h works on strips of this many rows: their d_h and transposed h stay in the first-level cache, and a whole
// number of vectors of every instruction set.
inline constexpr std::size_t kLossRows = 32;
inline constexpr std::size_t kLossWidthUnit = 16;  // every width here is a multiple of this
// Classes whose logits are made, raised and used before the next: 18 KiB of them for one strip. Whole groups of each variant.
inline constexpr std::size_t kLossChunk = 144;

// One strip of softmax_loss.h against all classes. Writes `loss` [rows] and, unless d_h is null, d_h and what LossTable needs.
struct LossStrip {
    const float* h;               // [rows, width]
    const float* table;           // [classes, width]
    const float* bias;            // [classes]
    const std::int32_t* targets;  // [rows]
    std::size_t rows, width, classes;  // rows <= kLossRows
    double scale;
    float* h_columns;  // [width, kLossRows], scratch: h transposed
    float* p;          // [classes, kLossRows]; scratch without gradients; columns from `rows` on are idle
    float* weights;    // [kLossRows]: weights[r] p[c, r] is the gradient by logit (r, c); 0 from `rows` on
    float* weighted_h; // [kLossRows, width]: weights[r] h[r]; 0 from `rows` on
    float* d_h;        // [rows, width]
    double* loss;      // [rows]
};

// The gradient of classes first .. first + count - 1 from `strips` strips one after another; `add` to what is there or overwrite.
struct LossTable {
    const float* p;           // [strips, classes, kLossRows]
    const float* weights;     // [strips, kLossRows]
    const float* weighted_h;  // [strips, kLossRows, width]
    std::size_t strips, classes, width, first, count;
    bool add;
    float* d_table;  // [classes, width]
    float* d_bias;   // [classes]
};

struct Table {
    void (*linear)(const float* x, const float* weight, const float* bias, float* y, std::size_t rows, std::size_t in,
                   std::size_t out) noexcept;
    void (*linear_rows)(const float* x, const float* weight, const float* bias, const std::int32_t* chosen, float* y,
                        std::size_t in, std::size_t count) noexcept;
    void (*linear_backward)(const float* d_y, const float* weight, float* d_x, std::size_t rows, std::size_t in, std::size_t out,
                            bool add) noexcept;
    void (*rms_norm)(const float* x, const float* gain, float* out, std::size_t rows, std::size_t width, float eps) noexcept;
    void (*swiglu)(const float* gate_and_value, float* out, std::size_t rows, std::size_t width) noexcept;
    void (*gated_add)(float* x, const float* gate, const float* y, std::size_t count) noexcept;
    void (*softmax)(const float* x, float* out, std::size_t rows, std::size_t width) noexcept;
    void (*attend_row)(const AttendRow& row, float* out) noexcept;
    // `row.weights` holds the weights of the forward pass. Adds to d_query, d_keys and d_values; sets d_bias [heads, n].
    void (*attend_row_backward)(const AttendRow& row, const float* d_out, float* d_query, float* d_keys, float* d_values,
                                float* d_bias) noexcept;
    // Writes the places of scores above `threshold`, ascending, to hits [count]; returns how many. NaN is never above.
    std::size_t (*above)(const float* scores, std::size_t count, float threshold, std::int32_t* hits) noexcept;
    // weights [blocks, quads], rows [blocks].
    void (*int8_bounds)(const Int8Quad* weights, const Int8Rows* rows, std::size_t blocks, std::size_t quads, Int8Query* queries,
                        std::size_t count) noexcept;
    void (*rms_norm_backward)(const float* x, const float* gain, const float* d_out, float* d_x, float* d_gain, std::size_t rows,
                              std::size_t width, float eps) noexcept;
    void (*swiglu_backward)(const float* gate_and_value, const float* d_out, float* d_gate_and_value, std::size_t rows,
                            std::size_t width) noexcept;
    void (*gated_add_backward)(const float* gate, const float* y, const float* d_out, float* d_gate, float* d_y,
                               std::size_t count) noexcept;
    void (*loss_strip)(const LossStrip& strip) noexcept;
    void (*loss_table)(const LossTable& part) noexcept;
};

Isa chosen() noexcept;                 // the one in use
const Table& table() noexcept;         // its table
const Table& table(Isa isa) noexcept;  // a given one, for tests and benchmarks; `isa` must be supported

}  // namespace perennial::kernels
