// Import of JSON lines: one Segment-spec message, or {"batch":[...]}, a line. One reading. Threads: see import.h.
#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <unordered_set>

#include "base/file.h"
#include "base/hash.h"
#include "base/progress.h"
#include "base/text.h"
#include "ingest/pipeline.h"
#include "ingest/quarantine.h"
#include "ingest/readers.h"
#include "ingest/segment.h"

namespace perennial::ingest {
namespace {

constexpr std::size_t kChunkBytes = 256 * 1024;
// A line may hold a whole batch; twice its limit leaves room for blanks that minifying removes.
constexpr std::size_t kLineBytesLimit = 2 * kBatchBytesLimit;
constexpr std::size_t kSampleTextBytes = 120;
constexpr std::uint64_t kLinesPerTick = 1024;

// Lines of a file; a line over the limit is handed over cut, and marked.
class LineReader {
public:
    explicit LineReader(ByteSource source) : source_(std::move(source)) {}

    struct Line { std::string_view text; bool cut = false; };

    Result<bool> next(Line& line) {
        line.cut = false;
        for (std::size_t seen = 0;;) {
            const void* found = end_ > begin_ + seen ? std::memchr(buffer_.data() + begin_ + seen, '\n', end_ - begin_ - seen) : nullptr;
            if (found || ended_) {
                const std::size_t length = found ? static_cast<std::size_t>(static_cast<const char*>(found) - buffer_.data()) - begin_ : end_ - begin_;
                if (!found && length == 0) return false;
                line.text = {buffer_.data() + begin_, length};
                begin_ = std::min(end_, begin_ + length + 1);
                return true;
            }
            seen = end_ - begin_;
            if (seen > kLineBytesLimit) return pass_over(line);
            PERENNIAL_TRY(refill());
        }
    }

    double share_read() const noexcept {
        return source_.size() == 0 ? 1 : static_cast<double>(source_.position()) / static_cast<double>(source_.size());
    }

private:
    Status refill() {
        if (begin_ > 0) std::memmove(buffer_.data(), buffer_.data() + begin_, end_ - begin_);
        end_ -= begin_;
        begin_ = 0;
        if (buffer_.size() < end_ + kChunkBytes) buffer_.resize(end_ + kChunkBytes);
        auto got = source_.read(buffer_.data() + end_, kChunkBytes);
        if (!got) return got.error();
        end_ += *got;
        ended_ = *got == 0;
        return Done{};
    }

    Result<bool> pass_over(Line& line) {
        line.cut = true;
        start_.assign(buffer_.data() + begin_, kSampleTextBytes);
        line.text = start_;
        for (;;) {
            const void* found = std::memchr(buffer_.data() + begin_, '\n', end_ - begin_);
            begin_ = found ? static_cast<std::size_t>(static_cast<const char*>(found) - buffer_.data()) + 1 : end_;
            if (found || ended_) return true;
            PERENNIAL_TRY(refill());
        }
    }

    ByteSource source_;
    std::vector<char> buffer_;
    std::size_t begin_ = 0, end_ = 0;
    bool ended_ = false;
    std::string start_;
};

// Facts about what came; hashes instead of texts, so a customer costs 16 bytes or so.
struct Facts {
    std::unordered_set<std::uint64_t> customers, products, orders;
    std::array<std::uint64_t, event::kKindCount> kinds{};

    void add(const event::Event& event) {
        ++kinds[static_cast<std::size_t>(event.kind)];
        const auto& customer = event.user_id.empty() ? event.anonymous_id : event.user_id;
        if (!customer.empty()) customers.insert(hash64(customer));
        if (!event.product.empty()) products.insert(hash64(event.product));
        if (!event.order_id.empty()) orders.insert(hash64(event.order_id));
    }
};

}  // namespace

Result<ImportReport> import_jsonl(const std::filesystem::path& path, const ImportOptions& options, const Sink& sink) {
    const double start = monotonic_seconds();
    auto source = ByteSource::open(path);
    if (!source) return source.error();
    Quarantine quarantine;
    if (!options.quarantine_dir.empty()) {
        auto opened = Quarantine::open(options.quarantine_dir);
        if (!opened) return opened.error();
        quarantine = std::move(*opened);
    }
    const SegmentContext context{.received = options.received.value_or(wall_clock_now()), .currency = options.currency.value_or(Currency{}),
                                 .needs_time = true, .channel = event::Channel::kImport};
    ImportReport report;
    report.file = path.string();
    report.format = "jsonl";
    report.mapping = kSegmentMapping;
    RuleReport rejected{.name = "unparseable_rows", .effect = "kept in the quarantine file with the reason"};
    LineReader lines(std::move(*source));
    SegmentParser parser;
    EventPipe pipe(sink, options.batch_events);
    std::optional<Progress> progress;
    if (options.show_progress) progress.emplace(fmt::format("import {}", path.filename().string()), 0, "messages");
    Facts facts;
    LineReader::Line line;
    std::uint64_t number = 0, kept = 0, unticked = 0;
    const auto reject = [&](std::string_view reason, std::string_view raw) {
        ++report.rows;
        ++rejected.rows;
        if (rejected.samples.size() < kSamplesLimit) rejected.samples.push_back({number, fmt::format("{} | {}", reason, clip(to_utf8(clip(raw, kSampleTextBytes)), kSampleTextBytes))});
        return quarantine.add(path.filename().string(), number, reason, raw, context.received);
    };
    for (bool open = true; open;) {
        auto got = lines.next(line);
        if (!got) return got.error();
        if (!*got) break;
        ++number;
        if (number == 1 && line.text.starts_with("\xEF\xBB\xBF")) line.text.remove_prefix(3);
        if (trim(line.text).empty()) continue;
        if (line.cut) {
            PERENNIAL_TRY(reject(fmt::format("line: want at most {} bytes, got more", kLineBytesLimit), line.text));
            continue;
        }
        auto parsed = parser.parse_message(line.text, {}, context);
        if (!parsed) {
            PERENNIAL_TRY(reject(parsed.error().message, line.text));
            continue;
        }
        for (const auto& bad : parsed->rejects) PERENNIAL_TRY(reject(bad.reason, bad.raw));
        report.rows += parsed->messages - parsed->rejects.size();
        kept += parsed->messages - parsed->rejects.size();
        for (auto& event : parsed->events) {
            facts.add(event);
            if (pipe.events() == 0 || event.time < report.first_time) report.first_time = event.time;
            if (pipe.events() == 0 || event.time > report.last_time) report.last_time = event.time;
            if (!(open = pipe.add(std::move(event)))) break;
        }
        if (progress && ++unticked == kLinesPerTick) {
            progress->set_share(std::min(lines.share_read(), 0.999));
            progress->advance(std::exchange(unticked, 0));
        }
    }
    if (progress) progress->advance(unticked);
    report.events = pipe.events();
    auto receipt = pipe.finish();
    if (!receipt) return receipt.error();
    PERENNIAL_TRY(quarantine.sync());
    report.accepted = receipt->accepted;
    report.already_known = receipt->already_known;
    report.facts = {{"rows", report.rows}, {"lines", number}, {"customers", facts.customers.size()}, {"products", facts.products.size()}, {"orders", facts.orders.size()}};
    for (std::size_t i = 0; i < event::kKindCount; ++i)
        if (facts.kinds[i] > 0) report.facts.push_back({fmt::format("{}_events", event::name(static_cast<event::Kind>(i))), facts.kinds[i]});
    report.fates = {{"event", kept}, {"quarantined", rejected.rows}};
    report.rules = {std::move(rejected)};
    report.seconds = monotonic_seconds() - start;
    report.rows_per_second = report.seconds > 0 ? static_cast<double>(report.rows) / report.seconds : 0;
    if (quarantine.count() > 0 && !options.quarantine_dir.empty()) report.quarantine_file = (options.quarantine_dir / kQuarantineFile).string();
    return report;
}

}  // namespace perennial::ingest
