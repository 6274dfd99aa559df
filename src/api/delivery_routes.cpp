#include "api/delivery_routes.h"

#include <boost/json.hpp>

#include "base/time.h"

namespace perennial::api {

using boost::json::array;
using boost::json::object;

Result<boost::json::value> deliveries(deliver::Deliveries& all) {
    array endpoints, dead;
    for (const auto& state : all.endpoints())
        endpoints.push_back(object{{"name", state.name}, {"url", state.url}, {"state", state.off ? "off" : state.last_error.empty() ? "ok" : "failing"}, {"delivered", state.delivered},
                                   {"waiting", state.letters.waiting}, {"dead", state.letters.dead}, {"last_error", state.last_error}});
    const auto letters = all.dead(kDeadShown);
    if (!letters) return letters.error();
    for (const auto& letter : *letters)
        dead.push_back(object{{"id", letter.id}, {"endpoint", letter.endpoint}, {"type", letter.type}, {"created", iso8601(letter.created)}, {"tries", letter.tries}, {"error", letter.error}});
    return boost::json::value(object{{"endpoints", std::move(endpoints)}, {"dead", std::move(dead)}});
}

Result<boost::json::value> ping(deliver::Deliveries& all) {
    auto id = all.send("ping", {});
    if (!id) return id.error();
    return boost::json::value(object{{"id", *id}});
}

Result<boost::json::value> retry(deliver::Deliveries& all, std::string_view id) {
    PERENNIAL_TRY(all.revive(id));
    return boost::json::value(object{{"id", id}});
}

}  // namespace perennial::api
