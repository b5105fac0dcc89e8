/* code_book.h - weight types whose codes are indices into a small table of values: IQ1, IQ2 and IQ3, with superblocks
 * of 256; and ternary weights, TQ1 and TQ2, whose table is -1, 0, 1.
 *
 * In files, a superblock consists of indices of whole vectors of 8 or 4 weights in large tables (iq_grids.c), and of
 * signs. Each weight is one of at most 16 values, so that
 *
 *     weight k = d * unit * (2 s_(k/16) + 1) * values[code_k]
 *
 * with exact products. A superblock is packed in this form, so that only the small table is needed at run time. IQ1,
 * IQ2, TQ1 and TQ2 need three bits for a code, IQ3 four:
 *
 *     3 bits, 106 bytes: d float16 | 8 bytes: s_0 … s_7 in low nibbles, others in high ones | third bits[32] | pairs
 *     4 bits, 134 bytes: d float16 | 4 bytes: s of each 32, of the first four in low nibbles | nibbles[128]
 *
 * The bits of codes are arranged as in Q3_K (bit pairs, third bits) and IQ4_XS (nibbles). */
#ifndef KERNELS_QUANT_CODE_BOOK_H
#define KERNELS_QUANT_CODE_BOOK_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/weight_type.h"

/* The values of the codes. With 3 bits, the top bit is the sign: in IQ1 of the eighth of a step that is added to -1, 0
 * or 1 (values are multiples of 8, plus or minus that), in IQ2 of the weight. With 4 bits (IQ3) it is the weight's sign
 * too. */
#define CM_VALUES_IQ1     { -7, 1, 9, 0, -9, -1, 7, 0 }
#define CM_VALUES_IQ2     { 8, 25, 43, 0, -8, -25, -43, 0 }
#define CM_VALUES_TQ      { -1, 0, 1, 2 /* which no ternary weight is */, 0, 0, 0, 0 }
#define CM_VALUES_IQ3_XXS { 4, 12, 20, 28, 36, 44, 52, 62, -4, -12, -20, -28, -36, -44, -52, -62 }
#define CM_VALUES_IQ3_S   { 1, 3, 5, 7, 9, 11, 13, 15, -1, -3, -5, -7, -9, -11, -13, -15 }

/* The unit of d: weight = d * unit * …; a power of two, so that d * unit is exact. */
#define CM_UNIT_IQ1     0.125f
#define CM_UNIT_IQ2     0.125f
#define CM_UNIT_TQ      1.0f
#define CM_UNIT_IQ3_XXS 0.25f
#define CM_UNIT_IQ3_S   1.0f

/* The bytes of a packed superblock; 0 if the type is packed in its file's form. */
size_t cm_book_bytes(enum weight_type type);
/* Converts a superblock of the file to cm_book_bytes(type) bytes. */
void cm_book_pack(enum weight_type type, const uint8_t *block, uint8_t *out);

/* Reads d of IQ1_M, which has no field for it: each of the four u16 at byte 48 has a quarter of d in its top bits, the
 * first one the lowest. */
uint16_t cm_iq1_m_d(const uint8_t *block);
void cm_iq1_m_put_d(uint8_t *block, uint16_t d);

extern const uint16_t cm_grid_iq1[2048], cm_grid_iq2_xxs[256], cm_grid_iq2_xs[512], cm_grid_iq2_s[1024];
extern const uint16_t cm_grid_iq3_xxs[256], cm_grid_iq3_s[512];

#endif
