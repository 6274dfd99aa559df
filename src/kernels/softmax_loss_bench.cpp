// The fused loss with its gradients against OpenBLAS: the rate of a large SGEMM is what a machine gives to products that
// nothing else slows down. Both run in turn, several times, because a shared machine's rate moves; 6 R P D operations a call.
// Rates are by the clock, and by the CPU time of all threads: on a busy machine only the second says much. Run with
// OMP_WAIT_POLICY=passive, or the CPU time of OpenBLAS counts threads that spin.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <vector>

#include "base/rng.h"
#include "kernels/isa.h"
#include "kernels/softmax_loss.h"

extern "C" {  // OpenBLAS's own names; its headers differ between its flavours
void openblas_set_num_threads(int threads);
void cblas_sgemm(int order, int transpose_a, int transpose_b, int m, int n, int k, float alpha, const float* a, int lda,
                 const float* b, int ldb, float beta, float* c, int ldc);
}

namespace perennial::kernels {
namespace {

constexpr int kRounds = 11, kRowMajor = 101, kPlain = 111, kTransposed = 112;

std::vector<float> random(std::size_t count, double scale) {
    Rng rng(count);
    std::vector<float> values(count);
    for (auto& value : values) value = static_cast<float>(scale * rng.normal());
    return values;
}

struct Rates {
    std::vector<double> clock, cpu;  // operations a second

    template <class Body>
    void measure(double operations, Body&& body) {
        const auto begin = std::chrono::steady_clock::now();
        const std::clock_t cpu_begin = std::clock();
        body();
        cpu.push_back(operations * CLOCKS_PER_SEC / static_cast<double>(std::clock() - cpu_begin));
        clock.push_back(operations / std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count());
    }
};

double median(std::vector<double> rates) {
    std::ranges::sort(rates);
    return rates[rates.size() / 2];
}
double best(std::vector<double> rates) { return *std::ranges::max_element(rates); }

void sgemm(int transpose_a, int transpose_b, std::size_t m, std::size_t n, std::size_t k, const float* a, const float* b, float beta,
           float* c) {
    const auto whole = [](std::size_t value) { return static_cast<int>(value); };
    cblas_sgemm(kRowMajor, transpose_a, transpose_b, whole(m), whole(n), whole(k), 1, a, whole(transpose_a == kPlain ? k : m), b,
                whole(transpose_b == kPlain ? n : k), beta, c, whole(n));
}

void compare(std::size_t rows, std::size_t classes, std::size_t width, unsigned threads) {
    openblas_set_num_threads(static_cast<int>(threads));
    const auto h = random(rows * width, 1), table = random(classes * width, 0.2), bias = random(classes, 0.1);
    std::vector<std::int32_t> targets(rows);
    for (std::size_t r = 0; r < rows; ++r) targets[r] = static_cast<std::int32_t>(r * 7919 % classes);
    std::vector<float> d_h(h.size()), d_table(table.size()), d_bias(classes);
    constexpr std::size_t kPart = 128;
    const auto a = random(2048 * 2048, 1);
    std::vector<float> c(a.size()), p(kPart * classes);
    Rates ours, forward, large, products;
    const double operations = 6.0 * static_cast<double>(rows) * static_cast<double>(classes) * static_cast<double>(width);
    const SoftmaxLoss input{h, table, bias, targets, width, 1.0 / static_cast<double>(rows)};
    softmax_loss(input, {d_h, d_table, d_bias}, threads);  // warms up
    for (int round = 0; round < kRounds; ++round) {
        ours.measure(operations, [&] { softmax_loss(input, {d_h, d_table, d_bias}, threads); });
        forward.measure(operations / 3, [&] { softmax_loss(input, threads); });
        for (const std::size_t n : {1024u, 2048u})
            large.measure(2.0 * static_cast<double>(n * n * n), [&] { sgemm(kPlain, kPlain, n, n, n, a.data(), a.data(), 0, c.data()); });
        // The three products alone, by OpenBLAS in parts of kPart rows, without softmax.
        products.measure(operations, [&] {
            for (std::size_t r = 0; r < rows; r += kPart) {
                const std::size_t count = std::min(kPart, rows - r);
                sgemm(kPlain, kTransposed, count, classes, width, h.data() + r * width, table.data(), 0, p.data());
                sgemm(kPlain, kPlain, count, width, classes, p.data(), table.data(), 0, d_h.data() + r * width);
                sgemm(kTransposed, kPlain, classes, width, count, p.data(), h.data() + r * width, 1, d_table.data());
            }
        });
    }
    std::printf("%s, R %zu P %zu D %zu, %u threads; GF/s\n", name(chosen()), rows, classes, width, threads);
    const auto print = [&](const char* how, auto pick, std::vector<double> Rates::*kind) {
        const double mine = pick(ours.*kind), theirs = pick(large.*kind);
        std::printf("  %-14s fused %6.1f (%6.0f rows/s), its forward %6.1f | large sgemm %6.1f, the three products by BLAS %6.1f | "
                    "fused / large sgemm %.3f\n",
                    how, mine / 1e9, mine / operations * static_cast<double>(rows), pick(forward.*kind) / 1e9, theirs / 1e9,
                    pick(products.*kind) / 1e9, mine / theirs);
    };
    print("clock, best", best, &Rates::clock);
    print("clock, median", median, &Rates::clock);
    print("CPU, best", best, &Rates::cpu);
    print("CPU, median", median, &Rates::cpu);
    std::fflush(stdout);
}

}  // namespace
}  // namespace perennial::kernels

// bench_softmax_loss [rows classes width threads]
int main(int argc, char** argv) {
    const auto number = [&](int i) { return std::strtoull(argv[i], nullptr, 10); };
    if (argc == 5) {
        perennial::kernels::compare(number(1), number(2), number(3), static_cast<unsigned>(number(4)));
        return 0;
    }
    for (const unsigned threads : {1u, 2u, 4u})
        for (const std::size_t width : {64u, 128u}) perennial::kernels::compare(1024, 12101, width, threads);
}
