#include "kernels/isa.h"

#include <cassert>
#include <cstdlib>
#include <string_view>

#include "base/log.h"
#include "kernels/variants.h"

namespace perennial::kernels {
namespace {

constexpr Table kScalarTable{scalar::linear, scalar::linear_rows, scalar::linear_backward, scalar::rms_norm, scalar::swiglu, scalar::gated_add,
                             scalar::softmax, scalar::attend_row, scalar::attend_row_backward, scalar::above,
                             scalar::int8_bounds, scalar::rms_norm_backward, scalar::swiglu_backward,
                             scalar::gated_add_backward, scalar::loss_strip, scalar::loss_table};
#if PERENNIAL_KERNELS_X86
constexpr Table kAvx2Table{avx2::linear, avx2::linear_rows, avx2::linear_backward, avx2::rms_norm, avx2::swiglu, avx2::gated_add, avx2::softmax,
                           avx2::attend_row, avx2::attend_row_backward, avx2::above, avx2::int8_bounds,
                           avx2::rms_norm_backward, avx2::swiglu_backward, avx2::gated_add_backward, avx2::loss_strip,
                           avx2::loss_table};
// Only what measured faster than eight lanes.
constexpr Table kAvx512Table = [] {
    Table table = kAvx2Table;
    table.linear_backward = avx512::linear_backward;
    table.attend_row = avx512::attend_row;
    table.attend_row_backward = avx512::attend_row_backward;
    table.rms_norm = avx512::rms_norm;
    table.rms_norm_backward = avx512::rms_norm_backward;
    table.swiglu = avx512::swiglu;
    table.swiglu_backward = avx512::swiglu_backward;
    table.gated_add = avx512::gated_add;
    table.gated_add_backward = avx512::gated_add_backward;
    table.softmax = avx512::softmax;
    table.loss_strip = avx512::loss_strip;
    table.loss_table = avx512::loss_table;
    return table;
}();
#endif

Isa choose() noexcept {
    Isa best = Isa::kScalar;
    for (const Isa isa : kEveryIsa)
        if (supported(isa)) best = isa;
    const char* forced = std::getenv("PERENNIAL_ISA");
    if (forced == nullptr || *forced == '\0') return best;
    for (const Isa isa : kEveryIsa)
        if (std::string_view(forced) == name(isa) && supported(isa)) return isa;
    log::warn("PERENNIAL_ISA: want scalar|avx2|avx512 and a CPU that has it, got '{}'; using {}", forced, name(best));
    return best;
}

}  // namespace

const char* name(Isa isa) noexcept { return isa == Isa::kAvx512 ? "avx512" : isa == Isa::kAvx2 ? "avx2" : "scalar"; }

bool supported(Isa isa) noexcept {
    if (isa == Isa::kScalar) return true;
#if PERENNIAL_KERNELS_X86
    const bool avx2 = __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
    return avx2 && (isa == Isa::kAvx2 || (__builtin_cpu_supports("avx512f") && __builtin_cpu_supports("avx512dq") &&
                                          __builtin_cpu_supports("avx512bw") && __builtin_cpu_supports("avx512vl")));
#else
    return false;
#endif
}

const Table& table(Isa isa) noexcept {
    assert(supported(isa));
#if PERENNIAL_KERNELS_X86
    if (isa == Isa::kAvx512) return kAvx512Table;
    if (isa == Isa::kAvx2) return kAvx2Table;
#endif
    return kScalarTable;
}

Isa chosen() noexcept {
    static const Isa isa = choose();
    return isa;
}

const Table& table() noexcept {
    static const Table& filled = table(chosen());
    return filled;
}

}  // namespace perennial::kernels
