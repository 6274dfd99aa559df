// What a search may choose: named parameters with their ranges and defaults.
// Units: a value is in the parameter's own unit; a category's value is the number of its choice. "Unit" coordinates are
// what the sampler works in: [0, 1] for numbers (after the logarithm of a kLog), the number of the choice for a category.
// Threads: plain values and pure functions.
#pragma once

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "base/result.h"
#include "base/rng.h"

namespace perennial::tune {

inline constexpr std::size_t kParametersLimit = 64;
inline constexpr std::size_t kChoicesLimit = 64;

struct Parameter {
    enum class Kind : std::uint8_t { kLinear, kLog, kInteger, kCategory };
    std::string name;
    Kind kind = Kind::kLinear;
    double low = 0, high = 1;             // both may be chosen; a category has none
    double initial = 0;                   // the default, tried first
    std::vector<std::string> choices{};   // of a category
};
using Space = std::vector<Parameter>;
using Values = std::vector<double>;  // one a parameter

// kInvalid naming the parameter: no name or one given twice, an empty or unordered range, a logarithm of zero, a default
// that is out of range, more than kParametersLimit or kChoicesLimit.
Status check(const Space& space);
// kInvalid naming the parameter whose value is out of its range (or no whole number where one is wanted).
Status check(const Space& space, std::span<const double> values);

Values defaults(const Space& space);
std::string text(const Parameter& parameter, double value);  // as a flag takes it: "0.0013", "96"
std::string description(const Space& space);                 // all of it, for a hash

double to_unit(const Parameter& parameter, double value) noexcept;
// The nearest value; linear and log ones are rounded to six significant digits, so that text() says them exactly.
double from_unit(const Parameter& parameter, double unit);
std::vector<double> random_point(const Space& space, Rng& rng);  // uniform, in unit coordinates
Values values_of(const Space& space, std::span<const double> point);
std::vector<double> point_of(const Space& space, std::span<const double> values);

}  // namespace perennial::tune
