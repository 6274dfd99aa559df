#include "sequence/vocabulary.h"

#include <fmt/format.h>

#include "base/file.h"

namespace perennial::sequence {
namespace {

constexpr std::string_view kFirstLine = "perennial.vocabulary 1";

}  // namespace

Vocabulary::Vocabulary(std::vector<std::string> products) : products_(std::move(products)) {
    numbers_.reserve(products_.size());
    for (std::size_t i = 0; i < products_.size(); ++i) numbers_.emplace(products_[i], static_cast<std::int32_t>(i));
}

std::int32_t Vocabulary::find(std::string_view product) const {
    const auto found = numbers_.find(product);
    return found == numbers_.end() ? kNoProduct : found->second;
}

Status Vocabulary::save(const std::filesystem::path& path) const {
    std::string text(kFirstLine);
    for (const auto& product : products_) (text += '\n') += product;
    return write_file(path, text + '\n');
}

Result<Vocabulary> Vocabulary::load(const std::filesystem::path& path) {
    auto text = read_file(path);
    if (!text) return text.error();
    std::string_view rest = *text;
    std::vector<std::string> products;
    bool first = true;
    while (!rest.empty()) {
        const auto end = rest.find('\n');
        if (end == std::string_view::npos) return Error{Code::kCorrupt, fmt::format("{}: the last line is cut short", path.string())};
        const auto line = rest.substr(0, end);
        if (first && line != kFirstLine) return Error{Code::kCorrupt, fmt::format("{}: want '{}' first", path.string(), kFirstLine)};
        if (!first) products.emplace_back(line);
        first = false;
        rest.remove_prefix(end + 1);
    }
    return Vocabulary(std::move(products));
}

}  // namespace perennial::sequence
