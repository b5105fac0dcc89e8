/* kernels/vector_ops.h - everything between the matrix products: one C body (vector_body.h), compiled
 * once for each instruction set, the same bits in each. No op allocates or fails.
 *
 * Reductions use 16 partial sums (element i goes to sum i % 16), added as a fixed tree. */
#ifndef KERNELS_VECTOR_OPS_H
#define KERNELS_VECTOR_OPS_H

#include <stdint.h>

#include "kernels/activations.h"
#include "kernels/cpu.h"

enum { CM_KV_BLOCK = 64 }; /* positions in a block of the KV cache, and of the softmax */

enum kv_type { KV_F16, KV_F32 };

enum rope_pairing { ROPE_NORM /* (2i, 2i+1) */, ROPE_NEOX /* (i, i + n_rot/2) */ };

/* K of one kv head: blocks of 64 positions, transposed: (n_blocks, head_size, 64); V: (n_positions, head_size).
 * Elements are float16 or float32 as type says. */
struct attention_input {
    const float *query;        /* (head_size)                            */
    const void  *keys;
    const void  *values;
    enum kv_type type;
    int          head_size;    /* of q and k                             */
    int          value_size;   /* of v                                   */
    int          n_positions;  /* this token attends positions 0 … n - 1 */
    float        scale;        /* of the scores                          */
};

struct vector_ops {
    enum isa isa;
    /* Columns [begin, end) of row `token` of x->values into x->q32 / x->q256, as the bits of kinds
     * (cm_kind_bit) ask. begin is a multiple of the kind's block; end too, or n_columns. */
    void (*quantize)(struct activations *x, int token, int begin, int end, unsigned kinds);
    /* y = x * weight / sqrt(mean(x^2) + eps); x == y is fine. */
    void (*rms_norm)(const float *x, const float *weight, float eps, int n, float *y);
    /* h = gate * sigmoid(gate) * up */
    void (*silu_multiply)(const float *gate, const float *up, int n, float *h);
    /* x = exp(x - max) / sum; n >= 1 */
    void (*softmax)(float *x, int n);
    /* x = sigmoid(x) */
    void (*sigmoid)(float *x, int n);
    /* x = fmaf(scale, y, x) */
    void (*add_scaled)(float *x, const float *y, float scale, int n);
    /* Rotates pairs of head[0 .. n_rot); cosines and sines: (n_rot / 2). */
    void (*rope)(float *head, const float *cosines, const float *sines, int n_rot,
                 enum rope_pairing pairing);
    /* Puts one position's k (head_size) and v (value_size) into the cache of its kv head. */
    void (*store_kv)(const float *k, const float *v, void *keys, void *values, enum kv_type type,
                     int head_size, int value_size, int position);
    /* out (value_size) = sum_p softmax(scale * q·k_p) v_p: scores sequential over the head, softmax
     * over blocks of 64 positions, combined in order. */
    void (*attend)(const struct attention_input *input, float *out);
};

const struct vector_ops *cm_vector_ops(enum isa isa);

#endif
