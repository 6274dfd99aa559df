// The fused loss with its gradients against OpenBLAS: the rate of a large SGEMM is what a machine gives to products that
// nothing else slows down. Both run in turn, several times, because a shared machine's rate moves; 6 R P D operations a call.
#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
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

constexpr int kRounds = 9, kRowMajor = 101, kPlain = 111, kTransposed = 112;

std::vector<float> random(std::size_t count, double scale) {
    Rng rng(count);
    std::vector<float> values(count);
    for (auto& value : values) value = static_cast<float>(scale * rng.normal());
    return values;
}

template <class Body>
double seconds(Body&& body) {
    const auto begin = std::chrono::steady_clock::now();
    body();
    return std::chrono::duration<double>(std::chrono::steady_clock::now() - begin).count();
}

struct Rates {
    std::vector<double> all;
    double best() { return *std::ranges::max_element(all); }
    double median() {
        std::ranges::sort(all);
        return all[all.size() / 2];
    }
};

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
    constexpr std::size_t kSizes[] = {1024, 2048}, kPart = 128;
    const auto a = random(2048 * 2048, 1);
    std::vector<float> c(a.size()), p(kPart * classes);
    Rates ours, forward, large[2], products;
    const double operations = 6.0 * static_cast<double>(rows) * static_cast<double>(classes) * static_cast<double>(width);
    const SoftmaxLoss input{h, table, bias, targets, width, 1.0 / static_cast<double>(rows)};
    for (int round = 0; round <= kRounds; ++round) {  // round 0 warms up
        const double loss = seconds([&] { softmax_loss(input, {d_h, d_table, d_bias}, threads); });
        const double alone = seconds([&] { softmax_loss(input, threads); });
        double gemm[2];
        for (int i = 0; i < 2; ++i) {
            const std::size_t n = kSizes[i];
            gemm[i] = seconds([&] { sgemm(kPlain, kPlain, n, n, n, a.data(), a.data(), 0, c.data()); });
        }
        // The three products alone, by OpenBLAS in parts of kPart rows, without softmax.
        const double blas = seconds([&] {
            for (std::size_t r = 0; r < rows; r += kPart) {
                const std::size_t count = std::min(kPart, rows - r);
                sgemm(kPlain, kTransposed, count, classes, width, h.data() + r * width, table.data(), 0, p.data());
                sgemm(kPlain, kPlain, count, width, classes, p.data(), table.data(), 0, d_h.data() + r * width);
                sgemm(kTransposed, kPlain, classes, width, count, p.data(), h.data() + r * width, 1, d_table.data());
            }
        });
        if (round == 0) continue;
        ours.all.push_back(operations / loss);
        forward.all.push_back(operations / 3 / alone);
        for (int i = 0; i < 2; ++i) {
            const auto n = static_cast<double>(kSizes[i]);
            large[i].all.push_back(2 * n * n * n / gemm[i]);
        }
        products.all.push_back(operations / blas);
    }
    for (const bool best : {true, false}) {
        const auto rate = [&](Rates& rates) { return (best ? rates.best() : rates.median()) / 1e9; };
        const double mine = rate(ours), theirs = std::max(rate(large[0]), rate(large[1]));
        std::printf("%-6s R %zu P %zu D %-3zu threads %u %-6s: fused %6.1f GF/s %7.0f rows/s | forward %6.1f | sgemm 1024 %6.1f, "
                    "2048 %6.1f | three products by BLAS %6.1f | fused / large sgemm %.3f\n",
                    name(chosen()), rows, classes, width, threads, best ? "best" : "median", mine,
                    mine * 1e9 / operations * static_cast<double>(rows), rate(forward), rate(large[0]), rate(large[1]), rate(products),
                    mine / theirs);
    }
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
    for (const unsigned threads : {1u, 2u})
        for (const std::size_t width : {64u, 128u}) perennial::kernels::compare(1024, 12101, width, threads);
}
