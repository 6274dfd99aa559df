#include "kernels/isa.h"

#include <cassert>
#include <cstdlib>
#include <string_view>

#include "base/log.h"
#include "kernels/variants.h"

namespace perennial::kernels {
namespace {

constexpr Table kScalarTable{scalar::linear,    scalar::linear_rows, scalar::rms_norm,   scalar::swiglu,
                             scalar::gated_add, scalar::softmax,     scalar::attend_row, scalar::attend_row_backward,
                             scalar::above,     scalar::int8_bounds};
#if PERENNIAL_KERNELS_AVX2
constexpr Table kAvx2Table{avx2::linear,    avx2::linear_rows, avx2::rms_norm,   avx2::swiglu,
                           avx2::gated_add, avx2::softmax,     avx2::attend_row, avx2::attend_row_backward,
                           avx2::above,     avx2::int8_bounds};
#endif

Isa choose() noexcept {
    const Isa best = supported(Isa::kAvx2) ? Isa::kAvx2 : Isa::kScalar;
    const char* forced = std::getenv("PERENNIAL_ISA");
    if (forced == nullptr || *forced == '\0') return best;
    for (const Isa isa : {Isa::kScalar, Isa::kAvx2})
        if (std::string_view(forced) == name(isa) && supported(isa)) return isa;
    log::warn("PERENNIAL_ISA: want scalar|avx2 and a CPU that has it, got '{}'; using {}", forced, name(best));
    return best;
}

}  // namespace

const char* name(Isa isa) noexcept { return isa == Isa::kAvx2 ? "avx2" : "scalar"; }

bool supported(Isa isa) noexcept {
    if (isa == Isa::kScalar) return true;
#if PERENNIAL_KERNELS_AVX2
    return __builtin_cpu_supports("avx2") && __builtin_cpu_supports("fma");
#else
    return false;
#endif
}

const Table& table(Isa isa) noexcept {
    assert(supported(isa));
#if PERENNIAL_KERNELS_AVX2
    if (isa == Isa::kAvx2) return kAvx2Table;
#endif
    return kScalarTable;
}

const Table& table() noexcept {
    static const Table& chosen = table(choose());
    return chosen;
}

}  // namespace perennial::kernels
