#pragma once

#include <string>
#include <string_view>

namespace perennial::app {
std::string_view build_commit();     // of the checkout this program was configured from
std::string machine_description();   // "AMD EPYC, 4 cores, 23 GiB"
}  // namespace perennial::app
