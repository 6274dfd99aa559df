// Rows of a PostgreSQL table or query, a page at a time by a cursor column that only grows, as CSV files for import_file.
// A page is on the disk, with the cursor that follows it, before anything of it is imported, and stays there until all of it
// is durable: so a death at any point ends with the same bytes imported again, which known message ids make harmless, and
// each row version that the cursor has passed comes in exactly once. docs/formats/postgres-pull.md. Threads: one at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <functional>
#include <string>

#include "base/result.h"

namespace perennial::ingest {

struct PullOptions {
    std::string connection;             // libpq's: "host=... dbname=..." or "postgresql://..."; PGPASSWORD and .pgpass count
    std::string table, query;           // one of them; a table may be named schema.table
    std::string cursor;                 // a column of it that only grows and is never null
    std::filesystem::path directory;    // where page and cursor are kept, one folder a pull; made when it is missing
    std::size_t page_rows = 100'000;    // more where the last row shares its cursor value with others
};

struct PullReport { std::uint64_t pages = 0, rows = 0; std::string cursor; };

// Imports a page: durable on return.
using PullPage = std::function<Status(const std::filesystem::path& csv)>;

// Until no row lies beyond the cursor. Errors: kInvalid (options, SQL, an unknown column), kIo (the connection, the disk),
// and `page`'s. After an error the next pull goes on from the same place.
Result<PullReport> pull_postgres(const PullOptions& options, const PullPage& page);

// The folder's name of a pull: made of what it reads and its cursor, never of the connection (which may hold a password).
std::string pull_name(const PullOptions& options);

}  // namespace perennial::ingest
