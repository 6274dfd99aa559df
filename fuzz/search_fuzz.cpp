// Any bytes as a search's journal: refused, or results from which the next job follows.
#include <cstdint>
#include <string>
#include <string_view>

#include "tune/journal.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace perennial::tune;
    static const Space space{{"rate", Parameter::Kind::kLog, 1e-4, 1, 1e-2}, {"width", Parameter::Kind::kCategory, 0, 0, 1, {"32", "64"}}, {"n", Parameter::Kind::kInteger, 1, 4, 2}};
    const Plan plan{.rungs = {1, 3, 9}};
    const std::string_view bytes(reinterpret_cast<const char*>(data), size);
    // The header is ours, so that the lines behind it are reached.
    static const std::string header = journal_header(space, plan, "fuzz");
    for (const auto& text : {std::string(bytes), header + std::string(bytes)}) {
        const auto contents = read_journal(text, space, plan, "fuzz", "fuzz");
        if (contents) (void)next_job(space, plan, contents->results, 20);
    }
    return 0;
}
