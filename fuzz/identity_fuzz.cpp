// Any bytes as a file of proposals, a decision's details, a customer's traits and identity.toml: refused or read, never a crash.
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "identity/proposals.h"
#include "identity/traits.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace perennial::identity;
    const std::string_view text(reinterpret_cast<const char*>(data), size);
    if (const auto proposals = parse_proposals(text); proposals.ok())
        for (const auto& proposal : *proposals)
            if (proposal.a >= proposal.b) __builtin_trap();
    const auto details = parse_details(text);
    (void)to_json(details);
    Traits traits;
    read_traits(text, traits);
    if (const auto settings = parse_settings(text, "fuzz.toml"); settings.ok() && settings->group_limit == 0) __builtin_trap();
    return 0;
}
