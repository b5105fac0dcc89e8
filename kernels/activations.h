/* kernels/activations.h - the input of a matrix product: float32 rows, and the int8 forms that products with quantized
 * weights need. Each form is made once for all matrices that read the same input.
 *
 * Quantization of a block (32 or 256 values; the last block of 256 may be shorter):
 *   amax = max |x|,  da = amax / 127 (float32),  q = round-half-even(x / da), clamped to ±127;
 *   da = 0 gives q = 0. sums holds the sum of each 16 codes, which minimum terms need. */
#ifndef KERNELS_ACTIVATIONS_H
#define KERNELS_ACTIVATIONS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/weight_type.h"

struct quantized {
    int8_t  *codes;  /* (n_tokens, n_columns)                                     */
    float   *scales; /* (n_tokens, n_blocks), n_blocks = ceil(n_columns / block)  */
    int16_t *sums;   /* (n_tokens, ceil(n_columns / 16))                          */
};

struct activations {
    int              n_columns;
    float           *values; /* (n_tokens, n_columns); rows need not be 64-byte aligned      */
    struct quantized q32;    /* valid where a matrix of kind ACTIVATION_Q32 reads it         */
    struct quantized q256;
};

/* A set of activation kinds as bits. */
static inline unsigned cm_kind_bit(enum activation_kind kind) { return 1u << kind; }

/* The bytes that cm_activations_place() needs for n_tokens rows: the values and both quantized forms. */
size_t cm_activations_bytes(int n_tokens, int n_columns);
/* Makes *out point into memory, which is 64-byte aligned and cm_activations_bytes() long. */
void   cm_activations_place(struct activations *out, int n_tokens, int n_columns, void *memory);

#endif
