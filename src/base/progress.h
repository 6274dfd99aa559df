// A progress bar on standard error: done, share, rate, time left. On a terminal it redraws one line;
// elsewhere (a file, CI) it prints a plain line at most every ten seconds and one at the end.
// Threads: advance() from any thread; one bar at a time is drawn.
#pragma once

#include <atomic>
#include <cstdint>
#include <string>
#include <string_view>

namespace perennial {

class Progress {
public:
    // `total` 0 means unknown: rate and count only. `unit` is plural: "rows".
    Progress(std::string_view label, std::uint64_t total, std::string_view unit);
    ~Progress();
    Progress(const Progress&) = delete;
    Progress& operator=(const Progress&) = delete;

    void advance(std::uint64_t count);
    // Replaces what stands behind the bar: "loss 6.21  ndcg@10 0.051".
    void note(std::string text);
    // Overrides the share when work is measured otherwise than by count (bytes read of a compressed file).
    void set_share(double share) noexcept { share_.store(share); }

    static void clear_line();      // called by the log so that its lines do not run into the bar

private:
    void draw(bool last);

    std::string label_, unit_, note_;
    std::uint64_t total_;
    double start_seconds_;
    std::atomic<double> share_{-1};
    std::atomic<std::uint64_t> done_{0};
    std::atomic<double> next_draw_seconds_{0};
    bool drawn_ = false;
};

}  // namespace perennial
