// softmax_loss.h eight lanes at a time.
#include "kernels/avx2_math.h"
#include "kernels/softmax_loss_tiles.h"

namespace perennial::kernels::avx2 {
namespace {

struct Vector {
    using Type = __m256;
    static constexpr std::size_t kLanes = 8;
    // 6 rows x 2 vectors = 12 accumulators, leaving 4 of the 16 registers for two loads and a broadcast.
    static constexpr std::size_t kGroup = 6;
    static Type zero() noexcept { return _mm256_setzero_ps(); }
    static Type load(const float* from) noexcept { return _mm256_loadu_ps(from); }
    static void store(float* to, Type v) noexcept { _mm256_storeu_ps(to, v); }
    static Type set1(float v) noexcept { return _mm256_set1_ps(v); }
    static Type add(Type a, Type b) noexcept { return _mm256_add_ps(a, b); }
    static Type sub(Type a, Type b) noexcept { return _mm256_sub_ps(a, b); }
    static Type fma(Type a, Type b, Type c) noexcept { return _mm256_fmadd_ps(a, b, c); }
    static Type max(Type a, Type b) noexcept { return _mm256_max_ps(a, b); }
    static Type exp(Type v) noexcept { return exp8(v); }
    static float sum(Type v) noexcept { return sum8(v); }
};

}  // namespace

void loss_strip(const LossStrip& strip) noexcept { loss_strip_of<Vector>(strip); }
void loss_table(const LossTable& part) noexcept { loss_table_of<Vector>(part); }

}  // namespace perennial::kernels::avx2
