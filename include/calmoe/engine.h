/* calmoe/engine.h - a model made ready to run: the weights are packed and lie on their memory nodes, the threads are
 * started and pinned, all scratch memory is reserved. In one step, an engine takes rows (tokens) of many sessions
 * through the model.
 *
 * An engine and its sessions serve one thread at a time. Only calmoe_session_interrupt() (session.h) may be called by
 * other threads and signal handlers meanwhile. */
#ifndef CALMOE_ENGINE_H
#define CALMOE_ENGINE_H

#include "calmoe/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct calmoe_engine calmoe_engine;
typedef struct calmoe_session calmoe_session;

/* One token's routing in one layer: its n experts in slot order, that is, the best selection score first (which is the
 * highest weight, unless the router adds a selection bias). For a layer without a router, which all tokens run whole, n
 * is 0. The arrays are borrowed for the call. The callback runs between two phases of a step, on the thread that called
 * the step; it must not call into the engine. */
typedef struct calmoe_routing_event {
    calmoe_session *session;
    int             layer;
    int             position; /* of the token in its sequence */
    int32_t         token;
    int             n;
    const int32_t  *experts;  /* (n) */
    const float    *weights;  /* (n) the factors by which the experts' outputs are multiplied */
} calmoe_routing_event;
typedef void (*calmoe_routing_fn)(void *user, const calmoe_routing_event *event);

/* One token's routing in one layer, before its experts run. The callback may replace the router's choice, for example
 * by a recorded one: it may overwrite experts (n) and weights (n). A choice is ignored if it names an expert that does
 * not exist or one expert twice, or if a weight is not a finite number. All threads of the engine call it at once, each
 * for rows of its own; it must not call into the engine. On several ranks only rank 0's is called; the others are told
 * its choice, in one more exchange for each layer. */
typedef struct calmoe_routing_choice {
    calmoe_session *session;
    int             layer;
    int             row;      /* row of the step: chunks in order, and the tokens of each chunk in order */
    int             position; /* of the token in its sequence                     */
    int32_t         token;
    int             n;
    int32_t        *experts;  /* (n) */
    float          *weights;  /* (n) */
} calmoe_routing_choice;
typedef void (*calmoe_routing_source_fn)(void *user, const calmoe_routing_choice *choice);

enum {
    CALMOE_PIN_NO,  /* threads run wherever the system puts them                                                */
    CALMOE_PIN_YES, /* each thread stays on its own core, unless there are more threads than cores or a quota limits
                       processor time                                                                           */
    CALMOE_PIN_AUTO /* as YES, but as NO if busy threads of other programs are bound to one of the cores already */
};

enum {
    CALMOE_DISK_AUTO,   /* CACHED if the files fit into the memory that is left beside the limit, else DIRECT         */
    CALMOE_DISK_CACHED, /* through the system's page cache, which keeps as much as it has room for                    */
    CALMOE_DISK_DIRECT  /* past the page cache (O_DIRECT), where the file system can                                  */
};

typedef struct calmoe_engine_options {
    size_t             size;          /* set by calmoe_engine_options_init()                        */
    int                n_threads;     /* 0 = one for each core that the process may use (default); fewer where a
                                         quota of processor time is worth fewer, and without the cores that other
                                         processes of calmoe use, if these use at most half of them   */
    int                pin_threads;   /* CALMOE_PIN_*: whether each thread is bound to a core (default
                                         CALMOE_PIN_AUTO)                                                     */
    const char        *isa;           /* the instruction set: "ref", "avx2", … "amx"; NULL = the best of this machine
                                         (default)                                                  */
    const char        *plan;          /* path of a placement plan; NULL = every expert is sliced over all memory
                                         nodes (default); most machines have one node               */
    int                max_rows;      /* most tokens in one step; 0 = 512 (default)                 */
    int                kv_float32;    /* keep keys and values in float32 instead of float16 (default 0) */
    calmoe_progress_fn progress;      /* called while weights are packed; NULL = none (default)     */
    void              *progress_user;
    calmoe_routing_fn  routing;       /* told of every routing decision; NULL = none (default)      */
    void              *routing_user;
    calmoe_routing_source_fn routing_source; /* may replace the router's choices; NULL = none (default) */
    void              *routing_source_user;
    int                profile;       /* 1: count how experts are used, see profile.h (default 0)   */
    const char        *exits;         /* path of a file of fitted exits (docs/FORMATS.md); NULL = none (default) */
    int                fixed_threads; /* 1: every step runs on all threads. 0 (default): the engine uses fewer while
                                         that is faster, because other programs are busy or a quota of processor time
                                         was lowered. Logits are the same bits with any number of threads            */
    int                no_tuning;     /* 1: kernels use the settings that are stored for the processor's maker. 0
                                         (default): settings are measured for some milliseconds, once for each
                                         machine (docs/FORMATS.md, "Tuning"). Logits are the same bits with any
                                         setting                                                      */
    calmoe_ranks      *ranks;         /* the processes that run the model together (ranks.h); they must outlive the
                                         engine. NULL = this process alone (default)                              */
    calmoe_model      *draft_model;   /* a smaller model with the same vocabulary, which drafts tokens for lossless
                                         sessions (session.h) and reads all that they read. It must outlive the
                                         engine; it is made ready when the first such session is opened. NULL = none
                                         (default)                                                                */
    uint64_t           memory_limit;  /* bytes for weights, scratch memory and the first keys and values; 0 = no
                                         limit (default). If the routed experts do not all fit, some stay in memory
                                         and the others are read from the model's file when a router names them
                                         (docs/DISK.md). Logits are the same bits with any limit. On several
                                         ranks it is a limit for each of them                                     */
    const char        *memory_profile; /* path of a profile (profile.h) that says which experts to keep in memory;
                                          NULL = those that the engine itself sees used most (default). Ignored
                                          without a limit                                                         */
    const char        *packed;        /* path of the model's packed experts (pack.h), which are mapped into memory,
                                         or with a memory limit read one by one; NULL = the model's own file
                                         (default). Refused if it is damaged or belongs to another model, version or
                                         instruction set; needs one memory node and one rank                        */
    int                disk_reads;    /* CALMOE_DISK_*: how experts are read from disk (default CALMOE_DISK_AUTO)  */
    int                no_lookahead;  /* 1: an expert is read only after its layer's router has named it. 0
                                         (default): probable experts are read earlier                             */
    int                whole_experts; /* on several ranks. 0: each routed expert is cut by rows over all ranks
                                         (default). 1: each is whole on one rank, which is faster for many rows at
                                         once; calmoe_placement_predict_ranks() says for which. Not with a memory
                                         limit; the same on all ranks                                               */
} calmoe_engine_options;

CALMOE_API void calmoe_engine_options_init(calmoe_engine_options *options);

/* options may be NULL. The model must outlive the engine. INVALID_ARGUMENT (also for a memory limit that is too small;
 * the sentence names the smallest that works), NO_MEMORY, UNSUPPORTED, SYSTEM, CANCELLED; IO and BAD_FILE about the
 * plan, the exits, the profile or the packed experts. */
CALMOE_API calmoe_status calmoe_engine_open(calmoe_model *model, const calmoe_engine_options *options,
                                            calmoe_engine **out);
/* Describes for people, in one line, what the engine found on the machine: threads, cores and nodes, whether threads
 * are bound and if not why, limits of control groups, size of the weights. The text is cut to capacity bytes with its
 * NUL. INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_engine_describe(const calmoe_engine *engine, char *text, size_t capacity);
/* First close the engine's sessions. Sets *engine to NULL; NULL is fine. */
CALMOE_API void calmoe_engine_close(calmoe_engine **engine);

enum { CALMOE_LOGITS_NONE, CALMOE_LOGITS_LAST, CALMOE_LOGITS_ALL };

/* Consecutive tokens of one session. */
typedef struct calmoe_chunk {
    calmoe_session *session;
    const int32_t  *tokens;   /* (n_tokens) they follow the tokens that the session has read      */
    int             n_tokens; /* >= 1                                                              */
    int             logits;   /* CALMOE_LOGITS_*: of which tokens the logits are computed          */
} calmoe_chunk;

/* Runs the tokens of all chunks through the model in one batch; a session may have one chunk only.
 * calmoe_session_logits() gives the logits. A token's logits do not depend on what else is in the batch, bit for bit.
 *
 * Before anything runs, the call is checked: INVALID_ARGUMENT (a token id does not exist, a session belongs to another
 * engine, there are more rows than max_rows), FULL (a session's context has no room), CANCELLED (a session is
 * interrupted), NO_MEMORY (for more logits than any step had before, or for new keys and values). During the step it
 * can still fail in two ways: CANCELLED, if all of its sessions are interrupted (if only some are, the step goes on for
 * the others); IO, if experts are read from disk and a read fails. After any of these failures every session stands
 * where it stood before; only the logits of the last step are lost. (A session with a recurrent state may stand
 * earlier, with the tokens in between pending, as after calmoe_session_rewind().)
 *
 * NOT_FINITE is different: it is found after the step. The tokens have been read and all logits are there, but those of
 * some chunk are NaN or infinite; the sentence says in which layer that began, and calmoe_session_sample() says for
 * which sessions. */
CALMOE_API calmoe_status calmoe_engine_step(calmoe_engine *engine, const calmoe_chunk *chunks,
                                            int n_chunks);

typedef struct calmoe_event { /* what one call of calmoe_engine_next() did for one session */
    calmoe_session *session;
    calmoe_status   status;   /* OK: token is new. In all other cases except one, token is -1. END: the answer is
                                 over; token is the one that ends it, or -1 if the session's limit was reached. FULL:
                                 the context is full. NOT_FINITE: the logits are NaN or infinite. INVALID_ARGUMENT:
                                 the sampler excludes every token. CANCELLED: the session was interrupted; reported
                                 once                                                                    */
    int32_t         token;
} calmoe_event;

/* The simple way to run many sessions. It makes one step with the next work of every session (the token that it sampled
 * last, or as much of its prompt as fits), those that waited longest first; then it samples a token for each session
 * whose prompt is read. It writes up to `capacity` events, one for each session that got a token or ended, and their
 * number to *n_events. CALMOE_END when no session has work left. */
CALMOE_API calmoe_status calmoe_engine_next(calmoe_engine *engine, calmoe_event *events, int capacity,
                                            int *n_events);
/* Limits how many rows of fed text a step of calmoe_engine_next() or calmoe_session_next() takes, so that a long text
 * delays other sessions' answers by no more than n rows take. Rows of answers do not count: one for each answering
 * session is in every step as long as max_rows allows. 0 = as many as fit (default). Logits do not depend on it.
 * INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_engine_set_step_rows(calmoe_engine *engine, int n);

#ifdef __cplusplus
}
#endif
#endif
