// softmax_loss.h sixteen lanes at a time.
#include "kernels/avx512_math.h"
#include "kernels/softmax_loss_tiles.h"

namespace perennial::kernels::avx512 {

void loss_strip(const LossStrip& strip) noexcept { loss_strip_of<Vector>(strip); }
void loss_table(const LossTable& part) noexcept { loss_table_of<Vector>(part); }

}  // namespace perennial::kernels::avx512
