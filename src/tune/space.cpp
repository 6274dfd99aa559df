#include "tune/space.h"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <set>

namespace perennial::tune {
namespace {

using Kind = Parameter::Kind;

bool is_whole(double value) noexcept { return std::floor(value) == value; }

Status check_value(const Parameter& parameter, double value) {
    const double low = parameter.kind == Kind::kCategory ? 0 : parameter.low;
    const double high = parameter.kind == Kind::kCategory ? static_cast<double>(parameter.choices.size()) - 1 : parameter.high;
    if (!(value >= low && value <= high)) return Error{Code::kInvalid, fmt::format("{}: want {} to {}, got {}", parameter.name, low, high, value)};
    if ((parameter.kind == Kind::kCategory || parameter.kind == Kind::kInteger) && !is_whole(value))
        return Error{Code::kInvalid, fmt::format("{}: want a whole number, got {}", parameter.name, value)};
    return Done{};
}

}  // namespace

Status check(const Space& space) {
    if (space.empty() || space.size() > kParametersLimit)
        return Error{Code::kInvalid, fmt::format("search space: want 1 to {} parameters, got {}", kParametersLimit, space.size())};
    std::set<std::string> names;
    for (const auto& p : space) {
        if (p.name.empty() || !names.insert(p.name).second) return Error{Code::kInvalid, fmt::format("search space: want distinct names, got '{}'", p.name)};
        if (p.kind == Kind::kCategory) {
            if (p.choices.size() < 2 || p.choices.size() > kChoicesLimit)
                return Error{Code::kInvalid, fmt::format("{}: want 2 to {} choices, got {}", p.name, kChoicesLimit, p.choices.size())};
        } else if (!std::isfinite(p.low) || !std::isfinite(p.high) || !(p.low < p.high) || (p.kind == Kind::kLog && p.low <= 0) ||
                   (p.kind == Kind::kInteger && !(is_whole(p.low) && is_whole(p.high)))) {
            return Error{Code::kInvalid, fmt::format("{}: want a range{}, got {} to {}", p.name, p.kind == Kind::kLog ? " above zero" : "", p.low, p.high)};
        }
        PERENNIAL_TRY(check_value(p, p.initial));
    }
    return Done{};
}

Status check(const Space& space, std::span<const double> values) {
    if (values.size() != space.size()) return Error{Code::kInvalid, fmt::format("want {} values, got {}", space.size(), values.size())};
    for (std::size_t j = 0; j < space.size(); ++j) PERENNIAL_TRY(check_value(space[j], values[j]));
    return Done{};
}

Values defaults(const Space& space) {
    Values values;
    for (const auto& parameter : space) values.push_back(parameter.initial);
    return values;
}

std::string text(const Parameter& parameter, double value) {
    return parameter.kind == Kind::kCategory ? parameter.choices[static_cast<std::size_t>(value)] : fmt::format("{}", value);
}

std::string description(const Space& space) {
    std::string out;
    for (const auto& p : space) {
        out += fmt::format("{} {} {} {} {}", p.name, static_cast<int>(p.kind), p.low, p.high, p.initial);
        for (const auto& choice : p.choices) out += " " + choice;
        out += '\n';
    }
    return out;
}

double to_unit(const Parameter& p, double value) noexcept {
    switch (p.kind) {
        case Kind::kCategory: return value;
        case Kind::kLinear: return (value - p.low) / (p.high - p.low);
        case Kind::kLog: return std::log(value / p.low) / std::log(p.high / p.low);
        // Each whole number owns an equal share of [0, 1] and stands in its middle.
        case Kind::kInteger: return (value - p.low + 0.5) / (p.high - p.low + 1);
    }
    return 0;
}

double from_unit(const Parameter& p, double unit) {
    const auto rounded = [&](double value) { return std::clamp(std::strtod(fmt::format("{:.6g}", value).c_str(), nullptr), p.low, p.high); };
    switch (p.kind) {
        case Kind::kCategory: return unit;
        case Kind::kLinear: return rounded(p.low + unit * (p.high - p.low));
        case Kind::kLog: return rounded(p.low * std::exp(unit * std::log(p.high / p.low)));
        case Kind::kInteger: return std::clamp(p.low + std::floor(unit * (p.high - p.low + 1)), p.low, p.high);
    }
    return 0;
}

std::vector<double> random_point(const Space& space, Rng& rng) {
    std::vector<double> point;
    for (const auto& p : space) point.push_back(p.kind == Kind::kCategory ? static_cast<double>(rng.below(p.choices.size())) : rng.uniform());
    return point;
}

Values values_of(const Space& space, std::span<const double> point) {
    Values values;
    for (std::size_t j = 0; j < space.size(); ++j) values.push_back(from_unit(space[j], point[j]));
    return values;
}

std::vector<double> point_of(const Space& space, std::span<const double> values) {
    std::vector<double> point;
    for (std::size_t j = 0; j < space.size(); ++j) point.push_back(to_unit(space[j], values[j]));
    return point;
}

}  // namespace perennial::tune
