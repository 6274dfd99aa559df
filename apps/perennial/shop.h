// A shop's folder: where its parts lie, and its settings (perennial.toml).
//   perennial.toml  journal/  state/  quarantine/  imports/  uploads/  outbox/  webhooks.toml  models/  evaluation/  stages.json  report.html
#pragma once

#include <boost/json/array.hpp>
#include <boost/json/object.hpp>
#include <boost/json/value.hpp>

#include <filesystem>
#include <string>
#include <string_view>

#include "base/result.h"
#include "profile/store.h"

namespace perennial::app {

struct ShopSettings {
    std::string name;
    std::string listen = "127.0.0.1:8080";
    std::string write_key, api_key;
    // Of the platforms' webhooks; the environment's PERENNIAL_SHOPIFY_SECRET and PERENNIAL_WOOCOMMERCE_SECRET go first.
    std::string shopify_secret, woocommerce_secret;
};

struct Shop {
    std::filesystem::path directory;
    ShopSettings settings;

    std::filesystem::path imports() const { return directory / "imports"; }
    std::filesystem::path quarantine() const { return directory / "quarantine"; }
    std::filesystem::path uploads() const { return directory / "uploads"; }
    std::filesystem::path outbox() const { return directory / "outbox"; }
    std::filesystem::path webhooks() const { return directory / "webhooks.toml"; }
    std::filesystem::path evaluation() const { return directory / "evaluation"; }
    std::filesystem::path keys() const { return directory / "keys.json"; }
    std::filesystem::path report() const { return directory / "report.html"; }
};

// Reads DIR/perennial.toml. Errors: kNotFound, kInvalid naming line and key.
Result<Shop> open_shop(const std::filesystem::path& directory);
// As open_shop; makes the folder and a commented perennial.toml first when there is none.
Result<Shop> open_or_make_shop(const std::filesystem::path& directory);

// The shop's memory beside whoever writes it. Errors: kNotFound before the first import.
Result<profile::Store> open_for_reading(const Shop& shop);

Result<boost::json::value> read_json(const std::filesystem::path& path);
Status write_json(const std::filesystem::path& path, const boost::json::value& value);

// Remembers in stages.json how long a stage took the last time ("import", "train", "evaluate"), for the report.
Status record_stage(const Shop& shop, std::string_view stage, double seconds);

// One line of the shop's audit log (audit.jsonl), in the name of the user who runs this. Durable on return.
Status record_audit(const Shop& shop, std::string_view what, std::string_view subject, const boost::json::object& details = {});

// Where the report of an import that ends now goes. They sort by time; `of` (a path, an id) keeps two of one second apart.
std::filesystem::path import_report_path(const Shop& shop, std::string_view of);
// What all report files of imports of `of` end with.
std::string import_report_suffix(std::string_view of);

// The reports of all imports so far, oldest first.
Result<boost::json::array> import_reports(const Shop& shop);

}  // namespace perennial::app
