/* fills.h - weights and inputs that try to break a kernel: extremes, bit patterns, odd scales. */
#ifndef TESTS_KERNELCHECK_FILLS_H
#define TESTS_KERNELCHECK_FILLS_H

#include <math.h>
#include <string.h>

#include "base/random.h"
#include "kernels/activations.h"
#include "kernels/half.h"
#include "kernels/quant/code_book.h"

enum weight_fill { /* of codes, and of the scales where they are said */
    WEIGHTS_TYPICAL, WEIGHTS_ZEROS, WEIGHTS_ALL_ONES, WEIGHTS_MINIMUM, WEIGHTS_RANDOM_BITS,
    WEIGHTS_ONE_HUGE, WEIGHTS_SUBNORMAL, WEIGHTS_NEGATIVE, WEIGHTS_NOT_FINITE, WEIGHT_FILL_COUNT
};
enum input_fill {
    INPUT_TYPICAL, INPUT_ZEROS, INPUT_MAXIMUM, INPUT_MINIMUM, INPUT_ALTERNATING, INPUT_WILD_SCALES,
    INPUT_FILL_COUNT
};

static const char *const weight_fill_names[WEIGHT_FILL_COUNT] = {
    "typical", "zeros", "all ones", "minimum", "random bits", "one huge", "subnormal", "negative",
    "not finite"
};
static const char *const input_fill_names[INPUT_FILL_COUNT] = {
    "typical", "zeros", "maximum", "minimum", "alternating", "wild scales"
};

static inline uint16_t fill_half(struct random *random, enum weight_fill fill, size_t block)
{
    const uint16_t bits = (uint16_t)cm_random_u64(random);
    switch (fill) {
    case WEIGHTS_RANDOM_BITS: return (bits & 0x7c00u) == 0x7c00u ? (uint16_t)(bits & 0xbfffu) : bits;
    case WEIGHTS_ONE_HUGE: return block == 0 ? 0x7bffu : cm_half_of_float(1e-3f);
    case WEIGHTS_SUBNORMAL: return (uint16_t)(bits & 0x83ffu);
    case WEIGHTS_NEGATIVE: return cm_half_of_float(-0.01f * (float)(1 + bits % 100));
    case WEIGHTS_ZEROS: return 0;
    case WEIGHTS_NOT_FINITE: /* an infinity, a NaN, or neither */
        return block % 3 == 0 ? (uint16_t)(0x7c00u | (bits & 0x8000u)) : block % 3 == 1 ? 0x7e00u : 0x2c00u;
    default: return cm_half_of_float(0.001f * (float)(1 + bits % 100));
    }
}

/* Where the float16 scales of a block lie: up to two offsets, -1 for none. */
static inline void half_offsets(enum weight_type type, int offsets[2])
{
    offsets[0] = 0;
    offsets[1] = -1;
    switch (type) {
    case WEIGHT_Q4_1: case WEIGHT_Q5_1: case WEIGHT_Q4_K: case WEIGHT_Q5_K: offsets[1] = 2; break;
    case WEIGHT_Q2_K: offsets[0] = 80; offsets[1] = 82; break;
    case WEIGHT_Q3_K: offsets[0] = 108; break;
    case WEIGHT_Q6_K: offsets[0] = 208; break;
    case WEIGHT_MXFP4: case WEIGHT_IQ1_M: offsets[0] = -1; break;
    default: break;
    }
}

static inline float fill_float(struct random *random, enum weight_fill fill, size_t at)
{
    const float normal = cm_random_normal(random);
    uint32_t    bits;
    switch (fill) {
    case WEIGHTS_ZEROS: return at % 2 == 0 ? 0.0f : -0.0f;
    case WEIGHTS_ALL_ONES: return 1.0f;
    case WEIGHTS_MINIMUM: return -1.0f;
    case WEIGHTS_RANDOM_BITS:
        bits = (uint32_t)cm_random_u64(random);
        return cm_float_of_bits((bits & 0x7f800000u) == 0x7f800000u ? bits & 0xbfffffffu : bits);
    case WEIGHTS_ONE_HUGE: return at == 0 ? 60000.0f : normal;
    case WEIGHTS_SUBNORMAL: return normal * 0x1p-140f;
    case WEIGHTS_NEGATIVE: return -fabsf(normal);
    case WEIGHTS_NOT_FINITE: return at % 97 == 5 ? INFINITY : at % 89 == 7 ? -INFINITY : at % 83 == 11 ? NAN : normal;
    default: return normal;
    }
}

static inline void fill_float_weights(struct random *random, enum weight_type type,
                                      enum weight_fill fill, uint8_t *bytes, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        const float    value = fill_float(random, fill, i);
        const uint32_t bits = cm_bits_of_float(value);
        if (type == WEIGHT_F32) memcpy(bytes + 4 * i, &bits, 4);
        else if (type == WEIGHT_F16 && fill == WEIGHTS_RANDOM_BITS)
            cm_store_u16(bytes + 2 * i, fill_half(random, fill, i));
        else if (type == WEIGHT_F16) cm_store_u16(bytes + 2 * i, cm_half_of_float(value));
        else cm_store_u16(bytes + 2 * i, cm_bfloat_of_float(value));
    }
}

/* n_blocks blocks in a row. */
static inline void fill_weights(struct random *random, enum weight_type type, enum weight_fill fill,
                                uint8_t *bytes, size_t n_blocks)
{
    const struct weight_type_row *row = &cm_weight_types[type];
    const size_t                  n_bytes = (size_t)row->n_bytes;
    int                           offsets[2];
    if (row->n_elements == 1) {
        fill_float_weights(random, type, fill, bytes, n_blocks);
        return;
    }
    half_offsets(type, offsets);
    for (size_t b = 0; b < n_blocks; b++) {
        uint8_t *block = bytes + b * n_bytes;
        for (size_t i = 0; i < n_bytes; i++) {
            switch (fill) {
            case WEIGHTS_ZEROS: block[i] = 0; break;
            case WEIGHTS_ALL_ONES: block[i] = type == WEIGHT_Q8_0 ? 0x7f : 0xff; break;
            case WEIGHTS_MINIMUM: block[i] = type == WEIGHT_Q8_0 || type == WEIGHT_Q6_K ? 0x80 : 0; break;
            default: block[i] = (uint8_t)cm_random_u64(random); break;
            }
        }
        for (int i = 0; i < 2; i++)
            if (offsets[i] >= 0) cm_store_u16(block + offsets[i], fill_half(random, fill, b));
        if (type == WEIGHT_IQ1_M) cm_iq1_m_put_d(block, fill_half(random, fill, b));
    }
}

static inline int8_t fill_code(struct random *random, enum input_fill fill, size_t k)
{
    switch (fill) {
    case INPUT_ZEROS: return 0;
    case INPUT_MAXIMUM: return 127;
    case INPUT_MINIMUM: return -127;
    case INPUT_ALTERNATING: return k % 2 == 0 ? 127 : -127;
    default: return (int8_t)((int)cm_random_below(random, 255) - 127);
    }
}

static inline float fill_scale(struct random *random, enum input_fill fill)
{
    const float wild[] = { 0.0f, 0x1p-149f, 0x1p-130f, 1e-30f, 1.0f, 1e30f };
    switch (fill) {
    case INPUT_ZEROS: return 0.0f;
    case INPUT_WILD_SCALES: return wild[cm_random_below(random, 6)];
    default: return 0.0001f + (float)cm_random_unit(random);
    }
}

/* One token's row in one quantized form, with the sums that belong to the codes. */
static inline void fill_quantized(struct random *random, enum input_fill fill, int8_t *codes,
                                  float *scales, int16_t *sums, size_t n_columns, size_t block)
{
    for (size_t b = 0; b < (n_columns + block - 1) / block; b++) scales[b] = fill_scale(random, fill);
    for (size_t j = 0; j < (n_columns + 15) / 16; j++) sums[j] = 0;
    for (size_t k = 0; k < n_columns; k++) {
        codes[k] = fill_code(random, fill, k);
        sums[k / 16] = (int16_t)(sums[k / 16] + codes[k]);
    }
}

static inline void fill_values(struct random *random, enum input_fill fill, float *x, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        const float normal = cm_random_normal(random);
        x[k] = fill == INPUT_ZEROS         ? 0.0f
               : fill == INPUT_MAXIMUM     ? 1e4f
               : fill == INPUT_MINIMUM     ? -1e4f
               : fill == INPUT_WILD_SCALES ? normal * fill_scale(random, fill)
                                           : normal;
    }
}

#endif
