/* runtime/families/model_tensors.h - a model's tensors by role: found by name, shapes checked against the
 * spec, every tensor of the file accounted for. Views into the file; nothing is copied. */
#ifndef RUNTIME_FAMILIES_MODEL_TENSORS_H
#define RUNTIME_FAMILIES_MODEL_TENSORS_H

#include "experts/expert_store.h"
#include "runtime/families/model_spec.h"
#include "runtime/load/model_file.h"

/* A vector for each expert of a bank: expert e's begins at element `first` of row e. */
struct bias_source {
    const struct file_tensor *tensor; /* (n_experts, first and more); NULL: the bank has none */
    int                       first;
};

struct bank_tensors {
    struct expert_sources *experts;    /* (n_experts), the matrices of each, without biases; NULL: no such bank */
    struct bias_source gate_bias, up_bias;  /* (n_experts, width)                                               */
    struct bias_source down_bias;           /* (n_experts, dim)                                                 */
};

struct recurrent_tensors { /* of a recurrent mixer; see recurrent_shape */
    struct weight_source products[N_PRODUCTS]; /* (rows, dim) each; rows NULL: there is none      */
    struct weight_source out;            /* (dim, values)                                         */
    const struct file_tensor *taps;      /* (n_taps, channels)                                    */
    /* NULL where the mixer has none */
    const struct file_tensor *taps_bias; /* (channels): behind the convolution                    */
    const struct file_tensor *time_bias; /* (heads): added to alpha, or dt                        */
    const struct file_tensor *decay;     /* (heads): negative, times softplus of that             */
    const struct file_tensor *skip;      /* (heads): of what goes in, a part comes out at once    */
    const struct file_tensor *norm;      /* of what is read: (value_size), or (values) in groups  */
};

struct mla_tensors { /* of latent attention; q is (n_heads * (plain_size + rope_size), q_rank or dim) */
    const struct file_tensor *q_norm;      /* (q_rank); NULL where q_rank is 0                           */
    const struct file_tensor *latent_norm; /* (latent)                                                   */
    struct weight_source q_a;              /* (q_rank, dim); rows NULL where q_rank is 0                 */
    struct weight_source latent;           /* (latent + rope_size, dim)                                  */
    struct weight_source k, v;             /* (n_heads * latent, plain_size), (n_heads * value_size, latent);
                                              or in place of them                                        */
    struct weight_source joint;            /* (n_heads * (plain_size + value_size), latent)              */
};

/* What files call the norms of a layer's halves, before them and of what they give, NULL: there is none; and the norm
 * behind all layers. */
struct norm_roles {
    const char *attention, *ffn;
    const char *after_attention, *after_ffn;
    const char *output;
    const char *embedding; /* NULL: none */
};

extern const struct norm_roles cm_norm_roles[NORM_NAMES_COUNT];

struct layer_tensors {
    /* vectors; those that may be NULL are marked */
    const struct file_tensor *attention_norm, *ffn_norm;       /* (dim)                                   */
    const struct file_tensor *attention_norm_bias, *ffn_norm_bias; /* (dim), where norms centre; else NULL */
    const struct file_tensor *after_attention_norm, *after_ffn_norm; /* NULL or (dim)                     */
    const struct file_tensor *q_norm, *k_norm;                 /* NULL, (head_size), or all heads         */
    const struct file_tensor *q_bias, *k_bias, *v_bias, *o_bias; /* NULL or the matrix's rows             */
    const struct file_tensor *qkv_bias;                        /* NULL or q's, k's, v's in one, instead of these */
    const struct file_tensor *sinks;                           /* NULL or (n_heads)                       */
    /* where routed experts and a dense part stand side by side: (dim) each, else NULL */
    const struct file_tensor *router_norm;                     /* of what the router reads                */
    const struct file_tensor *routed_norm;                     /* of what experts read, the dense part: ffn_norm */
    const struct file_tensor *after_routed_norm, *after_dense_norm; /* of what they give                  */
    const struct file_tensor *expert_scale;                    /* NULL or (n_experts): of their outputs   */
    const struct file_tensor *output_scale;                    /* NULL or (1): on the stream, behind the layer */
    const struct file_tensor *router_bias;                     /* NULL or (n_experts), added to its logits */
    const struct file_tensor *choice_bias;                     /* NULL or (n_experts), router's selection */
    const struct file_tensor *shared_gate;                     /* NULL or (dim)                           */
    struct weight_source q, k, v; /* (n_heads * head_size, dim), (n_kv_heads * head_size | value_size, dim) */
    struct weight_source o;       /* (dim, n_heads * value_size)                                          */
    struct weight_source gate;    /* (n_heads * gate_size, dim); rows NULL where gate_size is 0           */
    struct recurrent_tensors recurrent; /* of such a layer                                                */
    struct mla_tensors mla;       /* of such a layer                                                      */
    struct weight_source router;  /* (n_experts, dim); rows NULL in a dense layer                         */
    struct bank_tensors banks[N_BANKS];
};

/* Of a block that predicts a further token: what its layer reads is joint (normed embedding of the token, normed state
 * of the model at the position before it). */
struct further_tensors {
    struct weight_source      joint;          /* (dim, 2 dim); rows NULL: the model is none         */
    const struct file_tensor *embedding_norm; /* (dim)                                              */
    const struct file_tensor *state_norm;     /* (dim)                                              */
};

struct model_tensors {
    struct weight_source      embedding;    /* (n_vocab, dim), map NULL: rows are read from the file   */
    struct weight_source      output;       /* (n_vocab, dim)                                          */
    bool                      is_tied;      /* output is the embedding                                 */
    const struct file_tensor *output_norm, *output_norm_bias; /* (dim), as those of layers              */
    const struct file_tensor *first_norm, *first_norm_bias;   /* of the embedding; NULL: none           */
    const struct file_tensor *output_bias;  /* NULL or (n_vocab)                                       */
    const struct file_tensor *rope_factors; /* NULL or (n_rot / 2): frequencies are divided by these   */
    struct further_tensors    further;      /* of spec->first_block above 0                            */
    int                       n_layers;
    struct layer_tensors     *layers;
    uint64_t                  n_parameters, n_active_parameters;
};

/* BAD_FILE for a tensor that is missing, misshapen or of a wrong type; UNSUPPORTED for one that is not known: leaving
 * it out would change the model in silence. */
calmoe_status cm_model_tensors_open(struct calmoe_context *ctx, const struct model_file *file,
                                    const struct model_spec *spec, struct model_tensors *out);
/* Sets out's numbers of parameters, all else of it being there. is_used: (tensors of the file) those that run.
 * parameter_count.c */
void          cm_count_parameters(const struct model_file *file, const struct model_spec *spec, const bool *is_used,
                                  struct model_tensors *out);
void          cm_model_tensors_close(struct model_tensors *tensors); /* zeroed is fine */

#endif
