// Any bytes as a segment file: whole records up to the first that is not, never a crash.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdlib>
#include <string>
#include <string_view>

#include "journal/segment.h"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
    using namespace perennial::journal;
    const int fd = ::memfd_create("segment", MFD_CLOEXEC);
    if (fd < 0) std::abort();
    // Half of the inputs get a true header, so that the fuzzer reaches the records.
    const std::string header = size % 2 ? segment_header({7}) : std::string();
    if (::write(fd, header.data(), header.size()) < 0 || ::write(fd, data, size) < 0) std::abort();
    if (auto reader = SegmentReader::open("/proc/self/fd/" + std::to_string(fd))) {
        std::string_view record;
        for (auto state = reader->next(record); state && *state == SegmentReader::State::kRecord; state = reader->next(record)) {}
        if (reader->position() > header.size() + size) __builtin_trap();
    }
    ::close(fd);
    return 0;
}
