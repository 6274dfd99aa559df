// softmax_loss.h sixteen lanes at a time.
#include "kernels/avx512_math.h"
#include "kernels/softmax_loss_tiles.h"

namespace perennial::kernels::avx512 {
namespace {

struct Vector {
    using Type = __m512;
    static constexpr std::size_t kLanes = 16;
    // 12 rows x 2 vectors = 24 accumulators of the 32 registers.
    static constexpr std::size_t kGroup = 12;
    static Type zero() noexcept { return _mm512_setzero_ps(); }
    static Type load(const float* from) noexcept { return _mm512_loadu_ps(from); }
    static void store(float* to, Type v) noexcept { _mm512_storeu_ps(to, v); }
    static Type set1(float v) noexcept { return _mm512_set1_ps(v); }
    static Type add(Type a, Type b) noexcept { return _mm512_add_ps(a, b); }
    static Type sub(Type a, Type b) noexcept { return _mm512_sub_ps(a, b); }
    static Type fma(Type a, Type b, Type c) noexcept { return _mm512_fmadd_ps(a, b, c); }
    static Type max(Type a, Type b) noexcept { return _mm512_max_ps(a, b); }
    static Type exp(Type v) noexcept { return exp16(v); }
    static float sum(Type v) noexcept { return _mm512_reduce_add_ps(v); }
};

}  // namespace

void loss_strip(const LossStrip& strip) noexcept { loss_strip_of<Vector>(strip); }
void loss_table(const LossTable& part) noexcept { loss_table_of<Vector>(part); }

}  // namespace perennial::kernels::avx512
