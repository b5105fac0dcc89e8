/* calmoe/adapter.h - adapters were trained for a model and change what it says: as small matrices (LoRA), or as keys
 * and values that stand before the first token (prefix tuning). An engine may have any number of adapters open at once;
 * each session says which of them it uses and how strongly. The model's weights are not changed and are shared by all
 * sessions; one step may contain sessions with different adapters and with none.
 *
 * Where the model computes W x, a LoRA adapter adds  scale * alpha / rank * B (A x)  in float32. A prefix takes one
 * position for each of its virtual tokens, before the session's first token and in addition to the session's context; a
 * session may have one prefix, whose scale is 1. The bits of a session's logits depend on its tokens and on its
 * adapters with their scales, and on nothing else; an adapter with scale 0 counts as none. A policy was proven for the
 * model without adapters, so a session cannot have both a policy and adapters. Lossless drafts are possible; they are
 * verified with the session's adapters.
 *
 *     calmoe_adapter *adapter = NULL;
 *     const float     scale = 0.8f;
 *     if (calmoe_adapter_open(engine, "adapter.gguf", &adapter) ||
 *         calmoe_session_set_adapters(session, &adapter, &scale, 1))
 *         die(calmoe_context_message(context)); */
#ifndef CALMOE_ADAPTER_H
#define CALMOE_ADAPTER_H

#include "calmoe/session.h"

#ifdef __cplusplus
extern "C" {
#endif

enum { CALMOE_MAX_ADAPTERS = 16 /* of one session */ };

typedef struct calmoe_adapter calmoe_adapter;

/* Opens an adapter for the engine's model: a GGUF file (whose general.type is adapter and adapter.type is lora), or a
 * folder in the form of Hugging Face's PEFT (adapter_config.json, adapter_model.safetensors) with a LoRA or a prefix.
 * docs/ADAPTERS.md says which parts of a model it may change. If the engine runs on several ranks (ranks.h), rank 0
 * opens the adapter, and every rank reads the same path on its own machine. IO, BAD_FILE, NO_MEMORY; INVALID_ARGUMENT:
 * the adapter is for another model, or another rank has a different file there; UNSUPPORTED: it is of another kind, or
 * changes something else than matrices, or a prefix has no place in some of the model's layers; NOT_FINITE: it contains
 * NaN or infinity. */
CALMOE_API calmoe_status calmoe_adapter_open(calmoe_engine *engine, const char *path, calmoe_adapter **out);
/* Removes the adapter from the engine's list; sessions that use it may continue to do so. Close adapters before the
 * engine. Sets *adapter to NULL; NULL is fine. */
CALMOE_API void calmoe_adapter_close(calmoe_adapter **adapter);

/* The open adapters of an engine, in the order in which they were opened: their number, and the i-th. NULL: there is no
 * i-th. */
CALMOE_API int             calmoe_engine_n_adapters(const calmoe_engine *engine);
CALMOE_API calmoe_adapter *calmoe_engine_adapter(const calmoe_engine *engine, int i);

typedef struct calmoe_adapter_info {
    size_t      size;            /* set by the caller to sizeof(calmoe_adapter_info)              */
    const char *path;            /* the path as it was given; borrowed until the adapter is closed */
    const char *name;            /* the name that the file gives it, "" = none; borrowed likewise */
    const char *kind;            /* "gguf" or "peft"                                              */
    char        fingerprint[17]; /* 16 hex digits: a hash of all that it adds                     */
    int         n_changes;       /* matrices that it changes; a stack of experts counts one for each expert */
    int         rank;            /* the largest rank of its matrices                              */
    double      alpha;           /* 0 = the file names none, or several                           */
    uint64_t    n_parameters;
    uint64_t    n_bytes;         /* memory that it takes                                          */
    int         n_virtual_tokens; /* of a prefix: positions that it takes before a session's first token; 0 = it is
                                     not a prefix */
} calmoe_adapter_info;

/* INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_adapter_get_info(const calmoe_adapter *adapter, calmoe_adapter_info *info);

/* Sets the adapters that the session uses from its first token on: adapters and scales (n); n 0 = the model without
 * adapters. Their order does not matter. Only a session without tokens may change them, since what it has read depends
 * on them: call calmoe_session_rewind() to 0 first. Setting the same again is always fine. A fork has the same
 * adapters; a saved session names them, and calmoe_session_restore() looks for them among the engine's.
 * INVALID_ARGUMENT: the session has tokens or a policy; an adapter belongs to another engine or is given twice; a scale
 * is not finite, or is neither 0 nor 1 for a prefix; there are two prefixes, or more than CALMOE_MAX_ADAPTERS adapters.
 * NO_MEMORY. After a failure the session is as it was. */
CALMOE_API calmoe_status calmoe_session_set_adapters(calmoe_session *session, calmoe_adapter *const *adapters,
                                                     const float *scales, int n);
/* The adapters that the session uses, except those with scale 0: their number, and the i-th. INVALID_ARGUMENT: there is
 * no i-th. */
CALMOE_API int           calmoe_session_n_adapters(const calmoe_session *session);
CALMOE_API calmoe_status calmoe_session_adapter(const calmoe_session *session, int i, calmoe_adapter **adapter,
                                                float *scale);

#ifdef __cplusplus
}
#endif
#endif
