// The house order: a room of src/ includes only rooms that the map in src/README.md lets it use, and libtorch stays in
// few files. Where the map has no table yet, the order below counts.
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <map>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <vector>

namespace perennial {
namespace {

namespace fs = std::filesystem;
using Rooms = std::map<std::string, std::set<std::string>>;  // room -> rooms that it may use

const fs::path kSource = fs::path(PERENNIAL_SOURCE_DIR) / "src";

std::set<std::string> words(const std::string& text) {
    std::set<std::string> found;
    const std::regex word("[a-z_]+");
    for (std::sregex_iterator at(text.begin(), text.end(), word), end; at != end; ++at) found.insert(at->str());
    return found;
}

Rooms order_of_the_house() {
    Rooms rooms;
    std::istringstream lines(R"(base:
event: base
journal: base
ingest: base event journal
simulate: base event
catalog: base event
profile: base event journal catalog
sequence: base event catalog profile
kernels: base
model: base kernels
tune: base
train: base sequence model kernels
predict: base event sequence model tune catalog profile
decide: base event catalog profile predict
measure: base event catalog profile sequence tune predict decide model
deliver: base
api: base event journal ingest simulate catalog profile sequence kernels model predict decide measure deliver
)");
    for (std::string line; std::getline(lines, line);) {
        const auto colon = line.find(':');
        rooms[line.substr(0, colon)] = words(line.substr(colon + 1));
    }
    return rooms;
}

// Rows "| `room/` | ... | may use |" of the table whose last column is headed "may use"; "all above but x" is understood.
Rooms map_of_the_house(const fs::path& path) {
    Rooms rooms;
    std::ifstream in(path);
    std::set<std::string> above;
    bool in_table = false;
    for (std::string line; std::getline(in, line);) {
        std::vector<std::string> cells;
        std::istringstream parts(line);
        for (std::string cell; std::getline(parts, cell, '|');) cells.push_back(cell);
        if (!line.starts_with("|") || cells.size() < 3) {
            in_table = false;
            continue;
        }
        if (cells.back().find_first_not_of(" \t\r") == std::string::npos) cells.pop_back();
        if (cells.back().find("may use") != std::string::npos) {
            in_table = true;
            continue;
        }
        std::smatch room;
        if (!in_table || !std::regex_search(cells[1], room, std::regex(R"(([a-z_]+)/)"))) continue;
        auto may_use = words(cells.back());
        if (may_use.erase("all")) {
            auto all = above;
            for (const auto& word : may_use) all.erase(word);  // those named after "but"
            may_use = std::move(all);
        }
        above.insert(room[1]);
        rooms[room[1]] = std::move(may_use);
    }
    return rooms;
}

struct Include { fs::path file; std::size_t line; std::string name; bool quoted; };

std::vector<Include> includes() {
    std::vector<Include> found;
    const std::regex pattern(R"(^\s*#\s*include\s*(["<])([^">]+)[">])");
    for (const auto& entry : fs::recursive_directory_iterator(kSource)) {
        const auto extension = entry.path().extension();
        if (extension != ".h" && extension != ".cpp" && extension != ".in") continue;
        std::ifstream in(entry.path());
        std::size_t number = 0;
        for (std::string line; std::getline(in, line);) {
            ++number;
            std::smatch match;
            if (std::regex_search(line, match, pattern)) found.push_back({fs::relative(entry.path(), kSource), number, match[2], match[1] == "\""});
        }
    }
    return found;
}

std::string room_of(const fs::path& file) { return file.begin()->string(); }

TEST(Layering, the_map_of_the_house_names_every_room_that_has_a_folder) {
    const auto path = kSource / "README.md";
    if (!fs::exists(path)) GTEST_SKIP() << "src/README.md is not written yet";
    const auto rooms = map_of_the_house(path);
    for (const auto& entry : fs::directory_iterator(kSource)) {
        if (!entry.is_directory()) continue;
        EXPECT_TRUE(rooms.contains(entry.path().filename())) << "src/README.md has no row for " << entry.path().filename();
    }
    for (const auto& [room, may_use] : rooms) EXPECT_TRUE(fs::exists(kSource / room)) << "src/README.md speaks of " << room << "/, which is not there";
}

TEST(Layering, a_room_includes_only_rooms_that_the_map_lets_it_use) {
    auto rooms = map_of_the_house(kSource / "README.md");
    if (rooms.empty()) rooms = order_of_the_house();
    std::size_t checked = 0;
    for (const auto& include : includes()) {
        const fs::path named = include.name;
        if (!include.quoted || !named.has_parent_path() || !fs::is_directory(kSource / room_of(named))) continue;
        const auto from = room_of(include.file), to = room_of(named);
        ++checked;
        if (from == to) continue;
        ASSERT_TRUE(rooms.contains(from)) << from << " has no place in the order of the house";
        EXPECT_TRUE(rooms[from].contains(to)) << "src/" << include.file.string() << ":" << include.line << " includes " << include.name << ", and " << from << " may not use " << to;
    }
    EXPECT_GT(checked, 100u) << "hardly any includes were found: is the pattern still right?";
}

TEST(Layering, arrows_between_rooms_point_one_way) {
    std::map<std::string, std::set<std::string>> uses;
    for (const auto& include : includes())
        if (const fs::path named = include.name; include.quoted && named.has_parent_path() && fs::is_directory(kSource / room_of(named)) && room_of(named) != room_of(include.file))
            uses[room_of(include.file)].insert(room_of(named));
    // Rooms without unmet uses are taken away until none is left; what is left stands in a circle.
    for (bool taken = true; taken;) {
        taken = false;
        for (auto at = uses.begin(); at != uses.end();) {
            const bool free = std::ranges::none_of(at->second, [&](const std::string& used) { return uses.contains(used); });
            taken = taken || free;
            at = free ? uses.erase(at) : std::next(at);
        }
    }
    for (const auto& [room, used] : uses) ADD_FAILURE() << room << " stands in a circle of includes";
}

TEST(Layering, an_include_of_another_folder_names_a_room) {
    for (const auto& include : includes())
        EXPECT_FALSE(include.quoted && include.name.find("..") != std::string::npos) << "src/" << include.file.string() << ":" << include.line << " includes " << include.name;
}

TEST(Layering, libtorch_headers_stand_only_in_sources_of_train) {
    std::size_t found = 0;
    for (const auto& include : includes()) {
        const bool libtorch = std::regex_search(include.name, std::regex("^(torch|ATen|c10|caffe2)/"));
        found += libtorch;
        EXPECT_TRUE(!libtorch || (room_of(include.file) == "train" && include.file.extension() == ".cpp"))
            << "src/" << include.file.string() << ":" << include.line << " includes <" << include.name << ">";
    }
    EXPECT_GT(found, 0u) << "train/ includes no libtorch at all: is the pattern still right?";
}

TEST(Layering, instruction_set_headers_stand_only_in_avx_files) {
    for (const auto& include : includes()) {
        const auto file = include.file.filename().string();
        EXPECT_TRUE(include.name != "immintrin.h" || file.find("avx") != std::string::npos) << "src/" << include.file.string() << ":" << include.line;
    }
}

}  // namespace
}  // namespace perennial
