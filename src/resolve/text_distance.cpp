#include "resolve/text_distance.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstdint>

namespace perennial::resolve {
namespace {

// Letters of one text: its bytes where it is ASCII, which nearly all are, and its code points otherwise.
struct Letters {
    std::array<char32_t, kLettersLimit> at;
    std::size_t count = 0;

    explicit Letters(std::string_view text) noexcept {
        for (std::size_t i = 0; i < text.size() && count < kLettersLimit; ++count) {
            const auto lead = static_cast<unsigned char>(text[i]);
            const std::size_t bytes = lead < 0x80 ? 1 : lead < 0xe0 ? 2 : lead < 0xf0 ? 3 : 4;
            char32_t letter = lead < 0x80 ? lead : lead & (0xffu >> (bytes + 1));
            for (std::size_t k = 1; k < bytes && i + k < text.size(); ++k) letter = (letter << 6) | (static_cast<unsigned char>(text[i + k]) & 0x3fu);
            at[count] = letter;
            i += bytes;
        }
    }
};

double jaro_of(const Letters& a, const Letters& b) noexcept {
    if (a.count == 0 || b.count == 0) return a.count == b.count ? 1.0 : 0.0;
    const std::size_t longer = std::max(a.count, b.count);
    const std::size_t reach = longer / 2 > 0 ? longer / 2 - 1 : 0;
    std::uint64_t taken_a = 0, taken_b = 0;  // bit i: letter i has found its partner
    for (std::size_t i = 0; i < a.count; ++i) {
        const std::size_t end = std::min(b.count, i + reach + 1);
        for (std::size_t j = i > reach ? i - reach : 0; j < end; ++j) {
            if ((taken_b >> j & 1) != 0 || a.at[i] != b.at[j]) continue;
            taken_a |= std::uint64_t{1} << i;
            taken_b |= std::uint64_t{1} << j;
            break;
        }
    }
    const int common = std::popcount(taken_a);
    if (common == 0) return 0;
    int moved = 0;  // partners that do not stand in the same order
    for (std::uint64_t left = taken_a, right = taken_b; left != 0; left &= left - 1, right &= right - 1)
        moved += a.at[static_cast<std::size_t>(std::countr_zero(left))] != b.at[static_cast<std::size_t>(std::countr_zero(right))];
    const double m = common;
    return (m / static_cast<double>(a.count) + m / static_cast<double>(b.count) + (m - static_cast<double>(moved / 2)) / m) / 3;
}

// Rows of the usual table, the last three kept, and of each only the cells that may hold `limit` or less (Ukkonen 1985).
std::size_t edits(const Letters& a, const Letters& b, bool swaps, std::size_t limit) noexcept {
    if ((a.count > b.count ? a.count - b.count : b.count - a.count) > limit) return limit + 1;
    const std::size_t over = limit + 1;
    std::array<std::array<std::size_t, kLettersLimit + 2>, 3> rows;
    for (std::size_t j = 0; j <= std::min(b.count, limit); ++j) rows[0][j] = j;
    rows[0][std::min(b.count, limit) + 1] = over;
    for (std::size_t i = 1; i <= a.count; ++i) {
        auto& now = rows[i % 3];
        const auto &above = rows[(i + 2) % 3], &two_above = rows[(i + 1) % 3];
        const std::size_t first = i > limit ? i - limit : 1, last = std::min(b.count, i + limit);
        now[first - 1] = first == 1 ? std::min(i, over) : over;
        std::size_t least = now[first - 1];
        for (std::size_t j = first; j <= last; ++j) {
            const bool same = a.at[i - 1] == b.at[j - 1];
            now[j] = std::min({above[j] + 1, now[j - 1] + 1, above[j - 1] + (same ? 0u : 1u), over});
            // The band of the row two above holds j - 2, or the cell at its edge, which says `over`.
            if (swaps && i > 1 && j > 1 && a.at[i - 1] == b.at[j - 2] && a.at[i - 2] == b.at[j - 1]) now[j] = std::min(now[j], two_above[j - 2] + 1);
            least = std::min(least, now[j]);
        }
        now[last + 1] = over;
        if (least >= over && !swaps) return over;
        // A swap reaches back two rows, by at least one: only when both rows are over is the answer known.
        if (least >= over && i > 1) {
            const std::size_t from = i - 1 > limit ? i - 1 - limit : 0, to = std::min(b.count, i - 1 + limit);
            if (std::all_of(above.begin() + static_cast<std::ptrdiff_t>(from), above.begin() + static_cast<std::ptrdiff_t>(to) + 1, [&](std::size_t cell) { return cell >= limit; })) return over;
        }
    }
    return rows[a.count % 3][b.count];
}

}  // namespace

double jaro(std::string_view a, std::string_view b) noexcept { return jaro_of(Letters(a), Letters(b)); }

double jaro_winkler(std::string_view a, std::string_view b) noexcept {
    const Letters x(a), y(b);
    const double base = jaro_of(x, y);
    std::size_t prefix = 0;
    while (prefix < std::min({x.count, y.count, std::size_t{4}}) && x.at[prefix] == y.at[prefix]) ++prefix;
    return base + 0.1 * static_cast<double>(prefix) * (1 - base);
}

std::size_t levenshtein(std::string_view a, std::string_view b) noexcept { return edits(Letters(a), Letters(b), false, kLettersLimit); }
std::size_t damerau(std::string_view a, std::string_view b) noexcept { return edits(Letters(a), Letters(b), true, kLettersLimit); }

std::size_t damerau_within(std::string_view a, std::string_view b, std::size_t limit) noexcept {
    return edits(Letters(a), Letters(b), true, std::min(limit, kLettersLimit));
}

}  // namespace perennial::resolve
