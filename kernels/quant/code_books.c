/* code_books.c - IQ1, IQ2, IQ3 and ternary weights: what their superblocks hold, and how they are packed. See
 * code_book.h.
 *
 *     IQ1_S    50 bytes   d | low 8 bits of 32 numbers | 8 u16: 4 x 3 high bits, s, sign of all 32
 *     IQ1_M    56         low 8 bits of 32 numbers | 16: 2 x (3 high bits, sign) | 4 u16: 4 x s, a quarter of d
 *     IQ2_XXS  66         d | 8 x (4 numbers of 8 bits, u32: 4 x 7 signs, s)
 *     IQ2_XS   74         d | 32 u16: number of 9 bits, 7 signs | s, 16 nibbles
 *     IQ2_S    82         d | low 8 bits of 32 numbers | 32 x 8 signs | 8: 4 x 2 high bits | s, 16 nibbles
 *     IQ3_XXS  98         d | 64 numbers of 8 bits | 8 u32: 4 x 7 signs, s
 *     IQ3_S    110        d | low 8 bits of 64 numbers | 8: 8 x 1 high bit | 32 x 8 signs | s, 8 nibbles
 *     TQ1_0    54         48: 5 digits of base 3 | 4: 4 such digits | d
 *     TQ2_0    66         64: 4 digits of 2 bits | d
 *
 * Seven signs are of the first seven of eight weights; the eighth makes the number of minus signs even. */
#include "kernels/quant/code_book.h"

#include <string.h>

#include "kernels/half.h"
#include "kernels/quant/block.h"

enum { VECTORS = 32 }; /* of 8 weights */

struct read_block {
    uint16_t d;                    /* float16                                     */
    uint8_t  scales[CM_SUBBLOCKS]; /* s                                           */
    uint16_t digits[VECTORS][2];   /* of 8 weights as one entry, of 4 as two      */
    uint8_t  signs[VECTORS];       /* bit i: of weight i                          */
};

static uint8_t eight_signs(uint32_t seven)
{
    const uint32_t signs = seven & 127;
    return (uint8_t)(signs | (uint32_t)__builtin_parity(signs) << 7);
}

/* s of both halves of 32 weights */
static void put_scale32(struct read_block *out, int j, uint32_t s)
{
    out->scales[2 * j] = out->scales[2 * j + 1] = (uint8_t)s;
}

static void put_nibbles(const uint8_t *bytes, uint8_t scales[CM_SUBBLOCKS])
{
    for (int j = 0; j < CM_SUBBLOCKS; j++) scales[j] = bytes[j / 2] >> 4 * (j % 2) & 15;
}

static void read_iq1_s(const uint8_t *block, struct read_block *out)
{
    out->d = cm_load_u16(block);
    for (int j = 0; j < 8; j++) {
        const uint32_t rest = cm_load_u16(block + 34 + 2 * j);
        put_scale32(out, j, rest >> 12 & 7);
        for (int v = 0; v < 4; v++) {
            out->digits[4 * j + v][0] = cm_grid_iq1[block[2 + 4 * j + v] | (rest >> 3 * v & 7) << 8];
            out->signs[4 * j + v] = rest >> 15 ? 255 : 0;
        }
    }
}

uint16_t cm_iq1_m_d(const uint8_t *block)
{
    uint32_t d = 0;
    for (int i = 0; i < 4; i++) d |= (uint32_t)block[49 + 2 * i] >> 4 << 4 * i;
    return (uint16_t)d;
}

void cm_iq1_m_put_d(uint8_t *block, uint16_t d)
{
    for (int i = 0; i < 4; i++) {
        uint8_t *top = block + 49 + 2 * i;
        *top = (uint8_t)((*top & 15) | (d >> 4 * i & 15) << 4);
    }
}

static void read_iq1_m(const uint8_t *block, struct read_block *out)
{
    out->d = cm_iq1_m_d(block);
    for (int j = 0; j < CM_SUBBLOCKS; j++)
        out->scales[j] = cm_load_u16(block + 48 + 2 * (j / 4)) >> 3 * (j % 4) & 7;
    for (int v = 0; v < VECTORS; v++) {
        const uint32_t four = block[32 + v / 2] >> 4 * (v % 2) & 15;
        out->digits[v][0] = cm_grid_iq1[block[v] | (four & 7) << 8];
        out->signs[v] = four >> 3 ? 255 : 0;
    }
}

static void read_iq2_xxs(const uint8_t *block, struct read_block *out)
{
    out->d = cm_load_u16(block);
    for (int j = 0; j < 8; j++) {
        const uint8_t *numbers = block + 2 + 8 * j;
        const uint32_t rest = cm_load_u32(numbers + 4);
        put_scale32(out, j, rest >> 28);
        for (int v = 0; v < 4; v++) {
            out->digits[4 * j + v][0] = cm_grid_iq2_xxs[numbers[v]];
            out->signs[4 * j + v] = eight_signs(rest >> 7 * v);
        }
    }
}

static void read_iq2_xs(const uint8_t *block, struct read_block *out)
{
    out->d = cm_load_u16(block);
    put_nibbles(block + 66, out->scales);
    for (int v = 0; v < VECTORS; v++) {
        const uint32_t both = cm_load_u16(block + 2 + 2 * v);
        out->digits[v][0] = cm_grid_iq2_xs[both & 511];
        out->signs[v] = eight_signs(both >> 9);
    }
}

static void read_iq2_s(const uint8_t *block, struct read_block *out)
{
    out->d = cm_load_u16(block);
    put_nibbles(block + 74, out->scales);
    for (int v = 0; v < VECTORS; v++) {
        const uint32_t high = block[66 + v / 4] >> 2 * (v % 4) & 3;
        out->digits[v][0] = cm_grid_iq2_s[block[2 + v] | high << 8];
        out->signs[v] = block[34 + v];
    }
}

static void read_iq3_xxs(const uint8_t *block, struct read_block *out)
{
    out->d = cm_load_u16(block);
    for (int j = 0; j < 8; j++) {
        const uint32_t rest = cm_load_u32(block + 66 + 4 * j);
        put_scale32(out, j, rest >> 28);
        for (int v = 4 * j; v < 4 * j + 4; v++) {
            for (int half = 0; half < 2; half++) out->digits[v][half] = cm_grid_iq3_xxs[block[2 + 2 * v + half]];
            out->signs[v] = eight_signs(rest >> 7 * (v % 4));
        }
    }
}

static void read_iq3_s(const uint8_t *block, struct read_block *out)
{
    out->d = cm_load_u16(block);
    for (int j = 0; j < 8; j++) put_scale32(out, j, block[106 + j / 2] >> 4 * (j % 2) & 15);
    for (int v = 0; v < VECTORS; v++) {
        for (int half = 0; half < 2; half++) {
            const int      n = 2 * v + half;
            const uint32_t high = block[66 + n / 8] >> n % 8 & 1;
            out->digits[v][half] = cm_grid_iq3_s[block[2 + n] | high << 8];
        }
        out->signs[v] = block[74 + v];
    }
}

/* Ternary weights are digits 0, 1, 2 for -1, 0, 1 without scale or sign: weight k becomes digit k. */
static void put_digit(struct read_block *out, int k, uint32_t digit)
{
    out->digits[k / 8][0] = (uint16_t)(out->digits[k / 8][0] | digit << 2 * (k % 8));
}

/* Runs of n bytes hold m n weights, digit by digit; behind each of the runs the next. A digit is the integer part of
 * the byte's 256ths times three, and what is left has the others. Returns the weights so far. */
static int read_digits(const uint8_t *bytes, int n, int m, int first, struct read_block *out)
{
    for (int l = 0; l < n; l++) {
        uint32_t rest = bytes[l];
        for (int i = 0; i < m; i++) {
            put_digit(out, first + i * n + l, rest * 3 >> 8);
            rest = rest * 3 & 255;
        }
    }
    return first + m * n;
}

static void read_tq1_0(const uint8_t *block, struct read_block *out)
{
    *out = (struct read_block){.d = cm_load_u16(block + 52)};
    int n = read_digits(block, 32, 5, 0, out);
    n = read_digits(block + 32, 16, 5, n, out);
    read_digits(block + 48, 4, 4, n, out);
}

static void read_tq2_0(const uint8_t *block, struct read_block *out)
{
    *out = (struct read_block){.d = cm_load_u16(block + 64)};
    for (int k = 0; k < CM_SUPERBLOCK; k++)
        put_digit(out, k, (uint32_t)block[32 * (k / 128) + k % 32] >> 2 * (k / 32 % 4) & 3);
}

static const int8_t values_tq[16] = CM_VALUES_TQ;
static const int8_t values_iq1[16] = CM_VALUES_IQ1, values_iq2[16] = CM_VALUES_IQ2;
static const int8_t values_iq3_xxs[16] = CM_VALUES_IQ3_XXS, values_iq3_s[16] = CM_VALUES_IQ3_S;

static const struct code_book {
    void (*read)(const uint8_t *block, struct read_block *out);
    const int8_t *values; /* of codes */
    float         unit;
    int           n_bits;
} books[WEIGHT_TYPE_COUNT] = {
    [WEIGHT_IQ1_S]   = { read_iq1_s,   values_iq1,     CM_UNIT_IQ1,     3 },
    [WEIGHT_IQ1_M]   = { read_iq1_m,   values_iq1,     CM_UNIT_IQ1,     3 },
    [WEIGHT_IQ2_XXS] = { read_iq2_xxs, values_iq2,     CM_UNIT_IQ2,     3 },
    [WEIGHT_IQ2_XS]  = { read_iq2_xs,  values_iq2,     CM_UNIT_IQ2,     3 },
    [WEIGHT_IQ2_S]   = { read_iq2_s,   values_iq2,     CM_UNIT_IQ2,     3 },
    [WEIGHT_IQ3_XXS] = { read_iq3_xxs, values_iq3_xxs, CM_UNIT_IQ3_XXS, 4 },
    [WEIGHT_IQ3_S]   = { read_iq3_s,   values_iq3_s,   CM_UNIT_IQ3_S,   4 },
    [WEIGHT_TQ1_0]   = { read_tq1_0,   values_tq,      CM_UNIT_TQ,      3 },
    [WEIGHT_TQ2_0]   = { read_tq2_0,   values_tq,      CM_UNIT_TQ,      3 },
};

/* A code is a weight's digit, and its sign in the bit above. */
static void codes_of(const struct code_book *book, const struct read_block *from, uint8_t codes[CM_SUPERBLOCK])
{
    const int      n_bits = book->n_bits - 1;
    const uint32_t mask = (1u << n_bits) - 1;
    for (int v = 0; v < VECTORS; v++) {
        /* 8 entries of 2 bits are one number, 2 x 4 of 3 bits are two, of 12 bits each */
        const uint32_t digits = from->digits[v][0] | (n_bits == 3 ? (uint32_t)from->digits[v][1] << 12 : 0);
        for (int i = 0; i < 8; i++) {
            const uint32_t sign = from->signs[v] >> i & 1u;
            codes[8 * v + i] = (uint8_t)((digits >> n_bits * i & mask) | sign << n_bits);
        }
    }
}

static void unpack(const struct code_book *book, const uint8_t *block, struct unpacked_block *out)
{
    struct read_block from;
    uint8_t           codes[CM_SUPERBLOCK];
    book->read(block, &from);
    codes_of(book, &from, codes);
    out->d = cm_float_of_half(from.d) * book->unit;
    for (int j = 0; j < CM_SUBBLOCKS; j++) out->scales[j] = (int16_t)(2 * from.scales[j] + 1);
    for (int k = 0; k < CM_SUPERBLOCK; k++) out->codes[k] = book->values[codes[k]];
}

#define UNPACK(lower, upper)                                                   \
    void cm_unpack_##lower(const uint8_t *block, struct unpacked_block *out)   \
    {                                                                          \
        unpack(&books[WEIGHT_##upper], block, out);                            \
    }
UNPACK(iq1_s, IQ1_S)
UNPACK(iq1_m, IQ1_M)
UNPACK(iq2_xxs, IQ2_XXS)
UNPACK(iq2_xs, IQ2_XS)
UNPACK(iq2_s, IQ2_S)
UNPACK(iq3_xxs, IQ3_XXS)
UNPACK(iq3_s, IQ3_S)
UNPACK(tq1_0, TQ1_0)
UNPACK(tq2_0, TQ2_0)

size_t cm_book_bytes(enum weight_type type)
{
    return books[type].n_bits == 3 ? 106 : books[type].n_bits == 4 ? 134 : 0;
}

static void put_planes(const uint8_t codes[CM_SUPERBLOCK], uint8_t thirds[32], uint8_t pairs[64])
{
    memset(thirds, 0, 32);
    memset(pairs, 0, 64);
    for (int j = 0; j < 8; j++) /* of 32 codes */
        for (int l = 0; l < 32; l++) {
            const uint8_t code = codes[32 * j + l];
            thirds[l] = (uint8_t)(thirds[l] | code >> 2 << j);
            pairs[32 * (j / 4) + l] = (uint8_t)(pairs[32 * (j / 4) + l] | (code & 3) << 2 * (j % 4));
        }
}

static void put_codes(const uint8_t codes[CM_SUPERBLOCK], uint8_t nibbles[128])
{
    for (int j = 0; j < 8; j++)
        for (int l = 0; l < 16; l++)
            nibbles[16 * j + l] = (uint8_t)(codes[32 * j + l] | codes[32 * j + 16 + l] << 4);
}

void cm_book_pack(enum weight_type type, const uint8_t *block, uint8_t *out)
{
    const struct code_book *book = &books[type];
    struct read_block       from;
    uint8_t                 codes[CM_SUPERBLOCK];
    book->read(block, &from);
    codes_of(book, &from, codes);
    cm_store_u16(out, from.d);
    if (book->n_bits == 3) {
        for (int j = 0; j < 8; j++) out[2 + j] = (uint8_t)(from.scales[j] | from.scales[8 + j] << 4);
        put_planes(codes, out + 10, out + 42);
    } else {
        for (int j = 0; j < 4; j++) out[2 + j] = (uint8_t)(from.scales[2 * j] | from.scales[8 + 2 * j] << 4);
        put_codes(codes, out + 6);
    }
}
