/* runtime/mixers/attention.h - grouped-query attention, over all positions or over a window, with or without sinks:
 * what the files behind the record share. How queries read the cache: attend_rows.h. */
#ifndef RUNTIME_MIXERS_ATTENTION_H
#define RUNTIME_MIXERS_ATTENTION_H

#include "runtime/mixers/attend_rows.h"

/* ---- a layer's weights: attention_weights.c ---- */

struct attention_weights {
    float *norm;                      /* (dim), and a bias behind it: cm_norm()                  */
    float *after_norm;                /* NULL or (dim): of what o gives                          */
    float *q_norm, *k_norm;           /* NULL, (head_size), or all heads: attention_spec         */
    float *q_bias, *k_bias, *v_bias, *o_bias; /* NULL, or the matrix's rows                      */
    float *sinks;                     /* NULL or (n_heads): a score that takes part in the softmax, without a value */
    float *slopes;                    /* NULL or (n_heads): by which scores fall with distance   */
    struct placed_matrix q, k, v;     /* cut by kv heads                                         */
    struct placed_matrix gate;        /* so, too; empty where gates have no matrix of their own  */
    struct placed_matrix o;           /* cut by the plan's shares                                */
    unsigned input_kinds;             /* forms of the input that q, k, v and gate read           */
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

/* ---- scratch ---- */

struct attention_work { /* scratch of all attention layers */
    float            *q, *k, *v; /* (max_rows, all heads), as the layer has it */
    float            *gates;     /* (max_rows, all heads' gates)               */
    struct attention *attention;
    void             *memory;
};

static inline struct attention_work *cm_attention_work(const struct batch *batch)
{
    return batch->works[MIXER_ATTENTION];
}

/* ---- keeping: attention_keep.c ---- */

/* Norms (a norm of one head's length; NULL = none), clamps, rotates one head of row r; or norms it behind that. */
void cm_prepare_head(const struct batch *batch, const struct attention_spec *spec, const float *norm, int r,
                     float *head);
/* A head of a query (n) grows with its position, where the layer's do: softmax over many keys would flatten else. */
void cm_warm_query(const struct attention_spec *spec, int position, int n, float *q);

/* k (head_size) and v (value_size) of row r for one kv head are normed where the norm is one head long, clamped,
 * rotated to the row's position, and stored. */
void cm_remember_kv(struct batch *batch, int layer, int r, int kv_head, float *k, float *v);
/* Before that, the norm of a row's k (all kv heads), where the layer has one that spans all heads. */
void cm_norm_keys(struct batch *batch, int layer, float *k);

/* attention_fill.c */
void cm_attention_fill(struct batch *batch, const struct mixer_fill *fill, const struct worker *me);

#endif
