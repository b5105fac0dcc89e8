/* tiles.h - the handful of AMX operations that the kernels here use: eight tile registers 0 … 7, each of up to
 * 16 rows of up to 64 bytes.
 *
 *     tile_configure(&config)      shapes of all tiles; zeroes them. Takes about 200 cycles
 *     tile_release()               frees the state: signals and task switches no longer save its 8 KiB
 *     tile_zero(t)
 *     tile_load(t, base, at, stride)    the tile's rows from base + at, base + at + stride, … (bytes)
 *     tile_store(t, base, at, stride)
 *     tile_dot(c, a, b)            c[m][n] += sum over k of a[m][k] * b[k / 4][4 n + k % 4], int8 in, int32 out
 *     tile_dot_unsigned(c, a, b)   the same for b of uint8
 *     tile_dot_bfloat(c, a, b)     c[m][n] += sum over k of a[m][k] * b[k / 2][2 n + k % 2], bfloat16 in, float32 out.
 *                                  The order of the sum is the processor's: for sums that are exact in any order
 *
 * t, c, a, b are written as digits, and `at` as a constant, which becomes part of the instruction. The manual demands,
 * and software tiles check, that a, b and c are three different tiles, rows of c = rows of a, bytes in a row of c =
 * bytes in a row of b, and bytes in a row of a = 4 * rows of b.
 *
 * With CM_SOFTWARE_TILES the operations are functions in plain C (tests/support/software_tiles.c): tests run
 * these same kernels on machines without AMX. */
#ifndef KERNELS_AMX_TILES_H
#define KERNELS_AMX_TILES_H

#include <stddef.h>
#include <stdint.h>

/* The 64 bytes that the instruction reads; reserved ones are zero. */
struct tile_config {
    uint8_t  palette; /* 1: eight tiles of 1 KiB */
    uint8_t  start_row;
    uint8_t  reserved_1[14];
    uint16_t row_bytes[8];
    uint8_t  reserved_2[16];
    uint8_t  rows[8];
    uint8_t  reserved_3[8];
};
_Static_assert(sizeof(struct tile_config) == 64 && offsetof(struct tile_config, row_bytes) == 16 &&
                   offsetof(struct tile_config, rows) == 48,
               "the layout of palette 1");

#if defined(CM_SOFTWARE_TILES)

#define tile_configure cm_software_tile_configure
#define tile_release cm_software_tile_release
#define tile_zero cm_software_tile_zero
#define tile_load(t, base, at, stride) cm_software_tile_load(t, (const uint8_t *)(const void *)(base) + (at), stride)
#define tile_store(t, base, at, stride) cm_software_tile_store(t, (uint8_t *)(void *)(base) + (at), stride)
#define tile_dot cm_software_tile_dot
#define tile_dot_unsigned cm_software_tile_dot_unsigned
#define tile_dot_bfloat cm_software_tile_dot_bfloat

void tile_configure(const struct tile_config *config);
void tile_release(void);
void tile_zero(int t);
void cm_software_tile_load(int t, const void *at, ptrdiff_t stride);
void cm_software_tile_store(int t, void *at, ptrdiff_t stride);
void tile_dot(int c, int a, int b);
void tile_dot_unsigned(int c, int a, int b);
void tile_dot_bfloat(int c, int a, int b);

#else

#include <immintrin.h>

/* GCC 12 believes that the intrinsic for configuring reads only 8 of the 64 bytes, so stores to the others could come
 * too late or never. */
#define tile_configure(config)                                        \
    do {                                                              \
        __asm__ volatile("" ::: "memory");                            \
        _tile_loadconfig(config);                                     \
    } while (0)
#define tile_release() _tile_release()
#define tile_zero(t) _tile_zero(t)

/* These are not intrinsics, because GCC 12 believes that the intrinsics neither read nor write the memory at the
 * address, and it takes a register for each address. When registers run out, addresses are kept in vector registers,
 * whose moves occupy the very port that multiplies floats. */
#define tile_load(t, base, at, stride)                                                                    \
    __asm__ volatile("tileloadd %c1(%0,%2,1), %%tmm" #t                                                   \
                     : : "r"(base), "i"(at), "r"((ptrdiff_t)(stride)) : "memory")
#define tile_store(t, base, at, stride)                                                                   \
    __asm__ volatile("tilestored %%tmm" #t ", %c1(%0,%2,1)"                                               \
                     : : "r"(base), "i"(at), "r"((ptrdiff_t)(stride)) : "memory")
#define tile_dot(c, a, b) _tile_dpbssd(c, a, b)
#define tile_dot_unsigned(c, a, b) _tile_dpbsud(c, a, b)
#define tile_dot_bfloat(c, a, b) _tile_dpbf16ps(c, a, b)

#endif
#endif
