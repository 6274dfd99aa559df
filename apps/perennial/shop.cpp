#include "shop.h"

#include <fmt/format.h>
#include <sys/sysinfo.h>

#include <algorithm>
#include <cstdlib>
#include <boost/json.hpp>
#include <vector>

#include "base/file.h"
#include "base/hash.h"
#include "base/parallel.h"
#include "base/text.h"
#include "base/time.h"
#include "base/toml.h"
#include "build_info.h"

namespace perennial::app {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view kFirstSettings = R"(# Settings of this shop. Every line may be left out.
name = "{}"

# Where `perennial serve` listens. Other addresses than loopback need both keys below.
# listen = "127.0.0.1:8080"

# Tracking clients show write_key; readers of recommendations, customers and the report show api_key.
# write_key = ""
# api_key = ""

# With these the shop's webhooks are signed (docs/formats/shop-webhooks.md). Two with a blank between them while one is
# changed for the other. PERENNIAL_SHOPIFY_SECRET and PERENNIAL_WOOCOMMERCE_SECRET of the environment go first.
# shopify_secret = ""
# woocommerce_secret = ""
)";

Error bad_setting(const fs::path& path, std::string_view key, std::string_view want, std::size_t line) {
    return {Code::kInvalid, fmt::format("{}:{}: {}: want {}", path.string(), line, key, want)};
}

}  // namespace

std::string machine_description() {
    std::string model = "unknown processor";
    if (const auto info = read_file("/proc/cpuinfo"); info) {
        if (const auto at = info->find("model name"); at != std::string::npos) {
            const auto colon = info->find(':', at), end = info->find('\n', at);
            if (colon < end) model = trim(std::string_view(*info).substr(colon + 1, end - colon - 1));
        }
    }
    struct sysinfo memory{};
    ::sysinfo(&memory);
    return fmt::format("{}, {} cores, {} GiB", model, usable_cores(), memory.totalram * memory.mem_unit >> 30);
}

Result<Shop> open_shop(const fs::path& directory) {
    Shop shop{directory, {}};
    const auto path = directory / "perennial.toml";
    auto text = read_file(path, 1 << 20);
    if (!text) {
        if (text.error().code == Code::kNotFound)
            return Error{Code::kNotFound, fmt::format("{}: no shop here; `perennial init {}` or `perennial import --shop {} FILE` makes one", directory.string(), directory.string(), directory.string())};
        return text.error();
    }
    const auto table = parse_toml(*text, path.string());
    if (!table) return table.error();
    for (const auto& [key, value] : *table) {
        std::string* field = key == "name" ? &shop.settings.name : key == "listen" ? &shop.settings.listen : key == "write_key" ? &shop.settings.write_key
                             : key == "api_key" ? &shop.settings.api_key : key == "shopify_secret" ? &shop.settings.shopify_secret
                             : key == "woocommerce_secret" ? &shop.settings.woocommerce_secret : nullptr;
        if (!field) return bad_setting(path, key.str(), "one of name, listen, write_key, api_key, shopify_secret, woocommerce_secret", key.source().begin.line);
        const auto text_value = value.value<std::string>();
        if (!text_value) return bad_setting(path, key.str(), "a text in quotes", key.source().begin.line);
        *field = *text_value;
    }
    for (const auto& [name, field] : {std::pair{"PERENNIAL_SHOPIFY_SECRET", &shop.settings.shopify_secret}, {"PERENNIAL_WOOCOMMERCE_SECRET", &shop.settings.woocommerce_secret}})
        if (const char* value = std::getenv(name)) *field = value;
    return shop;
}

Result<Shop> open_or_make_shop(const fs::path& directory) {
    std::error_code error;
    if (!fs::exists(directory / "perennial.toml", error)) {
        fs::create_directories(directory, error);
        if (error) return Error{Code::kIo, fmt::format("create {}: {}", directory.string(), error.message())};
        std::string name = fs::absolute(directory).lexically_normal().filename();
        std::erase_if(name, [](char c) { return c == '"' || c == '\\' || static_cast<unsigned char>(c) < 32; });
        PERENNIAL_TRY(write_file(directory / "perennial.toml", fmt::format(fmt::runtime(kFirstSettings), name)));
    }
    return open_shop(directory);
}

Result<profile::Store> open_for_reading(const Shop& shop) { return profile::Store::open(shop.directory, {.read_only = true}); }

Result<boost::json::value> read_json(const fs::path& path) {
    auto text = read_file(path);
    if (!text) return text.error();
    boost::system::error_code error;
    auto value = boost::json::parse(*text, error);
    if (error) return Error{Code::kCorrupt, fmt::format("{}: {}", path.string(), error.message())};
    return value;
}

Status write_json(const fs::path& path, const boost::json::value& value) {
    std::error_code error;
    fs::create_directories(path.parent_path(), error);
    return write_file(path, boost::json::serialize(value) + "\n");
}

Status record_stage(const Shop& shop, std::string_view stage, double seconds) {
    const auto path = shop.directory / "stages.json";
    boost::json::object stages;
    if (auto known = read_json(path); known && known->is_object()) stages = std::move(known->as_object());
    stages[stage] = seconds;
    return write_json(path, stages);
}

std::string import_report_suffix(std::string_view of) { return fmt::format("-{:08x}.json", hash64(of) & 0xffffffff); }

fs::path import_report_path(const Shop& shop, std::string_view of) {
    std::string stamp = iso8601(wall_clock_now());
    std::erase_if(stamp, [](char c) { return c == ':' || c == '-' || c == '.'; });
    return shop.imports() / (stamp + import_report_suffix(of));
}

Result<boost::json::array> import_reports(const Shop& shop) {
    std::vector<fs::path> files;
    std::error_code error;
    for (const auto& entry : fs::directory_iterator(shop.imports(), error))
        if (entry.path().extension() == ".json") files.push_back(entry.path());
    std::ranges::sort(files);
    boost::json::array reports;
    for (const auto& file : files) {
        auto report = read_json(file);
        if (!report) return report.error();
        reports.push_back(std::move(*report));
    }
    return reports;
}

}  // namespace perennial::app
