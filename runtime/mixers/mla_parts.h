/* runtime/mixers/mla_parts.h - latent attention (DeepSeek-AI, 2024), with the key matrices absorbed into the queries:
 * what the files behind the record share.
 *
 * Of each position a latent vector c and one rotated vector k are kept, (c, k) in one row, for all heads. Head h has a
 * key matrix K_h and a value matrix V_h; its query is (p, r), r being rotated. Its score of a position is
 * p'K_h'c + r'k, that is, (K_h p, r) times the row; what it attends is V_h times the weighted sum of latents. So the
 * attention between is that of attend_rows.c, with rows as keys and their beginnings as values. */
#ifndef RUNTIME_MIXERS_MLA_PARTS_H
#define RUNTIME_MIXERS_MLA_PARTS_H

#include "runtime/mixers/attention.h"

/* ---- a layer's weights: mla_weights.c ---- */

struct mla_head {
    int           node;
    struct matrix key;   /* (latent, plain_size): K_h                                          */
    struct matrix value; /* (value_size, latent): V_h                                          */
};

struct mla_weights {
    float *norm;                    /* (dim)                                                    */
    float *q_norm;                  /* (q_rank); NULL where q_rank is 0                         */
    float *latent_norm;             /* (latent)                                                 */
    struct placed_matrix q_a;       /* (q_rank, dim), whole on each rank; absent where q_rank is 0 */
    struct placed_matrix q;         /* (n_heads * (plain_size + rope_size), q_rank or dim), by heads */
    struct placed_matrix latent;    /* (latent + rope_size, dim), whole on each rank            */
    struct placed_matrix o;         /* (dim, n_heads * value_size)                              */
    struct mla_head *heads;         /* (n_heads); those of this rank are set                    */
    unsigned input_kinds;           /* forms of the layer's input that its products read        */
    unsigned q_kinds;               /* of the vector that queries are products of               */
    unsigned plain_kinds, attended_kinds; /* that the heads' key and value matrices read        */
    unsigned o_kinds;
    size_t head_bytes;              /* packed, of all heads' matrices                           */
    float *vectors;                 /* memory of the norms                                      */
};

calmoe_status cm_mla_pack(const struct mixer_place *place, struct pack_list *list, int layer,
                          const struct layer_tensors *tensors, void **weights);
void          cm_mla_drop(void **weights);

static inline const struct mla_weights *cm_mla_weights(const struct batch *batch, int layer)
{
    return cm_mixer_weights(batch, layer);
}
static inline const struct mla_spec *cm_mla_spec(const struct batch *batch, int layer)
{
    return &batch->spec->layers[layer].mla;
}

/* Heads on each node of the plan: those of its groups of queries. Answers the first of them: 0 of one rank. */
int cm_mla_heads_on_nodes(const struct plan *plan, const struct attention_spec *spec, int32_t *out);

/* ---- a step ---- */

struct mla_work { /* scratch of all such layers */
    struct attention  *attention;
    int32_t            heads_on[CM_MAX_NODES];
    int                first_head, n_own_heads; /* of this rank: those on its nodes                                */
    int                n_nodes, max_rows;
    int32_t           *inputs;    /* (n_heads, max_rows): which of (rows * n_heads) inputs are a head's           */
    /* (max_rows, …) each */
    struct activations q_a;       /* q_rank                                                                       */
    float             *q;         /* n_heads * (plain_size + rope_size)                                           */
    float             *rows;      /* latent + rope_size: what is kept                                             */
    struct activations plain;     /* (max_rows * n_heads, plain_size)                                             */
    float             *queries;   /* n_heads * (latent + rope_size)                                               */
    struct activations values;    /* n_heads * value_size                                                         */
    void              *memory, *q_a_memory, *plain_memory, *values_memory;
};

static inline struct mla_work *cm_mla_work(const struct batch *batch) { return batch->works[MIXER_MLA]; }

/* x (rope_size) is turned to row r's position. mla_keep.c */
void cm_mla_rotate(const struct batch *batch, int layer, int r, float *x);
/* latent (latent + rope_size) is normed, its rotated part is turned to row r's position, and it is kept. */
void cm_remember_latent(struct batch *batch, int layer, int r, float *latent);

/* mla_fill.c */
void cm_mla_fill(struct batch *batch, const struct mixer_fill *fill, const struct worker *me);

#endif
