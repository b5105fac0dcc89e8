/* calmoe/engine.h - a model made ready to run: weights packed on their nodes, threads pinned, all
 * scratch memory in place. An engine steps a batch of rows from many sessions at once.
 *
 * An engine and its sessions serve one thread at a time; only calmoe_session_interrupt() (session.h) may be called from
 * others, and by signal handlers, meanwhile. */
#ifndef CALMOE_ENGINE_H
#define CALMOE_ENGINE_H

#include "calmoe/model.h"

#ifdef __cplusplus
extern "C" {
#endif

typedef struct calmoe_engine calmoe_engine;
typedef struct calmoe_session calmoe_session;

/* One token's routing in one layer: n experts in slot order (best selection score first, which without a
 * selection bias is the highest weight). A layer without a router, which all tokens run whole, is told with n = 0. The
 * arrays are borrowed for the call. Called between two phases of a step, on the thread that steps; it must
 * not call into the engine. */
typedef struct calmoe_routing_event {
    calmoe_session *session;
    int             layer;
    int             position; /* of the token in its sequence */
    int32_t         token;
    int             n;
    const int32_t  *experts;  /* (n) */
    const float    *weights;  /* (n) as multiplied onto the experts' outputs */
} calmoe_routing_event;
typedef void (*calmoe_routing_fn)(void *user, const calmoe_routing_event *event);

/* One token's routing in one layer, before its experts run: what the router chose, to be replaced by another
 * choice, a recorded one for instance. experts and weights (n) may be overwritten; a choice of experts that do not
 * exist, of one twice, or with weights that are no finite numbers is ignored. Called by all threads of the engine
 * at once, each for rows of its own; it must not call into the engine. Among ranks, rank 0's is asked, and told to the
 * others, in one exchange more for each layer. */
typedef struct calmoe_routing_choice {
    calmoe_session *session;
    int             layer;
    int             row;      /* of the step: chunks in order, in each its tokens */
    int             position; /* of the token in its sequence                     */
    int32_t         token;
    int             n;
    int32_t        *experts;  /* (n) */
    float          *weights;  /* (n) */
} calmoe_routing_choice;
typedef void (*calmoe_routing_source_fn)(void *user, const calmoe_routing_choice *choice);

enum {
    CALMOE_PIN_NO,  /* threads run where the system puts them                                                   */
    CALMOE_PIN_YES, /* each on a core of its own, where there are so many and no quota of processor time        */
    CALMOE_PIN_AUTO /* the same, unless working threads of other programs are bound to one of these cores       */
};

enum {
    CALMOE_DISK_AUTO,   /* CACHED where the files fit into the memory that is left beside the limit, else DIRECT      */
    CALMOE_DISK_CACHED, /* through the system's cache of files, which keeps what it has room for                      */
    CALMOE_DISK_DIRECT  /* past it, where the file system can                                                         */
};

typedef struct calmoe_engine_options {
    size_t             size;          /* set by calmoe_engine_options_init()                        */
    int                n_threads;     /* 0 = every core that the process may use; as many as a quota of
                                         processor time is worth; without those that other processes of
                                         calmoe work on, if these are at most half (default)          */
    int                pin_threads;   /* CALMOE_PIN_*: bind each thread to its core (default CALMOE_PIN_AUTO) */
    const char        *isa;           /* "ref", "avx2", … "amx"; NULL = the best here (default)     */
    const char        *plan;          /* path of a placement plan; NULL = sliced over the memory nodes, of which most
                                         machines have one (default)                                */
    int                max_rows;      /* tokens in one step, 0 = 512 (default)                      */
    int                kv_float32;    /* keep keys and values in float32 instead of float16 (default 0) */
    calmoe_progress_fn progress;      /* while weights are packed; NULL = none (default)            */
    void              *progress_user;
    calmoe_routing_fn  routing;       /* sees every routing decision; NULL = none (default)         */
    void              *routing_user;
    calmoe_routing_source_fn routing_source; /* replaces the router's choices; NULL = none (default) */
    void              *routing_source_user;
    int                profile;       /* count how experts are used: profile.h (default 0)          */
    const char        *exits;         /* path of a file of fitted exits: docs/FORMATS.md; NULL = none (default) */
    int                fixed_threads; /* 1: every step runs on all threads. 0 (default): the engine leaves out some for
                                         as long as that is quicker, because other programs work on the machine, or a
                                         quota of processor time was lowered; logits are the same bits by any number */
    int                no_tuning;     /* 1: settings of kernels are those for the processor's maker. 0 (default): they
                                         are chosen by measuring for some milliseconds, once on a machine
                                         (docs/FORMATS.md, "Tuning"); logits are the same bits by any */
    calmoe_ranks      *ranks;         /* processes that run the model together: ranks.h; they must outlive the engine.
                                         NULL = this one alone (default)                                          */
    calmoe_model      *draft_model;   /* a smaller model of the same vocabulary, whose tokens are drafts of lossless
                                         sessions (session.h): it reads what they read. It must outlive the engine, and
                                         is made ready with the first such session. NULL = none (default)         */
    uint64_t           memory_limit;  /* bytes for weights, scratch and the first keys and values; 0 = none (default).
                                         Where routed experts do not all fit, some are kept in memory and the others
                                         read from the model's file when a router names them (docs/DISK.md); logits are
                                         the same bits by any limit. Not with ranks                               */
    const char        *memory_profile; /* path of a profile (profile.h) by which experts are kept; NULL = by what the
                                         engine itself sees (default). Not looked at without a limit              */
    const char        *packed;        /* path of the model's packed experts (pack.h): mapped, or with a memory limit
                                         read one by one; NULL = the model's own file (default). Refused where it is of
                                         another model, version or packing, or damaged; on one memory node and rank */
    int                disk_reads;    /* CALMOE_DISK_*: how experts are read (default CALMOE_DISK_AUTO)            */
    int                no_lookahead;  /* 1: an expert is read when its layer's router has named it, never before
                                         (default 0)                                                              */
    int                whole_experts; /* among ranks. 1: each routed expert is whole on one rank, for many rows at once;
                                         calmoe_placement_predict_ranks() tells for which. 0: its rows are cut over all
                                         (default). Not with a limit of memory; the same on all ranks             */
} calmoe_engine_options;

CALMOE_API void calmoe_engine_options_init(calmoe_engine_options *options);

/* options may be NULL. The model must outlive the engine. INVALID_ARGUMENT (a memory limit that is too small, too: the
 * sentence names the smallest that works), NO_MEMORY, UNSUPPORTED, SYSTEM, CANCELLED, IO, BAD_FILE (the plan, the
 * exits, the profile, the packed experts). */
CALMOE_API calmoe_status calmoe_engine_open(calmoe_model *model, const calmoe_engine_options *options,
                                            calmoe_engine **out);
/* What the engine found on the machine, as one line for people, cut to capacity bytes with its NUL: threads, cores and
 * nodes, whether threads are bound and why not, limits of the control groups, weights. INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_engine_describe(const calmoe_engine *engine, char *text, size_t capacity);
/* Sessions first. Sets *engine to NULL; NULL is fine. */
CALMOE_API void calmoe_engine_close(calmoe_engine **engine);

enum { CALMOE_LOGITS_NONE, CALMOE_LOGITS_LAST, CALMOE_LOGITS_ALL };

/* A run of consecutive tokens of one session. */
typedef struct calmoe_chunk {
    calmoe_session *session;
    const int32_t  *tokens;   /* (n_tokens), go to the positions after those that the session has */
    int             n_tokens; /* >= 1                                                              */
    int             logits;   /* which logits to compute: CALMOE_LOGITS_*                          */
} calmoe_chunk;

/* Runs the tokens of all chunks through the model in one batch; a session may stand in one chunk only.
 * Logits: calmoe_session_logits(). A token's logits do not depend on what else is in the batch, bit for bit.
 * Everything is checked first: INVALID_ARGUMENT (a token id, a session of another engine, more rows than max_rows),
 * FULL (a session's context has no room), CANCELLED (a session is interrupted), NO_MEMORY (for more logits than any
 * step had before, or for their keys and values). CANCELLED comes during the step, too, when all of its sessions are
 * interrupted; while one is not, the step goes on for its sake; and IO, where experts are read from disk and a read
 * fails. Where such a call fails, every session stands where
 * it stood before (one with a recurrent state perhaps before that, with the tokens between pending, as after
 * calmoe_session_rewind()); only the last step's logits are gone. But NOT_FINITE comes after the step: logits of a
 * chunk are NaN or infinite, and the sentence says in which layer it began; tokens are read, all logits are there, and
 * calmoe_session_sample() says which sessions it is about. */
CALMOE_API calmoe_status calmoe_engine_step(calmoe_engine *engine, const calmoe_chunk *chunks,
                                            int n_chunks);

typedef struct calmoe_event { /* what calmoe_engine_next() brought to one session */
    calmoe_session *session;
    calmoe_status   status;   /* OK: token is new. END: token ends the answer, or the session's limit is
                                 reached (then token is -1). FULL: the context is full (token -1).
                                 NOT_FINITE: its logits are NaN or infinite (token -1).
                                 INVALID_ARGUMENT: its sampler lets no token come (token -1).
                                 CANCELLED: it was interrupted, told once (token -1)                     */
    int32_t         token;
} calmoe_event;

/* The simple way to run many sessions: one step that takes every session's next piece of work (the
 * token sampled last, or as much of its prompt as fits), longest-waiting first, and samples a token for
 * each session whose prompt is done. Writes up to n_events events (one for each session that got a
 * token or ended). CALMOE_END when no session has work left. */
CALMOE_API calmoe_status calmoe_engine_next(calmoe_engine *engine, calmoe_event *events, int capacity,
                                            int *n_events);
/* Steps of calmoe_engine_next() and calmoe_session_next() take at most n rows of texts that are fed, so that a long one
 * holds up the answers of others no longer than n rows take; rows of answers come on top, one for each session, and
 * are in every step as long as max_rows allows. 0 = as many as fit (default). Logits do not depend on it.
 * INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_engine_set_step_rows(calmoe_engine *engine, int n);

#ifdef __cplusplus
}
#endif
#endif
