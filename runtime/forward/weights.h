/* runtime/forward/weights.h - a model's weights as an engine runs them: matrices packed on their nodes, vectors
 * in float32. */
#ifndef RUNTIME_FORWARD_WEIGHTS_H
#define RUNTIME_FORWARD_WEIGHTS_H

#include "runtime/families/model_tensors.h"

struct layer {
    float *attention_norm, *ffn_norm;           /* (dim)                                         */
    float *q_norm, *k_norm;                     /* NULL, or as many as norm_size says            */
    int    q_norm_size, k_norm_size;            /* head_size, or the whole vector                */
    float *q_bias, *k_bias, *v_bias, *o_bias;   /* NULL, or the matrix's rows                    */
    float *choice_bias;                         /* NULL or (n_experts)                           */
    struct matrix q, k, v, o;
    struct matrix router;                       /* (n_experts, dim); kernel NULL: dense          */
    struct matrix shared_gate;                  /* (1, dim); kernel NULL: the weight is 1        */
    unsigned attention_kinds;                   /* forms of the input that q, k, v read          */
    unsigned o_kinds;                           /* that o reads                                  */
    unsigned ffn_kinds;                         /* that router, gates and experts read           */
    struct expert_layer experts;
};

struct weights {
    struct weight_source  embedding;  /* rows are read from the file                             */
    struct matrix         output;
    unsigned              output_kinds;
    float                *output_norm;
    float                *rope_factors; /* NULL or (n_rot / 2)                                   */
    int                   n_layers;
    struct layer         *layers;
    struct packed_weights packed;
    size_t                n_dense_bytes; /* packed, that every step reads: all but experts and output */
    float                *vectors;    /* memory of all float vectors                             */
    size_t                n_vectors, vectors_capacity;
};

struct weights_options {
    enum isa                isa;
    const struct topology  *topology;
    struct team            *team;
    const struct placement *placement;
    int (*progress)(void *user, double fraction); /* may be NULL */
    void *user;
};

calmoe_status cm_weights_open(struct calmoe_context *ctx, const struct model_spec *spec,
                              const struct model_tensors *tensors, const struct weights_options *options,
                              struct weights **out);
void          cm_weights_close(struct weights **weights);

#endif
