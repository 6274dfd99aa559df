// CSV import: survey, decide, then events. Threads: see import.h.
#include <fmt/format.h>

#include <algorithm>

#include "base/hash.h"
#include "base/progress.h"
#include "base/text.h"
#include "ingest/cleaning.h"
#include "ingest/csv.h"
#include "ingest/json_text.h"
#include "ingest/pipeline.h"
#include "ingest/quarantine.h"
#include "ingest/readers.h"
#include "ingest/row.h"

namespace perennial::ingest {
namespace {

constexpr std::uint64_t kRowsPerTick = 4096;   // between two updates of the progress bar
constexpr std::size_t kSampleTextBytes = 120;

// A row's identity: its fields, whatever quotes or separators they came in.
Hash128 hash_of(std::span<const std::string_view> fields, std::string& scratch) {
    scratch.clear();
    for (const auto field : fields) {
        scratch.append(field);
        scratch.push_back('\x1f');
    }
    return hash128(scratch);
}

class CsvImport {
public:
    CsvImport(const std::filesystem::path& path, const ImportOptions& options, const Sink& sink, BoundMapping bound, RuleSet rules)
        : path_(path), options_(options), sink_(sink), bound_(std::move(bound)), rules_(rules), survey_(bound_.mapping, rules),
          received_(options.received.value_or(wall_clock_now())) {
        for (std::size_t i = 0; i < kRuleCount; ++i) {
            const auto rule = static_cast<Rule>(i);
            report_.rules.push_back({.name = std::string(name(rule)), .enabled = rules.on(rule), .effect = std::string(effect(rule))});
        }
    }

    Result<ImportReport> run() {
        const double start = monotonic_seconds();
        PERENNIAL_TRY(read_all("survey", [this](const CsvRow& row, RowReader& reader) { return look_at(row, reader); }));
        survey_.decide();
        if (!options_.quarantine_dir.empty()) {
            auto quarantine = Quarantine::open(options_.quarantine_dir);
            if (!quarantine) return quarantine.error();
            quarantine_ = std::move(*quarantine);
        }
        auto receipt = emit_all();
        if (!receipt) return receipt.error();
        PERENNIAL_TRY(quarantine_.sync());
        fill_report(*receipt, monotonic_seconds() - start);
        return std::move(report_);
    }

private:
    template <class Visit>
    Status read_all(std::string_view label, Visit&& visit) {
        auto reader = CsvReader::open(path_);
        if (!reader) return reader.error();
        RowReader fields(bound_);
        std::optional<Progress> progress;
        if (options_.show_progress) progress.emplace(fmt::format("{} {}", label, path_.filename().string()), 0, "rows");
        CsvRow row;
        for (std::uint64_t rows = 1;; ++rows) {
            auto got = reader->next(row);
            if (!got) return got.error();
            if (progress && (rows % kRowsPerTick == 0 || !*got)) {
                progress->set_share(*got ? std::min(reader->share_read(), 0.999) : 1);
                progress->advance((rows - 1) % kRowsPerTick + (*got ? 1 : 0));
            }
            if (!*got) return Done{};
            PERENNIAL_TRY(visit(row, fields));
        }
    }

    Status look_at(const CsvRow& row, RowReader& reader) {
        if (survey_.rows() >= kRowsLimit)
            return Error{Code::kFull, fmt::format("{}: want at most {} rows in one file, got more: split it", path_.string(), kRowsLimit)};
        RowFields fields;
        const std::string problem = row.problem.empty() ? reader.read(row, fields) : row.problem;
        if (problem.empty()) {
            survey_.add(fields, hash_of(row.fields, scratch_));
            return Done{};
        }
        if (!rules_.on(Rule::kUnparseableRows))
            return Error{Code::kInvalid, fmt::format("{}: line {}: {} (the rule unparseable_rows is off)", path_.string(), row.line, problem)};
        survey_.add_unreadable();
        return Done{};
    }

    Result<SinkReceipt> emit_all() {
        EventPipe pipe(sink_, options_.batch_events);
        std::uint32_t number = 0;
        bool sink_failed = false;
        auto status = read_all("import", [&](const CsvRow& row, RowReader& reader) -> Status {
            if (number >= survey_.rows()) return Error{Code::kInvalid, fmt::format("{}: the file grew while it was read", path_.string())};
            PERENNIAL_TRY(emit(row, reader, number++, pipe, sink_failed));
            return sink_failed ? Status(Error{}) : Status(Done{});
        });
        if (!status && !sink_failed) return status.error();
        if (status && number != survey_.rows()) return Error{Code::kInvalid, fmt::format("{}: the file shrank while it was read", path_.string())};
        auto receipt = pipe.finish();
        report_.events = pipe.events();
        return receipt;
    }

    Status emit(const CsvRow& row, RowReader& reader, std::uint32_t number, EventPipe& pipe, bool& sink_failed) {
        RowFields fields;
        std::string problem = row.problem.empty() ? reader.read(row, fields) : row.problem;
        Fate fate = survey_.fate_of(number);
        const Rule rule = survey_.rule_of(number);
        if (problem.empty() && fate == Fate::kQuarantined) problem = std::string(survey_.judge(fields).reason);
        if (problem.empty() && fate == Fate::kDuplicateRow) {
            count(fate, rule, row);
            return Done{};
        }
        if (problem.empty()) {
            event::Event event = make_event(fields, fate, number, hash_of(row.fields, scratch_), row);
            if (auto valid = event::validate(event); !valid) {
                problem = valid.error().message;
            } else {
                count(fate, rule, row);
                note_time(event.time, pipe.events() == 0);
                sink_failed = !pipe.add(std::move(event));
                return Done{};
            }
        }
        count(Fate::kQuarantined, fate == Fate::kQuarantined ? rule : Rule::kUnparseableRows, row, problem);
        return quarantine_.add(path_.filename().string(), row.line, problem, row.raw, received_);
    }

    void count(Fate fate, Rule rule, const CsvRow& row, std::string_view problem = {}) {
        ++fates_[static_cast<std::size_t>(fate)];
        // A plain line was decided by no rule.
        if (fate != Fate::kOrderLine && fate != Fate::kEvent) note(rule, row, problem);
    }

    void note(Rule rule, const CsvRow& row, std::string_view problem = {}) {
        auto& rule_report = report_.rules[static_cast<std::size_t>(rule)];
        ++rule_report.rows;
        if (rule_report.samples.size() >= kSamplesLimit) return;
        std::string text(clip(row.raw, kSampleTextBytes));
        if (!problem.empty()) text = fmt::format("{} | {}", problem, text);
        rule_report.samples.push_back({row.line, std::move(text)});
    }

    void note_time(UtcTime time, bool first) {
        if (first || time < report_.first_time) report_.first_time = time;
        if (first || time > report_.last_time) report_.last_time = time;
    }

    event::Event make_event(const RowFields& fields, Fate fate, std::uint32_t number, const Hash128& row_hash, const CsvRow& row) {
        event::Event event;
        event.kind = fields.kind;
        event.channel = fields.channel;
        event.currency = fields.currency;
        event.time = fields.time;
        event.received = received_;
        event.message_id = fields.message_id.empty() ? "row-" + hex(row_hash) : std::string(fields.message_id);
        if (const auto copy = survey_.occurrence_of(number); copy > 1) event.message_id += fmt::format("#{}", copy);
        event.user_id = fields.user_id;
        event.anonymous_id = fields.anonymous_id;
        if (!fields.email.empty()) {
            event.email_hash = hex(hash128(lower(fields.email)));
            if (event.user_id.empty() && event.anonymous_id.empty()) event.user_id = "email-" + event.email_hash;
        }
        event.product = fields.product;
        event.title = fields.title;
        if (fields.title.empty() && rules_.on(Rule::kMissingDescription) && !fields.product.empty()) {
            event.title = survey_.usual_title(fields.product);
            if (!event.title.empty()) note(Rule::kMissingDescription, row);
        }
        event.category = fields.category;
        event.quantity = fields.quantity < 0 ? -fields.quantity : fields.quantity;
        event.price = fields.price;
        event.amount = fields.amount;
        event.order_id = fields.order_id;
        event.query = fields.query;
        event.text = fields.text;
        event.campaign = fields.campaign;
        event.coupon = fields.coupon;
        event.rating = fields.rating;
        event.name = fields.kind_text;
        properties_ = "{";
        for (const auto& [json_name, column] : bound_.properties)
            if (const auto value = trim(row.fields[static_cast<std::size_t>(column)]); !value.empty()) append_json_member(properties_, json_name, value);
        shape(event, fields, fate, number);
        if (properties_.size() > 1) event.properties = properties_ + "}";
        return event;
    }

    // What is particular to each fate.
    void shape(event::Event& event, const RowFields& fields, Fate fate, std::uint32_t number) {
        switch (fate) {
            case Fate::kOrderLine:
            case Fate::kAnonymousOrderLine: event.kind = event::Kind::kOrderCompleted; break;
            case Fate::kRefundLine: shape_refund(event, number); break;
            case Fate::kCharge:
                event.kind = event::Kind::kOrderCharge;
                event.name = std::exchange(event.product, {});
                if (fields.refund && event.amount.minor > 0) event.amount.minor = -event.amount.minor;
                break;
            case Fate::kStockAdjustment: shape_stock_change(event, fields); break;
            case Fate::kVoided:
                event.name = "voided_order_line";
                if (fields.refund) event.amount.minor = -std::abs(event.amount.minor);
                append_json_member(properties_, "was", fields.refund ? "order_refunded" : "order_completed");
                event.kind = event::Kind::kCustom;
                break;
            case Fate::kFreeItem:
                event.kind = event::Kind::kCustom;
                event.name = "free_item";
                break;
            case Fate::kEvent:
            case Fate::kDuplicateRow:
            case Fate::kQuarantined: break;
        }
    }

    void shape_refund(event::Event& event, std::uint32_t number) {
        event.kind = event::Kind::kOrderRefunded;
        event.amount.minor = -std::abs(event.amount.minor);
        const Cancelled* cancelled = survey_.cancelled_by(number);
        if (!cancelled) return;
        append_json_member(properties_, "cancels", survey_.order_id(cancelled->orders.front()));
        if (cancelled->units < event.quantity) properties_ += fmt::format(",\"cancelled_units\":{}", cancelled->units);
        if (cancelled->orders.size() == 1) return;
        properties_ += ",\"also_cancels\":[";
        for (std::size_t i = 1; i < cancelled->orders.size(); ++i) {
            if (i > 1) properties_ += ',';
            append_json_string(properties_, survey_.order_id(cancelled->orders[i]));
        }
        properties_ += ']';
    }

    // The document is not an order of anybody, and the note ("damaged", "found") is not the product's name.
    void shape_stock_change(event::Event& event, const RowFields& fields) {
        event.kind = event::Kind::kStockChanged;
        if (properties_.size() > 1) properties_ += ',';
        properties_ += fmt::format("\"delta\":{}", fields.quantity);
        if (!event.order_id.empty()) append_json_member(properties_, "reference", std::exchange(event.order_id, {}));
        const auto usual = survey_.usual_title(fields.product);
        if (!fields.title.empty() && fields.title != usual) {
            append_json_member(properties_, "reason", fields.title);
            if (!usual.empty()) event.title = usual;
        }
        event.price = event.amount = {};
    }

    void fill_report(const SinkReceipt& receipt, double seconds) {
        const SurveyFacts& facts = survey_.facts();
        report_.file = path_.string();
        report_.format = "csv";
        report_.mapping = bound_.mapping.name;
        report_.rows = facts.rows;
        report_.facts = {{"rows", facts.rows}, {"exact_duplicates", facts.exact_duplicates}, {"invoices", facts.invoices},
                         {"cancellation_lines", facts.cancellation_lines}, {"rows_without_customer", facts.rows_without_customer},
                         {"customers", facts.customers},
                         {"negative_quantities_outside_cancellations", facts.negative_quantities_outside_cancellations},
                         {"prices_not_positive", facts.prices_not_positive}, {"products", facts.products}};
        for (std::size_t i = 0; i < kFateCount; ++i) report_.fates.push_back({std::string(name(static_cast<Fate>(i))), fates_[i]});
        report_.rules[static_cast<std::size_t>(Rule::kCancellations)].details = {
            {"matched", survey_.refunds_matched}, {"matched_in_part", survey_.refunds_matched_in_part}, {"unmatched", survey_.refunds_unmatched}};
        report_.accepted = receipt.accepted;
        report_.already_known = receipt.already_known;
        report_.seconds = seconds;
        report_.rows_per_second = seconds > 0 ? static_cast<double>(facts.rows) / seconds : 0;
        if (quarantine_.count() > 0 && !options_.quarantine_dir.empty())
            report_.quarantine_file = (options_.quarantine_dir / kQuarantineFile).string();
    }

    const std::filesystem::path& path_;
    const ImportOptions& options_;
    const Sink& sink_;
    BoundMapping bound_;
    RuleSet rules_;
    Survey survey_;
    UtcTime received_;
    Quarantine quarantine_;
    ImportReport report_;
    std::array<std::uint64_t, kFateCount> fates_{};
    std::string scratch_, properties_;
};

}  // namespace

Result<ImportReport> import_csv(const std::filesystem::path& path, const ImportOptions& options, const Sink& sink, std::optional<Mapping> mapping) {
    auto rules = RuleSet::without(options.disabled_rules);
    if (!rules) return rules.error();
    auto reader = CsvReader::open(path);
    if (!reader) return reader.error();
    if (!mapping) {
        auto found = detect_mapping(reader->header());
        if (!found) return Error{found.error().code, fmt::format("{}: {}", path.string(), found.error().message)};
        mapping = std::move(*found);
    }
    if (options.currency) mapping->currency = *options.currency;
    auto bound = bind_columns(*mapping, reader->header());
    if (!bound) return Error{bound.error().code, fmt::format("{}: {}", path.string(), bound.error().message)};
    return CsvImport(path, options, sink, std::move(*bound), *rules).run();
}

}  // namespace perennial::ingest
