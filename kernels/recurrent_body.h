/* kernels/recurrent_body.h - mixers with a state of fixed size, on sixteen lanes; a part of vector_body.h, which
 * includes it. What is computed, and in which order: kernels/vector_ops.h.
 *
 * Lanes are columns of the state, which belong to elements of the value and are independent of each other. A tile of a
 * few blocks of 16 columns passes through all tokens of the run while it is in the nearest cache. */
#ifndef KERNELS_RECURRENT_BODY_H
#define KERNELS_RECURRENT_BODY_H

#include "kernels/unroll.h"

enum { RECURRENT_LANES = 2 }; /* blocks of 16 columns in a tile: 16 KB with keys of 128 */

static void convolve(const float *x, const float *taps, const float *bias, int n_taps, int n, size_t stride,
                     float *columns, float *y)
{
    for (int i = 0; i < n; i += 16) {
        const int m = least(16, n - i);
        const lanes now = load_up_to(x + i, m, 0.0f);
        lanes sum = lanes_set(0.0f);
        for (int tap = 0; tap < n_taps; tap++) {
            float *column = columns + (size_t)tap * stride + i;
            const lanes input = tap < n_taps - 1 ? load_up_to(column, m, 0.0f) : now;
            sum = lanes_fma(load_up_to(taps + (size_t)tap * stride + i, m, 0.0f), input, sum);
            if (tap > 0) store_up_to(column - stride, input, m); /* one step older */
        }
        if (bias) sum = lanes_add(sum, load_up_to(bias + i, m, 0.0f));
        store_up_to(y + i, sum, m);
    }
}

/* The first token, for n_lanes blocks: state = e^decay state, and S'k, what the state predicts for k. */
CM_INLINE void decay_first(const struct recurrent_input *in, int n_lanes, bool is_delta, float *state, lanes *said)
{
    const size_t block = (size_t)in->key_size * 16;
    const lanes decay = lanes_exp(lanes_set(in->decay[0]));
    for (int i = 0; i < in->key_size; i++) {
        const lanes key = lanes_set(in->k[i]);
        CM_UNROLL for (int l = 0; l < n_lanes; l++) {
            float *at = state + (size_t)l * block + 16 * i;
            const lanes decayed = lanes_mul(decay, lanes_load(at));
            lanes_store(at, decayed);
            if (is_delta) said[l] = lanes_fma(decayed, key, said[l]);
        }
    }
}

/* A token whose decay was already applied: state = state + k written', and out = S'q. Then, in the same pass, the next
 * token's decay and its S'k; so a tile is loaded and stored once for each token. */
CM_INLINE void write_and_read(const struct recurrent_input *in, int token, int n_lanes, bool is_delta,
                              const lanes *written, float *state, lanes *sums, lanes *said)
{
    const size_t t = (size_t)token, block = (size_t)in->key_size * 16;
    const bool is_last = token + 1 == in->n_tokens;
    const float *q = in->q + t * in->q_stride, *k = in->k + t * in->k_stride;
    const float *next_k = is_last ? k : k + in->k_stride;
    const lanes next_decay = is_last ? lanes_set(1.0f) : lanes_exp(lanes_set(in->decay[(t + 1) * in->number_stride]));
    for (int i = 0; i < in->key_size; i++) {
        const lanes key = lanes_set(k[i]), query = lanes_set(q[i]), next_key = lanes_set(next_k[i]);
        CM_UNROLL for (int l = 0; l < n_lanes; l++) {
            float *at = state + (size_t)l * block + 16 * i;
            const lanes now = lanes_fma(key, written[l], lanes_load(at)), next = lanes_mul(next_decay, now);
            lanes_store(at, next);
            sums[l] = lanes_fma(now, query, sums[l]);
            if (is_delta) said[l] = lanes_fma(next, next_key, said[l]);
        }
    }
}

/* All tokens, for n_lanes blocks of columns that begin at `column`. is_delta: S'k is subtracted from v. */
CM_INLINE void recur_tile(const struct recurrent_input *in, int column, int n_lanes, bool is_delta, float *state)
{
    const int n = in->value_size - column;
    lanes values[RECURRENT_LANES], written[RECURRENT_LANES], sums[RECURRENT_LANES], said[RECURRENT_LANES];
    CM_UNROLL for (int l = 0; l < n_lanes; l++) said[l] = lanes_set(0.0f);
    if (in->n_tokens > 0) decay_first(in, n_lanes, is_delta, state, said);
    for (int token = 0; token < in->n_tokens; token++) {
        const size_t t = (size_t)token;
        const float *v = in->v + t * in->v_stride + column;
        float *out = in->out + t * in->out_stride + column;
        const lanes beta = lanes_set(in->beta[t * in->number_stride]);
        CM_UNROLL for (int l = 0; l < n_lanes; l++) {
            values[l] = load_up_to(v + 16 * l, n - 16 * l, 0.0f);
            written[l] = lanes_mul(beta, is_delta ? lanes_sub(values[l], said[l]) : values[l]);
            sums[l] = said[l] = lanes_set(0.0f);
        }
        write_and_read(in, token, n_lanes, is_delta, written, state, sums, said);
        CM_UNROLL for (int l = 0; l < n_lanes; l++) {
            if (!is_delta) sums[l] = lanes_fma(lanes_set(in->skip), values[l], sums[l]);
            store_up_to(out + 16 * l, sums[l], least(16, n - 16 * l));
        }
    }
}

CM_INLINE void recur(const struct recurrent_input *in, int begin, int end, bool is_delta, float *state)
{
    int column = begin;
    for (; column + 16 * (RECURRENT_LANES - 1) < end; column += 16 * RECURRENT_LANES)
        recur_tile(in, column, RECURRENT_LANES, is_delta, state + (size_t)in->key_size * (size_t)column);
    for (; column < end; column += 16)
        recur_tile(in, column, 1, is_delta, state + (size_t)in->key_size * (size_t)column);
}

static void delta_net(const struct recurrent_input *in, int begin, int end, float *state)
{
    recur(in, begin, end, true, state);
}

static void state_space(const struct recurrent_input *in, int begin, int end, float *state)
{
    recur(in, begin, end, false, state);
}

#endif
