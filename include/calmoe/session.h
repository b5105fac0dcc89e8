/* calmoe/session.h - one sequence: its tokens, its keys and values, its sampler.
 *
 * Simple use: feed a prompt, then call calmoe_session_next() for token after token.
 * Own loops: calmoe_engine_step() with chunks, calmoe_session_logits(), calmoe_session_sample(). */
#ifndef CALMOE_SESSION_H
#define CALMOE_SESSION_H

#include "calmoe/engine.h"
#include "calmoe/policy.h"
#include "calmoe/sampler.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Which sessions audit their policy: calmoe_session_audit(). */
enum {
    CALMOE_AUDIT_WHERE_PROVEN, /* those whose policy is proven, with a bound on token_disagreement         */
    CALMOE_AUDIT_REQUIRED,     /* this one: calmoe_session_open() fails where the policy has no such bound */
    CALMOE_AUDIT_NEVER
};

/* How calmoe_session_next() drafts tokens, which one step then verifies: CALMOE_DRAFTS_BY_*. The tokens are OFF's, at
 * any temperature, in every case. */
enum {
    CALMOE_LOSSLESS_OFF,          /* no drafts                                                             */
    CALMOE_LOSSLESS_WHERE_FASTER, /* drafts where they are measured to be faster than plain steps          */
    CALMOE_LOSSLESS_ALWAYS        /* drafts wherever there is room, in all ways that there are by turns: to measure
                                     the ways, not to be fast                                              */
};

typedef struct calmoe_session_options {
    size_t size;                    /* set by calmoe_session_options_init()                            */
    int    context;                 /* positions at most; 0 = the model's context length (default).
                                       Address space is reserved for all of them, memory comes as the
                                       sequence grows                                                 */
    int    max_new_tokens;          /* END after so many sampled tokens since the last feed; 0 = no limit (default) */
    int    ignore_end;              /* 1: end-of-generation tokens do not end the answer (default 0)  */
    int    hash_logits;             /* 1: compute the logits of prompt tokens too, and keep a SHA-256
                                       of all of them, calmoe_session_logit_hash() (default 0)        */
    const calmoe_sampler_options *sampler; /* NULL = greedy (default)                                 */
    const calmoe_policy *policy;    /* what answers may leave out; NULL = nothing, OFF (default). Must outlive
                                       the session                                                    */
    double quality;                 /* the risk that may be, 0.01: the policy's rung with the largest delta up to it,
                                       OFF where there is none; 0 = its safest rung (default)         */
    int    audit;                   /* CALMOE_AUDIT_*: are tokens of answers run again in full, to see whether the
                                       policy's bound holds here? (default CALMOE_AUDIT_WHERE_PROVEN) */
    double audit_share;             /* of an answer's tokens that are audited, above 0, at most 1 (default 0.01) */
    double audit_alpha;             /* chance of an alarm although the bound holds, above 0, below 1 (default 0.05) */
    uint64_t audit_seed;            /* which tokens are picked (default 0)                            */
    int    lossless;                /* CALMOE_LOSSLESS_*; if not OFF, a policy with exits only says how drafts leave
                                       (default CALMOE_LOSSLESS_OFF)                                  */
    const char *chat_format;        /* of calmoe_session_feed_chat(), by name: calmoe_chat_format_name(). NULL = that of
                                       the model's own chat template (default)                        */
} calmoe_session_options;

CALMOE_API void calmoe_session_options_init(calmoe_session_options *options);

/* options may be NULL. INVALID_ARGUMENT, NO_MEMORY; UNSUPPORTED: a policy with a part that this version does not
 * run. */
CALMOE_API calmoe_status calmoe_session_open(calmoe_engine *engine, const calmoe_session_options *options,
                                             calmoe_session **out);
CALMOE_API void calmoe_session_close(calmoe_session **session); /* sets it to NULL; NULL is fine */

/* Another sampler for what comes next, NULL = greedy: as if the session had been opened with it and had read its tokens
 * since. So a session serves request after request. The random numbers begin with the new seed. INVALID_ARGUMENT,
 * NO_MEMORY; then the sampler is as it was. */
CALMOE_API calmoe_status calmoe_session_set_sampler(calmoe_session *session, const calmoe_sampler_options *sampler);
/* The same for calmoe_session_options.max_new_tokens and ignore_end. INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_session_set_limits(calmoe_session *session, int max_new_tokens, int ignore_end);
/* Another policy for answers that begin from now on, NULL = OFF; quality and the audit as of calmoe_session_options.
 * What was read before stays as it is. The audit begins anew. Rows that left early and wait are run first, so it may be
 * CANCELLED. INVALID_ARGUMENT (a lossless session, too: it drafts by the policy that it was opened with), UNSUPPORTED,
 * NO_MEMORY; then the session is OFF. */
CALMOE_API calmoe_status calmoe_session_set_policy(calmoe_session *session, const calmoe_policy *policy,
                                                   double quality);

/* Appends to what the session has yet to read. Text is tokenized with flags (tokenizer.h). FULL when it
 * would not fit into the context; then nothing was appended. */
CALMOE_API calmoe_status calmoe_session_feed_tokens(calmoe_session *session, const int32_t *tokens,
                                                    size_t n_tokens);
CALMOE_API calmoe_status calmoe_session_feed_text(calmoe_session *session, const char *text,
                                                  size_t n_bytes, unsigned flags);
/* Appends a user's turn in the chat format, ready for the answer, as the model's template writes it: with its default
 * system text, without thoughts of earlier answers, … system (may be NULL) counts on the first turn only. What stands
 * between two turns is the first one's answer. Where the template's history holds that otherwise than it was generated,
 * the session goes back to where that turn began, and its tokens are fed anew. UNSUPPORTED when the file names no
 * chat format that is known and none was chosen, or for a system text where the format has no place for one. FULL as
 * above. */
CALMOE_API calmoe_status calmoe_session_feed_chat(calmoe_session *session, const char *system,
                                                  const char *user);

/* Reads what was fed, then samples one token: OK and *token. END: the answer ended (*token: the token that
 * ended it, or -1 for max_new_tokens or nothing to go on from). FULL: no position is left. NO_MEMORY: the
 * system has none for further keys and values. NOT_FINITE: as of calmoe_session_sample(). CANCELLED: the session is
 * interrupted. Only this session moves. */
CALMOE_API calmoe_status calmoe_session_next(calmoe_session *session, int32_t *token);

/* Ends what the session is doing, or will be asked to do next: a step of its own ends within a layer, and nothing of
 * that step is kept; one that it shares with sessions that were not interrupted is finished for their sake. From then
 * on its steps answer CANCELLED and read nothing, until something is fed (no tokens at all will do: what is pending is
 * then read on, and gives the same bits), or until calmoe_session_rewind(). This call, alone of all, may be made by a
 * signal handler, by another thread or by a callback of a step, as long as the session is open. NULL is fine. */
CALMOE_API void calmoe_session_interrupt(calmoe_session *session);

CALMOE_API int calmoe_session_n_positions(const calmoe_session *session); /* tokens in the cache   */
CALMOE_API int calmoe_session_n_tokens(const calmoe_session *session);    /* and those that are pending: fed or
                                                                             sampled, and not read yet */
CALMOE_API const int32_t *calmoe_session_tokens(const calmoe_session *session); /* (calmoe_session_n_tokens()), borrowed
                                                                             until the session is closed          */
CALMOE_API int calmoe_session_context(const calmoe_session *session);     /* positions at most     */
CALMOE_API calmoe_engine *calmoe_session_engine(const calmoe_session *session);

/* Forgets all but the first n tokens of the session, those that were fed or sampled and not read yet counted with
 * the others; the sampler's penalties forget them, too (its random numbers go on as they are). Where layers keep too
 * little to stand at n at once (a window that has moved on, a recurrent state without a snapshot there), the session
 * stands before n afterwards, as calmoe_session_n_positions() says, and the next step first reads the tokens between
 * again; a step by hand goes on from n in any case. INVALID_ARGUMENT when n is negative or more than the session's
 * tokens. */
CALMOE_API calmoe_status calmoe_session_rewind(calmoe_session *session, int n);
/* Says to which positions a later text is likely to go back (up to 4; others are forgotten): where the last turn of a
 * conversation begins and where it ends, as calmoe_chat_prompt_turn_begin() and calmoe_chat_prompt_turn_end() tell.
 * Where layers have a state that cannot be taken back, a snapshot of it is kept there as the session reads on, so that
 * nothing is read again after a rewind to such a place. No bit depends on it. INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_session_will_return(calmoe_session *session, const int *positions, int n);
/* Where the last turn of calmoe_session_feed_chat() begins: to rewind to it takes the turn back. -1: there was none, or
 * it was taken back. */
CALMOE_API int calmoe_session_turn_begin(const calmoe_session *session);

/* A second session of the engine, opened with the same options, that stands where this one does and goes on with the
 * same bits: tokens, what layers keep, what waits, the sampler's random numbers, the audit, the last step's logits.
 * Neither knows of the other from then on. What was read is not copied but shared, in spans of 512 positions, until
 * one of the two goes back and reads other tokens there (which may answer NO_MEMORY then); so a fork costs little
 * more than the last span. On success *out is the caller's until calmoe_session_close(); the policy must outlive it,
 * too. NO_MEMORY, INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_session_fork(const calmoe_session *session, calmoe_session **out);

/* Writes what the session has read, with its keys and values, and what is pending to a file (docs/FORMATS.md), whole or
 * not at all: it is written as PATH.part and renamed. Rows that left early and wait for later ones are run before, in
 * steps of this session (so it may be CANCELLED, and logits of the last step may be gone); that changes no bit. The
 * session goes on as it was. IO, NO_MEMORY, INVALID_ARGUMENT; NOT_FINITE: what it read became NaN or infinite. */
CALMOE_API calmoe_status calmoe_session_save(calmoe_session *session, const char *path);
/* Opens a session with what calmoe_session_save() wrote: no token is read again, and the bits from there on are
 * those of a session that read the tokens itself. Options (may be NULL) are this session's own, the saved one's are
 * not in the file: a context of 0 is the saved session's; the sampler begins with the options' seed and the tokens
 * that were read, the audit and the hash begin anew. The engine may have other threads, plans, instruction sets,
 * rows of a step. On success *out is the caller's until calmoe_session_close(). IO; BAD_FILE: no session, damaged
 * or cut off; UNSUPPORTED: of a later version; INVALID_ARGUMENT: another model, or the same with other numbers
 * (calmoe_model_options), keys and values of another type, options that are wrong; FULL: more tokens than the
 * options' context; NO_MEMORY. */
CALMOE_API calmoe_status calmoe_session_restore(calmoe_engine *engine, const char *path,
                                                const calmoe_session_options *options, calmoe_session **out);

/* Where what a session has read comes from: a text that many questions will be asked about, say. */
typedef struct calmoe_source {
    size_t      size;       /* set by the caller to sizeof(calmoe_source)                                   */
    const char *name;       /* of the text, NUL-terminated: its file's, say                                 */
    const char *text;       /* (n_bytes)                                                                    */
    size_t      n_bytes;    /* up to 2^26                                                                   */
    int         is_system;  /* 1: it was read as a conversation's system text; 0: as it is                  */
    char        sha256[65]; /* of the text, 64 hex digits and a NUL; calmoe_session_set_source() ignores it */
} calmoe_source;
/* Notes it, copied, in place of another; NULL = none. Files of the session and forks have it, too; nothing else looks
 * at it, and it stays whatever becomes of the tokens. INVALID_ARGUMENT, NO_MEMORY. */
CALMOE_API calmoe_status calmoe_session_set_source(calmoe_session *session, const calmoe_source *source);
/* Texts are borrowed until the session is closed or has another source. END: none was noted. INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_session_source(const calmoe_session *session, calmoe_source *source);

/* The logits (n_vocab floats) of row `row` of this session's last step: rows count those whose logits were
 * computed, so with CALMOE_LOGITS_LAST there is row 0 only. NULL where there is none. Borrowed until
 * the next step of the engine. */
CALMOE_API const float *calmoe_session_logits(const calmoe_session *session, int row);
/* Chooses from the last row of logits with the session's sampler. *token is not yet read: hand it to the
 * next step. (The repetition penalty counts tokens as they are read.) NOT_FINITE: a logit is NaN or infinite, so no
 * token is chosen; the sentence says in which layer it began, for which the sequence is read again where it is
 * short. INVALID_ARGUMENT: the step computed no logits, or the sampler lets no token come. END: the
 * answer has the form that its constraint asks for, and the vocabulary has no token that ends it. */
CALMOE_API calmoe_status calmoe_session_sample(calmoe_session *session, int32_t *token);

/* The natural logarithm of a token's probability by row `row` of the logits (as of calmoe_session_logits(); -1 = the
 * last), over the whole vocabulary and by the logits as the model gave them: without temperature, penalties, biases and
 * whatever else the sampler does. And the n_top likeliest tokens, best first, the lower id of equals first; arrays
 * (n_top). The same bits on every machine, with drafts as without; of an audited token they are the full model's.
 * logprob may be NULL; so may the arrays where n_top is 0. INVALID_ARGUMENT: no such row, an id that is none, n_top
 * below 0 or above the vocabulary. NOT_FINITE as of calmoe_session_sample(). */
CALMOE_API calmoe_status calmoe_session_logprobs(const calmoe_session *session, int row, int32_t token,
                                                 float *logprob, int n_top, int32_t *top_tokens,
                                                 float *top_logprobs);
/* From now on calmoe_session_next() and calmoe_engine_next() compute the logits of texts that are fed, too, and keep
 * for each of their tokens its log-probability after those before it, and the n_top likeliest tokens in its place;
 * n_top -1 = no more, and what is kept is forgotten. Steps have 64 of such tokens at most. A fork or a file of the
 * session has none of it, and goes on without. INVALID_ARGUMENT, NO_MEMORY (calmoe_session_feed_tokens() and the like
 * answer it, too, once this is on). */
CALMOE_API calmoe_status calmoe_session_keep_logprobs(calmoe_session *session, int n_top);
/* What is kept of the token at a position, written as by calmoe_session_logprobs(); n_top up to the number that was
 * kept. INVALID_ARGUMENT where nothing is kept of it: position 0, which nothing stands before; tokens that were not
 * read yet, that were sampled, or whose predecessor was read before keeping was on. NOT_FINITE. */
CALMOE_API calmoe_status calmoe_session_kept_logprobs(const calmoe_session *session, int position, float *logprob,
                                                      int n_top, int32_t *top_tokens, float *top_logprobs);

/* Tokens that come from now on are an answer's, which the session's policy is for. Tokens that were fed never are;
 * calmoe_session_next() and calmoe_engine_next() call this before the first token that they sample. It is for own loops
 * around calmoe_engine_step(). */
CALMOE_API void calmoe_session_begin_answer(calmoe_session *session);
/* Which rung of its policy the session is on; -1 = OFF. */
CALMOE_API int calmoe_session_rung(const calmoe_session *session);

/* How a row of logits was computed, and so the token that is chosen by it. */
typedef struct calmoe_depth {
    size_t size;       /* set by the caller to sizeof(calmoe_depth)                              */
    int    layers;     /* that the logits come from                                              */
    int    experts;    /* routed experts that were run for it, over all layers                   */
    float  confidence; /* at the exit that it took, else at the last that it was asked; 0 = none */
} calmoe_depth;
/* Rows as of calmoe_session_logits(), and as long; -1 = the last. INVALID_ARGUMENT where there is none. */
CALMOE_API calmoe_status calmoe_session_depth(const calmoe_session *session, int row, calmoe_depth *depth);

/* The audit of a proven policy. calmoe_session_next() and calmoe_engine_next() run some tokens twice, by the policy
 * and then in full: the full one counts, for what is sampled, told (calmoe_session_depth) and hashed, and its keys and
 * values stay. So an audited token costs both, and is the full model's given what was read before it. Which tokens: a
 * seeded stream, whatever the tokens are. Each answer gives one observation, the share of its audited tokens that
 * differ; evidence grows from answer to answer of this session. When it reaches the limit, which has a chance of at
 * most audit_alpha while the bound holds, the session goes down to the policy's next safer rung, at last to OFF, says
 * so once (calmoe_context_options.log), and begins anew. An answer ends with an end token, max_new_tokens, the next
 * feed, a rewind before it, or the next calmoe_session_begin_answer(). */
typedef struct calmoe_audit {
    size_t   size;        /* set by the caller to sizeof(calmoe_audit)               */
    double   share;       /* of tokens that are audited; 0 = no audit, now or at all */
    uint64_t n_tokens;    /* audited since the session was opened                    */
    uint64_t n_different; /* of them, where the policy's likeliest token was another */
    uint64_t n_answers;   /* observations on the present rung                        */
    double   ln_evidence; /* against the present rung's bound                        */
    double   ln_limit;    /* at which the session steps down                         */
    int      rung;        /* the present one; -1 = OFF                               */
    int      n_alarms;    /* rungs that it went down                                 */
} calmoe_audit;
CALMOE_API calmoe_status calmoe_session_audit(const calmoe_session *session, calmoe_audit *audit);

/* What calmoe_session_next() drafted in a lossless session. A round reads the token at hand, drafts some after it, and
 * verifies all of them: it gives one token and those that were accepted. Whether rounds or plain steps are made is
 * decided by what they are measured to cost, so figures differ from run to run; tokens do not. calmoe_engine_next()
 * drafts where only one session has something to read; calmoe_engine_step() makes plain steps. A step of another
 * session throws away what was verified ahead. */
enum {
    CALMOE_DRAFTS_BY_EXITS,   /* early exits of the model itself                                             */
    CALMOE_DRAFTS_BY_LOOKUP,  /* what followed the last tokens where they stood before in the sequence       */
    CALMOE_DRAFTS_BY_FURTHER, /* the block of the model's file that predicts a further token, where it has one
                                 (multi-token prediction)                                                    */
    CALMOE_DRAFTS_BY_MODEL,   /* calmoe_engine_options.draft_model                                           */
    CALMOE_N_DRAFT_KINDS
};

typedef struct calmoe_speculation {
    size_t   size;     /* set by the caller to sizeof(calmoe_speculation) */
    uint64_t rounds;
    uint64_t drafted;  /* tokens                                          */
    uint64_t accepted; /* of these, that were read                        */
    uint64_t plain;    /* plain steps                                     */
    /* the same by what drafted, CALMOE_DRAFTS_BY_* */
    uint64_t rounds_by[CALMOE_N_DRAFT_KINDS];
    uint64_t drafted_by[CALMOE_N_DRAFT_KINDS];
    uint64_t accepted_by[CALMOE_N_DRAFT_KINDS];
} calmoe_speculation;
/* All are 0 where the session is not lossless. INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_session_speculation(const calmoe_session *session, calmoe_speculation *speculation);
/* The same by the number of layers that the draft came of, 0: none of them; n is at least the model's layers. */
CALMOE_API calmoe_status calmoe_session_draft_counts(const calmoe_session *session, uint64_t *drafted,
                                                     uint64_t *accepted, int n);

/* SHA-256 over every logit computed so far, as float32 bytes in token order: 64 hex digits and a NUL.
 * INVALID_ARGUMENT unless the session was opened with hash_logits. */
CALMOE_API calmoe_status calmoe_session_logit_hash(const calmoe_session *session, char hex[65]);

#ifdef __cplusplus
}
#endif
#endif
