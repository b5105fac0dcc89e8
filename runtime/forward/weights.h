/* runtime/forward/weights.h - a model's weights as an engine runs them: matrices packed on their nodes, vectors
 * in float32. */
#ifndef RUNTIME_FORWARD_WEIGHTS_H
#define RUNTIME_FORWARD_WEIGHTS_H

#include "runtime/mixers/mixer.h"

struct layer {
    struct mixer_layer mixer;                   /* the first half                                */
    float *ffn_norm;                            /* (dim), and a bias behind it: cm_norm()        */
    float *after_ffn_norm;                      /* NULL or (dim): of what the half gives         */
    float *router_norm, *routed_norm;           /* NULL or (dim), as layer_tensors has them      */
    float *after_bank_norms[N_BANKS];           /* NULL or (dim): of what each bank gives        */
    float *expert_scale;                        /* NULL or (n_experts)                           */
    float *output_scale;                        /* NULL or (1)                                   */
    float *router_bias, *choice_bias;           /* NULL or (n_experts)                           */
    struct placed_matrix router;                /* (n_experts, dim), copies; no parts: dense     */
    struct placed_matrix shared_gate;           /* (1, dim), copies; no parts: the weight is 1   */
    unsigned ffn_kinds;                         /* that router, gates and experts read           */
    struct expert_layer experts;
};

struct weights {
    const struct plan    *plan;
    struct weight_source  embedding;  /* rows are read from the file                             */
    struct placed_matrix  output;     /* cut by the plan's shares                                */
    unsigned              output_kinds;
    float                *output_norm, *first_norm; /* as layers' norms; first_norm: NULL or of embeddings */
    float                *output_bias;  /* NULL or (n_vocab): added to logits                    */
    float                *token_scale;  /* NULL or (n_vocab): logits times this                  */
    float                *rope_factors; /* NULL or (n_rot / 2)                                   */
    bool                  has_others_output; /* output is another model's, packed there          */
    struct placed_matrix  joint;      /* (dim, 2 dim), as further_tensors has it; no rows: it is a whole model */
    float                *embedding_norm, *state_norm; /* (dim) each, where there is that        */
    int                   n_layers;
    struct layer         *layers;
    struct packed_weights packed;
    struct matrix_origin *origins;    /* (n_origins): by matrix.id, where each comes from        */
    int                   n_origins;
    struct expert_stream *stream;     /* that has routed experts; NULL: all are packed                           */
    bool                  looks_ahead; /* in a layer for the experts of the next, where there is a stream        */
    size_t                n_dense_bytes; /* packed, that every step reads: all but experts and output, copies once */
    float                *vectors;    /* memory of all float vectors but the mixers' and the experts' */
};

struct weights_options {
    uint64_t                n_bytes_behind; /* that the caller takes at least besides: there must be room for both */
    int (*progress)(void *user, double fraction); /* may be NULL */
    void *user;
    const struct weights *output_of; /* the output matrix is theirs; NULL: it is packed */
    bool  is_tuned; /* settings of kernels may be chosen by measuring with these weights */
    uint64_t        memory_limit; /* bytes for weights and what is behind them; 0 = none: all weights are packed */
    int             max_rows;     /* of a step                                                                   */
    const uint64_t *uses;         /* (n_layers, most.n_experts): tokens of a profile that took each; may be NULL */
    const struct packed_experts *packed; /* of this model, for this machine's kernels, one node; may be NULL     */
    const struct file_sharing   *sharing; /* of the file of tensors; NULL: it is this machine's                    */
    bool            is_direct;    /* files are read past the system's cache, where the file system can           */
    bool            looks_ahead;
};

calmoe_status cm_weights_open(const struct machine *machine, const struct model_spec *spec,
                              const struct model_tensors *tensors, const struct weights_options *options,
                              struct weights **out);
void          cm_weights_close(struct weights **weights);

#endif
