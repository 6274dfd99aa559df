// Deterministic random numbers: the same seed gives the same numbers on every machine and compiler,
// which std::*_distribution does not promise.
// Source: SplitMix64 (Steele, Lea, Flood 2014) to seed, xoshiro256++ (Blackman and Vigna 2019) to draw.
// Threads: one Rng per thread; fork() gives an independent stream per shard, so results do not depend on scheduling.
#pragma once

#include <array>
#include <bit>
#include <cmath>
#include <cstdint>
#include <numbers>
#include <utility>

namespace perennial {

inline std::uint64_t splitmix64(std::uint64_t& state) noexcept {
    std::uint64_t z = (state += 0x9e3779b97f4a7c15ULL);
    z = (z ^ (z >> 30)) * 0xbf58476d1ce4e5b9ULL;
    z = (z ^ (z >> 27)) * 0x94d049bb133111ebULL;
    return z ^ (z >> 31);
}

class Rng {
public:
    explicit Rng(std::uint64_t seed) noexcept : seed_(seed) {
        for (auto& word : state_) word = splitmix64(seed);
    }

    // An independent stream, fixed by this generator's seed and `stream` alone.
    Rng fork(std::uint64_t stream) const noexcept {
        std::uint64_t mixed = seed_ ^ (stream * 0xd1342543de82ef95ULL + 0x632be59bd9b4e019ULL);
        return Rng(splitmix64(mixed));
    }

    std::uint64_t next() noexcept {
        const std::uint64_t result = std::rotl(state_[0] + state_[3], 23) + state_[0];
        const std::uint64_t shifted = state_[1] << 17;
        state_[2] ^= state_[0];
        state_[3] ^= state_[1];
        state_[1] ^= state_[2];
        state_[0] ^= state_[3];
        state_[2] ^= shifted;
        state_[3] = std::rotl(state_[3], 45);
        return result;
    }

    double uniform() noexcept { return static_cast<double>(next() >> 11) * 0x1.0p-53; }  // [0, 1)
    double uniform(double low, double high) noexcept { return low + (high - low) * uniform(); }

    // [0, bound), bound > 0. Multiply-shift; the bias is below bound / 2^64.
    std::uint64_t below(std::uint64_t bound) noexcept {
        __extension__ using Wide = unsigned __int128;
        return static_cast<std::uint64_t>((static_cast<Wide>(next()) * bound) >> 64);
    }

    bool chance(double probability) noexcept { return uniform() < probability; }

    double normal() noexcept {  // Box-Muller; one of the pair is thrown away to keep the state a plain counter
        const double radius = std::sqrt(-2.0 * std::log1p(-uniform()));
        return radius * std::cos(2.0 * std::numbers::pi * uniform());
    }

    double exponential(double mean) noexcept { return -mean * std::log1p(-uniform()); }

    // Marsaglia and Tsang 2000; shape > 0.
    double gamma(double shape, double scale) noexcept {
        if (shape < 1) return gamma(shape + 1, scale) * std::pow(1.0 - uniform(), 1.0 / shape);
        const double d = shape - 1.0 / 3.0, c = 1.0 / std::sqrt(9.0 * d);
        for (;;) {
            const double x = normal();
            const double v = (1 + c * x) * (1 + c * x) * (1 + c * x);
            if (v <= 0) continue;
            if (std::log(1.0 - uniform()) < 0.5 * x * x + d - d * v + d * std::log(v)) return d * v * scale;
        }
    }

    unsigned poisson(double mean) noexcept {  // Knuth's product; meant for small means
        const double limit = std::exp(-mean);
        unsigned count = 0;
        for (double product = uniform(); product > limit; product *= uniform()) ++count;
        return count;
    }

    template <class Range>
    void shuffle(Range& range) noexcept {
        for (std::size_t i = range.size(); i > 1; --i) {
            const auto j = static_cast<std::size_t>(below(i));
            if (j != i - 1) std::swap(range[i - 1], range[j]);
        }
    }

private:
    std::uint64_t seed_;
    std::array<std::uint64_t, 4> state_{};
};

}  // namespace perennial
