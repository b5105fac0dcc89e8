/* kernels/vector_ops.h - all arithmetic between the matrix products. It is written once (vector_body.h) and compiled
 * for each instruction set, with the same bits in each. No op allocates or fails.
 *
 * Reductions use 16 partial sums (element i belongs to sum i % 16), which are then added as a fixed tree. */
#ifndef KERNELS_VECTOR_OPS_H
#define KERNELS_VECTOR_OPS_H

#include <stddef.h>
#include <stdint.h>

#include "kernels/activations.h"
#include "kernels/cpu.h"
#include "kernels/nonlinearity.h"

enum {
    CM_KV_BLOCK = 64,     /* positions in a block of the KV cache                            */
    CM_ATTEND_SPAN = 512, /* positions whose softmax is computed together                    */
    CM_SPAN_BLOCKS = CM_ATTEND_SPAN / CM_KV_BLOCK,
    CM_PART_SUMS = 16     /* floats in front of the sums in a part (for alignment)           */
};

enum kv_type { KV_F16, KV_F32 };

enum rope_pairing { ROPE_NORM /* (2i, 2i+1) */, ROPE_NEOX /* (i, i + n_rot/2) */ };

/* Queries of one kv head: of several rows, or of the heads that share it.
 * keys of a span of 512 positions: blocks of 64, transposed: (8, head_size, 64), whole blocks are read; values:
 * (512, value_size). The next span's lie span_bytes further. Elements are float16 or float32 as type says.
 * Where keys is NULL, a value is the beginning of its key: keys lie as rows (512, head_size) at values, value_size is
 * head_size at most, and first is NULL. store_kv stores such rows as values of head_size beside keys of no elements. */
struct attention_input {
    const void  *keys, *values;      /* of span 0                                       */
    size_t       span_bytes;
    enum kv_type type;
    int          head_size;          /* of q and k                                      */
    int          value_size;         /* of v                                            */
    float        scale;              /* of the scores                                   */
    float        soft_cap;           /* scores are capped as by the op soft_cap; 0 = they are not */
    int          n_queries;
    const float *const *queries;     /* (n_queries) vectors of head_size                */
    const int   *n_positions;        /* (n_queries) query i attends positions first[i] … n_positions[i] - 1 */
    const int   *first;              /* (n_queries) beginning of a window; NULL = 0 for all     */
    const float *slopes;             /* (n_queries) scores fall with distance by this slope (ALiBi, Press et al.,
                                        2022); NULL = they do not                               */
};

static inline int cm_first_position(const struct attention_input *in, int query)
{
    return in->first ? in->first[query] : 0;
}

/* The spans *begin … *end - 1 contain all positions that any query attends. Other spans are not computed, and their
 * keys and values need not exist. n_queries >= 1; each query attends at least one position. */
void cm_attended_spans(const struct attention_input *in, int *begin, int *end);

/* Floats of one query's part: largest score, total, 14 unused, then the sums (value_size, rounded up to 16). */
static inline size_t cm_part_floats(int value_size)
{
    return (size_t)CM_PART_SUMS + (size_t)((value_size + 15) / 16 * 16);
}

/* One head of a recurrent mixer over a run of tokens, in the order of their positions. Vectors of token t begin at
 * base + t * stride. The state S (key_size, value_size) is kept from run to run, zero before the first token. */
struct recurrent_input {
    int          n_tokens, key_size, value_size;
    const float *q, *k, *v;     /* (key_size), (key_size), (value_size) of each token          */
    size_t       q_stride, k_stride, v_stride;
    const float *decay, *beta;  /* one number for each token: S decays by e^decay, decay <= 0   */
    size_t       number_stride;
    float        skip;          /* for the op state_space                                      */
    float       *out;           /* (value_size) of each token                                  */
    size_t       out_stride;
};

/* The number of floats of a head's state, which is 64-byte aligned. It is stored in blocks of 16 columns of S:
 * (value_size / 16 rounded up, key_size, 16). */
static inline size_t cm_recurrent_floats(int key_size, int value_size)
{
    return (size_t)key_size * (size_t)((value_size + 15) / 16 * 16);
}

struct vector_ops {
    enum isa isa;
    /* Columns [begin, end) of row `token` of x->values into x->q32 / x->q256, as the bits of kinds
     * (cm_kind_bit) ask. begin is a multiple of the kind's block; end too, or n_columns. */
    void (*quantize)(struct activations *x, int token, int begin, int end, unsigned kinds);
    /* y = x * weight / sqrt(mean(x^2) + eps); weight NULL: 1; x == y is fine. */
    void (*rms_norm)(const float *x, const float *weight, float eps, int n, float *y);
    /* y = (x - mean(x)) * weight / sqrt(mean((x - mean(x))^2) + eps) + bias; x == y is fine. */
    void (*layer_norm)(const float *x, const float *weight, const float *bias, float eps, int n, float *y);
    /* y = x * scale / sqrt(sum(x^2) + eps); x == y is fine. */
    void (*l2_norm)(const float *x, float scale, float eps, int n, float *y);
    /* h of gate and up, as nonlinearity.h says. h may be the same array as either. Functions without a gate ignore
     * gate. */
    void (*nonlinear[NONLINEARITY_COUNT])(const float *gate, const float *up, int n, float *h);
    /* x = exp(x - max) / sum; n >= 1 */
    void (*softmax)(float *x, int n);
    /* The largest and the second largest of what softmax would make of x, to the bit; *second = 0 where n is 1. */
    void (*softmax_top_two)(const float *x, int n, float *first, float *second);
    /* x = sigmoid(x) */
    void (*sigmoid)(float *x, int n);
    /* x = x * sigmoid(gate) */
    void (*sigmoid_multiply)(float *x, const float *gate, int n);
    /* x = ln(1 + e^x). NaN stays NaN. */
    void (*softplus)(float *x, int n);
    /* x = x * y */
    void (*multiply)(float *x, const float *y, int n);
    /* x = cap tanh(x / cap); cap > 0. NaN stays NaN. */
    void (*soft_cap)(float *x, float cap, int n);
    /* x = fmaf(scale, y, x) */
    void (*add_scaled)(float *x, const float *y, float scale, int n);
    /* One step of a causal convolution over time, each of n channels by itself: y = the sum over i < n_taps of
     * taps[i] * the input n_taps - 1 - i steps ago (one fmaf chain, oldest first), plus bias (NULL = none). columns:
     * the n_taps - 1 inputs before x, oldest first, zero before the first step; x is put behind them, the oldest goes.
     * taps (n_taps, stride), columns (n_taps - 1, stride), the others (n); x == y is fine. */
    void (*convolve)(const float *x, const float *taps, const float *bias, int n_taps, int n, size_t stride,
                     float *columns, float *y);
    /* Columns [begin, end) of a gated delta net's head; begin is a multiple of 16; end too, or value_size.
     * For each token:  S = e^decay S;  u = v - S'k;  S = S + k (beta u)';  out = S'q
     * where S'x sums over the keys in one fmaf chain, and S takes in fmaf(k, beta u, e^decay S). Columns do not touch
     * each other, and any cut of a sequence into runs gives the same bits. */
    void (*delta_net)(const struct recurrent_input *in, int begin, int end, float *state);
    /* The same for a head of a state space model (Mamba-2's B, C, x, dt being k, q, v, beta):
     *                  S = e^decay S + k (beta v)';  out = S'q + skip v */
    void (*state_space)(const struct recurrent_input *in, int begin, int end, float *state);
    /* Rotates pairs of head[0 .. n_rot); cosines and sines: (n_rot / 2). */
    void (*rope)(float *head, const float *cosines, const float *sines, int n_rot,
                 enum rope_pairing pairing);
    /* Puts one position's k (head_size) and v (value_size) into a span of its kv head's cache, position 0 … 511. */
    void (*store_kv)(const float *k, const float *v, void *keys, void *values, enum kv_type type,
                     int head_size, int value_size, int position);
    /* Attention is computed in spans of 512 positions, counted from the sequence's start, whatever a window begins
     * with. For each query of the input that attends a position of the span: parts + i * stride = its part, that is,
     * over its positions p of the span,
     *   s_p = scale * q·k_p, capped where soft_cap is not 0; q·k_p is one fmaf chain over the head, and where keys lie
     *         as rows 16 partial sums; where there are slopes then fmaf(slope, p - (n_positions - 1), s_p),
     *   largest = max s_p, w_p = exp(s_p - largest),
     *   total = sum w_p (16 partial sums: w_p goes to sum p % 16), sums = sum w_p v_p (one fmaf chain over p).
     * The contents of other positions do not matter, even if they are NaN, but whole blocks of 64 keys are read.
     * stride >= cm_part_floats(value_size); parts are 64-byte aligned. Parts are put together by cm_attend_take(). */
    void (*attend_span)(const struct attention_input *input, int span, float *parts, size_t stride);
    /* Merges the next part into whole, which has the merged parts of earlier spans: both are scaled to the larger
     * maximum. */
    void (*attend_merge)(float *whole, const float *part, int value_size);
    /* Adds a sink to whole, after all parts: a position with the score `sink` whose value is 0, so that it takes a
     * share of the softmax and adds nothing. */
    void (*attend_sink)(float *whole, float sink, int value_size);
    /* out (value_size) = sums / total */
    void (*attend_finish)(const float *whole, int value_size, float *out);
};

const struct vector_ops *cm_vector_ops(enum isa isa);

/* rms_norm of each of n_groups groups of n values; weight: (n_groups, n) or NULL. */
void cm_rms_norm_groups(const struct vector_ops *ops, const float *x, const float *weight, float eps, int n,
                        int n_groups, float *y);

/* Merges the parts of `span` into wholes (query i's at i * stride, as for parts), for the queries that attend any of
 * its positions. A query's first part is copied, later ones are merged. To be called for spans in ascending order;
 * parts may be the same memory as wholes for the first span that is computed. */
void cm_attend_take(const struct vector_ops *ops, const struct attention_input *in, int span, const float *parts,
                    float *wholes, size_t stride);

#endif
