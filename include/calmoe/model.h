/* calmoe/model.h - a model file: what kind of model it is, and what it holds.
 *
 * Opening a model maps the file into memory, checks its structure and reads the vocabulary. The weights are copied and
 * packed later, when an engine is opened (engine.h). A model never changes, and several engines may share it. */
#ifndef CALMOE_MODEL_H
#define CALMOE_MODEL_H

#include <stdint.h>

#include "calmoe/context.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct calmoe_model calmoe_model;
typedef struct calmoe_ranks calmoe_ranks; /* calmoe/ranks.h */

typedef struct calmoe_model_options {
    size_t size;            /* set by calmoe_model_options_init()                                 */
    int    vocabulary_only; /* 1: the file needs no weights, and no engine can be opened (default 0)  */
    int    contents_only;   /* 1: any GGUF file will do, even an adapter or a model of a family that is not
                               supported. Its metadata and tensors can be listed and its numbers checked, nothing
                               else (default 0)                                                       */

    /* Settings that replace the file's own; 0 or NULL keeps what the file says (default). A model that is opened with
     * one of them gets another fingerprint: policies, exits, profiles and traces that were made for the file as it is
     * do not fit it; placement plans do. */
    int         n_experts_used;  /* experts that each token takes in a layer; may be more or fewer than the model was
                                    trained with                                                                    */
    const char *rope_scaling;    /* how positions are stretched to cover a longer context: "none", "linear" or "yarn" */
    float       rope_scale;      /* the factor by which the context becomes longer; calmoe_model_info.context_length
                                    grows by it. Given alone for a file without scaling, it scales linearly      */
    float       rope_base;       /* base of the rotary frequencies                                               */
    int         yarn_original_context; /* the context length that rope_scale multiplies; 0 = the file's, else the
                                          length that the model was trained for                                   */
    float       yarn_attn_factor, yarn_beta_fast, yarn_beta_slow; /* YaRN's other parameters; their defaults are 1,
                                                                     32 and 1 unless the file says otherwise.
                                                                     beta_fast is not below beta_slow            */

    const calmoe_ranks *ranks; /* open the file on rank 0 only, which sends the other ranks what they need of it
                                  (calmoe/ranks.h). All ranks make the same call; the path that the others give is
                                  ignored. The ranks must stay open as long as the model. NULL = this process opens
                                  the file itself (default)                                                      */
} calmoe_model_options;

CALMOE_API void calmoe_model_options_init(calmoe_model_options *options);

/* path: a GGUF file, or the first shard of several. NULL = the embedded model, calmoe-nano, which is looked for in the
 * folder that the environment variable CALMOE_MODELS names, then where the library was installed. options may be NULL.
 * On success *out is the caller's until calmoe_model_close(); else it is NULL.
 *
 * The checks go from the whole to its parts: first whether the file is a GGUF file that holds a model (an adapter, a
 * projector and the like are refused by their kind), then whether the family is known, then the vocabulary, then the
 * tensors. IO, BAD_FILE, UNSUPPORTED, NO_MEMORY; INVALID_ARGUMENT: options that make no sense for this model. */
CALMOE_API calmoe_status calmoe_model_open(calmoe_context *context, const char *path,
                                           const calmoe_model_options *options, calmoe_model **out);
/* First close the engines of the model. Sets *model to NULL; NULL is fine. */
CALMOE_API void calmoe_model_close(calmoe_model **model);

typedef struct calmoe_model_info {
    size_t      size;             /* set by the caller to sizeof(calmoe_model_info)              */
    const char *path;
    const char *name;             /* the file's general.name, or ""                               */
    const char *family;           /* "qwen3moe"; "" for a file that holds a vocabulary only      */
    const char *tokenizer;        /* "bpe/qwen2"; "" where only the contents were opened          */
    const char *chat_format;      /* "chatml", …; "template" where the file's own template is used and has no name
                                     here; "" = no format is known, chat_problem says why         */
    int         n_layers;
    int         width;            /* of the residual stream                                       */
    int         n_heads;          /* query heads; where layers differ, this and the next two are of the layer with
                                     most heads                                                   */
    int         n_kv_heads;
    int         head_size;
    int         n_experts;        /* routed experts of a layer that has any; 1 for a dense model  */
    int         n_experts_used;   /* experts that a token takes in such a layer                   */
    int         expert_width;     /* rows of one expert's gate and up matrices; for a dense model, of the
                                     feed-forward block's                                         */
    int         shared_width;     /* the same of the shared expert; 0 = there is none             */
    int         n_vocab;
    int         context_length;   /* the longest context that the model was trained for, or that its scaling reaches */
    uint64_t    n_parameters;
    uint64_t    n_active_parameters; /* parameters that one token reads: all of them except the experts that the
                                        token does not take, and of the embedding one row only    */
    uint64_t    n_file_bytes;     /* of all shards together                                       */
    char        fingerprint[17];  /* 16 hex digits and a NUL: a hash of the metadata (including settings that
                                     calmoe_model_options replaced) and of the tensor list. Plans, profiles and
                                     policies carry it                                            */
    int         n_dense_layers;   /* layers whose whole feed-forward block every token runs; in a dense model, all
                                     layers                                                       */
    int         dense_width;      /* rows of that block's gate and up matrices; 0 where no layer is dense */
    int         n_attention_layers; /* layers that cache keys and values                            */
    const char *chat_problem;     /* why the file's chat template is not used, such as "it has no chat template"; ""
                                     = it is used                                                           */
    int         n_kept_values;    /* numbers that one position takes in the cache of keys and values, over all
                                     layers. A latent serves as key and value, and counts once    */
    int         n_state_layers;   /* layers that keep a recurrent state of fixed size instead of keys and values. (In
                                     families whose layers are half blocks, some layers keep neither) */
    int         n_routed_layers;  /* layers with routed experts                                   */
} calmoe_model_info;

/* The texts are borrowed until the model is closed. */
CALMOE_API calmoe_status calmoe_model_get_info(const calmoe_model *model, calmoe_model_info *info);

/* The name of the i-th chat format that calmoe_session_options.chat_format can choose, from 0 on; NULL past the
 * last. */
CALMOE_API const char *calmoe_chat_format_name(int i);

typedef struct calmoe_tensor_info {
    size_t      size;     /* set by the caller to sizeof(calmoe_tensor_info) */
    const char *name;
    const char *type;     /* "q8_0"; "nvfp4" or "i32" for types whose values this library cannot read */
    int         n_dims;
    uint64_t    shape[4]; /* shape[0] is contiguous; missing dimensions are 1 */
    uint64_t    n_bytes;  /* 0 where the layout of the type is not known        */
    int         shard;
} calmoe_tensor_info;

/* The i-th tensor in file order; CALMOE_END past the last. */
CALMOE_API calmoe_status calmoe_model_get_tensor(const calmoe_model *model, uint64_t i,
                                                 calmoe_tensor_info *info);
/* The i-th metadata entry in file order, as text of at most n_text bytes with its NUL. Long values and arrays are
 * shortened and end with "...". *key is borrowed until the model is closed. CALMOE_END past the last. */
CALMOE_API calmoe_status calmoe_model_get_metadata(const calmoe_model *model, uint64_t i,
                                                   const char **key, char *text, size_t n_text);

/* Called from time to time while a file is read or written; fraction goes from 0 to 1. Return 0 to go on and anything
 * else to stop: the call then returns CALMOE_CANCELLED and leaves nothing behind. */
typedef int (*calmoe_progress_fn)(void *user, double fraction);

typedef struct calmoe_bad_tensor { /* a tensor that holds NaN or infinite weights; places count from 0 */
    const char *name, *type;    /* borrowed during the call              */
    uint64_t    n_nan, n_infinite;
    uint64_t    first[4];       /* place of the first such weight: first[0] is its column, first[1] its row, …     */
    int         first_is_nan;   /* 1: that weight is NaN, 0: it is infinite */
    const char *first_place;    /* the place in words: "expert 1, row 2, column 3" */
} calmoe_bad_tensor;

typedef struct calmoe_check_options {
    size_t size;                 /* set by calmoe_check_options_init()                     */
    void (*on_bad)(void *user, const calmoe_bad_tensor *tensor); /* called for each such tensor, in file order; NULL
                                                                    = not called (default) */
    void              *on_bad_user;
    calmoe_progress_fn progress; /* NULL = none (default); may cancel                      */
    void              *progress_user;
    int                n_threads; /* 0 = one for each core (default)                       */
} calmoe_check_options;

CALMOE_API void calmoe_check_options_init(calmoe_check_options *options);

/* Checks that all weights of the file are finite: it reads every value of the float types, and the scales of every
 * quantized block. options may be NULL. OK: all are finite. BAD_FILE: some are NaN or infinite; the sentence names the
 * first such tensor and says how many there are. UNSUPPORTED: all weights that can be read are finite, but some tensors
 * have a type that cannot be read. IO, NO_MEMORY, SYSTEM, CANCELLED. Works for every opened model, whether it can run
 * or not. */
CALMOE_API calmoe_status calmoe_model_check(const calmoe_model *model, const calmoe_check_options *options);

#ifdef __cplusplus
}
#endif
#endif
