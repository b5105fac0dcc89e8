/* runtime/families/model_spec.h - a model as numbers: what its metadata, its tensors and its family say, checked. The
 * rest of the runtime reads only this and never asks for a family.
 *
 * A layer has two halves, each with its record: the mixer, which moves information between positions, and the
 * feed-forward half, which works on each position alone. Layers of one model may differ in all numbers of both. */
#ifndef RUNTIME_FAMILIES_MODEL_SPEC_H
#define RUNTIME_FAMILIES_MODEL_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "base/status.h"
#include "experts/expert_store.h"
#include "router/router_spec.h"
#include "runtime/families/rope_spec.h"

/* ---- the mixer ---- */

enum mixer_kind {
    MIXER_ATTENTION,
    MIXER_DELTA_NET,
    MIXER_MLA,
    MIXER_MAMBA2,
    MIXER_SHORTCONV,
    MIXER_NONE, /* the layer is a feed-forward half alone */
    MIXER_KIND_COUNT
};

enum norm_span { NORM_NONE, NORM_EACH_HEAD, NORM_ALL_HEADS }; /* what one norm of q or k spans */

struct attention_spec {
    int            n_heads;    /* of queries; n_kv_heads divides it                         */
    int            n_kv_heads; /* where keys are latents: groups of queries, which workers take one by one */
    int            head_size;  /* of q and k                                                */
    int            value_size; /* of v                                                      */
    float          scale;      /* on q·k                                                    */
    float          clamp;      /* q, k and v are clamped to ± this; 0 = they are not        */
    enum norm_span q_norm, k_norm; /* before rotation, or                                   */
    bool           norms_follow_rotation; /* behind it: those of each head                  */
    bool           has_plain_norms; /* heads of q and k are normed without weights, behind rotation */
    float          temperature; /* queries at p grow by 1 + this ln(1 + floor((p + offset) / length)); 0: they do not */
    int            temperature_length, temperature_offset;
    bool           keys_are_values; /* there is no matrix for v: values are what k's gives, before norm and rotation */
    bool           has_v_norm; /* v of each head is normed, without weights                 */
    int            window;     /* positions that a row attends, its own among them; 0 = all */
    bool           is_chunked; /* the window of a row begins where its chunk of so many positions does */
    bool           has_sinks;  /* a score for each head that takes part in the softmax, without a value */
    float          soft_cap;   /* scores s become cap tanh(s / cap); 0 = they do not        */
    float          max_bias;   /* scores fall with distance, by a slope of each head: 2^-(max_bias / n) of the first of
                                  n heads, where n is a power of two, its square of the second, …; 0 = they do not */
    int            rope;       /* which of model_spec.ropes turns q and k                   */
    bool           has_gate;   /* rows of q are, head by head, a query's and then a gate's: what a head attends is
                                  weighted by sigmoid(gate), element by element              */
    int            gate_size;  /* of a head, where gates have a matrix of their own: value_size of them, or 1 for all
                                  elements; 0 = they have none                               */
    bool           has_soft_gates; /* what such gates weight by is softplus(gate), not sigmoid(gate) */
    bool           has_latents; /* all heads attend to one key a position, whose first value_size elements are the
                                  value, too                                                 */
};

/* Heads of keys and values that a cache keeps, and elements of each at a position. */
static inline int cm_kept_heads(const struct attention_spec *attention)
{
    return attention->has_latents ? 1 : attention->n_kv_heads;
}
static inline int cm_kept_elements(const struct attention_spec *attention)
{
    return attention->head_size + (attention->has_latents ? 0 : attention->value_size);
}

/* The first position that a row at this one attends. */
static inline int cm_first_attended(int window, bool is_chunked, int position)
{
    if (window == 0 || position < window) return 0;
    return is_chunked ? position - position % window : position + 1 - window;
}

/* Elements of one head among the rows of q. */
static inline int cm_query_size(const struct attention_spec *attention)
{
    return attention->head_size * (attention->has_gate ? 2 : 1);
}

/* Gates with a matrix of their own of the heads that read one kv head. */
static inline int cm_gates_of_kv(const struct attention_spec *attention)
{
    return attention->n_heads / attention->n_kv_heads * attention->gate_size;
}

/* Multi-head latent attention (DeepSeek-AI, 2024): keys and values of all heads are products of one latent vector a
 * position, and only the latent is kept. A query's plain part is multiplied by its head's key matrix, so that it
 * attends to latents themselves; what it attends is multiplied by its head's value matrix. The attention between is
 * layer_spec.attention's, with keys of latent and rotated part. */
struct mla_spec {
    int  q_rank;     /* of the vector that queries are products of; 0: they are products of the layer's input */
    int  plain_size; /* of a head of q and k: elements that are not rotated, and those that are */
    int  rope_size;
    int  value_size; /* of a head of v                                                          */
    bool is_joint;   /* files of before 2025-04: key and value matrices of all heads are one tensor, by head: the
                        transposed key matrix, then the value matrix */
};

/* Which key head a value head reads: r value heads for each key head. */
enum head_order { HEADS_IN_GROUPS /* head j reads j / r */, HEADS_IN_TURN /* j modulo the number of key heads */ };

/* A gated delta net: each value head keeps a matrix S (key_size, value_size) of what it has read. */
struct delta_spec {
    int             n_key_heads;   /* of q and k                                              */
    int             n_value_heads; /* a multiple of n_key_heads                               */
    int             key_size;      /* of a head of q and k                                    */
    int             value_size;
    int             n_taps;        /* of the short convolution over positions                 */
    enum head_order order;
    bool            is_by_head;    /* one matrix for q, k, v and z, its rows by key head: q, k, r heads of v, r of z */
    bool            has_pairs;     /* one matrix for beta and alpha, its rows by key head: r of beta, r of alpha     */
};

static inline int cm_delta_key_columns(const struct delta_spec *delta) { return delta->n_key_heads * delta->key_size; }
static inline int cm_delta_value_columns(const struct delta_spec *delta)
{
    return delta->n_value_heads * delta->value_size;
}
/* Channels of the convolution: all heads of q, of k, of v. */
static inline int cm_delta_channels(const struct delta_spec *delta)
{
    return 2 * cm_delta_key_columns(delta) + cm_delta_value_columns(delta);
}

/* Mamba-2 (Dao and Gu, 2024): each head keeps a matrix S (state_size, head_size) of what it has read. Heads of a group
 * share what they write by and read by (B and C), each (state_size). */
struct mamba2_spec {
    int n_heads;    /* a multiple of n_groups          */
    int n_groups;   /* head h is of group h / (n_heads / n_groups) */
    int state_size;
    int head_size;
    int n_taps;     /* of the short convolution over positions */
};

/* A short convolution over positions, between two factors: with b, c, x (dim each), products of the layer's input,
 * c * conv(b * x). All that is kept are the last n_taps - 1 inputs of the convolution. */
struct shortconv_spec {
    int n_channels; /* the model's width */
    int n_taps;
};

/* The matrices by which a recurrent mixer's layer reads its input, by what becomes of their products. */
enum recurrent_product {
    PRODUCT_INPUT,  /* through the convolution: q, k, v of a delta net (by head: and z); x, B, C of Mamba-2, and behind
                       them a number for each head, dt, which is not convolved; x of a short convolution */
    PRODUCT_FACTOR, /* on the convolution's input: b of a short convolution                          */
    PRODUCT_BETA,   /* of a delta net: a number for each value head                                  */
    PRODUCT_ALPHA,  /* of a delta net: another                                                       */
    PRODUCT_GATE,   /* on what is read: z of a delta net and of Mamba-2; c of a short convolution. The only one that
                       does not change the state                                                     */
    N_PRODUCTS
};

/* What recurrent mixers have in common, as numbers: zeros for other layers. */
struct recurrent_shape {
    int n_heads, key_size, value_size; /* each head keeps a matrix (key_size, value_size); 0 heads: none does   */
    int n_taps, n_channels;            /* of the convolution                                                    */
    int n_values;                      /* elements of what is read at a position: columns of the output matrix  */
    int rows[N_PRODUCTS];              /* of each product's matrix; 0 = there is none                           */
};

/* ---- the feed-forward half ---- */

/* A branch is a bank of experts of one shape: BANK_ROUTED, of which a router chooses some for each token, and
 * BANK_SHARED, one expert that every token takes. A dense layer has a shared expert and no router. */
struct branch_spec {
    int               width; /* of an expert: rows of its gate and up; 0 = the layer has no such branch */
    enum nonlinearity nonlinearity;
    bool              weighs_input; /* a token's weight goes on the experts' inputs, not on their outputs */
};

struct ffn_spec {
    struct router_spec router;          /* n_experts and n_used are 0 where the layer is dense                  */
    struct branch_spec branches[N_BANKS];
    bool               has_shared_gate; /* the shared expert's output is weighted by the sigmoid of one more row */
};

static inline bool cm_is_routed(const struct ffn_spec *ffn) { return ffn->router.n_experts > 0; }
/* Every token runs the half whole. Neither: the layer is a mixer alone. */
static inline bool cm_is_dense(const struct ffn_spec *ffn)
{
    return !cm_is_routed(ffn) && ffn->branches[BANK_SHARED].width > 0;
}
static inline bool cm_has_ffn(const struct ffn_spec *ffn) { return cm_is_routed(ffn) || cm_is_dense(ffn); }

/* ---- layers and the model ---- */

/* Where norms stand, and what files call them (model_tensors.h). */
enum norm_names {
    NORMS_BEFORE,         /* each half has one before it, named for the half    */
    NORMS_POST_ATTENTION, /* the same; that of the feed-forward half is named for its place behind attention */
    NORMS_AROUND,         /* one before each half, and one of what it gives, before that is added to the stream */
    NORMS_LAST_OF_EMBEDDING, /* as NORMS_BEFORE; files name the one behind all layers for the embedding */
    NORMS_ALSO_OF_EMBEDDING, /* as NORMS_BEFORE; and one of the embedding, before the first layer             */
    NORMS_OF_ONE_HALF,    /* layers are a mixer or a feed-forward half, not both, with one norm before it         */
    NORM_NAMES_COUNT
};

struct layer_spec {
    enum norm_names       norms;
    enum mixer_kind       mixer;
    struct attention_spec attention;      /* of MIXER_ATTENTION and MIXER_MLA; zeros in others */
    struct mla_spec       mla;            /* of MIXER_MLA                             */
    struct delta_spec     delta;          /* of MIXER_DELTA_NET                       */
    struct mamba2_spec    mamba2;         /* of MIXER_MAMBA2                          */
    struct shortconv_spec shortconv;      /* of MIXER_SHORTCONV                       */
    struct ffn_spec       ffn;
    float                 residual_scale; /* on what each half adds to the stream; 1 = none */
};

/* The largest number of all layers each: for scratch, and for documents that have one number for all layers. */
struct layer_maxima {
    int n_heads, n_kv_heads, head_size, value_size;
    int q_columns, k_columns, v_columns; /* of all heads of a layer            */
    int gate_columns;                    /* of gates with a matrix of their own */
    int attended_columns;                /* n_heads * value_size               */
    int recurrent_floats;                /* of a recurrent mixer: its products' rows, and what is read, twice */
    int mla_inputs;                      /* of latent attention: columns of q of all heads          */
    int mla_values;                      /* of v of all heads                  */
    int mla_q_rank, mla_plain_size;
    int n_experts, n_used;               /* routed ones; both 1 where every layer is dense */
    int width[N_BANKS];
};

struct model_spec {
    const char         *family;          /* the row's name; static                            */
    int                 n_layers;        /* that run                                          */
    int                 n_blocks;        /* in the file: blocks behind the layers predict further tokens */
    int                 first_block;     /* of the file, that layer 0 is: 0, or of a further block its number        */
    bool                hands_on_plain;  /* of a further block: what the next one of its rows goes on from is its state
                                            before its last norm, not behind it                          */
    int                 dim;             /* width of the residual stream                      */
    int                 n_vocab;         /* rows of the output matrix                         */
    int                 context_length;
    float               norm_eps;
    bool                centres_norms;   /* norms take the mean off first, and add a bias (LayerNorm) */
    bool                has_unit_output; /* rows of the output matrix are taken at length 1   */
    float               embedding_scale; /* 1 = none                                          */
    float               logit_divisor;   /* logits are divided by it; 1 = none                */
    float               logit_soft_cap;  /* logits z then become cap tanh(z / cap); 0 = they do not */
    int                 n_ropes;
    struct rope_spec    ropes[MAX_ROPES];
    struct layer_spec  *layers;          /* (n_layers)                                        */
    struct layer_maxima most;
};

void cm_model_spec_close(struct model_spec *spec); /* zeroed is fine */

/* Sets spec->most from the layers. */
void cm_model_spec_measure(struct model_spec *spec);

struct recurrent_shape cm_recurrent_shape(const struct layer_spec *layer);

/* Layers whose feed-forward half is dense; those with a router; experts that a token takes in all layers together. */
int cm_dense_layers(const struct model_spec *spec);
int cm_routed_layers(const struct model_spec *spec);
int cm_experts_of_token(const struct model_spec *spec);
/* The router of the first layer that has one; of a dense model one of no experts. */
const struct router_spec *cm_first_router(const struct model_spec *spec);

static inline bool cm_is_dense_model(const struct model_spec *spec)
{
    return spec->most.width[BANK_ROUTED] == 0;
}

#endif
