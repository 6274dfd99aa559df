// Splits [0, count) into blocks and runs them on a few threads. Blocks are fixed by `count` and `block` alone, so a
// result that is combined in block order does not depend on how many threads ran.
#pragma once

#include <algorithm>
#include <atomic>
#include <cstddef>
#include <thread>
#include <vector>

namespace perennial {

// Calls body(begin, end) for each block; returns when all are done. `body` must not throw.
template <class Body>
void parallel_for(std::size_t count, std::size_t block, unsigned threads, Body&& body) {
    block = std::max<std::size_t>(block, 1);
    const std::size_t blocks = (count + block - 1) / block;
    const auto workers = static_cast<unsigned>(std::min<std::size_t>(std::max(threads, 1u), blocks));
    std::atomic<std::size_t> next{0};
    const auto work = [&] {
        for (std::size_t i = next.fetch_add(1); i < blocks; i = next.fetch_add(1))
            body(i * block, std::min(count, (i + 1) * block));
    };
    std::vector<std::jthread> helpers;
    for (unsigned i = 1; i < workers; ++i) helpers.emplace_back(work);
    work();
}

// Cores this process may use, at least 1.
unsigned usable_cores() noexcept;

}  // namespace perennial
