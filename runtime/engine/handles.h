/* runtime/engine/handles.h - what stands behind the opaque handles of include/calmoe. */
#ifndef RUNTIME_ENGINE_HANDLES_H
#define RUNTIME_ENGINE_HANDLES_H

#include <calmoe/calmoe.h>

#include "base/random.h"
#include "base/sha256.h"
#include "experts/place_load.h"
#include "runtime/engine/lossless.h"
#include "runtime/engine/scheduler.h"
#include "runtime/proof/exit_audit.h"
#include "runtime/families/family.h"
#include "runtime/families/model_tensors.h"
#include "runtime/forward/decoder.h"
#include "runtime/stats/profile.h"
#include "runtime/forward/exits.h"
#include "runtime/text/chat.h"
#include "runtime/sample/sampler.h"
#include "runtime/text/tokenizer.h"

struct calmoe_model {
    calmoe_context           *ctx;
    char                     *path;
    char                     *name;
    struct model_file              *file;
    struct tokenizer         *tokenizer;
    const struct chat_format *chat;        /* NULL: none that is known */
    bool                      has_weights; /* spec and tensors are set */
    struct model_spec         spec;
    struct model_tensors      tensors;
    uint8_t                  *usable;      /* (spec.n_vocab): 1 for a token that may be sampled */
    char                      fingerprint[17];
};

struct calmoe_policy {
    calmoe_context *ctx;
    bool            is_proven;
    struct policy   policy;
};

struct calmoe_engine {
    calmoe_context        *ctx;
    calmoe_model          *model;
    calmoe_engine_options  options;
    enum isa               isa;
    struct topology        topology;
    struct team           *team;
    struct plan            plan;
    struct weights        *weights;
    struct decoder        *decoder;
    struct learned_exits   learned_exits;   /* of the exits file                           */
    struct exit_weights   *exit_weights;    /* NULL: opened without one                    */
    int                    logits_capacity; /* rows of decoder->logits                     */
    uint64_t               n_steps;
    int                    n_sessions, sessions_capacity;
    calmoe_session       **sessions;        /* (n_sessions), in the order of opening       */
    struct known_drafts   *known_drafts;    /* NULL: no session was lossless yet           */
    struct demand         *demands;         /* (sessions_capacity), scratch of the scheduler */
    int                   *order;
    calmoe_chunk          *chunks;
    uint64_t              *waited_at_reset; /* (n_workers) ns                              */
    struct profiler       *profiler;        /* NULL: nobody asked for a profile            */
    struct profile_work    profiled;        /* the counters' part that is in the profile   */
};

enum audit_state { AUDIT_NO_TOKEN, AUDIT_TRIAL, AUDIT_IN_FULL };

struct session_audit { /* audit.c */
    double            share, alpha;
    struct random     picks;
    enum audit_state  state; /* of the token that is read next                     */
    int32_t           token; /* IN_FULL: what the policy said                      */
    uint64_t          n_tokens, n_different;
    int               n_alarms;
    struct exit_audit test;
};

struct calmoe_session {
    calmoe_engine  *engine;
    struct kv_cache cache;
    struct sampler *sampler;
    int             context;
    int32_t        *tokens;      /* (context): positions 0 … n_positions - 1 are in the cache, those up to
                                    n_known - 1 were fed or sampled and are yet to be read */
    int             n_positions;
    int             n_known;
    int             n_new;       /* sampled since the last feed                        */
    int             max_new;     /* 0 = no limit                                       */
    bool            ignores_end;
    bool            has_ended;   /* until something is fed                             */
    bool            is_full;     /* the last token found no room; until a rewind       */
    bool            has_turns;   /* a turn of chat was fed                             */
    bool            hashes;
    int32_t        *last_used;   /* (n_layers, n_experts), as cm_profiler_count() wants; NULL: no profile */
    struct sha256   logit_hash;
    int             first_logits, n_logits; /* its rows of the last step's logits       */
    uint64_t        logits_step;            /* the step that they are of                */
    uint64_t        last_step;              /* in which it got a row                    */
    const calmoe_policy      *policy;       /* NULL = OFF                               */
    const struct policy_rung *rung;         /* of it; NULL = OFF                        */
    struct waiting           *waiting;      /* rows that left early; NULL: none of this session ever waits */
    int             answer_begin;           /* tokens from this position on may leave early; -1 = none yet */
    struct session_audit      audit;
    struct drafts            *drafts;       /* NULL: not lossless                        */
};

struct calmoe_profile {
    calmoe_context *ctx;
    struct profile  data;
};

/* A model's weights as bytes by layer, as plans are made for them. *layers is the caller's, out borrows it. */
calmoe_status cm_describe_weights(const calmoe_model *model, struct place_layer **layers, struct place_model *out);
/* A plan from a file, for this model and machine, complete; *out is the caller's, on failure too. */
calmoe_status cm_read_plan(const calmoe_model *model, const char *path, const struct topology *topology,
                           const struct plan *shape, struct plan *out);
/* Sets the engine's plan; its topology and team are there. */
calmoe_status cm_engine_open_plan(calmoe_engine *engine);
/* As the API hands it out; out has its size set. */
void cm_hand_out_node(const struct profile_node *node, calmoe_node_stats *out);
/* Lets the decoder tell of its routing, where someone wants to know. */
void cm_engine_watch_routing(calmoe_engine *engine);
/* Fingerprint of the exits that the engine was opened with, "" = none: what a policy made on it carries. */
const char *cm_engine_exits(const calmoe_engine *engine);
/* Chooses the session's rung. INVALID_ARGUMENT, UNSUPPORTED, NO_MEMORY. */
/* So many of its rows may wait for later ones; whatever may wait by now is forgotten. */
calmoe_status cm_session_let_wait(calmoe_session *session, int n);
calmoe_status cm_session_set_policy(calmoe_session *session, const calmoe_policy *policy, double quality);
/* The session's rung is chosen. INVALID_ARGUMENT, UNSUPPORTED. */
calmoe_status cm_session_open_audit(calmoe_session *session, const calmoe_session_options *options);
/* Before a step that reads all that is pending, n_tokens of them: is it audited? */
void          cm_session_pick_audit(calmoe_session *session, int n_tokens);
/* After it: true for a trial, of which nothing is kept. */
bool          cm_session_note_audit(calmoe_session *session);
void          cm_session_end_answer(calmoe_session *session);
/* Room for the logits of n rows, before a step runs. */
calmoe_status cm_engine_reserve_logits(calmoe_engine *engine, int n);
/* calmoe_engine_step() without its checks of a session's own pending tokens. */
calmoe_status cm_engine_run(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks);
/* Room for the logits of n rows, before a step runs. */
calmoe_status cm_engine_reserve_logits(calmoe_engine *engine, int n);
/* After a step that read all that the session knew: samples, stores the token as pending, and says
 * what came of it (calmoe_event). */
calmoe_event cm_session_advance(calmoe_session *session);
/* What logits a chunk of this session wants when it holds (or not) all that is pending. */
int cm_session_wants_logits(const calmoe_session *session, bool is_last);

#endif
