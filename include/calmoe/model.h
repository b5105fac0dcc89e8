/* calmoe/model.h - a model file: what it is, what is in it.
 *
 * Opening maps the file, checks all of it, and reads the vocabulary; weights are copied and packed
 * when an engine is opened (engine.h). A model never changes; engines may share it. */
#ifndef CALMOE_MODEL_H
#define CALMOE_MODEL_H

#include <stdint.h>

#include "calmoe/context.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct calmoe_model calmoe_model;

typedef struct calmoe_model_options {
    size_t size;            /* set by calmoe_model_options_init()                                 */
    int    vocabulary_only; /* 1: a file without weights will do; no engine can be opened (default 0) */
    int    contents_only;   /* 1: any GGUF file will do, such as an adapter or a model of a kind that does not
                               run: its metadata and tensors can be listed and its numbers checked, and no
                               more (default 0)                                                       */

    /* Numbers that are wanted otherwise than the file says; 0 or NULL = as it says (default). A model that was opened
     * with one has a fingerprint of its own: policies, exits, profiles and traces of the plain file do not fit it,
     * placement plans do. */
    int         n_experts_used;  /* experts of a token in each layer, more or fewer than the model was trained with */
    const char *rope_scaling;    /* how positions are stretched over a longer context: "none", "linear", "yarn"  */
    float       rope_scale;      /* how many times longer it becomes: calmoe_model_info.context_length grows with it;
                                    alone, where the file has no scaling, it is linear                           */
    float       rope_base;       /* of the rotary frequencies                                                    */
    int         yarn_original_context; /* that rope_scale stretches; 0 = the file's, else what it was trained for */
    float       yarn_attn_factor, yarn_beta_fast, yarn_beta_slow; /* YaRN's other numbers: 1, 32, 1 unless the file
                                    says otherwise                                                               */
} calmoe_model_options;

CALMOE_API void calmoe_model_options_init(calmoe_model_options *options);

/* path: a GGUF file, or the first of its shards; NULL = the embedded model, calmoe-nano, looked for in
 * the folder of the environment variable CALMOE_MODELS, then where the library was installed.
 * options may be NULL. On success *out is the caller's until calmoe_model_close(); else NULL.
 * What a file is comes first: one that is no GGUF file, or that holds an adapter, a projector or another thing that
 * is no model, is called what it is; then the family is judged, then the vocabulary, then the tensors.
 * IO, BAD_FILE, UNSUPPORTED, NO_MEMORY; INVALID_ARGUMENT: options that make no sense for this model. */
CALMOE_API calmoe_status calmoe_model_open(calmoe_context *context, const char *path,
                                           const calmoe_model_options *options, calmoe_model **out);
/* Engines first. Sets *model to NULL; NULL is fine. */
CALMOE_API void calmoe_model_close(calmoe_model **model);

typedef struct calmoe_model_info {
    size_t      size;             /* set by the caller to sizeof(calmoe_model_info)              */
    const char *path;
    const char *name;             /* general.name, or ""                                          */
    const char *family;           /* "qwen3moe"; "" for a file that holds a vocabulary only      */
    const char *tokenizer;        /* "bpe/qwen2"; "" where the contents only were opened          */
    const char *chat_format;      /* "chatml"; "template" for one that only the file's own template has;
                                     "" = none that is known, see chat_problem                    */
    int         n_layers;
    int         width;            /* of the residual stream                                       */
    int         n_heads;          /* of the layers with most, as the two that follow              */
    int         n_kv_heads;
    int         head_size;
    int         n_experts;        /* of a layer that has any; 1 for a dense model                 */
    int         n_experts_used;   /* a token's experts in such a layer                            */
    int         expert_width;     /* of such an expert; of a dense model the feed-forward block's */
    int         shared_width;     /* of the shared expert beside them; 0 = none                   */
    int         n_vocab;
    int         context_length;   /* that the model was trained for, or its scaling is made for    */
    uint64_t    n_parameters;
    uint64_t    n_active_parameters; /* that one token reads: all but the experts not chosen, and of
                                        the embedding one row                                     */
    uint64_t    n_file_bytes;     /* all shards                                                   */
    char        fingerprint[17];  /* 16 hex digits over metadata (with calmoe_model_options' numbers) and
                                     tensor list; plans, profiles and policies carry it           */
    int         n_dense_layers;   /* layers whose feed-forward block every token runs whole; all of a
                                     dense model                                                  */
    int         dense_width;      /* of that block; 0 where no layer is dense                     */
    int         n_attention_layers; /* layers that keep keys and values                             */
    const char *chat_problem;     /* "it has no chat template", or why its template is not used; "" = it is */
    int         n_kept_values;    /* numbers that one position takes in the cache of keys and values, in all layers
                                     together; latents, which are both, count once                */
    int         n_state_layers;   /* layers that keep a state of fixed size instead of keys and values; where layers
                                     are one half of a block, others keep nothing                 */
    int         n_routed_layers;  /* layers with routed experts                                   */
} calmoe_model_info;

/* Texts are borrowed until the model is closed. */
CALMOE_API calmoe_status calmoe_model_get_info(const calmoe_model *model, calmoe_model_info *info);

/* The chat formats that can be chosen by name (calmoe_session_options.chat_format): number i, NULL behind the last. */
CALMOE_API const char *calmoe_chat_format_name(int i);

typedef struct calmoe_tensor_info {
    size_t      size;     /* set by the caller to sizeof(calmoe_tensor_info) */
    const char *name;
    const char *type;     /* "q8_0"; "nvfp4" or "i32" where the type is not read */
    int         n_dims;
    uint64_t    shape[4]; /* shape[0] is contiguous; missing dimensions are 1 */
    uint64_t    n_bytes;  /* 0 where it is not known how the type lies in files */
    int         shard;
} calmoe_tensor_info;

/* Tensor i in file order; CALMOE_END past the last. */
CALMOE_API calmoe_status calmoe_model_get_tensor(const calmoe_model *model, uint64_t i,
                                                 calmoe_tensor_info *info);
/* Metadata i in file order as text, at most n_text bytes with the NUL (long values and arrays are
 * shortened by "..."); *key is borrowed until the model is closed. CALMOE_END past the last. */
CALMOE_API calmoe_status calmoe_model_get_metadata(const calmoe_model *model, uint64_t i,
                                                   const char **key, char *text, size_t n_text);

/* Called now and then while a file is read or written: fraction goes from 0 to 1. Return 0 to go on, anything
 * else to stop: the call then answers CALMOE_CANCELLED and leaves nothing behind. */
typedef int (*calmoe_progress_fn)(void *user, double fraction);

typedef struct calmoe_bad_tensor { /* one that holds weights which are no numbers; places are counted from 0 */
    const char *name, *type;    /* borrowed during the call              */
    uint64_t    n_nan, n_infinite;
    uint64_t    first[4];       /* where the first stands: first[0] is the element in its row, first[1] the row, … */
    int         first_is_nan;
    const char *first_place;    /* the same in words: "expert 1, row 2, column 3" */
} calmoe_bad_tensor;

typedef struct calmoe_check_options {
    size_t size;                 /* set by calmoe_check_options_init()                     */
    void (*on_bad)(void *user, const calmoe_bad_tensor *tensor); /* told of each, in file order; NULL = nobody
                                    (default)                                              */
    void              *on_bad_user;
    calmoe_progress_fn progress; /* NULL = none (default); may cancel                      */
    void              *progress_user;
    int                n_threads; /* 0 = one for each core (default)                       */
} calmoe_check_options;

CALMOE_API void calmoe_check_options_init(calmoe_check_options *options);

/* Reads all weights of the file, of every type, and of quantized blocks their scales: are they finite? options may be
 * NULL. OK: all are. BAD_FILE: some are NaN or infinite; the sentence names the first tensor of them and says how many
 * there are. UNSUPPORTED: those that can be read are finite, but there are tensors of types that are not read. IO,
 * NO_MEMORY, SYSTEM, CANCELLED. Works for every opened model, whether it runs or not. */
CALMOE_API calmoe_status calmoe_model_check(const calmoe_model *model, const calmoe_check_options *options);

#ifdef __cplusplus
}
#endif
#endif
