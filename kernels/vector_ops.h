/* kernels/vector_ops.h - everything between the matrix products: one C body (vector_body.h), compiled
 * once for each instruction set, the same bits in each. No op allocates or fails.
 *
 * Reductions use 16 partial sums (element i goes to sum i % 16), added as a fixed tree. */
#ifndef KERNELS_VECTOR_OPS_H
#define KERNELS_VECTOR_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/activations.h"
#include "kernels/cpu.h"
#include "kernels/nonlinearity.h"

enum {
    CM_KV_BLOCK = 64,     /* positions in a block of the KV cache                            */
    CM_ATTEND_SPAN = 512, /* positions whose softmax is computed at once                     */
    CM_SPAN_BLOCKS = CM_ATTEND_SPAN / CM_KV_BLOCK,
    CM_PART_SUMS = 16     /* floats before the sums in a part (alignment)                    */
};

enum kv_type { KV_F16, KV_F32 };

enum rope_pairing { ROPE_NORM /* (2i, 2i+1) */, ROPE_NEOX /* (i, i + n_rot/2) */ };

/* Queries of one kv head: of several rows, or of the heads that share it.
 * keys of a span of 512 positions: blocks of 64, transposed: (8, head_size, 64), whole blocks are read; values:
 * (512, value_size). The next span's lie span_bytes further. Elements are float16 or float32 as type says. */
struct attention_input {
    const void  *keys, *values;      /* of span 0                                       */
    size_t       span_bytes;
    enum kv_type type;
    int          head_size;          /* of q and k                                      */
    int          value_size;         /* of v                                            */
    float        scale;              /* of the scores                                   */
    float        soft_cap;           /* scores are then capped as by the op soft_cap; 0 = not   */
    int          n_queries;
    const float *const *queries;     /* (n_queries) vectors of head_size                */
    const int   *n_positions;        /* (n_queries) query i attends first[i] … n_positions[i] - 1 */
    const int   *first;              /* (n_queries), of a window; NULL = all from 0             */
};

static inline int cm_first_position(const struct attention_input *in, int query)
{
    return in->first ? in->first[query] : 0;
}

/* Spans *begin … *end - 1 hold all positions that any query attends: the others are not computed, and their keys and
 * values need not be there. n_queries >= 1; each attends a position at least. */
void cm_attended_spans(const struct attention_input *in, int *begin, int *end);

/* Floats of one query's part: largest score, total, 14 unused, then the sums (value_size, rounded up to 16). */
static inline size_t cm_part_floats(int value_size)
{
    return (size_t)CM_PART_SUMS + (size_t)((value_size + 15) / 16 * 16);
}

struct vector_ops {
    enum isa isa;
    /* Columns [begin, end) of row `token` of x->values into x->q32 / x->q256, as the bits of kinds
     * (cm_kind_bit) ask. begin is a multiple of the kind's block; end too, or n_columns. */
    void (*quantize)(struct activations *x, int token, int begin, int end, unsigned kinds);
    /* y = x * weight / sqrt(mean(x^2) + eps); x == y is fine. */
    void (*rms_norm)(const float *x, const float *weight, float eps, int n, float *y);
    /* h of gate and up, as nonlinearity.h says. h may be gate or up. Functions without a gate do not look at it. */
    void (*nonlinear[NONLINEARITY_COUNT])(const float *gate, const float *up, int n, float *h);
    /* x = exp(x - max) / sum; n >= 1 */
    void (*softmax)(float *x, int n);
    /* The largest and the second largest of what softmax would make of x, to the bit; *second = 0 where n is 1. */
    void (*softmax_top_two)(const float *x, int n, float *first, float *second);
    /* x = sigmoid(x) */
    void (*sigmoid)(float *x, int n);
    /* x = cap tanh(x / cap); cap > 0. NaN stays NaN. */
    void (*soft_cap)(float *x, float cap, int n);
    /* x = fmaf(scale, y, x) */
    void (*add_scaled)(float *x, const float *y, float scale, int n);
    /* Rotates pairs of head[0 .. n_rot); cosines and sines: (n_rot / 2). */
    void (*rope)(float *head, const float *cosines, const float *sines, int n_rot,
                 enum rope_pairing pairing);
    /* Puts one position's k (head_size) and v (value_size) into a span of its kv head's cache, position 0 … 511. */
    void (*store_kv)(const float *k, const float *v, void *keys, void *values, enum kv_type type,
                     int head_size, int value_size, int position);
    /* Attention is computed in spans of 512 positions, counted from the sequence's start, whatever a window begins
     * with. For each query of the input that attends a position of the span: parts + i * stride = its part, that is,
     * over its positions p of the span,
     *   s_p = scale * q·k_p (one fmaf chain over the head), capped where soft_cap is not 0,
     *   largest = max s_p, w_p = exp(s_p - largest),
     *   total = sum w_p (16 partial sums: w_p goes to sum p % 16), sums = sum w_p v_p (one fmaf chain over p).
     * What stands at other positions does not matter, even if it is NaN, but whole blocks of 64 keys are read.
     * stride >= cm_part_floats(value_size); parts are 64-byte aligned. Parts are put together by cm_attend_take(). */
    void (*attend_span)(const struct attention_input *input, int span, float *parts, size_t stride);
    /* whole, the merged parts of earlier spans, takes in the next: both are scaled to the larger maximum. */
    void (*attend_merge)(float *whole, const float *part, int value_size);
    /* whole takes in a sink, after all parts: a position with the score `sink` whose value is 0. It has a share of the
     * softmax and adds nothing. */
    void (*attend_sink)(float *whole, float sink, int value_size);
    /* out (value_size) = sums / total */
    void (*attend_finish)(const float *whole, int value_size, float *out);
};

const struct vector_ops *cm_vector_ops(enum isa isa);

/* wholes (query i's at i * stride, as parts) take in the parts of `span`, of those queries that attend any of it: a
 * query's first part is copied, later ones are merged. To be called for spans in ascending order, parts may be
 * wholes where span is the first that is computed. */
void cm_attend_take(const struct vector_ops *ops, const struct attention_input *in, int span, const float *parts,
                    float *wholes, size_t stride);

#endif
