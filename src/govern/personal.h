// Personal data in free text: where it stands and of what kind, so that it can be counted, masked or refused. Numbers
// count by their check digits where the kind has them, so an order number is rarely taken for a card.
// Sources: GB 11643-1999 with ISO 7064 MOD 11-2 (Chinese identity numbers), ISO/IEC 7812 (Luhn, issuers), ISO 13616
// (IBAN), ITU-T E.164 (telephone numbers), RFC 5321 lengths (e-mail).
// Threads: pure functions.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace perennial::govern {

enum class PersonalKind : unsigned char { kEmail, kPhone, kNationalId, kCard, kBankAccount, kAddress };
inline constexpr std::size_t kPersonalKinds = 6;
std::string_view name(PersonalKind kind) noexcept;  // "email", "phone", "national_id", "card", "bank_account", "address"

struct Finding {
    std::size_t begin = 0, end = 0;  // bytes of the text
    PersonalKind kind = PersonalKind::kEmail;
};

// E-mail addresses; telephone numbers (Chinese mobile and landline, +country, North American, trunk 0 in groups); Chinese
// identity numbers and US social security numbers; payment cards; IBANs; street addresses, a hint only (Chinese with at
// least three levels and a house number, English with number and street word). Full-width digits and letters count as
// plain ones. Ascending, none overlaps another; a byte that is not UTF-8 ends what stands before it. O(text).
std::vector<Finding> find_personal(std::string_view text);

// The text with every finding replaced by its kind's name in square brackets: "call [phone]". O(text).
std::string masked(std::string_view text);

}  // namespace perennial::govern
