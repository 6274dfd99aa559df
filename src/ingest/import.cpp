#include "ingest/import.h"

#include <algorithm>
#include <array>

#include "base/file.h"
#include "base/text.h"
#include "ingest/readers.h"

namespace perennial::ingest {
namespace {

// A CSV header does not begin with a brace; a JSON line begins with nothing else.
Result<bool> looks_like_json(const std::filesystem::path& path) {
    auto source = ByteSource::open(path);
    if (!source) return source.error();
    std::array<char, 4096> front{};
    auto got = source->read(front.data(), front.size());
    if (!got) return got.error();
    std::string_view text(front.data(), *got);
    if (text.starts_with("\xEF\xBB\xBF")) text.remove_prefix(3);
    return trim(text).starts_with('{');
}

}  // namespace

Result<ImportReport> import_file(const std::filesystem::path& path, const ImportOptions& options, const Sink& sink) {
    auto json = looks_like_json(path);
    if (!json) return json.error();
    if (options.mapping == kSegmentMapping || (options.mapping.empty() && *json)) return import_jsonl(path, options, sink);
    if (options.mapping.empty()) return import_csv(path, options, sink, std::nullopt);
    auto mapping = load_mapping(options.mapping);
    if (!mapping) return mapping.error();
    return import_csv(path, options, sink, std::move(*mapping));
}

}  // namespace perennial::ingest
