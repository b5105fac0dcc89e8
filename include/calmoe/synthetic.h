/* calmoe/synthetic.h - model files with random weights, in the shape of a real model: what speed is measured
 * on where the real file is not at hand. They hold nothing learned; what they say is noise.
 *
 * A file is a plain GGUF: other engines that know the family load it too. Its vocabulary is byte-level BPE:
 * the 256 bytes, one end token, pairs of small letters, and fillers up to n_vocab. */
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
    const char *family;          /* general.architecture of such files, as the families that this library
                                    runs have it; biases and sinks that the family needs are in the file */
    const char *type;            /* of all matrices: any weight type, "q4_0"; see below (default "q8_0") */
    uint64_t    seed;            /* the same seed, the same file (default 1)                             */
    int         n_layers;
    int         width;           /* of the residual stream                                               */
    int         n_heads;
    int         n_kv_heads;
    int         head_size;
    int         n_experts;       /* 0 = dense: one feed-forward of expert_width, no router               */
    int         n_experts_used;  /* a token's experts in a layer                                         */
    int         expert_width;
    int         shared_width;    /* of a shared expert; 0 = none (default)                               */
    int         shared_gate;     /* 1: the shared expert is weighted by a gate of one row (default 0)    */
    int         n_vocab;         /* at least 257                                                         */
    int         context_length;  /* default 4096                                                         */
    int         head_norms;      /* of q and k: CALMOE_NORM_*; NONE is the default                       */
    int         qkv_biases;      /* 1: q, k and v have biases (default 0)                                */
    int         tied;            /* 1: the embedding is the output matrix too (default 0)                */
    int         rotated;         /* dimensions of a head that are rotated; 0 = all (default)             */
    int         attention_interval; /* every so manyth layer attends, the others are gated delta nets; 0 = all attend
                                    (default)                                                            */
    int         delta_key_heads, delta_value_heads, delta_head_size; /* of those, and of Mamba-2 (groups, heads, size
                                    of a head); the first divides the second                             */
    float       rope_base;       /* default 10000                                                        */
    float       norm_eps;        /* default 1e-6                                                         */
    float       embedding_scale, residual_scale, attention_scale, logit_scale; /* 0 = not in the file (default) */
    int         n_threads;       /* that make the weights, 0 = every core (default); the file does not
                                    depend on it                                                         */
    int         window;          /* positions that layers with a window see; 0 = no windows (default)    */
    int         latent;          /* width of a latent, of families with latent attention; needed there, else 0
                                    (default). A head's q and k have head_size elements, of which `rotated` are
                                    rotated; n_kv_heads is not looked at                                 */
    int         q_rank;          /* of the vector that queries are products of; 0 = they are products of the
                                    layer's input (default)                                              */
    int         value_size;      /* of a head of v, where heads share latents; 0 = head_size - rotated (default) */
    int         dense_layers, dense_width; /* the first layers are dense, of this width; 0 = none (default) */
    int         window_head_size, window_kv_heads; /* of layers that see a window, where they are not those of the
                                    others; 0 = they are (default)                                       */
    int         keys_are_values; /* 1: layers that see all positions have no matrix for v, in families whose keys may
                                    be values (default 0)                                                */
    int         dense_part;      /* width of a dense part beside experts; needed in families that have one, else 0
                                    (default)                                                            */
    const char *kinds;           /* a letter for each layer, from the first again where there are fewer: a attends, r is
                                    recurrent as the family has it (delta net, Mamba-2, short convolution); in
                                    families whose layers are one half each, f is a feed-forward half. NULL =
                                    attention_interval says it (default)                                 */
    int         state_size;      /* of Mamba-2: elements of a head's state for each of the head; 0 = delta_head_size
                                    (default)                                                            */
} calmoe_synthetic_options;

/* Defaults; the dimensions are 0 and must be set. */
CALMOE_API void calmoe_synthetic_options_init(calmoe_synthetic_options *options);

/* *n_bytes of weights that the file will hold; header and vocabulary add little. INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_synthetic_bytes(calmoe_context *context, const calmoe_synthetic_options *options,
                                                uint64_t *n_bytes);

/* Writes the file, whole or not at all, piece by piece: memory stays small whatever the model's size.
 * Matrices are of `type`; where its block does not divide a row, of the type that quantizers fall back to
 * (q2_k, q3_k, iq1 to iq4_xs to iq4_nl; q4_k to q5_0; q5_k to q5_1; q6_k to q8_0; else f16). Norms, biases and the
 * router are f32. Codes are uniform and scales vary from block to block, so that a matrix has the deviation
 * 1 / sqrt(row length) and activations keep their size through any number of layers; the router's choices
 * are spread over all experts. progress may be NULL. INVALID_ARGUMENT, NO_MEMORY, IO, SYSTEM, CANCELLED. */
CALMOE_API calmoe_status calmoe_synthesize(calmoe_context *context, const calmoe_synthetic_options *options,
                                           const char *path, calmoe_progress_fn progress, void *user);

#ifdef __cplusplus
}
#endif
#endif
