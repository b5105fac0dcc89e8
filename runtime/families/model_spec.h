/* runtime/families/model_spec.h - a model as numbers: what its metadata and its family say, checked. The
 * rest of the runtime reads only this and never asks for a family. */
#ifndef RUNTIME_FAMILIES_MODEL_SPEC_H
#define RUNTIME_FAMILIES_MODEL_SPEC_H

#include <stdbool.h>
#include <stdint.h>

#include "kernels/vector_ops.h"
#include "router/router_spec.h"

enum rope_scaling { ROPE_SCALING_NONE, ROPE_SCALING_LINEAR, ROPE_SCALING_YARN };

struct rope_spec {
    bool              is_on;          /* false: no position encoding at all              */
    enum rope_pairing pairing;
    int               n_rot;          /* first n_rot dimensions of a head are rotated    */
    float             base;
    enum rope_scaling scaling;
    float             factor;         /* of linear and yarn                              */
    int               original_context; /* of yarn                                       */
    float             beta_fast, beta_slow;
    float             magnitude;      /* extra factor on sines and cosines, 1 = none     */
};

struct model_spec {
    const char        *family;        /* the row's name; static                          */
    int                n_layers;
    int                dim;           /* width of the residual stream                    */
    int                n_heads;
    int                n_kv_heads;
    int                head_size;     /* of q and k                                      */
    int                value_size;    /* of v                                            */
    int                n_vocab;       /* rows of the output matrix                       */
    int                context_length;
    float              norm_eps;
    float              attention_scale; /* on q·k                                        */
    float              embedding_scale, residual_scale; /* 1 = none                      */
    float              logit_divisor; /* logits are divided by it; 1 = none              */
    float              clamp_qkv;     /* clamps q, k, v to ± this; 0 = off               */
    struct rope_spec   rope;
    bool               is_dense;      /* one expert that every token takes, no router    */
    struct router_spec router;
    int                expert_width;
    int                shared_width;  /* of the shared expert; 0 = none                  */
};

#endif
