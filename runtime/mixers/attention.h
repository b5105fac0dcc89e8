/* runtime/mixers/attention.h - grouped-query attention, over all positions or over a window, with or without sinks:
 * what the files behind the record share. A layer's weights, and what its kind keeps between steps: the plan of the
 * step, room for the parts of jobs that several workers share, and each worker's own scratch. */
#ifndef RUNTIME_MIXERS_ATTENTION_H
#define RUNTIME_MIXERS_ATTENTION_H

#include "runtime/mixers/mixer.h"

/* ---- a layer's weights: attention_weights.c ---- */

struct attention_weights {
    float *norm;                      /* (dim)                                                   */
    float *after_norm;                /* NULL or (dim): of what o gives                          */
    float *q_norm, *k_norm;           /* NULL, (head_size), or all heads: attention_spec         */
    float *q_bias, *k_bias, *v_bias, *o_bias; /* NULL, or the matrix's rows                      */
    float *sinks;                     /* NULL or (n_heads): a score that takes part in the softmax, without a value */
    struct placed_matrix q, k, v;     /* cut by kv heads                                         */
    struct placed_matrix o;           /* cut by the plan's shares                                */
    unsigned input_kinds;             /* forms of the input that q, k, v read                    */
    unsigned o_kinds;                 /* that o reads                                            */
    float *vectors;                   /* memory of all of them                                   */
};

calmoe_status cm_attention_pack(const struct mixer_place *place, struct pack_list *list, int layer,
                                const struct layer_tensors *tensors, void **weights);
void          cm_attention_drop(void **weights);

static inline const struct attention_weights *cm_attention_weights(const struct batch *batch, int layer)
{
    return cm_mixer_weights(batch, layer);
}
static inline const struct attention_spec *cm_attention_spec(const struct batch *batch, int layer)
{
    return &batch->spec->layers[layer].attention;
}

/* ---- reading the cache: attend_rows.c ---- */

struct attention;

struct attention_work { /* scratch of all attention layers */
    float            *q, *k, *v; /* (max_rows, all heads), as the layer has it */
    struct attention *attention;
    void             *memory;
};

static inline struct attention_work *cm_attention_work(const struct batch *batch)
{
    return batch->works[MIXER_ATTENTION];
}

calmoe_status cm_attend_open(const struct mixer_place *place, struct attention **out);
void          cm_attend_close(struct attention **attention); /* NULL inside is fine */
void          cm_attend_plan_rows(struct attention *attention, const struct row *rows, int n_rows);

/* The queries of all rows become cm_attended(): values, and the forms that the layer's o reads. By all workers;
 * barriers around. */
void cm_attend_rows(struct batch *batch, int layer, const struct worker *me);
const struct activations *cm_attended(const struct attention *attention, int layer); /* (rows, n_heads * value_size) */

/* Before that, the workers of each node take the kv heads of its part of the layer's k, to compute q, k and v of them.
 * One worker deals the heads out while others wait. Then each takes some, *begin … *end counted from the first of
 * part i of k, half of what is left of its own but at_least so many; false: none is left. */
void cm_attend_deal_heads(struct attention *attention, int layer);
bool cm_attend_take_heads(struct attention *attention, int layer, int part, const struct worker *me, int at_least,
                          int *begin, int *end);
/* Whether on each node that keeps kv heads of the layer its workers share them evenly. */
bool cm_attend_is_even(const struct attention *attention, int layer);

/* ---- keeping: attention.c ---- */

/* k (head_size) and v (value_size) of row r for one kv head are normed where the norm is one head long, clamped,
 * rotated to the row's position, and stored. */
void cm_remember_kv(struct batch *batch, int layer, int r, int kv_head, float *k, float *v);
/* Before that, the norm of a row's k (all kv heads), where the layer has one that spans all heads. */
void cm_norm_keys(struct batch *batch, int layer, float *k);

/* attention_fill.c */
void cm_attention_fill(struct batch *batch, const struct mixer_fill *fill, const struct worker *me);

#endif
