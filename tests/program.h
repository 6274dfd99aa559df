// Runs a program of this tree as a user would: arguments in, exit code, standard output and standard error out, never
// longer than a time limit. Nothing here sleeps: it waits on the process and its pipes.
// Threads: one Process is used from one thread.
#pragma once

#include <fcntl.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <boost/json.hpp>
#include <cctype>
#include <cerrno>
#include <chrono>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <optional>
#include <sstream>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

namespace perennial::test {

namespace fs = std::filesystem;
namespace json = boost::json;
using Seconds = std::chrono::duration<double>;

struct ProcessOptions {
    Seconds time_limit{60};
    std::optional<rlim_t> file_bytes_limit;  // RLIMIT_FSIZE: what a full disk looks like to one process
    fs::path directory;                      // to run in; the test's own when empty
};

struct Outcome {
    int exit_code = -1;  // -1 when a signal ended it
    int signal = 0;
    bool timed_out = false;
    std::string out, err;
    double seconds = 0;
};

inline std::ostream& operator<<(std::ostream& out, const Outcome& o) {
    return out << "exit code " << o.exit_code << ", signal " << o.signal << (o.timed_out ? ", TIMED OUT" : "") << "\nstdout: " << o.out << "\nstderr: " << o.err;
}

class Process {
public:
    Process(const std::vector<std::string>& arguments, const ProcessOptions& options) : deadline_(Clock::now() + std::chrono::duration_cast<Clock::duration>(options.time_limit)) {
        std::array<int, 2> out{}, err{};
        if (::pipe2(out.data(), O_CLOEXEC) != 0 || ::pipe2(err.data(), O_CLOEXEC) != 0) throw std::runtime_error("pipe2");
        std::vector<char*> argv;
        for (const auto& argument : arguments) argv.push_back(const_cast<char*>(argument.c_str()));
        argv.push_back(nullptr);
        pid_ = ::fork();
        if (pid_ < 0) throw std::runtime_error("fork");
        if (pid_ == 0) {  // only calls that are safe after a fork
            ::setpgid(0, 0);
            ::prctl(PR_SET_PDEATHSIG, SIGKILL);
            ::dup2(out[1], STDOUT_FILENO);
            ::dup2(err[1], STDERR_FILENO);
            if (options.file_bytes_limit) {
                const rlimit limit{*options.file_bytes_limit, *options.file_bytes_limit};
                ::setrlimit(RLIMIT_FSIZE, &limit);
            }
            if (!options.directory.empty() && ::chdir(options.directory.c_str()) != 0) ::_exit(126);
            ::execv(argv[0], argv.data());
            ::_exit(127);
        }
        ::setpgid(pid_, pid_);
        ::close(out[1]);
        ::close(err[1]);
        out_ = out[0];
        err_ = err[0];
        pidfd_ = static_cast<int>(::syscall(SYS_pidfd_open, pid_, 0));
        if (pidfd_ < 0) throw std::runtime_error("pidfd_open");
        for (const int fd : {out_, err_}) ::fcntl(fd, F_SETFL, O_NONBLOCK);
    }
    Process(const Process&) = delete;
    Process& operator=(const Process&) = delete;
    ~Process() {
        if (!ended_) ::kill(-pid_, SIGKILL), reap();
        for (const int fd : {out_, err_, pidfd_}) ::close(fd);
    }

    pid_t pid() const { return pid_; }
    void signal(int number) const { ::kill(pid_, number); }

    // True once `text` stands on standard output; false when the program ended or `limit` passed before.
    bool wait_for_output(std::string_view text, Seconds limit) {
        const auto until = Clock::now() + std::chrono::duration_cast<Clock::duration>(limit);
        while (outcome_.out.find(text) == std::string::npos)
            if (ended_ || Clock::now() >= until) return false;
            else pump(until);
        return true;
    }
    // Reads what comes for `limit`; true when the program ended.
    bool wait_for_end(Seconds limit) {
        const auto until = Clock::now() + std::chrono::duration_cast<Clock::duration>(limit);
        while (!ended_ && Clock::now() < until) pump(until);
        return ended_;
    }
    Outcome finish() {
        while (!ended_ && Clock::now() < deadline_) pump(deadline_);
        if (!ended_) {
            outcome_.timed_out = true;
            ::kill(-pid_, SIGKILL);
            reap();
        }
        outcome_.seconds = Seconds(Clock::now() - start_).count();
        return outcome_;
    }
    const std::string& out() const { return outcome_.out; }

private:
    using Clock = std::chrono::steady_clock;

    void drain() {
        std::array<char, 65536> bytes;
        for (const auto& [fd, text] : {std::pair{out_, &outcome_.out}, std::pair{err_, &outcome_.err}})
            for (ssize_t got; (got = ::read(fd, bytes.data(), bytes.size())) > 0;) text->append(bytes.data(), static_cast<std::size_t>(got));
    }
    void pump(Clock::time_point until) {
        std::array<pollfd, 3> wait{{{pidfd_, POLLIN, 0}, {out_, POLLIN, 0}, {err_, POLLIN, 0}}};
        const auto left = std::chrono::ceil<std::chrono::milliseconds>(until - Clock::now()).count();
        // A pipe that its writer has closed would be ready for ever: then only the process is waited for.
        ::poll(wait.data(), closed_ ? 1 : 3, static_cast<int>(std::clamp<std::int64_t>(left, 0, 1 << 30)));
        closed_ = closed_ || ((wait[1].revents | wait[2].revents) & POLLHUP) != 0;
        drain();
        if (wait[0].revents != 0) reap();
    }
    void reap() {
        int status = 0;
        while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {}
        ended_ = true;
        drain();
        if (WIFEXITED(status)) outcome_.exit_code = WEXITSTATUS(status);
        else outcome_.signal = WTERMSIG(status);
    }

    pid_t pid_ = -1;
    int out_ = -1, err_ = -1, pidfd_ = -1;
    bool ended_ = false, closed_ = false;
    Clock::time_point start_ = Clock::now(), deadline_;
    Outcome outcome_;
};

inline std::vector<std::string> perennial(std::vector<std::string> arguments) {
    arguments.insert(arguments.begin(), PERENNIAL_PROGRAM);
    return arguments;
}
inline Outcome run(std::vector<std::string> arguments, const ProcessOptions& options = {}) {
    return Process(perennial(std::move(arguments)), options).finish();
}

// As run(), for steps that must work before the test can begin.
inline Outcome run_well(std::vector<std::string> arguments, const ProcessOptions& options = {}) {
    const auto outcome = run(std::move(arguments), options);
    if (outcome.exit_code != 0) {
        std::ostringstream text;
        text << outcome;
        throw std::runtime_error(text.str());
    }
    return outcome;
}

inline std::string read_text(const fs::path& path) {
    std::ifstream in(path, std::ios::binary);
    if (!in) throw std::runtime_error("read " + path.string());
    return {std::istreambuf_iterator<char>(in), {}};
}
inline void write_text(const fs::path& path, std::string_view text) {
    std::ofstream out(path, std::ios::binary | std::ios::trunc);
    out << text;
    if (!out.flush()) throw std::runtime_error("write " + path.string());
}

inline std::vector<std::string> split(std::string_view text, char separator) {
    std::vector<std::string> parts;
    for (std::size_t at = 0; at <= text.size();) {
        const auto end = std::min(text.find(separator, at), text.size());
        parts.emplace_back(text.substr(at, end - at));
        at = end + 1;
    }
    return parts;
}
inline std::vector<std::string> lines(std::string_view text) {
    auto all = split(text, '\n');
    if (!all.empty() && all.back().empty()) all.pop_back();
    return all;
}

// Rows of a plain table without quoted fields, by header name.
struct Table {
    std::vector<std::string> header;
    std::vector<std::vector<std::string>> rows;

    explicit Table(const fs::path& path) {
        for (const auto& line : lines(read_text(path)))
            if (header.empty()) header = split(line, ',');
            else rows.push_back(split(line, ','));
    }
    const std::string& at(std::size_t row, std::string_view column) const {
        const auto found = std::ranges::find(header, column);
        if (found == header.end()) throw std::runtime_error("no column " + std::string(column));
        return rows.at(row).at(static_cast<std::size_t>(found - header.begin()));
    }
};

// What the program said went wrong: the one line "perennial: ..." of standard error. Progress and logs ("hh:mm:ss info")
// may stand before it; anything else, or a second such line, fails.
inline std::string complaint(const Outcome& outcome) {
    std::string found;
    for (const auto& line : lines(outcome.err)) {
        if (!line.starts_with("perennial: ")) continue;
        EXPECT_EQ(found, "") << "more than one complaint\n" << outcome;
        found = line;
    }
    EXPECT_NE(found, "") << "no complaint\n" << outcome;
    if (!outcome.err.empty() && !found.empty()) {
        EXPECT_EQ(lines(outcome.err).back(), found) << "the complaint is the last line\n" << outcome;
    }
    return found;
}

inline std::uint64_t sum_of_fates(const json::value& report) {
    std::uint64_t sum = 0;
    for (const auto& fate : report.at("fates").as_array()) sum += fate.at("rows").to_number<std::uint64_t>();
    return sum;
}

// An export in the shape of UCI Online Retail: invoices of a few lines, cancellations, rows without a customer, and about
// one row in fifty repeated exactly. The same arguments give the same bytes.
struct Export {
    std::string csv;
    std::size_t rows = 0, duplicates = 0;
};
template <class Rng>
Export online_retail_export(std::size_t rows, Rng rng) {
    Export made;
    made.csv = "InvoiceNo,StockCode,Description,Quantity,InvoiceDate,UnitPrice,CustomerID,Country\n";
    std::size_t invoice = 536365, minute = 0;
    std::vector<std::string> recent;
    while (made.rows < rows) {
        minute += 1 + rng.below(40);
        const bool cancelled = rng.chance(0.02);
        const std::string customer = rng.chance(0.2) ? "" : std::to_string(12346 + rng.below(3000)) + ".0";
        char time[32];
        std::snprintf(time, sizeof time, "2011-%02zu-%02zu %02zu:%02zu:00", 1 + minute / 40320 % 12, 1 + minute / 1440 % 28, minute / 60 % 24, minute % 60);
        const auto count = 1 + rng.below(30);
        std::string row;
        for (std::uint64_t line = 0; line < count && made.rows < rows; ++line, ++made.rows) {
            if (line > 0 && rng.chance(0.02)) {
                ++made.duplicates;
            } else {
                const auto product = 20000 + rng.below(3000) * 7 % 3000;
                row = (cancelled ? "C" : "") + std::to_string(invoice) + ',' + std::to_string(product) + ",\"THING NUMBER " + std::to_string(product) + "\"," + (cancelled ? "-" : "") +
                      std::to_string(line + 1) + ',' + time + ",2." + std::to_string(10 + product % 90) + ',' + customer + ",United Kingdom\n";
            }
            made.csv += row;
        }
        ++invoice;
    }
    return made;
}

}  // namespace perennial::test
