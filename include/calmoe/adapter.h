/* calmoe/adapter.h - adapters: small matrices (LoRA), or keys and values before the first token (prefix tuning), which
 * were trained beside a model and change what it says. An engine has any number of them open at once; each session says
 * which it uses, and how strongly. The model's weights are shared by all sessions and not touched; sessions with other
 * adapters, and with none, stand in one step.
 *
 * Where a matrix W of the model meets an input x, an adapter adds  scale * alpha / rank * B (A x)  in float32. A prefix
 * takes as many positions as it has virtual tokens before a session's first token, beside the session's context; a
 * session has one at most, and its scale is 1. The bits of a session's logits depend on its tokens and on its adapters
 * with their scales, on nothing else; an adapter of scale 0 is none. What was proven of a policy was proven of the
 * model as it is, so policies and adapters do not go together; lossless drafts do, and are verified with the session's
 * adapters.
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

/* Reads an adapter for the engine's model: a GGUF file (general.type is adapter, adapter.type lora), or a folder as
 * Hugging Face's PEFT writes it (adapter_config.json, adapter_model.safetensors), of a LoRA or a prefix;
 * docs/ADAPTERS.md says which parts of a model it may change. Of several ranks (ranks.h) rank 0 opens it, and all read
 * the same path, each on its machine. IO, BAD_FILE, NO_MEMORY; INVALID_ARGUMENT: it is for another model, or other
 * ranks have another there; UNSUPPORTED: it is of another kind, it changes more than matrices, a prefix has no place in
 * some of the model's layers; NOT_FINITE: it holds NaN or infinities. */
CALMOE_API calmoe_status calmoe_adapter_open(calmoe_engine *engine, const char *path, calmoe_adapter **out);
/* The engine lists it no more; a session that uses it goes on with it. Before the engine. Sets *adapter to NULL; NULL
 * is fine. */
CALMOE_API void calmoe_adapter_close(calmoe_adapter **adapter);

/* Those that are open, in the order in which they were opened. NULL: there is no i-th. */
CALMOE_API int             calmoe_engine_n_adapters(const calmoe_engine *engine);
CALMOE_API calmoe_adapter *calmoe_engine_adapter(const calmoe_engine *engine, int i);

typedef struct calmoe_adapter_info {
    size_t      size;            /* set by the caller to sizeof(calmoe_adapter_info)              */
    const char *path;            /* as it was given; borrowed until the adapter is closed         */
    const char *name;            /* as the file calls it, "" = it does not; likewise              */
    const char *kind;            /* "gguf" or "peft"                                              */
    char        fingerprint[17]; /* 16 hex digits of all that it adds                             */
    int         n_changes;       /* matrices that it changes; of stacked experts each is one      */
    int         rank;            /* the largest                                                   */
    double      alpha;           /* 0 = none is named, or several are                             */
    uint64_t    n_parameters;
    uint64_t    n_bytes;         /* of memory                                                     */
    int         n_virtual_tokens; /* of a prefix: positions that it takes before a session's first token; 0 = it is
                                    none */
} calmoe_adapter_info;

/* INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_adapter_get_info(const calmoe_adapter *adapter, calmoe_adapter_info *info);

/* The session uses these from its first token on: adapters and scales (n); n 0 = the model as it is. Their order does
 * not matter. Only a session without tokens may change them, since what it has read was read with those that it had:
 * calmoe_session_rewind() to 0 first. To set what is set already is always fine. A fork has the same; a file of the
 * session names them, and calmoe_session_restore() finds them among the engine's. INVALID_ARGUMENT: the session has
 * tokens or a policy, an adapter is another engine's or given twice, a scale is no finite number or a prefix's neither
 * 0 nor 1, two prefixes, more than CALMOE_MAX_ADAPTERS; NO_MEMORY; then the session is as it was. */
CALMOE_API calmoe_status calmoe_session_set_adapters(calmoe_session *session, calmoe_adapter *const *adapters,
                                                     const float *scales, int n);
/* Those that the session uses, without those of scale 0. INVALID_ARGUMENT: there is no i-th. */
CALMOE_API int           calmoe_session_n_adapters(const calmoe_session *session);
CALMOE_API calmoe_status calmoe_session_adapter(const calmoe_session *session, int i, calmoe_adapter **adapter,
                                                float *scale);

#ifdef __cplusplus
}
#endif
#endif
