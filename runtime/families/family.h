/* runtime/families/family.h - a model family as a record. What the file's metadata and tensors say
 * decides; the record holds only what files leave unsaid, and what a file of the family must say. One file for each
 * family, one row in family_list.c; a family's name stands nowhere else. */
#ifndef RUNTIME_FAMILIES_FAMILY_H
#define RUNTIME_FAMILIES_FAMILY_H

#include "runtime/families/keys.h"
#include "runtime/families/model_spec.h"

/* What a file of the family must have, or it is not whole: tensors of each layer and of the model, and a key. Others
 * that the layer reader knows (layer_reader.c) may be there, in all layers or in none. */
enum {
    NEEDS_QK_NORMS    = 1 << 0, /* of q and k                          */
    NEEDS_QKV_BIASES  = 1 << 1,
    NEEDS_SHARED      = 1 << 2, /* a shared expert beside routed ones  */
    NEEDS_SHARED_GATE = 1 << 3, /* and its gate                        */
    NEEDS_OUTPUT      = 1 << 4, /* an output matrix; else its absence means that the embedding serves as one */
    NEEDS_ROPE_BASE   = 1 << 5, /* the key rope.freq_base; else its absence means 10000 */
    NEEDS_SINKS       = 1 << 6,
    NEEDS_OTHER_BIASES = 1 << 7, /* of attention's output, the router and routed experts */
    NEEDS_ROTATED     = 1 << 8, /* the key rope.dimension_count; else its absence means all of a head */
    NEEDS_QUERY_GATES = 1 << 9, /* rows of gates behind each query's: what attention gives is weighted */
    NEEDS_ROPE_FACTORS = 1 << 10, /* rope_freqs.weight; else its absence means that no frequency is divided */
    NEEDS_DENSE_PART  = 1 << 11, /* a dense part beside routed experts, each with norms of its own           */
    NEEDS_LATENTS     = 1 << 12, /* latent attention in all layers */
    NEEDS_CHOICE_BIASES = 1 << 13, /* of routed experts, for choosing them */
    NEEDS_PROJECTION_BIASES = 1 << 14, /* of attention's output                 */
    NEEDS_DENSE_BIASES = 1 << 15, /* of up and down of dense halves            */
    NEEDS_LOGIT_BIASES = 1 << 16, /* of the output matrix                       */
    NEEDS_GATES       = 1 << 17  /* a matrix of gates, for each head or element that attention gives */
};

/* What layers may be that do not attend; of delta nets, how such files order the value heads (head_order). */
enum recurrent_layers { RECURRENT_NONE, RECURRENT_DELTA_IN_GROUPS, RECURRENT_DELTA_IN_TURN, RECURRENT_MAMBA2,
                  RECURRENT_SHORTCONV };

struct family {
    const char       *name;         /* as users see it                               */
    const char       *architecture; /* general.architecture in files                 */
    bool              has_experts;  /* one architecture may be dense or not          */
    enum rope_pairing pairing;      /* as the file's rows of q and k are arranged    */
    enum score_kind   score;        /* where the file has no expert_gating_func      */
    bool              renormalise;  /* where the file has no expert_weights_norm     */
    enum norm_names   norms;
    bool              centres_norms; /* as of model_spec                             */
    enum nonlinearity nonlinearity; /* of all feed-forward blocks                    */
    /* Layers see attention.sliding_window positions, but every window_period-th sees all, where the file has no
     * attention.sliding_window_pattern. 0: the family knows no windows. */
    int               window_period;
    bool              first_sees_all; /* of each so many layers the first sees all, not the last */
    /* Base by which layers that see a window turn, where the file has no rope.freq_base_swa; they turn without the
     * scaling and the factors of the others. 0: they turn as the others do, but for that key. */
    float             window_base;
    int               default_window; /* where the file has no attention.sliding_window */
    bool              has_chunks;   /* windows begin where their chunk does             */
    bool              weighs_input; /* weights of routed experts go on their inputs     */
    bool              norms_follow_rotation; /* of heads of q and k; else they stand before it */
    bool              has_soft_gates; /* as of attention_spec                           */
    bool              may_lack_values; /* layers without a window may have no matrix for v: values are keys */
    bool              scales_embedding; /* by sqrt(dim), where the file has no embedding_scale */
    /* How published weights lie otherwise than in files, for adapters of them: rows of each head of q and k as pairs
     * (i, i + n / 2), where the file's are (2 i, 2 i + 1); gate's and up's rows of routed experts by turns. */
    bool              turns_heads, alternates_gate_up;
    bool              hands_on_plain; /* as of model_spec: blocks that predict further tokens */
    unsigned          needs;        /* NEEDS_*                                       */
    enum recurrent_layers recurrent;
    const char *const *keys;        /* names behind "<architecture>." that such a file must have, the last NULL;
                                       NULL = none but those that every file must have */
    /* What is special; reads keys that no other family has. NULL = nothing. */
    calmoe_status (*adjust)(struct keys *keys, struct model_spec *spec);
};

/* For adjust: of models whose queries grow with their position (attention_spec.temperature, offset 0), by what and over
 * how many positions each; temperature and length: where the file does not say them. */
calmoe_status cm_read_temperature(struct keys *keys, float temperature, int length, struct model_spec *spec);
/* For adjust: a rope that turns nothing; which of model_spec.ropes it is. */
int cm_add_no_rope(struct model_spec *spec);
/* For adjust: layers that see all positions do not rotate. */
void cm_rotate_in_windows_only(struct model_spec *spec);
/* For adjust: a window that no position of the context can leave is none. */
void cm_drop_idle_windows(struct model_spec *spec);

/* Row i, or NULL past the end. */
const struct family *cm_family_at(int i);
/* The family of files with this general.architecture, with experts or without; NULL: none. */
const struct family *cm_family_of(const char *architecture, bool has_experts);
/* Whether files of the family must have the key; family NULL: no. */
bool cm_family_needs_key(const struct family *family, const char *name);

/* The name of a family that is known and not run yet, by the architecture of its files; NULL: not known. */
const char *cm_family_not_run(const char *architecture);

/* For `adjust`: positions told by slopes on scores (ALiBi) instead of rotations, in all layers. The largest exponent of
 * a slope is attention.max_alibi_bias, at least `least`, where the file says it, and `usual` elsewhere; at 0 heads are
 * rotated as before. */
calmoe_status cm_read_alibi(struct keys *keys, float usual, float least, struct model_spec *spec);

/* Finds the family by architecture, reads the metadata, looks which tensors layers have, checks every number. After a
 * failure there is nothing to close. */
calmoe_status cm_read_model_spec(struct calmoe_context *ctx, const struct model_file *file,
                                 struct model_spec *out);
/* The first block behind the layers of that model, which predicts a further token, as a model of one layer: it reads
 * the model's state behind its last norm at a position and the token behind it, and says the one behind that. What
 * out->n_layers is afterwards: 1, or 0 where the file has no such block, or not all of it. */
calmoe_status cm_read_further_spec(struct calmoe_context *ctx, const struct model_file *file,
                                   const struct model_spec *of, struct model_spec *out);

#endif
