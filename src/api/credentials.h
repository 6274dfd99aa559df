// Keys that clients show, in each of the forms that tracking clients use. Pure functions.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "api/http.h"

namespace perennial::api {

// Every key that the headers show: "Authorization: Basic" (user name with or without the colon; and the password, for
// browsers that ask for one), "Authorization: Bearer", "X-API-Key".
std::vector<std::string> keys_shown(const Request& request);

// Takes time by the length of `shown` only, never by how much of it is right.
bool same_key(std::string_view shown, std::string_view key) noexcept;

}  // namespace perennial::api
