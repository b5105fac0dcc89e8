/* runtime/engine/handles.h - what stands behind the opaque handles of include/calmoe. */
#ifndef RUNTIME_ENGINE_HANDLES_H
#define RUNTIME_ENGINE_HANDLES_H

#include <stdatomic.h>

#include <calmoe/adapter.h>
#include <calmoe/calmoe.h>
#include <calmoe/profile.h>

#include "base/crew_size.h"
#include "base/random.h"
#include "base/ranks.h"
#include "base/sha256.h"
#include "experts/file_sharing.h"
#include "experts/machine.h"
#include "experts/packed_experts.h"
#include "experts/place_load.h"
#include "runtime/engine/drafter.h"
#include "runtime/engine/lossless.h"
#include "runtime/engine/scheduler.h"
#include "runtime/proof/exit_audit.h"
#include "runtime/families/family.h"
#include "runtime/families/model_tensors.h"
#include "runtime/constrain/token_trie.h"
#include "runtime/exits/exits.h"
#include "runtime/forward/decoder.h"
#include "runtime/mixers/sequence_state.h"
#include "runtime/stats/profile.h"
#include "runtime/text/chat.h"
#include "runtime/text/template.h"
#include "runtime/sample/sampler.h"
#include "runtime/text/tokenizer.h"

struct file_template {
    struct template   *program; /* NULL: there is none that can be read, */
    char               problem[CM_MESSAGE_BYTES]; /* which this says     */
    struct meta_string text;    /* the file's; "": there is none         */
};

struct calmoe_model {
    calmoe_context           *ctx;
    char                     *path;
    char                     *name;
    struct model_file        *file;
    struct file_sharing       sharing;     /* of the file, which rank 0 alone has; ranks NULL: it is not shared */
    struct tokenizer         *tokenizer;
    struct token_trie        *trie;        /* of the tokenizer's tokens; NULL: no constraint was opened yet */
    struct chat_format       *chat;        /* the file's; NULL: none that is known, chat_problem says why */
    char                      chat_problem[CM_MESSAGE_BYTES];
    struct file_template      plain, for_tools; /* its chat templates; the second is for conversations with tools */
    bool                      has_weights; /* spec and tensors are set */
    struct model_spec         spec;
    struct model_tensors      tensors;
    struct model_spec         further;     /* its block that predicts a further token; n_layers 0: none that can be
                                              used, and if it has one, further_problem says why            */
    struct model_tensors      further_tensors;
    char                      further_problem[CM_MESSAGE_BYTES];
    uint8_t                  *usable;      /* (spec.n_vocab): 1 for a token that may be sampled */
    char                      fingerprint[17];      /* with the numbers that it was opened with            */
    char                      file_fingerprint[17]; /* as the file says; plans, which only move weights, carry it */
};

/* A model whose file rank 0 alone has, at model->path: opened by all ranks likewise. status: how it went so far.
 * shared_model.c */
calmoe_status cm_model_open_shared(calmoe_model *model, const calmoe_ranks *ranks, calmoe_status status,
                                   size_t n_sample);
/* Then, when its tensors are known: all ranks get what is not lent, or fail where one has. */
calmoe_status cm_model_share(calmoe_model *model, calmoe_status status);
/* NULL: each rank has a file of its own. */
static inline const struct file_sharing *cm_model_sharing(const calmoe_model *model)
{
    return model->sharing.ranks ? &model->sharing : NULL;
}

struct calmoe_policy {
    calmoe_context *ctx;
    bool            is_proven;
    struct policy   policy;
    struct parts    prices;    /* that it was chosen by */
    double          off;       /* of a whole token; 0: it was not */
};

struct engine_adapters { /* adapters.c */
    int                         n, capacity, n_opened;
    calmoe_adapter            **adapters; /* (n) in the order of their fingerprints; those that are closed and still
                                             used are among them */
    const struct low_rank_set **sets;     /* (n) theirs          */
};

struct calmoe_ranks { /* the processes that run a model together */
    calmoe_context *ctx;
    struct ranks   *ranks;
    double          bandwidth; /* 0: not stated */
};

struct calmoe_engine {
    calmoe_context        *ctx;
    calmoe_model          *model;
    calmoe_engine_options  options;
    struct topology        topology;
    struct team           *team;
    struct crew_size       crew;            /* how many of it a step gets                  */
    struct plan            plan;
    struct rank_shares     shares;          /* what of the model each rank has; none: all is here */
    struct machine         machine;         /* of these                                    */
    struct followers      *followers;       /* on rank 0: how others are told; NULL: there are none */
    struct ranks_work      ranks_work_at_reset;
    struct packed_experts  packed;          /* of the file that the options name; zeroed: none */
    struct weights        *weights;
    struct decoder        *decoder;
    struct learned_exits   learned_exits;   /* of the exits file                           */
    struct exit_weights   *exit_weights;    /* NULL: opened without one                    */
    struct exits          *exits;           /* NULL: no session ever had a rung            */
    struct row            *rows;            /* (max_rows) of the step that is built        */
    struct step            step;            /* that is built, or the last one              */
    bool                   is_profiled;     /* it counts for the profile                   */
    uint64_t               n_steps;
    struct engine_adapters adapters;
    int                    n_sessions, sessions_capacity;
    calmoe_session       **sessions;        /* (n_sessions), in the order of opening       */
    struct known_drafts   *known_drafts;    /* NULL: no session was lossless yet           */
    struct drafter        *drafters[N_DRAFTERS]; /* drafter.h; NULL: there is none, or no session was lossless yet */
    struct demand         *demands;         /* (sessions_capacity), scratch of the scheduler */
    int                   *order;
    calmoe_chunk          *chunks;
    uint64_t               kv_bytes;        /* of a position's keys and values, of the model and what drafts for it */
    uint64_t               kv_first_bytes;  /* that the model's first position takes at least                       */
    int                    step_rows;       /* of texts, in a step; 0 = any number         */
    uint64_t              *waited_at_reset; /* (n_workers) ns                              */
    struct profiler       *profiler;        /* NULL: nobody asked for a profile            */
    struct profile_work    profiled;        /* the counters' part that is in the profile   */
};

enum audit_state { AUDIT_NO_TOKEN, AUDIT_TRIAL, AUDIT_IN_FULL };

struct session_answer { /* generate.c: how far it is */
    int  n_new;     /* sampled since the last feed                  */
    int  max_new;   /* 0 = no limit                                 */
    bool has_ended; /* until something is fed                       */
    bool is_full;   /* the last token found no room; until a rewind */
    bool is_told;   /* that it is interrupted; until it is not      */
};

struct session_wants { /* demand.c: of the step at hand, beside rows */
    calmoe_status over;     /* why its answer is over: CANCELLED, END (at its limit), FULL; OK: none of these    */
    int           n_unread; /* tokens that it has to read, in this step and later ones                           */
    int           logits;   /* CALMOE_LOGITS_* of its rows; LAST means the last token that it has to read at all */
};

struct session_logits { /* results.c: the rows of a step's logits that are the session's */
    int           first, n; /* in the step                     */
    uint64_t      step;     /* which it is                     */
    bool          hashes;   /* all rows go into the hash       */
    struct sha256 hash;
};

struct session_break { /* results.c: where the session stopped having numbers */
    int position; /* the first one that was read so                                  */
    int after;    /* so many layers, 0 = its embedding; -1 = it has numbers          */
};

struct session_audit { /* audit.c */
    double            share, alpha;
    struct random     picks;
    enum audit_state  state; /* of the token that is read next                     */
    int32_t           token; /* IN_FULL: what the policy said                      */
    uint64_t          n_tokens, n_different;
    int               n_alarms;
    struct exit_audit test;
};

struct session_chat { /* session_chat.c: the last turn that was fed */
    struct chat_format *chosen;     /* by name; NULL: the model's own                                  */
    bool                has_turns;
    bool                is_first;   /* the last turn opened the conversation                           */
    char               *system;     /* (NUL-terminated) NULL: it had none                              */
    char               *user;       /* NULL: that turn is not in the session any more                  */
    int                 begin, end; /* where its tokens stand; its answer stands from end on           */
};

enum { CM_MAX_SOURCE_BYTES = 1 << 26, CM_MAX_SOURCE_NAME = 4096 };

struct session_source { /* session_source.c: where its text comes from, for files */
    char  *name;        /* NULL: nobody said                                      */
    char  *text;        /* (n_text)                                               */
    size_t n_text;
    bool   is_system;
};

struct kept_logprobs { /* log_probabilities.c: of texts that are read */
    int      n_top;        /* likeliest tokens of each position; -1: nothing is kept              */
    int      capacity;     /* positions                                                           */
    float   *logprobs;     /* (capacity) NOTHING_KEPT; NaN where logits were no numbers           */
    int32_t *top_tokens;   /* (capacity, n_top)                                                   */
    float   *top_logprobs; /* (capacity, n_top)                                                   */
};
static const float NOTHING_KEPT = 1; /* no logarithm of a probability */

struct used_adapter {
    calmoe_adapter *adapter;
    float           scale; /* not 0 */
};
struct session_adapters { /* adapters.c */
    int                  n;
    struct used_adapter  used[CALMOE_MAX_ADAPTERS];    /* (n) in the order in which they are added */
    struct low_rank_use  of_step[CALMOE_MAX_ADAPTERS]; /* the same as steps see them               */
    struct low_rank_uses uses;                         /* of these; a prefix is none of them       */
    const struct adapter_prefix *prefix;               /* of one of them; NULL: none has any       */
};

enum { CM_MAX_CONTEXT = 1 << 24, CM_MAX_RETURNS = 4 };

struct calmoe_session {
    calmoe_engine  *engine;
    calmoe_session_options asked; /* as it was opened; sampler and chat_format, the caller's, are NULL here */
    struct sequence_state state; /* what its layers keep                                         */
    struct sequence sequence;    /* of that and of what waits: what steps know of the session    */
    struct session_adapters adapters;
    struct sampler *sampler;
    int             context;
    int32_t        *tokens;      /* (context): positions 0 … n_positions - 1 are in the cache, those up to
                                    n_known - 1 were fed or sampled and are yet to be read */
    int             n_positions;
    int             n_paid;      /* memory for so many positions of the cache was asked for */
    int             n_known;
    int             n_again;     /* tokens before it were read once; see demand.c      */
    int             n_returns;   /* positions that a later text may go back to         */
    int             returns[CM_MAX_RETURNS];
    bool            ignores_end;
    atomic_int      interrupt;   /* not 0: interrupted, until something is fed, or a rewind */
    struct session_chat chat;
    struct session_source source;
    struct session_answer answer;
    struct session_wants  wants;
    struct session_break broke;
    struct session_logits logits;
    struct kept_logprobs kept;
    int32_t        *last_used;   /* (n_layers, n_experts), as cm_profiler_count() wants; NULL: no profile */
    uint64_t        last_step;              /* in which it got a row                    */
    const calmoe_policy      *policy;       /* NULL = OFF                               */
    const struct policy_rung *rung;         /* of it; NULL = OFF                        */
    int             answer_begin;           /* tokens from this position on may leave early; -1 = none yet */
    struct session_audit      audit;
    struct drafts            *drafts;       /* NULL: not lossless                        */
    struct draft_reader      *readers[N_DRAFTERS]; /* drafter.h; NULL: there is none     */
    int                       kept_first;   /* in a round: rows from this position on leave states behind them
                                               (sequence_state.kept); -1: they do not    */
};

/* Tokens that were read, whether or not the session stands behind them now. */
static inline int cm_session_n_read(const calmoe_session *session)
{
    return session->n_again > session->n_positions ? session->n_again : session->n_positions;
}

/* Is the token at that position one of an answer's, to which a policy applies? */
static inline bool cm_session_is_answer(const calmoe_session *session, int position)
{
    return session->answer_begin >= 0 && position >= session->answer_begin;
}

struct calmoe_profile {
    calmoe_context *ctx;
    struct profile  data;
};

/* What the engine takes at least behind its weights, in bytes: scratch, and the first keys and values. */
uint64_t cm_engine_bytes_behind_weights(const calmoe_engine *engine);
/* The same of a model on one rank, with steps of so many rows. */
uint64_t cm_bytes_behind(const struct model_spec *spec, int max_rows);
/* Sets what a position takes of memory, with what drafts for the model by now. */
void cm_engine_count_kv(calmoe_engine *engine);
/* NO_MEMORY: the system has no room for keys and values of n_tokens more, which a step would write. */
calmoe_status cm_session_need_memory(calmoe_session *session, int n_tokens);
/* The same, and what steps write of them, where the session's rows that wait go on too, is the session's own: forks
 * share keys and values until then. */
calmoe_status cm_session_may_write(calmoe_session *session, int n_tokens);
/* Says by the log if the whole context does not fit. */
void          cm_session_remark_on_memory(const calmoe_session *session);
/* A model's weights as bytes by layer, as plans are made for them. *layers is the caller's, out borrows it. */
calmoe_status cm_describe_weights(calmoe_context *ctx, const struct model_spec *spec,
                                  const struct model_tensors *tensors, struct place_layer **layers,
                                  struct place_model *out);
/* The default plan for another model that runs on the engine's machine, too. */
calmoe_status cm_engine_plan_beside(const calmoe_engine *engine, const struct model_spec *spec,
                                    const struct model_tensors *tensors, struct plan *out);
/* Of them what each of several ranks has whole. */
uint64_t cm_whole_bytes(const calmoe_model *model);
/* A plan from a file, for this model and machine, complete; *out is the caller's, on failure too. */
calmoe_status cm_read_plan(const calmoe_model *model, const char *path, const struct topology *topology,
                           const struct plan *shape, struct plan *out);
/* How and where its sequences keep what their layers keep; before them stands nothing. */
struct state_place cm_engine_state_place(const calmoe_engine *engine, int n_positions);
/* The model's packed experts: of this model, and complete. IO, BAD_FILE, INVALID_ARGUMENT, NO_MEMORY. */
calmoe_status cm_open_packed(const calmoe_model *model, const char *path, struct packed_experts *out);
/* Gate (NULL where there is none), up and down of an expert. */
void          cm_expert_matrices(const calmoe_model *model, int layer, int expert,
                                 const struct weight_source *matrices[3]);
/* What the engine's options say about experts on disk. *uses is the caller's, and out borrows it; set on failure too.
 * INVALID_ARGUMENT, UNSUPPORTED, IO, BAD_FILE, NO_MEMORY. */
calmoe_status cm_engine_disk_options(calmoe_engine *engine, struct weights_options *out, uint64_t **uses);
/* Sets the engine's plan; its topology and team are there. */
calmoe_status cm_engine_open_plan(calmoe_engine *engine);

/* ---- rows.c: the step that is built ---- */

void cm_step_begin(calmoe_engine *engine);
/* A row more; it wants logits or not. rung: what it may leave out, NULL = nothing. */
void cm_step_add(calmoe_engine *engine, calmoe_session *session, int position, int32_t token, bool wants_logits,
                 const struct policy_rung *rung);
/* The rows of a chunk, whose logits are the step's next ones. */
void cm_step_add_chunk(calmoe_engine *engine, const calmoe_chunk *chunk);
/* The session's rows that wait get logits, the first ones of the step, in the order of their positions. */
void cm_step_add_waiting(calmoe_engine *engine, calmoe_session *session);
/* Runs it. observers: who watches besides the engine's own; may be NULL. */
calmoe_status cm_step_run(calmoe_engine *engine, const struct step_observer *observers);
/* crew.c's part of that: the step is ready, and the other ranks begin it. */
calmoe_status cm_step_run_by_crew(calmoe_engine *engine);

/* ---- session.c ---- */

/* calmoe_session_open() without remarks; options are the defaults and what was given. */
calmoe_status cm_session_open(calmoe_engine *engine, const calmoe_session_options *options, calmoe_session **out);

/* ---- session_state.c ---- */

/* The session's state, empty, with room for n_prefix positions before its own. NO_MEMORY: it has what it had. */
calmoe_status cm_session_open_state(calmoe_session *session, int n_prefix);

/* ---- results.c ---- */

/* The session gets n of the step's rows of logits, from `first` on; once the step has run, they are there. */
void          cm_session_give_logits(calmoe_session *session, int first, int n);
/* Row `row` of the session's logits in the engine's last step, (n_vocab); NULL: there is none. */
const float  *cm_session_logits(const calmoe_session *session, int row);
/* Adds the session's rows of logits to its hash, where it has one. */
void          cm_session_hash(calmoe_session *session);
/* OK where all logits of row `row` of the session's last step are finite, or there is no such row. Else NOT_FINITE, and
 * the sentence says in which layer it began. */
calmoe_status cm_session_check_logits(calmoe_session *session, int row);
/* The same for all rows of logits of the step that just read these chunks. */
calmoe_status cm_chunks_check_logits(const calmoe_chunk *chunks, int n_chunks);
/* Row `row` of the step's logits is of the session's next token, and n_ahead of its rows stand behind it: that token is
 * read now, and the session has this row. */
void          cm_session_take_row(calmoe_session *session, int row, int n_ahead);
/* The token at a position was read: the sampler knows of it, and it is noted whether its state still held numbers. */
void          cm_session_keep_row(calmoe_session *session, int position, const struct row_outcome *came);
/* The sampler knows of the first n tokens and of no others. */
void          cm_session_accept_anew(calmoe_session *session, int n);
calmoe_status cm_session_open_sampler(calmoe_session *session, const calmoe_sampler_options *given);

/* ---- log_probabilities.c ---- */

void          cm_session_close_logprobs(calmoe_session *session);
/* Room for the first n tokens, where they are kept. NO_MEMORY. */
calmoe_status cm_session_reserve_logprobs(calmoe_session *session, int n);
/* The session's last tokens were read: keeps what their logits say of those behind them. */
void          cm_session_keep_logprobs(calmoe_session *session);
/* All but the first n tokens are forgotten. */
void          cm_session_rewind_logprobs(calmoe_session *session, int n);

/* ---- engine_exits.c ---- */

/* The file of fitted exits that the options name, if any. IO, BAD_FILE, INVALID_ARGUMENT, NO_MEMORY. */
calmoe_status cm_engine_read_exits(calmoe_engine *engine);
/* What steps with rungs need. NO_MEMORY. */
calmoe_status cm_engine_need_exits(calmoe_engine *engine);
/* Fingerprint of the exits that the engine was opened with, "" = none: what a policy made on it carries. */
const char *cm_engine_exits(const calmoe_engine *engine);

/* ---- interrupt.c ---- */

bool          cm_session_is_interrupted(const calmoe_session *session);
/* Something was fed, or the session went back. */
void          cm_session_go_on(calmoe_session *session);
/* CANCELLED, with the sentence, for a session that is interrupted. */
calmoe_status cm_session_cancelled(const calmoe_session *session);

/* ---- session_policy.c ---- */

/* So many of its rows may wait for later ones; whatever may wait by now is forgotten. */
calmoe_status cm_session_let_wait(calmoe_session *session, int n);
/* Does the engine's plan say which experts are streamed? INVALID_ARGUMENT. */
calmoe_status cm_engine_check_streams(const calmoe_engine *engine);
/* Does the policy fit the model? */
calmoe_status cm_policy_fits_model(const calmoe_model *model, const struct policy *policy);
/* Chooses the session's rung. INVALID_ARGUMENT, UNSUPPORTED, NO_MEMORY. */
calmoe_status cm_session_set_policy(calmoe_session *session, const calmoe_policy *policy, double quality);

/* ---- audit.c ---- */

/* The session's rung is chosen. INVALID_ARGUMENT, UNSUPPORTED. */
calmoe_status cm_session_open_audit(calmoe_session *session, const calmoe_session_options *options);
/* Before a step that reads all that is pending, n_tokens of them: is it audited? */
void          cm_session_pick_audit(calmoe_session *session, int n_tokens);
/* After it: true for a trial, of which nothing is kept. */
bool          cm_session_note_audit(calmoe_session *session);
void          cm_session_end_answer(calmoe_session *session);

/* ---- session_chat.c ---- */

/* name: of the chat format, NULL = the model's own. INVALID_ARGUMENT. */
calmoe_status cm_session_choose_chat(calmoe_session *session, const char *name);
void          cm_session_close_chat(calmoe_session *session);
void          cm_session_forget_turn(struct session_chat *chat);
/* All but the first n positions are forgotten. */
void          cm_session_rewind_chat(calmoe_session *session, int n);

/* ---- session_source.c ---- */

/* Room for texts of these lengths, in place of what there was. NO_MEMORY: there is none then. */
calmoe_status cm_session_reserve_source(calmoe_session *session, size_t n_name, size_t n_text);
void          cm_session_close_source(calmoe_session *session);
calmoe_status cm_session_copy_source(const calmoe_session *from, calmoe_session *to);

/* ---- demand.c ---- */

/* What the session wants of the next step: rows, for the scheduler, and session->wants. */
struct demand cm_session_demand(calmoe_session *session);
/* Tokens that a step may read of the session from a position on, as its policy fills skipped layers; and those that its
 * next chunk should have, so that snapshots are taken where they are wanted, and none is new and another read again.
 * INT_MAX: any number. */
int           cm_session_chunk_limit(const calmoe_session *session, int from);
int           cm_session_rows_at_once(const calmoe_session *session);
/* Which logits a token wants that is read again: those by which it left, where it may have left. */
int           cm_session_logits_again(const calmoe_session *session);
/* Before a step of the session: whether it should keep a snapshot of its state here. */
bool          cm_session_wants_snapshot(const calmoe_session *session);
/* Keeps it where it should or must; rows that wait have run then. NO_MEMORY only where the step cannot do without. */
calmoe_status cm_session_snapshot(calmoe_session *session, bool must_be);

/* ---- again.c ---- */

/* The session stands where its layers' state is, or before: tokens between are read again. has_state: the state is of
 * some position; false: a step broke off. */
void cm_session_stand_again(calmoe_session *session, bool has_state);
/* A step that had rows of the session failed: nothing is kept of it. */
void cm_session_drop_step(calmoe_session *session);

/* ---- ready.c ---- */

/* Before a step of the session reads n_tokens; no row waits that must run first. may_go_back: to where it stands now,
 * so a snapshot is kept in any case. NO_MEMORY. */
calmoe_status cm_session_make_ready(calmoe_session *session, int n_tokens, bool may_go_back);
/* The same for a step that reads these chunks, with room for their logits; and rows that wait run where they must:
 * whatever a step may answer. */
calmoe_status cm_chunks_make_ready(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks);
/* Rows of the session that wait go through all layers. CANCELLED, and whatever a step may answer. */
calmoe_status cm_session_catch_up(calmoe_session *session);

/* ---- chunks.c ---- */

/* Rows of logits that a chunk wants: of its last tokens. */
static inline int cm_chunk_n_logits(const calmoe_chunk *chunk)
{
    return chunk->logits == CALMOE_LOGITS_ALL ? chunk->n_tokens : chunk->logits == CALMOE_LOGITS_LAST ? 1 : 0;
}
/* One step for chunks that are fine, of sessions whose state is the one behind what they have read. observers: who
 * watches; may be NULL. */
calmoe_status cm_chunks_run(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks,
                            const struct step_observer *observers);

/* ---- keep.c ---- */

/* After a step of these chunks, which answered `status`. */
void cm_chunks_keep(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks, calmoe_status status);

/* ---- reading.c ---- */

/* Before other steps of the session: its layers' state is the one behind all tokens that were read. */
calmoe_status cm_session_read_again(calmoe_session *session);
/* That for all of the chunks' sessions, but for those whose chunk is what they read again; then cm_chunks_run(). */
calmoe_status cm_chunks_read(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks,
                             const struct step_observer *observers);
/* calmoe_engine_step() without its checks of a session's own pending tokens. observers: who watches; may be NULL. */
calmoe_status cm_engine_run(calmoe_engine *engine, const calmoe_chunk *chunks, int n_chunks,
                            const struct step_observer *observers);

/* ---- session_file.c ---- */

/* calmoe_session_restore() of a file in memory; name is used in messages. */
calmoe_status cm_session_parse(calmoe_engine *engine, const char *name, const void *bytes, size_t n_bytes,
                               const calmoe_session_options *options, calmoe_session **out);

/* ---- adapters.c ---- */

/* The session uses none any more. */
void          cm_session_close_adapters(calmoe_session *session);
/* A session without tokens uses those of another one. NO_MEMORY. */
calmoe_status cm_session_copy_adapters(const calmoe_session *from, calmoe_session *to);
/* INVALID_ARGUMENT: it has adapters, and a rung. */
calmoe_status cm_session_check_policy_with_adapters(const calmoe_session *session);
/* The step that is built gets all adapters that a session may use. */
void          cm_step_use_adapters(calmoe_engine *engine);
void          cm_engine_close_adapters(calmoe_engine *engine); /* the list, which is empty by then */

/* ---- generate.c ---- */

/* One step for n sessions of the engine: the scheduler says which of them have how many of their pending tokens read.
 * Where none is left, the next token is sampled and is pending then. events (n): tokens, and answers that are over.
 * END: nothing was pending and nothing was over. CANCELLED: the sessions of the step were interrupted meanwhile, and
 * nothing is told yet. */
calmoe_status cm_generate(calmoe_engine *engine, calmoe_session *const *sessions, int n, calmoe_event *events,
                          int *n_events);

#endif
