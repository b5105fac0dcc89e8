/* bench.h - kernelcheck --bench [part of a kernel's name]: times every kernel that the machine runs, on one
 * thread. Matrices of 256 MB in all are taken in turn, so that each comes from memory. Columns: GB/s of
 * packed weights, beside a plain streaming read; G operations/s (2 for each weight and token).
 *
 * Time is the thread's own, not the wall's, and the fastest of many short runs counts: other work on the
 * machine then disturbs less (it still takes its part of the memory bandwidth). The streaming read is plain
 * C: wide loads keep more of memory busy, and pass 100 %. */
#ifndef TESTS_KERNELCHECK_BENCH_H
#define TESTS_KERNELCHECK_BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "fills.h"
#include "kernels/linear.h"

enum { BENCH_BYTES = 256 << 20, BENCH_RUNS = 12, BENCH_RUN_NS = 25000000, BENCH_TOKENS = 64 };

static inline uint64_t bench_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000u + (uint64_t)now.tv_nsec;
}

static inline uint8_t *bench_memory(size_t n_bytes)
{
    uint8_t *memory = NULL;
    if (posix_memalign((void **)&memory, 2 << 20, n_bytes) != 0) exit(1);
    madvise(memory, n_bytes, MADV_HUGEPAGE);
    return memory;
}

/* GB/s of a sum over memory */
static inline double bench_read(const uint8_t *memory, size_t n_bytes)
{
    double best = 0;
    for (int run = 0; run < BENCH_RUNS; run++) {
        const uint64_t    begin = bench_now_ns();
        uint64_t          sum[8] = { 0 };
        volatile uint64_t sink;
        for (size_t i = 0; i + 64 <= n_bytes; i += 64) {
            uint64_t words[8];
            memcpy(words, memory + i, 64);
            for (int j = 0; j < 8; j++) sum[j] += words[j];
        }
        sink = sum[0] + sum[1] + sum[2] + sum[3] + sum[4] + sum[5] + sum[6] + sum[7];
        (void)sink;
        const double rate = (double)n_bytes / (double)(bench_now_ns() - begin);
        if (rate > best) best = rate;
    }
    return best;
}

/* Seconds for one matrix of n_rows x n_columns and n_tokens: the fastest of short runs, each of which
 * goes on through the matrices where the last one stopped. */
static inline double bench_multiply(const struct linear_kernel *kernel, const uint8_t *memory,
                                    int n_rows, int n_columns, int n_tokens,
                                    const struct activations *x, float *y)
{
    const size_t packed = kernel->packed_bytes((size_t)n_rows, (size_t)n_columns);
    const size_t step = (packed + 63) / 64 * 64, n_matrices = BENCH_BYTES / step;
    double       best = 1e30;
    size_t       at = 0;
    for (int run = 0; run < BENCH_RUNS; run++) {
        const uint64_t begin = bench_now_ns();
        uint64_t       spent = 0;
        int            n_done = 0;
        while (n_done == 0 || spent < BENCH_RUN_NS) {
            const struct matrix matrix = { kernel, n_rows, n_columns, memory + at % n_matrices * step };
            kernel->multiply(&matrix, 0, n_rows, x, NULL, n_tokens, y, (size_t)n_rows);
            spent = bench_now_ns() - begin;
            n_done++;
            at++;
        }
        const double seconds = 1e-9 * (double)spent / n_done;
        if (seconds < best) best = seconds;
    }
    return best;
}

static inline void bench_kernel(const struct linear_kernel *kernel, uint8_t *memory, double bandwidth)
{
    static const int shapes[][2] = { { 2048, 2048 }, { 1024, 2048 } };
    static const int tokens[] = { 1, 4, 8, 64 };
    for (size_t s = 0; s < 2; s++) {
        const int          n_rows = shapes[s][0], n_columns = shapes[s][1];
        struct random      random = cm_random(1);
        struct activations x;
        void  *input = bench_memory(cm_activations_bytes(BENCH_TOKENS, n_columns));
        float *y = (float *)(void *)bench_memory((size_t)BENCH_TOKENS * (size_t)n_rows * sizeof(float));
        cm_activations_place(&x, BENCH_TOKENS, n_columns, input);
        fill_values(&random, INPUT_TYPICAL, x.values, (size_t)(BENCH_TOKENS * n_columns));
        fill_quantized(&random, INPUT_TYPICAL, x.q32.codes, x.q32.scales, x.q32.sums,
                       (size_t)(BENCH_TOKENS * n_columns), 32);
        fill_quantized(&random, INPUT_TYPICAL, x.q256.codes, x.q256.scales, x.q256.sums,
                       (size_t)(BENCH_TOKENS * n_columns), 256);
        printf("%-26s %5d x %-5d", kernel->name, n_rows, n_columns);
        for (int t = 0; t < 4; t++) {
            const double seconds = bench_multiply(kernel, memory, n_rows, n_columns, tokens[t], &x, y);
            const double packed = (double)kernel->packed_bytes((size_t)n_rows, (size_t)n_columns);
            const double operations = 2.0 * n_rows * n_columns * tokens[t];
            if (tokens[t] == 1)
                printf("  %6.1f GB/s (%3.0f %%)", 1e-9 * packed / seconds,
                       100e-9 * packed / seconds / bandwidth);
            printf("  %d: %6.1f GOP/s", tokens[t], 1e-9 * operations / seconds);
        }
        printf("\n");
        fflush(stdout);
        free(input);
        free(y);
    }
}

static inline int bench(const char *part)
{
    uint8_t      *memory = bench_memory(BENCH_BYTES);
    struct random random = cm_random(1);
    for (size_t i = 0; i < BENCH_BYTES; i += 8) { /* half-float exponents that are finite and small */
        const uint64_t bits = cm_random_u64(&random) & 0x3fff3fff3fff3fffu;
        memcpy(memory + i, &bits, 8);
    }
    const double                bandwidth = bench_read(memory, BENCH_BYTES);
    const struct linear_kernel *kernel;
    printf("streaming read, one thread: %.1f GB/s\n", bandwidth);
    for (int i = 0; (kernel = cm_linear_kernel_at(i)) != NULL; i++)
        if (cm_isa_is_supported(kernel->isa) && (part == NULL || strstr(kernel->name, part) != NULL))
            bench_kernel(kernel, memory, bandwidth);
    free(memory);
    return 0;
}

#endif
