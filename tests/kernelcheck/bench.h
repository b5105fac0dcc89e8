/* bench.h - kernelcheck --bench [part of a kernel's name] times every kernel that the machine runs, on one
 * thread. Matrices of 256 MB in all are taken in turn, so that each comes from memory. Columns: GB/s of packed
 * weights with 1 token, and its share of a plain streaming read; G operations/s (2 for each weight and token) with
 * some tokens more, and their share of what the level's instructions do at best (kernels/peak.h), in %.
 *
 * Time is the thread's own, not the wall's, and the fastest of many short runs counts: other work on the
 * machine then disturbs less (it still takes its part of the memory bandwidth). */
#ifndef TESTS_KERNELCHECK_BENCH_H
#define TESTS_KERNELCHECK_BENCH_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#include "fills.h"
#include "kernels/linear.h"
#include "kernels/peak.h"
#include "kernels/read_ahead.h"
#include "tests/support/evex_kernels.h"

enum { BENCH_BYTES = 256 << 20, BENCH_RUNS = 8, BENCH_RUN_NS = 10000000, BENCH_TOKENS = 256 };
enum { BENCH_ROWS = 1024, BENCH_COLUMNS = 2048 };

struct bench_limits { /* of a level, on one thread */
    double read; /* bytes/s */
    double int8; /* operations/s; 0: not known */
    double f32;
};

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

/* Operations a second of a loop in registers. */
static inline double bench_peak(cm_peak_loop loop)
{
    double best = 0;
    for (int run = 0; loop != NULL && run < BENCH_RUNS; run++) {
        const uint64_t begin = bench_now_ns();
        const double   operations = loop(1000000), rate = 1e9 * operations / (double)(bench_now_ns() - begin);
        if (rate > best) best = rate;
    }
    return best;
}

/* What the level can do, or the next below it that is known. */
static inline struct bench_limits bench_limits(enum isa isa, const uint8_t *memory)
{
    struct bench_limits limits = { 0 };
    const struct peak_row *row = NULL;
    for (int level = (int)isa; row == NULL; level--) row = cm_peak_row((enum isa)level);
    limits.int8 = bench_peak(row->int8);
    limits.f32 = bench_peak(row->f32);
    for (int run = 0; run < BENCH_RUNS; run++) {
        const uint64_t    begin = bench_now_ns();
        volatile uint64_t sink = row->read(memory, BENCH_BYTES);
        (void)sink;
        const double rate = 1e9 * (double)BENCH_BYTES / (double)(bench_now_ns() - begin);
        if (rate > limits.read) limits.read = rate;
    }
    printf("%s: streaming read %.1f GB/s, bytes %.0f GOP/s, float32 %.0f GOP/s\n", cm_isa_name(row->isa),
           1e-9 * limits.read, 1e-9 * limits.int8, 1e-9 * limits.f32);
    return limits;
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
            const struct matrix matrix = { kernel, n_rows, n_columns, memory + at % n_matrices * step, 0 };
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

struct bench_input { /* for up to BENCH_TOKENS tokens, and room for their outputs */
    struct activations x;
    void              *memory;
    float             *y;
};

static inline struct bench_input bench_input(void)
{
    struct random      random = cm_random(1);
    struct bench_input input;
    struct activations *x = &input.x;
    input.memory = bench_memory(cm_activations_bytes(BENCH_TOKENS, BENCH_COLUMNS));
    input.y = (float *)(void *)bench_memory((size_t)BENCH_TOKENS * BENCH_ROWS * sizeof(float));
    cm_activations_place(x, BENCH_TOKENS, BENCH_COLUMNS, input.memory);
    fill_values(&random, INPUT_TYPICAL, x->values, (size_t)BENCH_TOKENS * BENCH_COLUMNS);
    fill_quantized(&random, INPUT_TYPICAL, x->q32.codes, x->q32.scales, x->q32.sums,
                   (size_t)BENCH_TOKENS * BENCH_COLUMNS, 32);
    fill_quantized(&random, INPUT_TYPICAL, x->q256.codes, x->q256.scales, x->q256.sums,
                   (size_t)BENCH_TOKENS * BENCH_COLUMNS, 256);
    return input;
}

static inline void bench_input_free(struct bench_input *input)
{
    free(input->memory);
    free(input->y);
}

static inline void bench_kernel(const struct linear_kernel *kernel, uint8_t *memory,
                                const struct bench_limits *limits)
{
    static const int   tokens[] = { 1, 2, 4, 8, 16, 64, 256 };
    struct bench_input input = bench_input();
    const bool   is_float = cm_weight_types[kernel->type].activation == ACTIVATION_F32;
    const double peak = is_float ? limits->f32 : limits->int8;
    printf("%-28s", kernel->name);
    for (size_t t = 0; t < sizeof tokens / sizeof *tokens; t++) {
        const double seconds =
            bench_multiply(kernel, memory, BENCH_ROWS, BENCH_COLUMNS, tokens[t], &input.x, input.y);
        const double packed = (double)kernel->packed_bytes(BENCH_ROWS, BENCH_COLUMNS);
        const double operations = 2.0 * BENCH_ROWS * BENCH_COLUMNS * tokens[t];
        if (t == 0) printf(" %5.1f GB/s (%3.0f)", 1e-9 * packed / seconds, 100 * packed / seconds / limits->read);
        else if (peak > 0) printf("  %d: %5.1f (%2.0f)", tokens[t], 1e-9 * operations / seconds,
                                  100 * operations / seconds / peak);
        else printf("  %d: %5.1f", tokens[t], 1e-9 * operations / seconds);
    }
    printf("\n");
    fflush(stdout);
    bench_input_free(&input);
}

/* kernelcheck --ahead: GB/s with one token, and G operations/s with two and four, for each way to read ahead. */
static inline void bench_ahead(const struct linear_kernel *kernel, uint8_t *memory)
{
    static const int             tokens[] = { 1, 2, 4 };
    const double                 packed = (double)kernel->packed_bytes(BENCH_ROWS, BENCH_COLUMNS);
    struct bench_input           input = bench_input();
    const struct read_ahead_row *own = cm_read_ahead(), *row;
    for (int i = 0; (row = cm_read_ahead_row(i)) != NULL; i++) {
        printf("%-28s %-16s", kernel->name, row->name);
        cm_read_ahead_choose(row);
        for (size_t t = 0; t < sizeof tokens / sizeof *tokens; t++) {
            const double seconds =
                bench_multiply(kernel, memory, BENCH_ROWS, BENCH_COLUMNS, tokens[t], &input.x, input.y);
            const double operations = 2.0 * BENCH_ROWS * BENCH_COLUMNS * tokens[t];
            printf("  %d: %5.1f", tokens[t], 1e-9 * (t == 0 ? packed : operations) / seconds);
        }
        printf("%s\n", row == own ? "  (this processor's)" : "");
        fflush(stdout);
    }
    cm_read_ahead_choose(own);
    bench_input_free(&input);
}

static inline bool bench_wants(const struct linear_kernel *kernel, const char *part)
{
    return cm_isa_is_supported(kernel->isa) && (part == NULL || strstr(kernel->name, part) != NULL);
}

/* Packed weights: random bytes whose half-float exponents are finite and small. A block of MXFP4 begins with an
 * exponent of a byte for each of its rows; those of real models are near 120. Any byte would do, but most give products
 * that are subnormal, for which some processors take a hundred times as long. */
static inline void bench_fill(uint8_t *memory, const struct linear_kernel *kernel)
{
    const size_t  n_rows = (size_t)kernel->tile_rows, block = n_rows * (size_t)cm_weight_types[kernel->type].n_bytes;
    struct random random = cm_random(1);
    for (size_t i = 0; i < BENCH_BYTES; i += 8) {
        const uint64_t bits = cm_random_u64(&random) & 0x3fff3fff3fff3fffu;
        memcpy(memory + i, &bits, 8);
    }
    for (size_t at = 0; kernel->type == WEIGHT_MXFP4 && at + block <= BENCH_BYTES; at += block)
        for (size_t row = 0; row < n_rows; row++) memory[at + row] = (uint8_t)(115 + cm_random_below(&random, 11));
}

typedef const struct linear_kernel *bench_list(int i);

static inline void bench_kernels(bench_list *kernel_at, uint8_t *memory, const char *part, bool is_ahead)
{
    struct bench_limits         limits = { 0 };
    enum isa                    level = ISA_COUNT;
    const struct linear_kernel *kernel;
    int                         filled = -1; /* the type that memory holds */
    for (int i = 0; (kernel = kernel_at(i)) != NULL; i++) {
        if (!bench_wants(kernel, part)) continue;
        if (filled < 0 || (filled == WEIGHT_MXFP4) != (kernel->type == WEIGHT_MXFP4)) bench_fill(memory, kernel);
        filled = (int)kernel->type;
        if (is_ahead) {
            bench_ahead(kernel, memory);
            continue;
        }
        if (kernel->isa != level) limits = bench_limits(kernel->isa, memory);
        level = kernel->isa;
        bench_kernel(kernel, memory, &limits);
    }
}

static inline int bench(const char *part, bool is_ahead)
{
    uint8_t *memory = bench_memory(BENCH_BYTES);
    bench_kernels(cm_linear_kernel_at, memory, part, is_ahead);
    bench_kernels(cm_evex_kernel_at, memory, part, is_ahead);
    free(memory);
    return 0;
}

#endif
