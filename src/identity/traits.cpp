#include "identity/traits.h"

#include <boost/json.hpp>

#include <algorithm>
#include <optional>
#include <utility>

#include "base/text.h"

namespace perennial::identity {
namespace {

namespace json = boost::json;

enum Trait : std::size_t { kGiven, kFamily, kName, kBirth, kStreet, kTown, kPostcode, kCountry, kEmail, kPhone };
static_assert(kPhone + 1 == kTraitCount);

// Names of traits in lower case with everything but letters left out: those of the Segment spec, and what shops call them.
std::optional<Trait> trait_of(std::string_view key) {
    std::string word;
    for (const char c : lower(key))
        if (c >= 'a' && c <= 'z') word.push_back(c);
    static constexpr std::array<std::pair<std::string_view, Trait>, 22> kWords{{
        {"firstname", kGiven}, {"givenname", kGiven}, {"forename", kGiven}, {"lastname", kFamily}, {"familyname", kFamily}, {"surname", kFamily}, {"name", kName},
        {"fullname", kName}, {"birthday", kBirth}, {"birthdate", kBirth}, {"dateofbirth", kBirth}, {"dob", kBirth}, {"street", kStreet}, {"address", kStreet},
        {"addressline", kStreet}, {"city", kTown}, {"town", kTown}, {"postcode", kPostcode}, {"postalcode", kPostcode}, {"zip", kPostcode}, {"zipcode", kPostcode}, {"country", kCountry}}};
    for (const auto& [name, trait] : kWords)
        if (name == word) return trait;
    return std::nullopt;
}

void take(const json::object& object, Traits& traits, bool inner) {
    for (const auto& [key, value] : object) {
        if (const auto* below = value.if_object(); below && !inner && key == "address") take(*below, traits, true);
        const auto trait = trait_of(key);
        if (!trait || (!value.is_string() && !value.is_number())) continue;
        std::string text = value.is_string() ? std::string(value.as_string()) : json::serialize(value);
        if (!trim(text).empty() && text.size() <= resolve::kValueBytesLimit) traits[*trait] = std::move(text);
    }
}

}  // namespace

const std::array<resolve::Field, kTraitCount>& trait_fields() {
    using resolve::FieldKind;
    static const std::array<resolve::Field, kTraitCount> fields{{{"given_name", FieldKind::kGivenName}, {"surname", FieldKind::kFamilyName}, {"name", FieldKind::kText},
                                                                 {"birthday", FieldKind::kDate}, {"street", FieldKind::kText}, {"town", FieldKind::kText},
                                                                 {"postcode", FieldKind::kCode}, {"country", FieldKind::kCategory}, {"email", FieldKind::kCode}, {"phone", FieldKind::kCode}}};
    return fields;
}

void read_traits(std::string_view text, Traits& traits) {
    boost::system::error_code error;
    const auto value = json::parse(text, error);
    if (!error && value.is_object()) take(value.get_object(), traits, false);
}

Traits traits_of(std::span<const event::Event> timeline) {
    Traits traits;
    for (const auto& event : timeline) {
        if (!event.email_hash.empty()) traits[kEmail] = event.email_hash;
        if (!event.phone_hash.empty()) traits[kPhone] = event.phone_hash;
        if (event.kind == event::Kind::kIdentify && !event.properties.empty()) read_traits(event.properties, traits);
    }
    return traits;
}

}  // namespace perennial::identity
