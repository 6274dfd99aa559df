// Which product has which number in a trained model. Fixed when training starts; products that come later have none and
// read as kNoProduct until the next training.
// Threads: const after construction.
#pragma once

#include <cstdint>
#include <filesystem>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

#include "base/hash.h"
#include "base/result.h"

namespace perennial::sequence {

inline constexpr std::int32_t kNoProduct = -1;

class Vocabulary {
public:
    Vocabulary() = default;
    explicit Vocabulary(std::vector<std::string> products);

    std::size_t size() const noexcept { return products_.size(); }
    const std::string& operator[](std::int32_t number) const { return products_[static_cast<std::size_t>(number)]; }
    std::int32_t find(std::string_view product) const;

    // One product id a line, in order of number (docs/formats/models.md).
    Status save(const std::filesystem::path& path) const;
    static Result<Vocabulary> load(const std::filesystem::path& path);

private:
    std::vector<std::string> products_;
    std::unordered_map<std::string, std::int32_t, StringHash, std::equal_to<>> numbers_;
};

}  // namespace perennial::sequence
