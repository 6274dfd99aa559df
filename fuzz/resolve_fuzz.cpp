// Any bytes as the values of records of every kind: cleaned, compared both ways, explained.
#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>
#include <vector>

#include "resolve/resolution.h"
#include "resolve/text_distance.h"

using namespace perennial::resolve;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    std::vector<Field> fields;
    for (std::size_t k = 0; k < kFieldKindCount; ++k) fields.push_back({"f", static_cast<FieldKind>(k)});
    auto records = Records::over(fields);
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    for (std::size_t at = 0; at < size;) {  // values end at a line's end, rows after as many as there are fields
        std::array<std::string_view, kFieldKindCount> row;
        for (auto& value : row) {
            const auto end = std::min(text.find('\n', at), size);
            value = text.substr(std::min(at, size), end - std::min(at, size));
            at = end + 1;
        }
        (void)records->add(row);
        if (records->size() > 8) break;
    }
    const Comparator comparator(*records);
    for (std::uint32_t a = 0; a < records->size(); ++a)
        for (std::uint32_t b = 0; b < records->size(); ++b) {
            const auto pattern = comparator.compare(a, b);
            for (std::size_t f = 0; f < comparator.features(); ++f)
                if (comparator.level(pattern, f) >= comparator.levels(f)) __builtin_trap();
            for (std::size_t f = 0; f < fields.size(); ++f) {
                const auto x = records->text_of(a, f), y = records->text_of(b, f);
                if (damerau_within(x, y, 2) != std::min<std::size_t>(damerau(x, y), 3)) __builtin_trap();
                if (jaro(x, y) < 0 || jaro_winkler(x, y) > 1 + 1e-12) __builtin_trap();
            }
        }
    if (records->size() >= 2) {
        ResolveOptions options;
        options.fit.rounds_limit = 5;
        (void)resolve(std::move(*records), options);
    }
    return 0;
}
