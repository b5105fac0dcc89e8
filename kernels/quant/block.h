/* block.h - what the bytes of a weight block mean: the integers and scales of a block, before any arithmetic.
 * Dequantization and the reference kernels both start from it, so that each format is described only once.
 *
 * A block of 32 (blocks with one scale):       weight k = d * code_k            (+ m where has_minimum)
 * A superblock of 256 (scales for each 16 k):  weight k = d * sc_(k/16) * code_k
 *                                                         (- m * minimum_(k/16) where has_minimum) */
#ifndef KERNELS_QUANT_BLOCK_H
#define KERNELS_QUANT_BLOCK_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/weight_type.h"

enum { CM_SUPERBLOCK = 256, CM_SUBBLOCKS = 16 };

struct unpacked_block {
    int8_t  codes[CM_SUPERBLOCK];
    int16_t scales[CM_SUBBLOCKS];   /* of a superblock; formats with sub-blocks of 32 have each scale twice */
    int16_t minimums[CM_SUBBLOCKS]; /* of a superblock that has_minimum                              */
    float   d;
    float   m;                      /* where has_minimum                                             */
};

struct block_form {
    void (*unpack)(const uint8_t *block, struct unpacked_block *out); /* NULL for float types */
    bool has_minimum;
};

extern const struct block_form cm_block_forms[WEIGHT_TYPE_COUNT];

/* One weight of a float type, widened exactly. */
float cm_float_weight(enum weight_type type, const uint8_t *bytes);

void cm_unpack_q4_0(const uint8_t *block, struct unpacked_block *out);
void cm_unpack_q4_1(const uint8_t *block, struct unpacked_block *out);
void cm_unpack_q5_0(const uint8_t *block, struct unpacked_block *out);
void cm_unpack_q5_1(const uint8_t *block, struct unpacked_block *out);
void cm_unpack_q8_0(const uint8_t *block, struct unpacked_block *out);
void cm_unpack_q2_k(const uint8_t *block, struct unpacked_block *out);
void cm_unpack_q3_k(const uint8_t *block, struct unpacked_block *out);
void cm_unpack_q4_k(const uint8_t *block, struct unpacked_block *out);
void cm_unpack_q5_k(const uint8_t *block, struct unpacked_block *out);
void cm_unpack_q6_k(const uint8_t *block, struct unpacked_block *out);
void cm_unpack_iq4_nl(const uint8_t *block, struct unpacked_block *out);
void cm_unpack_iq4_xs(const uint8_t *block, struct unpacked_block *out);
void cm_unpack_mxfp4(const uint8_t *block, struct unpacked_block *out);
void cm_unpack_tq1_0(const uint8_t *block, struct unpacked_block *out);
void cm_unpack_tq2_0(const uint8_t *block, struct unpacked_block *out);
void cm_unpack_iq1_s(const uint8_t *block, struct unpacked_block *out);
void cm_unpack_iq1_m(const uint8_t *block, struct unpacked_block *out);
void cm_unpack_iq2_xxs(const uint8_t *block, struct unpacked_block *out);
void cm_unpack_iq2_xs(const uint8_t *block, struct unpacked_block *out);
void cm_unpack_iq2_s(const uint8_t *block, struct unpacked_block *out);
void cm_unpack_iq3_xxs(const uint8_t *block, struct unpacked_block *out);
void cm_unpack_iq3_s(const uint8_t *block, struct unpacked_block *out);

/* 16 bytes: the low nibbles are codes 0 … 15, the high ones 16 … 31. */
void cm_unpack_nibbles(const uint8_t *bytes, int8_t codes[32]);
/* The six-bit scales and minimums of Q4_K and Q5_K, each given for both halves of its 32. */
void cm_unpack_k_scales(const uint8_t packed[12], int16_t scales[CM_SUBBLOCKS],
                        int16_t minimums[CM_SUBBLOCKS]);

extern const int8_t cm_iq4_values[16]; /* the code book of IQ4_NL and IQ4_XS */

void cm_quantize_f32(const float *in, void *blocks, size_t n_blocks);
void cm_quantize_f16(const float *in, void *blocks, size_t n_blocks);
void cm_quantize_bf16(const float *in, void *blocks, size_t n_blocks);
void cm_quantize_q4_0(const float *in, void *blocks, size_t n_blocks);
void cm_quantize_q8_0(const float *in, void *blocks, size_t n_blocks);
void cm_quantize_q4_k(const float *in, void *blocks, size_t n_blocks);
void cm_quantize_q6_k(const float *in, void *blocks, size_t n_blocks);

#endif
