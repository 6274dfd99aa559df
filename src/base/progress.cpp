#include "base/progress.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <mutex>

#include "base/time.h"

namespace perennial {
namespace {

std::mutex draw_mutex;           // guards the terminal line and every bar's note_
bool line_open = false;          // under draw_mutex: a bar stands on the current line

bool on_terminal() {
    static const bool terminal = ::isatty(STDERR_FILENO) == 1;
    return terminal;
}

std::string clock_text(double seconds) {
    const auto whole = static_cast<long>(std::clamp(seconds, 0.0, 359999.0));
    return whole >= 3600 ? fmt::format("{}:{:02}:{:02}", whole / 3600, whole / 60 % 60, whole % 60)
                         : fmt::format("{}:{:02}", whole / 60, whole % 60);
}

std::string rate_text(double rate) {
    if (rate >= 1e6) return fmt::format("{:.2f} M", rate / 1e6);
    if (rate >= 1e4) return fmt::format("{:.0f} k", rate / 1e3);
    return fmt::format("{:.0f}", rate);
}

}  // namespace

Progress::Progress(std::string_view label, std::uint64_t total, std::string_view unit)
    : label_(label), unit_(unit), total_(total), start_seconds_(monotonic_seconds()) {
    next_draw_seconds_ = start_seconds_ + (on_terminal() ? 0.2 : 10.0);
}

Progress::~Progress() { draw(true); }

void Progress::advance(std::uint64_t count) {
    done_.fetch_add(count, std::memory_order_relaxed);
    const double now = monotonic_seconds();
    double due = next_draw_seconds_.load(std::memory_order_relaxed);
    if (now >= due && next_draw_seconds_.compare_exchange_strong(due, now + (on_terminal() ? 0.1 : 10.0))) draw(false);
}

void Progress::note(std::string text) {
    const std::lock_guard lock(draw_mutex);
    note_ = std::move(text);
}

void Progress::clear_line() {
    const std::lock_guard lock(draw_mutex);
    if (line_open) std::fputs("\r\033[K", stderr);
    line_open = false;
}

void Progress::draw(bool last) {
    const double elapsed = monotonic_seconds() - start_seconds_;
    const std::lock_guard lock(draw_mutex);
    if (last && !drawn_ && elapsed < 0.5) return;
    const auto done = done_.load();
    const double rate = elapsed > 0 ? static_cast<double>(done) / elapsed : 0;
    double share = share_.load();
    if (share < 0 && total_ > 0) share = static_cast<double>(done) / static_cast<double>(total_);
    if (last && share >= 0) share = std::max(share, total_ > 0 ? static_cast<double>(done) / static_cast<double>(total_) : 1.0);
    std::string bar;
    if (share >= 0) {
        const auto filled = static_cast<std::size_t>(std::clamp(share, 0.0, 1.0) * 24);
        bar = fmt::format("[{}{}] {:3.0f}% ", std::string(filled, '#'), std::string(24 - filled, '.'), std::min(share, 1.0) * 100);
    }
    const std::string remaining = last || share <= 0 ? clock_text(elapsed) : clock_text(elapsed / share - elapsed) + " left";
    const std::string line = fmt::format("{:<18} {}{} {}  {}/s  {}  {}", label_, bar, done, unit_, rate_text(rate), remaining, note_);
    if (on_terminal()) std::fprintf(stderr, "\r\033[K%s%s", line.c_str(), last ? "\n" : "");
    else std::fprintf(stderr, "%s\n", line.c_str());
    std::fflush(stderr);
    drawn_ = true;
    line_open = on_terminal() && !last;
}

}  // namespace perennial
