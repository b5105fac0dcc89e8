/* software_tiles.c - the tile operations of kernels/amx/tiles.h in plain C, as the manual tells them. What a
 * CPU would refuse is said, and raises the signal that the CPU's fault becomes: SIGILL for #UD, SIGSEGV for #GP.
 *
 * Each thread has tiles of its own; they are unconfigured at first, and after cm_software_tile_release(). */
#define CM_SOFTWARE_TILES
#include <math.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/amx/tiles.h"
#include "kernels/half.h"
#include "tests/support/software_tiles.h"

enum { N_TILES = 8, MAX_ROWS = 16, MAX_ROW_BYTES = 64 };

static _Thread_local struct {
    bool    is_configured;
    int     rows[N_TILES];
    int     row_bytes[N_TILES];
    uint8_t data[N_TILES][MAX_ROWS][MAX_ROW_BYTES];
} tiles;

static void refuse(int signal_number, const char *why)
{
    fprintf(stderr, "software tiles: %s\n", why);
    raise(signal_number);
    abort();
}

bool cm_software_tiles_are_configured(void)
{
    return tiles.is_configured;
}

static bool is_zero(const uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (bytes[i] != 0) return false;
    return true;
}

void tile_configure(const struct tile_config *config)
{
    if (config->palette > 1) refuse(SIGSEGV, "configure: no such palette");
    memset(&tiles, 0, sizeof tiles);
    if (config->palette == 0) return; /* the same as release */
    if (!is_zero(config->reserved_1, sizeof config->reserved_1) ||
        !is_zero(config->reserved_2, sizeof config->reserved_2) ||
        !is_zero(config->reserved_3, sizeof config->reserved_3))
        refuse(SIGSEGV, "configure: reserved bytes are not zero");
    if (config->start_row != 0) refuse(SIGSEGV, "configure: start_row is for restarts only");
    for (int t = 0; t < N_TILES; t++) {
        tiles.rows[t] = config->rows[t];
        tiles.row_bytes[t] = config->row_bytes[t];
        if (tiles.rows[t] > MAX_ROWS) refuse(SIGSEGV, "configure: more than 16 rows");
        if (tiles.row_bytes[t] > MAX_ROW_BYTES) refuse(SIGSEGV, "configure: more than 64 bytes in a row");
        if ((tiles.rows[t] == 0) != (tiles.row_bytes[t] == 0))
            refuse(SIGSEGV, "configure: rows without bytes, or bytes without rows");
    }
    tiles.is_configured = true;
}

void tile_release(void)
{
    memset(&tiles, 0, sizeof tiles);
}

static void check_tile(int t)
{
    if (!tiles.is_configured) refuse(SIGILL, "tiles are used, but not configured");
    if (t < 0 || t >= N_TILES) refuse(SIGILL, "there are 8 tiles");
    if (tiles.rows[t] == 0) refuse(SIGILL, "a tile is used that has no rows");
    if (tiles.row_bytes[t] % 4 != 0) refuse(SIGILL, "a tile's row is no multiple of 4 bytes");
}

void tile_zero(int t)
{
    check_tile(t);
    memset(tiles.data[t], 0, sizeof tiles.data[t]);
}

void cm_software_tile_load(int t, const void *at, ptrdiff_t stride)
{
    check_tile(t);
    memset(tiles.data[t], 0, sizeof tiles.data[t]); /* what lies outside its shape becomes zero */
    for (int row = 0; row < tiles.rows[t]; row++)
        memcpy(tiles.data[t][row], (const uint8_t *)at + row * stride, (size_t)tiles.row_bytes[t]);
}

void cm_software_tile_store(int t, void *at, ptrdiff_t stride)
{
    check_tile(t);
    for (int row = 0; row < tiles.rows[t]; row++)
        memcpy((uint8_t *)at + row * stride, tiles.data[t][row], (size_t)tiles.row_bytes[t]);
}

/* Products of four bytes of a with four of b, the first signed, added in 32 bits without saturation. */
static uint32_t dot4(const uint8_t *a, const uint8_t *b, bool is_b_signed)
{
    int32_t sum = 0;
    for (int i = 0; i < 4; i++) sum += (int8_t)a[i] * (is_b_signed ? (int8_t)b[i] : (int)b[i]);
    return (uint32_t)sum;
}

static void check_product(int c, int a, int b)
{
    check_tile(c);
    check_tile(a);
    check_tile(b);
    if (c == a || c == b || a == b) refuse(SIGILL, "dot: the same tile twice");
    if (tiles.rows[c] != tiles.rows[a]) refuse(SIGILL, "dot: rows of c are not those of a");
    if (tiles.row_bytes[c] != tiles.row_bytes[b]) refuse(SIGILL, "dot: columns of c are not those of b");
    if (tiles.row_bytes[a] != 4 * tiles.rows[b]) refuse(SIGILL, "dot: columns of a are not the rows of b");
}

/* Rows and bytes of c outside its shape are zero already: configuring and loading leave them so. */
static void dot_bytes(int c, int a, int b, bool is_b_signed)
{
    check_product(c, a, b);
    for (int m = 0; m < tiles.rows[c]; m++) {
        uint32_t sums[MAX_ROW_BYTES / 4];
        memcpy(sums, tiles.data[c][m], sizeof sums);
        for (int k = 0; k < tiles.rows[b]; k++)
            for (int n = 0; n < tiles.row_bytes[c] / 4; n++)
                sums[n] += dot4(tiles.data[a][m] + 4 * k, tiles.data[b][k] + 4 * n, is_b_signed);
        memcpy(tiles.data[c][m], sums, (size_t)tiles.row_bytes[c]);
    }
}

void tile_dot(int c, int a, int b)
{
    dot_bytes(c, a, b, true);
}

void tile_dot_unsigned(int c, int a, int b)
{
    dot_bytes(c, a, b, false);
}

/* As the processor does it: even and odd k are summed by themselves, each with one rounding a step, then added. (It
 * also takes subnormal numbers as zeros; of whole numbers none is subnormal.) */
void tile_dot_bfloat(int c, int a, int b)
{
    check_product(c, a, b);
    for (int m = 0; m < tiles.rows[c]; m++) {
        for (int n = 0; n < tiles.row_bytes[c] / 4; n++) {
            float even = 0, odd = 0, sum;
            for (int k = 0; k < tiles.rows[b]; k++) {
                const uint8_t *x = tiles.data[a][m] + 4 * k, *w = tiles.data[b][k] + 4 * n;
                even = fmaf(cm_float_of_bfloat(cm_load_u16(x)), cm_float_of_bfloat(cm_load_u16(w)), even);
                odd = fmaf(cm_float_of_bfloat(cm_load_u16(x + 2)), cm_float_of_bfloat(cm_load_u16(w + 2)), odd);
            }
            memcpy(&sum, tiles.data[c][m] + 4 * n, sizeof sum);
            sum += even + odd;
            memcpy(tiles.data[c][m] + 4 * n, &sum, sizeof sum);
        }
    }
}
