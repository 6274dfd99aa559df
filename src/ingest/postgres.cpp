#include "ingest/postgres.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <libpq-fe.h>

#include <boost/json.hpp>
#include <memory>
#include <optional>
#include <utility>

#include "base/file.h"
#include "base/hash.h"
#include "base/log.h"
#include "base/text.h"
#include "ingest/json_fields.h"

namespace perennial::ingest {
namespace {

namespace fs = std::filesystem;

struct CloseConnection { void operator()(PGconn* c) const noexcept { PQfinish(c); } };
struct ClearResult { void operator()(PGresult* r) const noexcept { PQclear(r); } };
using Connection = std::unique_ptr<PGconn, CloseConnection>;
using Answer = std::unique_ptr<PGresult, ClearResult>;

// The first line says what is wrong; the next ones draw where.
std::string_view first_line(PGconn* connection) {
    const std::string_view text = trim(PQerrorMessage(connection));
    return text.substr(0, text.find('\n'));
}

Error database_error(PGconn* connection, std::string_view what) {
    return {PQstatus(connection) == CONNECTION_OK ? Code::kInvalid : Code::kIo, fmt::format("postgres {}: {}", what, first_line(connection))};
}

Result<Answer> run(PGconn* connection, const std::string& sql, std::string_view what) {
    Answer answer(PQexec(connection, sql.c_str()));
    const auto status = PQresultStatus(answer.get());
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK && status != PGRES_COPY_OUT) return database_error(connection, what);
    return answer;
}

std::string quoted_name(std::string_view name) {
    std::string quoted = "\"";
    for (const char c : name) quoted += c == '"' ? std::string("\"\"") : std::string(1, c);
    return quoted + '"';
}

std::string quoted_table(std::string_view table) {
    const auto dot = table.find('.');
    if (dot == std::string_view::npos) return quoted_name(table);
    return quoted_name(table.substr(0, dot)) + "." + quoted_name(table.substr(dot + 1));
}

Result<std::string> quoted_text(PGconn* connection, const std::string& text) {
    char* literal = PQescapeLiteral(connection, text.data(), text.size());
    if (!literal) return database_error(connection, "cursor");
    std::string out(literal);
    PQfreemem(literal);
    return out;
}

// cursor.json: where the pull stands, and where it will stand once page.csv is imported.
struct Place {
    std::optional<std::string> cursor, page_cursor;  // page_cursor: page.csv waits for its import
    std::uint64_t page_rows = 0;
};

Result<Place> read_place(const fs::path& path) {
    auto text = read_file(path, 1 << 20);
    if (!text && text.error().code == Code::kNotFound) return Place{};
    if (!text) return text.error();
    const auto fields = parse_object(*text);
    if (!fields) return Error{Code::kCorrupt, fmt::format("{}: want a pull's place: {}", path.string(), fields.error().message)};
    Place place;
    if (const auto* at = fields->if_contains("cursor"); at && at->is_string()) place.cursor = at->as_string();
    if (const auto* at = fields->if_contains("page_cursor"); at && at->is_string()) place.page_cursor = at->as_string();
    place.page_rows = static_cast<std::uint64_t>(number_field(*fields, "page_rows"));
    return place;
}

Status write_place(const fs::path& path, const Place& place) {
    boost::json::object fields;
    if (place.cursor) fields["cursor"] = *place.cursor;
    if (place.page_cursor) fields["page_cursor"] = *place.page_cursor;
    fields["page_rows"] = place.page_rows;
    PERENNIAL_TRY(write_file(path, boost::json::serialize(fields) + "\n"));
    return sync_directory(path.parent_path());
}

// The rows of a COPY ... TO STDOUT into a file that is on the disk on return. Returns how many.
Result<std::uint64_t> copy_out(PGconn* connection, const std::string& sql, const fs::path& path) {
    auto begun = run(connection, sql, "page");
    if (!begun) return begun.error();
    auto fd = open_file(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC);
    if (!fd) return fd.error();
    for (;;) {
        char* bytes = nullptr;
        const int length = PQgetCopyData(connection, &bytes, 0);
        if (length == -1) break;
        if (length < 0) return database_error(connection, "page");
        const auto written = write_all(fd->get(), {bytes, static_cast<std::size_t>(length)}, path.string());
        PQfreemem(bytes);
        if (!written) return written.error();
    }
    const Answer ended(PQgetResult(connection));
    if (PQresultStatus(ended.get()) != PGRES_COMMAND_OK) return database_error(connection, "page");
    while (const Answer rest{PQgetResult(connection)}) {}
    PERENNIAL_TRY(sync_data(fd->get(), path.string()));
    PERENNIAL_TRY(sync_directory(path.parent_path()));
    return static_cast<std::uint64_t>(to_integer(PQcmdTuples(ended.get())).value_or(0));
}

class Pull {
public:
    Pull(const PullOptions& options, const PullPage& page)
        : options_(options), page_(page), place_path_(options.directory / "cursor.json"), page_path_(options.directory / "page.csv") {}

    Result<PullReport> all() {
        auto place = read_place(place_path_);
        if (!place) return place.error();
        place_ = std::move(*place);
        if (place_.page_cursor) PERENNIAL_TRY(take_page());
        connection_.reset(PQconnectdb(options_.connection.c_str()));
        if (PQstatus(connection_.get()) != CONNECTION_OK) return Error{Code::kIo, fmt::format("postgres connect: {}", first_line(connection_.get()))};
        PQsetNoticeProcessor(connection_.get(), [](void*, const char*) {}, nullptr);
        PERENNIAL_TRY(run(connection_.get(), "SET DateStyle = 'ISO'; SET TimeZone = 'UTC'; SET client_encoding = 'UTF8'", "settings"));
        for (;;) {
            auto more = fetch_page();
            if (!more) return more.error();
            if (!*more) break;
            PERENNIAL_TRY(take_page());
        }
        report_.cursor = place_.cursor.value_or(std::string());
        return report_;
    }

private:
    // One snapshot for finding the page's end and for reading it.
    Result<bool> fetch_page() {
        auto* connection = connection_.get();
        PERENNIAL_TRY(run(connection, "BEGIN ISOLATION LEVEL REPEATABLE READ READ ONLY", "begin"));
        auto more = fetch_in_transaction();
        auto ended = run(connection, "ROLLBACK", "end");
        if (!more) return more;
        if (!ended) return ended.error();
        return more;
    }

    Result<bool> fetch_in_transaction() {
        auto* connection = connection_.get();
        const auto column = quoted_name(options_.cursor);
        const auto source = options_.table.empty() ? "(" + options_.query + ")" : quoted_table(options_.table);
        std::string beyond = column + " IS NOT NULL";
        if (place_.cursor) {
            const auto literal = quoted_text(connection, *place_.cursor);
            if (!literal) return literal.error();
            beyond = column + " > " + *literal;
        }
        // The page ends with the page_rows-th row beyond the cursor, and takes all that share its value.
        const auto last = run(connection, fmt::format("SELECT max({0})::text FROM (SELECT {0} FROM {1} AS perennial_source WHERE {2} ORDER BY {0} LIMIT {3}) AS perennial_page", column, source, beyond,
                                                      std::max<std::size_t>(1, options_.page_rows)), "cursor");
        if (!last) return last.error();
        if (PQntuples(last->get()) == 0 || PQgetisnull(last->get(), 0, 0)) return false;
        const std::string end = PQgetvalue(last->get(), 0, 0);
        const auto end_literal = quoted_text(connection, end);
        if (!end_literal) return end_literal.error();
        const auto rows = copy_out(connection, fmt::format("COPY (SELECT * FROM {1} AS perennial_source WHERE {2} AND {0} <= {3} ORDER BY {0}) TO STDOUT WITH (FORMAT csv, HEADER)", column, source,
                                                           beyond, *end_literal), page_path_);
        if (!rows) return rows.error();
        place_.page_cursor = end;
        place_.page_rows = *rows;
        PERENNIAL_TRY(write_place(place_path_, place_));
        return true;
    }

    Status take_page() {
        PERENNIAL_TRY(page_(page_path_));
        ++report_.pages;
        report_.rows += place_.page_rows;
        place_ = {.cursor = place_.page_cursor, .page_cursor = std::nullopt, .page_rows = 0};
        PERENNIAL_TRY(write_place(place_path_, place_));
        std::error_code ignored;
        fs::remove(page_path_, ignored);
        return Done{};
    }

    const PullOptions& options_;
    const PullPage& page_;
    const fs::path place_path_, page_path_;
    Place place_;
    PullReport report_;
    Connection connection_;
};

}  // namespace

std::string pull_name(const PullOptions& options) { return fmt::format("{:016x}", hash64(options.table + "\n" + options.query + "\n" + options.cursor)); }

Result<PullReport> pull_postgres(const PullOptions& options, const PullPage& page) {
    if (options.table.empty() == options.query.empty()) return Error{Code::kInvalid, "postgres: want a table or a query, one of them"};
    if (options.cursor.empty()) return Error{Code::kInvalid, "postgres: want a cursor column"};
    std::error_code error;
    fs::create_directories(options.directory, error);
    if (error) return Error{Code::kIo, fmt::format("create {}: {}", options.directory.string(), error.message())};
    return Pull(options, page).all();
}

}  // namespace perennial::ingest
