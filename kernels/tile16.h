/* tile16.h - the walk that all kernels on pack16 matrices share: tile by tile, and for each tile the
 * tokens in groups of up to 8. A tile stays in the cache while its groups pass, so weights come from
 * memory once. What happens inside a tile is the kernel's own.
 *
 * Everything here is static inline: files of one instruction set must not leak code to others. */
#ifndef KERNELS_TILE16_H
#define KERNELS_TILE16_H

#include <assert.h>
#include <stdalign.h>
#include <string.h>

#include "kernels/linear.h"
#include "kernels/pack16.h"

#if CM_TOKENS != 4 && CM_TOKENS != 8
#error "define CM_TOKENS as 4 or 8 first"
#endif

#define CM_INLINE static inline __attribute__((always_inline))

/* A sanitizer checks each access, and would take minutes to compile what is written out here: then loops
 * stay loops, and a kernel has one body for any number of tokens. */
#if defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer) || __has_feature(memory_sanitizer)
#define CM_IS_SANITIZED
#endif
#elif defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define CM_IS_SANITIZED
#endif

/* Before a loop over tokens or k-groups: written out, so that what it indexes becomes registers. */
#if defined(CM_IS_SANITIZED)
#define CM_UNROLL
#elif defined(__clang__)
#define CM_UNROLL _Pragma("clang loop unroll(full)")
#else
#define CM_UNROLL _Pragma("GCC unroll 8")
#endif

struct token_group { /* the input rows of some tokens, in the form that the weights want */
    const float   *values[CM_TOKENS]; /* (n_columns)      */
    const int8_t  *codes[CM_TOKENS];  /* (n_columns)      */
    const float   *scales[CM_TOKENS]; /* (n_blocks)       */
    const int16_t *sums[CM_TOKENS];   /* (n_columns / 16) */
};

/* Asks for the n_bytes that lie a while after `at`. With one token or two a loop is short enough for
 * the CPU to run ahead by itself; with more, memory would idle while it computes. A hint: nothing is read, so it
 * may point past the end. */
CM_INLINE void cm_prefetch(const uint8_t *at, size_t n_bytes)
{
    enum { AHEAD = 2048 };
    const uintptr_t begin = (uintptr_t)at + AHEAD;
    for (size_t i = 0; i < n_bytes; i += 64) __builtin_prefetch((const void *)(begin + i));
}

/* out[token][row of the tile] for n_tokens tokens, 1 … CM_TOKENS. */
typedef void cm_tile_fn(const uint8_t *tile, const struct token_group *x, size_t n_columns,
                        int n_tokens, float out[CM_TOKENS][CM_TILE]);

CM_INLINE void cm_gather_tokens(const struct activations *x, enum activation_kind kind,
                                const int32_t *which, int first, int n, struct token_group *out)
{
    const size_t            n_columns = (size_t)x->n_columns;
    const size_t            block = kind == ACTIVATION_Q256 ? 256 : 32;
    const struct quantized *q = kind == ACTIVATION_Q256 ? &x->q256 : &x->q32;
    for (int t = 0; t < n; t++) {
        const size_t row = (size_t)(which != NULL ? which[first + t] : first + t);
        if (kind == ACTIVATION_F32) {
            out->values[t] = x->values + row * n_columns;
        } else {
            out->codes[t] = q->codes + row * n_columns;
            out->scales[t] = q->scales + row * ((n_columns + block - 1) / block);
            out->sums[t] = q->sums + row * ((n_columns + 15) / 16);
        }
    }
}

CM_INLINE void cm_walk_tiles(enum weight_type type, cm_tile_fn *tile_fn, const struct matrix *matrix,
                             int row_begin, int row_end, const struct activations *x,
                             const int32_t *which, int n_tokens, float *y, size_t y_stride)
{
    const enum activation_kind kind = cm_weight_types[type].activation;
    const size_t               n_columns = (size_t)matrix->n_columns;
    const size_t               row_bytes = cm_row_bytes(type, n_columns);
    struct token_group         group;
    alignas(64) float          out[CM_TOKENS][CM_TILE];
    assert(row_begin % CM_TILE == 0 && row_end <= matrix->n_rows && matrix->n_columns == x->n_columns);
    for (int row = row_begin; row < row_end; row += CM_TILE) {
        const uint8_t *tile = matrix->packed + (size_t)row * row_bytes;
        const size_t   n_rows = (size_t)(row_end - row < CM_TILE ? row_end - row : CM_TILE);
        for (int first = 0; first < n_tokens; first += CM_TOKENS) {
            const int n = n_tokens - first < CM_TOKENS ? n_tokens - first : CM_TOKENS;
            cm_gather_tokens(x, kind, which, first, n, &group);
            tile_fn(tile, &group, n_columns, n, out);
            for (int t = 0; t < n; t++)
                memcpy(y + (size_t)(first + t) * y_stride + (size_t)(row - row_begin), out[t],
                       n_rows * sizeof(float));
        }
    }
}

#define CM_CASE(n, body, ...) \
    case n: body(tile, x, n_columns, n, out, __VA_ARGS__); break;
#if defined(CM_IS_SANITIZED)
#define CM_CASES(body, ...) default: body(tile, x, n_columns, n_tokens, out, __VA_ARGS__);
#elif CM_TOKENS == 8
#define CM_CASES(body, ...)                                                                       \
    CM_CASE(1, body, __VA_ARGS__) CM_CASE(2, body, __VA_ARGS__) CM_CASE(3, body, __VA_ARGS__)     \
    CM_CASE(4, body, __VA_ARGS__) CM_CASE(5, body, __VA_ARGS__) CM_CASE(6, body, __VA_ARGS__)     \
    CM_CASE(7, body, __VA_ARGS__) CM_CASE(8, body, __VA_ARGS__)
#else
#define CM_CASES(body, ...)                                                                       \
    CM_CASE(1, body, __VA_ARGS__) CM_CASE(2, body, __VA_ARGS__) CM_CASE(3, body, __VA_ARGS__)     \
    CM_CASE(4, body, __VA_ARGS__)
#endif

/* Defines cm_linear_<type>_<isa>(), and under it a tile function that calls
 *     body(tile, x, n_columns, n_tokens, out, ...)
 * with each number of tokens as a constant, so that the body's accumulators are registers. */
#define CM_LINEAR_KERNEL(type, TYPE, isa, body, ...)                                              \
    static void tile_##type(const uint8_t *tile, const struct token_group *x, size_t n_columns,   \
                            int n_tokens, float out[CM_TOKENS][CM_TILE])                          \
    {                                                                                             \
        switch (n_tokens) { CM_CASES(body, __VA_ARGS__) }                                         \
    }                                                                                             \
    void cm_linear_##type##_##isa(const struct matrix *matrix, int row_begin, int row_end,        \
                                  const struct activations *x, const int32_t *which,              \
                                  int n_tokens, float *y, size_t y_stride);                       \
    void cm_linear_##type##_##isa(const struct matrix *matrix, int row_begin, int row_end,        \
                                  const struct activations *x, const int32_t *which,              \
                                  int n_tokens, float *y, size_t y_stride)                        \
    {                                                                                             \
        cm_walk_tiles(WEIGHT_##TYPE, tile_##type, matrix, row_begin, row_end, x, which, n_tokens, \
                      y, y_stride);                                                               \
    }

#endif
