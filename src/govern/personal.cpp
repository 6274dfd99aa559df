#include "govern/personal.h"

#include <algorithm>
#include <array>
#include <cstdint>
#include <optional>
#include <span>

namespace perennial::govern {
namespace {

// One character: its code point, full-width forms made plain, and where its bytes begin.
struct Letter {
    char32_t c = 0;
    std::size_t at = 0;
};
using Letters = std::vector<Letter>;

constexpr char32_t kBroken = 0xFFFD;

// One after the last letter stands an end mark, whose `at` is the text's size.
Letters letters_of(std::string_view text) {
    Letters letters;
    letters.reserve(text.size() + 1);
    for (std::size_t i = 0; i < text.size();) {
        const auto lead = static_cast<unsigned char>(text[i]);
        std::size_t length = lead < 0x80 ? 1 : lead >> 5 == 6 ? 2 : lead >> 4 == 14 ? 3 : lead >> 3 == 30 ? 4 : 0;
        char32_t c = length == 1 ? lead : length == 2 ? lead & 31u : length == 3 ? lead & 15u : lead & 7u;
        if (length == 0 || i + length > text.size()) c = kBroken, length = 1;
        for (std::size_t k = 1; k < length; ++k) {
            const auto next = static_cast<unsigned char>(text[i + k]);
            if (next >> 6 != 2) {
                c = kBroken, length = 1;
                break;
            }
            c = c << 6 | (next & 63u);
        }
        if (c >= 0xFF01 && c <= 0xFF5E) c -= 0xFEE0;  // full-width forms of ASCII
        if (c == 0x3000) c = ' ';
        letters.push_back({c, i});
        i += length;
    }
    letters.push_back({0, text.size()});
    return letters;
}

bool is_digit(char32_t c) noexcept { return c >= '0' && c <= '9'; }
bool is_upper(char32_t c) noexcept { return c >= 'A' && c <= 'Z'; }
bool is_alpha(char32_t c) noexcept { return is_upper(c) || (c >= 'a' && c <= 'z'); }
bool is_alnum(char32_t c) noexcept { return is_digit(c) || is_alpha(c); }
bool is_han(char32_t c) noexcept { return c >= 0x4E00 && c <= 0x9FFF; }
bool one_of(char32_t c, std::u32string_view set) noexcept { return set.find(c) != std::u32string_view::npos; }

// Letters begin .. end - 1.
struct Span {
    std::size_t begin = 0, end = 0;
};
struct Found {
    Span span;
    PersonalKind kind;
};

// --- e-mail ---

constexpr std::size_t kLocalPartLimit = 64, kEmailLimit = 254;

std::optional<Span> email_around(const Letters& text, std::size_t sign) {
    auto begin = sign, end = sign + 1;
    while (begin > 0 && (is_alnum(text[begin - 1].c) || one_of(text[begin - 1].c, U"._%+-"))) --begin;
    while (is_alnum(text[end].c) || one_of(text[end].c, U".-")) ++end;
    while (begin < sign && one_of(text[begin].c, U".-")) ++begin;
    while (end > sign + 1 && one_of(text[end - 1].c, U".-")) --end;
    if (begin == sign || sign - begin > kLocalPartLimit || end - begin > kEmailLimit || text[sign - 1].c == '.') return std::nullopt;
    std::size_t label = 0, labels = 0;
    bool letters_only = true;
    for (auto i = sign + 1; i < end; ++i) {
        if (text[i].c == '.') {
            if (label == 0) return std::nullopt;
            ++labels, label = 0, letters_only = true;
        } else {
            ++label;
            letters_only = letters_only && is_alpha(text[i].c);
        }
    }
    if (labels == 0 || label < 2 || !letters_only) return std::nullopt;
    return Span{begin, end};
}

// --- numbers ---

struct Group {
    Span span;                // its digits
    std::string digits;
    std::u32string before;    // what stands between it and the group before
};

// Groups of digits with at most two marks between them: "(010) 8888-9999" is three.
constexpr std::size_t kGroupsLimit = 6;  // of one number
constexpr std::u32string_view kNumberMarks = U" -.()/";

int weighted_check(std::string_view id) {  // ISO 7064 MOD 11-2; 10 is X
    int sum = 0, weight = 1;
    for (std::size_t i = id.size(); i-- > 0; weight = weight * 2 % 11) sum += weight * (id[i] == 'X' ? 10 : id[i] - '0');
    return sum % 11;
}

bool is_chinese_id(std::string_view id) {
    if (id.size() != 18 || id.substr(0, 17).find('X') != std::string_view::npos) return false;
    const auto number = [&](std::size_t at, std::size_t count) {
        int value = 0;
        for (std::size_t i = at; i < at + count; ++i) value = value * 10 + (id[i] - '0');
        return value;
    };
    const int province = number(0, 2), year = number(6, 4), month = number(10, 2), day = number(12, 2);
    constexpr std::array<int, 12> kDays{31, 29, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    if (province < 11 || province > 91 || year < 1850 || year > 2100 || month < 1 || month > 12 || day < 1 || day > kDays[static_cast<std::size_t>(month - 1)]) return false;
    return weighted_check(id) == 1;
}

bool luhn(std::string_view digits) {
    int sum = 0;
    for (std::size_t i = 0; i < digits.size(); ++i) {
        const int digit = digits[digits.size() - 1 - i] - '0', twice = 2 * digit;
        sum += i % 2 == 0 ? digit : twice > 9 ? twice - 9 : twice;
    }
    return sum % 10 == 0;
}

bool is_card(std::string_view digits) {
    const auto size = digits.size();
    if (size < 14 || size > 19 || digits.find_first_not_of(digits[0]) == std::string_view::npos) return false;
    int four = 0;
    for (std::size_t i = 0; i < 4; ++i) four = four * 10 + (digits[i] - '0');
    const int two = four / 100;
    const bool issuer = (digits[0] == '4' && (size == 16 || size == 19)) || ((two == 34 || two == 37) && size == 15) || ((two == 36 || two == 38 || two == 30) && size == 14) ||
                        (((two >= 51 && two <= 55) || (four >= 2221 && four <= 2720)) && size == 16) || ((two == 62 || two == 81 || two == 64 || two == 65 || four == 6011) && size >= 16) ||
                        (two == 35 && size == 16);
    return issuer && luhn(digits);
}

bool same_marks(std::span<const Group> groups, std::u32string_view mark) {
    return std::ranges::all_of(groups.subspan(1), [&](const Group& group) { return group.before == mark; });
}

std::vector<std::size_t> sizes_of(std::span<const Group> groups) {
    std::vector<std::size_t> sizes;
    for (const auto& group : groups) sizes.push_back(group.digits.size());
    return sizes;
}

bool is_social_security(std::span<const Group> groups) {
    if (sizes_of(groups) != std::vector<std::size_t>{3, 2, 4} || !same_marks(groups, U"-")) return false;
    const auto& area = groups[0].digits;
    return area != "000" && area != "666" && area[0] != '9' && groups[1].digits != "00" && groups[2].digits != "0000";
}

bool is_chinese_mobile(std::string_view d) { return d.size() == 11 && d[0] == '1' && d[1] >= '3'; }

bool is_phone(std::span<const Group> groups, std::string_view d, bool plus, std::u32string_view open) {
    const auto size = d.size();
    if (plus) return size >= 8 && size <= 15 && d[0] != '0';
    if (d.starts_with("00") && size >= 11 && size <= 17 && d[2] != '0') return true;
    const auto sizes = sizes_of(groups);
    if (is_chinese_mobile(d)) return groups.size() == 1 || sizes == std::vector<std::size_t>{3, 4, 4};
    if (size == 13 && d.starts_with("86") && is_chinese_mobile(d.substr(2))) return true;
    if (groups.size() == 1) return false;  // what follows is only known by its groups
    const bool north_american = sizes == std::vector<std::size_t>{3, 3, 4} && d[0] >= '2' && d[3] >= '2';
    if (north_american) return true;
    // Trunk zero and area, then the number: 010-88889999, (021) 6888 9999, 020 7946 0958.
    const bool area = d[0] == '0' && d[1] != '0' && (groups[0].digits.size() >= 2 && groups[0].digits.size() <= 5);
    const bool together = std::ranges::all_of(groups.subspan(1), [](const Group& g) { return g.digits.size() >= 3; });
    return area && together && size >= 9 && size <= 12 && (groups.size() <= 3 || open == U"(");
}

std::optional<PersonalKind> kind_of(const Letters& text, std::span<const Group> groups) {
    std::string digits;
    for (const auto& group : groups) digits += group.digits;
    const auto begin = groups.front().span.begin, end = groups.back().span.end;
    const bool spaced = same_marks(groups, U" ") || same_marks(groups, U"-");
    if (spaced) {
        const bool x = (text[end].c == 'X' || text[end].c == 'x') && !is_alnum(text[end + 1].c);
        if (is_chinese_id(digits) || (x && digits.size() == 17 && is_chinese_id(digits + "X"))) return PersonalKind::kNationalId;
        if (is_card(digits)) return PersonalKind::kCard;
    }
    if (is_social_security(groups)) return PersonalKind::kNationalId;
    const bool plus = begin > 0 && text[begin - 1].c == '+';
    const bool open = begin > 0 && text[begin - 1].c == '(';
    if (is_phone(groups, digits, plus, open ? U"(" : U"")) return PersonalKind::kPhone;
    return std::nullopt;
}

// A chain of groups, and in it the longest number that begins with each.
void find_numbers(const Letters& text, std::vector<Found>& found) {
    const auto end = text.size() - 1;
    for (std::size_t i = 0; i < end;) {
        if (!is_digit(text[i].c)) {
            ++i;
            continue;
        }
        std::vector<Group> groups;
        std::u32string before;
        for (auto next = i; is_digit(text[next].c);) {
            i = next;
            Group group{{i, i}, {}, std::move(before)};
            while (is_digit(text[i].c)) group.digits += static_cast<char>(text[i++].c);
            group.span.end = i;
            groups.push_back(std::move(group));
            before.clear();
            for (next = i; next < i + 2 && one_of(text[next].c, kNumberMarks); ++next) before += text[next].c;
        }
        for (std::size_t first = 0; first < groups.size();) {
            const auto at = groups[first].span.begin;
            std::size_t taken = 0;
            const bool part_of_a_word = first == 0 && at > 0 && (is_alpha(text[at - 1].c) || text[at - 1].c == '_');
            for (auto count = std::min(kGroupsLimit, groups.size() - first); count > 0 && taken == 0 && !part_of_a_word; --count) {
                const auto some = std::span(groups).subspan(first, count);
                const auto last = some.back().span.end;
                const bool x = (text[last].c == 'X' || text[last].c == 'x') && !is_alnum(text[last + 1].c);
                if ((is_alpha(text[last].c) || text[last].c == '_') && !x) continue;
                const auto kind = kind_of(text, some);
                if (!kind || (x && *kind != PersonalKind::kNationalId)) continue;
                const bool marked = at > 0 && (text[at - 1].c == '+' || (text[at - 1].c == '(' && *kind == PersonalKind::kPhone));
                found.push_back({{at - (marked ? 1 : 0), last + (x ? 1 : 0)}, *kind});
                taken = count;
            }
            first += std::max<std::size_t>(taken, 1);
        }
    }
}

// --- IBAN ---

constexpr std::size_t kIbanMin = 15, kIbanMax = 34;

std::optional<Span> iban_at(const Letters& text, std::size_t begin) {
    std::string value;
    auto end = begin;
    for (auto i = begin; value.size() < kIbanMax; ++i) {
        if (text[i].c == ' ' && value.size() % 4 == 0 && (is_upper(text[i + 1].c) || is_digit(text[i + 1].c))) continue;  // printed in fours
        if (!is_upper(text[i].c) && !is_digit(text[i].c)) break;
        value += static_cast<char>(text[i].c);
        end = i + 1;
        if (value.size() < kIbanMin || is_alnum(text[end].c)) continue;
        int rest = 0;
        for (std::size_t k = 0; k < value.size(); ++k) {
            const char c = value[(k + 4) % value.size()];
            rest = c <= '9' ? (rest * 10 + (c - '0')) % 97 : (rest * 100 + (c - 'A' + 10)) % 97;
        }
        if (rest == 1) return Span{begin, end};
    }
    return std::nullopt;
}

// --- addresses ---

// Levels from the country down; a later one may not stand before an earlier one.
int level_of(char32_t c) noexcept {
    constexpr std::array<std::u32string_view, 6> kLevels{U"省", U"市州盟", U"区县旗", U"镇乡村", U"路街道巷弄", U"号栋幢楼室"};
    for (std::size_t i = 0; i < kLevels.size(); ++i)
        if (one_of(c, kLevels[i])) return static_cast<int>(i);
    return -1;
}

constexpr std::size_t kAddressLevels = 3, kAddressLettersLimit = 60;

std::optional<Span> chinese_address_at(const Letters& text, std::size_t begin) {
    std::size_t levels = 0, end = begin;
    int last = -1;
    bool house = false;
    for (auto i = begin; i < begin + kAddressLettersLimit && (is_han(text[i].c) || is_alnum(text[i].c) || text[i].c == '-'); ++i) {
        const int level = level_of(text[i].c);
        if (level < 0 || i == begin) continue;
        if (level < last) break;
        levels += level > last;
        last = level;
        house = house || (level == 5 && is_alnum(text[i - 1].c));
        end = i + 1;
    }
    if (levels < kAddressLevels || !house) return std::nullopt;
    return Span{begin, end};
}

std::optional<Span> english_address_at(const Letters& text, std::size_t begin) {
    constexpr std::array<std::u32string_view, 22> kStreets{U"Street", U"St", U"Avenue", U"Ave", U"Road", U"Rd", U"Boulevard", U"Blvd", U"Lane", U"Ln", U"Drive",
                                                           U"Dr", U"Court", U"Ct", U"Way", U"Square", U"Sq", U"Place", U"Pl", U"Terrace", U"Close", U"Crescent"};
    auto i = begin;
    while (is_digit(text[i].c)) ++i;
    if (i == begin || i - begin > 5) return std::nullopt;
    for (int words = 0; words < 5; ++words) {
        if (text[i].c != ' ' || !is_upper(text[i + 1].c)) return std::nullopt;
        std::u32string word;
        for (++i; is_alpha(text[i].c) || text[i].c == '\''; ++i) word += text[i].c;
        if (words > 0 && std::ranges::find(kStreets, word) != kStreets.end()) return Span{begin, i};
    }
    return std::nullopt;
}

void find_addresses(const Letters& text, std::vector<Found>& found) {
    for (std::size_t i = 0; i + 1 < text.size();) {
        std::optional<Span> span;
        const bool starts = i == 0 || !is_alnum(text[i - 1].c);
        if (is_han(text[i].c)) {
            span = chinese_address_at(text, i);
            if (!span)  // what follows in the same run of letters cannot be more of an address than the whole
                for (std::size_t k = 0; k + 1 < kAddressLettersLimit && is_han(text[i + 1].c); ++k) ++i;
        } else if (is_digit(text[i].c) && starts) {
            span = english_address_at(text, i);
        }
        if (span) found.push_back({*span, PersonalKind::kAddress});
        i = span ? span->end : i + 1;
    }
}

}  // namespace

std::string_view name(PersonalKind kind) noexcept {
    constexpr std::array<std::string_view, kPersonalKinds> kNames{"email", "phone", "national_id", "card", "bank_account", "address"};
    return kNames[static_cast<std::size_t>(kind)];
}

std::vector<Finding> find_personal(std::string_view text) {
    const auto letters = letters_of(text);
    std::vector<Found> found;
    for (std::size_t i = 0; i + 1 < letters.size(); ++i) {
        if (letters[i].c == '@')
            if (const auto span = email_around(letters, i)) found.push_back({*span, PersonalKind::kEmail});
        const bool starts = i == 0 || !is_alnum(letters[i - 1].c);
        if (starts && i + 4 < letters.size() && is_upper(letters[i].c) && is_upper(letters[i + 1].c) && is_digit(letters[i + 2].c) && is_digit(letters[i + 3].c))
            if (const auto span = iban_at(letters, i)) found.push_back({*span, PersonalKind::kBankAccount});
    }
    find_numbers(letters, found);
    find_addresses(letters, found);
    // Where two claim the same letters, the one that begins first counts; of those, the longer.
    std::ranges::sort(found, [](const Found& a, const Found& b) { return a.span.begin != b.span.begin ? a.span.begin < b.span.begin : a.span.end > b.span.end; });
    std::vector<Finding> findings;
    std::size_t taken = 0;
    for (const auto& [span, kind] : found) {
        if (span.begin < taken) continue;
        findings.push_back({letters[span.begin].at, letters[span.end].at, kind});
        taken = span.end;
    }
    return findings;
}

std::string masked(std::string_view text) {
    std::string out;
    std::size_t at = 0;
    for (const auto& [begin, end, kind] : find_personal(text)) {
        out.append(text, at, begin - at).append("[").append(name(kind)).append("]");
        at = end;
    }
    return out.append(text, at);
}

}  // namespace perennial::govern
