/* calmoe/synthetic.h - writes model files with random weights and the shape of a real model, to measure speed where the
 * real file is not at hand. Such a model has learned nothing and says nothing of sense.
 *
 * The file is a plain GGUF file, which other engines that know the family can load too. Its vocabulary is byte-level
 * BPE: the 256 bytes, one end token, pairs of small letters, and fillers up to n_vocab. */
#ifndef CALMOE_SYNTHETIC_H
#define CALMOE_SYNTHETIC_H

#include "calmoe/model.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CALMOE_NORM_NONE, CALMOE_NORM_HEADS, CALMOE_NORM_WHOLE };

typedef struct calmoe_synthetic_options {
    size_t      size;            /* set by calmoe_synthetic_options_init()                               */
    const char *name;            /* general.name; NULL = "synthetic" (default)                           */
    const char *family;          /* the family, named as general.architecture names it; biases and sinks that the
                                    family needs are written                                             */
    const char *type;            /* type of all matrices, any weight type such as "q4_0"; see calmoe_synthesize()
                                    (default "q8_0")                                                     */
    uint64_t    seed;            /* the same seed gives the same file (default 1)                        */
    int         n_layers;
    int         width;           /* of the residual stream                                               */
    int         n_heads;
    int         n_kv_heads;
    int         head_size;
    int         n_experts;       /* 0 = dense: one feed-forward block of expert_width, no router         */
    int         n_experts_used;  /* experts that a token takes in a layer                                */
    int         expert_width;
    int         shared_width;    /* width of a shared expert; 0 = none (default)                         */
    int         shared_gate;     /* 1: a gate of one row weights the shared expert (default 0)           */
    int         n_vocab;         /* at least 257                                                         */
    int         context_length;  /* default 4096                                                         */
    int         head_norms;      /* CALMOE_NORM_*: norms of q and k (default CALMOE_NORM_NONE)           */
    int         qkv_biases;      /* 1: q, k and v have biases (default 0)                                */
    int         tied;            /* 1: the embedding serves as the output matrix too (default 0)         */
    int         rotated;         /* number of dimensions of a head that are rotated; 0 = all (default)   */
    int         attention_interval; /* one layer in so many has attention, the others are gated delta nets; 0 = all
                                       have attention (default)                                          */
    int         delta_key_heads, delta_value_heads, delta_head_size; /* heads and head size of delta nets, or of
                                                                        Mamba-2 (groups, heads, head size); the first
                                                                        divides the second               */
    float       rope_base;       /* default 10000                                                        */
    float       norm_eps;        /* default 1e-6                                                         */
    float       embedding_scale, residual_scale, attention_scale, logit_scale; /* 0 = not in the file (default) */
    int         n_threads;       /* threads that make the weights; 0 = one for each core (default). The file does not
                                    depend on it                                                         */
    int         window;          /* positions that layers with windowed attention see; 0 = there are no such layers
                                    (default)                                                            */
    int         latent;          /* width of the latents, required for families with latent attention, else 0
                                    (default). q and k of a head then have head_size elements, of which `rotated` are
                                    rotated; n_kv_heads is ignored                                       */
    int         q_rank;          /* in such families, width of the vector from which queries are made; 0 = they are
                                    made from the layer's input (default)                                */
    int         value_size;      /* in such families, elements of v in a head; 0 = head_size - rotated (default) */
    int         dense_layers, dense_width; /* the first dense_layers layers are dense, with this width; 0 = none
                                              (default)                                                     */
    int         window_head_size, window_kv_heads; /* head size and key-value heads of layers with a window, if they
                                                      differ from the other layers'; 0 = they do not (default) */
    int         keys_are_values; /* 1: layers without a window have no matrix for v, in families whose keys may serve
                                    as values (default 0)                                                */
    int         dense_part;      /* width of a dense block beside the experts, required for families that have one,
                                    else 0 (default)                                                     */
    const char *kinds;           /* one letter for each layer, repeated if there are fewer letters than layers: a =
                                    attention, r = the family's recurrent layer (delta net, Mamba-2, short
                                    convolution), f = a feed-forward layer in families whose layers are half blocks.
                                    NULL = attention_interval decides (default)                          */
    int         state_size;      /* of Mamba-2: state elements for each element of a head; 0 = delta_head_size
                                    (default)                                                            */
} calmoe_synthetic_options;

/* Sets the defaults; the dimensions are 0 and must be set by the caller. */
CALMOE_API void calmoe_synthetic_options_init(calmoe_synthetic_options *options);

/* Computes *n_bytes, the size of the weights in the file; the header and vocabulary add little. INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_synthetic_bytes(calmoe_context *context, const calmoe_synthetic_options *options,
                                                uint64_t *n_bytes);

/* Writes the file piece by piece, so that little memory is needed whatever the model's size; it is either complete or
 * not there. Matrices have the type `type`. If its block does not divide a row, they have the type that quantizers fall
 * back to (q2_k, q3_k and iq1 to iq4_xs become iq4_nl; q4_k becomes q5_0; q5_k, q5_1; q6_k, q8_0; others, f16). Norms,
 * biases and the router are f32. Codes are uniformly distributed and scales vary from block to block, so that a matrix
 * has the standard deviation 1 / sqrt(row length); activations then keep their size through any number of layers, and
 * the router's choices are spread over all experts. progress may be NULL. INVALID_ARGUMENT, NO_MEMORY, IO, SYSTEM,
 * CANCELLED. */
CALMOE_API calmoe_status calmoe_synthesize(calmoe_context *context, const calmoe_synthetic_options *options,
                                           const char *path, calmoe_progress_fn progress, void *user);

#ifdef __cplusplus
}
#endif
#endif
