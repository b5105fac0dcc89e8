/* runtime/mixers/delta_parts.h - gated delta nets (Yang et al., 2024): what the files behind the record share.
 *
 * Each value head keeps a matrix S of what its sequence has read. A position's query, key and value (behind a short
 * convolution over positions), beta and decay say what becomes of S and what is read out of it; the step itself is the
 * op delta_net of kernels/vector_ops.h. It is run position by position, a tile of S in the nearest cache while
 * all tokens of the step pass, so that no cut of a sequence into steps changes a bit.
 *
 * A layer's state of a sequence: S of each value head, then the last n_taps - 1 inputs of the convolution. */
#ifndef RUNTIME_MIXERS_DELTA_PARTS_H
#define RUNTIME_MIXERS_DELTA_PARTS_H

#include "runtime/mixers/mixer.h"

/* ---- a layer's weights: delta_weights.c ---- */

struct delta_weights {
    float *norm;                    /* (dim)                                                   */
    float *taps;                    /* (n_taps, channels)                                      */
    float *time_bias, *decay;       /* (value heads)                                           */
    float *read_norm;               /* (value_size)                                            */
    struct placed_matrix qkv, z, beta, alpha, out; /* cut by the plan's shares; some may be absent: delta_spec */
    unsigned input_kinds;           /* forms of the input that all but out read                */
    unsigned fill_kinds;            /* those but out and z                                     */
    unsigned out_kinds;
    float *vectors;                 /* memory of all of them                                   */
};

calmoe_status cm_delta_pack(const struct mixer_place *place, struct pack_list *list, int layer,
                            const struct layer_tensors *tensors, void **weights);
void          cm_delta_drop(void **weights);

static inline const struct delta_weights *cm_delta_weights(const struct batch *batch, int layer)
{
    return cm_mixer_weights(batch, layer);
}
static inline const struct delta_spec *cm_delta_spec(const struct batch *batch, int layer)
{
    return &batch->spec->layers[layer].delta;
}

/* ---- a step ---- */

struct delta_work { /* scratch of all such layers */
    const struct plan *plan;               /* value heads are dealt out to nodes in proportion to its shares */
    /* (max_rows, …) each */
    float            *inputs;             /* rows of the first matrix: q, k, v, and by head z              */
    float            *gates;              /* value columns: z                                              */
    float            *betas, *alphas;     /* value heads; of pairs: betas alone, twice as many             */
    float            *strengths, *decays; /* value heads: what the op delta_net takes as beta and decay    */
    struct activations read;              /* value columns: what is read out of the states                 */
    void             *memory, *read_memory;
};

static inline struct delta_work *cm_delta_work(const struct batch *batch) { return batch->works[MIXER_DELTA_NET]; }

/* Rows first_row … first_row + n of the batch, or behind it, in one layer; those of one sequence stand side by side.
 * Theirs in the scratch are rows scratch_row … scratch_row + n, as wide as the layer has them. */
struct delta_rows {
    int layer, first_row, n, scratch_row;
};

/* The scratch of these rows: what the layer's first product gives, and so on. */
struct delta_floats {
    float *inputs, *gates, *betas, *alphas, *strengths, *decays, *read;
};
struct delta_floats cm_delta_floats(const struct batch *batch, const struct delta_rows *rows);

/* The heads of this rank: some key heads in a row, and the value heads that read them: by key head those side by side,
 * in turn (HEADS_IN_TURN) as many runs of n_keys as a key head has readers. All of them where there is one rank. */
struct delta_heads {
    int first_key, n_keys, n_values;
};
struct delta_heads cm_delta_own_heads(const struct delta_spec *spec, const struct plan *plan);
/* The number of value head i of them. */
int cm_delta_own_value(const struct delta_spec *spec, const struct delta_heads *own, int i);

/* z of one value head. */
const float *cm_delta_gate(const struct delta_spec *spec, const struct delta_floats *floats, int row, int head);

/* All that changes a sequence's state, by all workers; barriers around each. First q, k, v: convolved with what stands
 * before them, activated, q and k made vectors of length 1; and of each row strengths and decays. Then the states take
 * the rows in, and what they say goes to `read`. delta_step.c */
void cm_delta_convolve(struct batch *batch, const struct delta_rows *rows, const struct worker *me);
void cm_delta_recur(struct batch *batch, const struct delta_rows *rows, const struct worker *me);

/* Floats of the states of all value heads; those behind them are the convolution's. */
static inline size_t cm_delta_state_floats(const struct delta_spec *spec)
{
    return (size_t)spec->n_value_heads * cm_recurrent_floats(spec->key_size, spec->value_size);
}

/* delta_fill.c */
void cm_delta_fill(struct batch *batch, const struct mixer_fill *fill, const struct worker *me);

#endif
