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

/* Whether a session audits its policy; calmoe_session_audit() explains what an audit is. */
enum {
    CALMOE_AUDIT_WHERE_PROVEN, /* audit if the policy has a proven bound on token_disagreement             */
    CALMOE_AUDIT_REQUIRED,     /* audit always: calmoe_session_open() fails if the policy has no such bound */
    CALMOE_AUDIT_NEVER
};

/* Whether calmoe_session_next() drafts tokens that one later step verifies; CALMOE_DRAFTS_BY_* lists where drafts come
 * from. In every case, and at any temperature, the tokens are the same as with LOSSLESS_OFF. */
enum {
    CALMOE_LOSSLESS_OFF,          /* no drafts                                                             */
    CALMOE_LOSSLESS_WHERE_FASTER, /* draft where that is measured to be faster than plain steps            */
    CALMOE_LOSSLESS_ALWAYS        /* draft wherever there is room, in every available way in turn: meant for
                                     measuring the ways, not for speed                                     */
};

typedef struct calmoe_session_options {
    size_t size;                    /* set by calmoe_session_options_init()                            */
    int    context;                 /* most positions; 0 = the model's context length (default). Address space is
                                       reserved for all of them, memory is taken as the sequence grows */
    int    max_new_tokens;          /* the answer ends after so many tokens were sampled since text was last fed; 0 =
                                       no limit (default)                                                           */
    int    ignore_end;              /* 1: end-of-generation tokens do not end the answer (default 0)  */
    int    hash_logits;             /* 1: compute the logits of prompt tokens too, and keep a SHA-256
                                       of all of them, calmoe_session_logit_hash() (default 0)        */
    const calmoe_sampler_options *sampler; /* NULL = greedy (default)                                 */
    const calmoe_policy *policy;    /* what answers may leave out; NULL = nothing: OFF (default). The policy must
                                       outlive the session                                            */
    double quality;                 /* the risk that is allowed, such as 0.01: the session takes the policy's rung
                                       with the largest delta that is not above it, or is OFF if there is none. 0 =
                                       the policy's safest rung (default)                             */
    int    audit;                   /* CALMOE_AUDIT_*: whether some tokens of answers are run again in full to check
                                       the policy's bound here (default CALMOE_AUDIT_WHERE_PROVEN)    */
    double audit_share;             /* share of an answer's tokens that is audited, above 0, at most 1 (default 0.01) */
    double audit_alpha;             /* probability of a false alarm, that is, one although the bound holds; above 0,
                                       below 1 (default 0.05)                                                       */
    uint64_t audit_seed;            /* decides which tokens are audited (default 0)                   */
    int    lossless;                /* CALMOE_LOSSLESS_*. Unless it is OFF, a policy may contain exits only, and says
                                       only how drafts leave early (default CALMOE_LOSSLESS_OFF)      */
    const char *chat_format;        /* the format that calmoe_session_feed_chat() uses, one of
                                       calmoe_chat_format_name(); NULL = the model's own chat template (default) */
} calmoe_session_options;

CALMOE_API void calmoe_session_options_init(calmoe_session_options *options);

/* options may be NULL. INVALID_ARGUMENT, NO_MEMORY; UNSUPPORTED: the policy has a part that this version cannot run. */
CALMOE_API calmoe_status calmoe_session_open(calmoe_engine *engine, const calmoe_session_options *options,
                                             calmoe_session **out);
CALMOE_API void calmoe_session_close(calmoe_session **session); /* sets it to NULL; NULL is fine */

/* Replaces the sampler; NULL = greedy. The session then samples as if it had been opened with this sampler before it
 * read its tokens; the random numbers begin with the new seed. So one session can serve request after request.
 * INVALID_ARGUMENT, NO_MEMORY: the sampler stays as it was. */
CALMOE_API calmoe_status calmoe_session_set_sampler(calmoe_session *session, const calmoe_sampler_options *sampler);
/* Replaces calmoe_session_options.max_new_tokens and ignore_end. INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_session_set_limits(calmoe_session *session, int max_new_tokens, int ignore_end);
/* Replaces the policy for answers that begin from now on; NULL = OFF. quality is as in calmoe_session_options; the
 * options for the audit stay, and the audit begins anew. What was read before is not changed. Rows that left early and
 * wait for their remaining layers are run first, so the call may be CANCELLED. INVALID_ARGUMENT (also for a lossless
 * session, which drafts by the policy that it was opened with), UNSUPPORTED, NO_MEMORY: the session is then OFF. */
CALMOE_API calmoe_status calmoe_session_set_policy(calmoe_session *session, const calmoe_policy *policy,
                                                   double quality);

/* Appends tokens, or a text, to what the session will read next. The text is tokenized with flags (tokenizer.h). FULL
 * when it would not fit into the context; then nothing is appended. */
CALMOE_API calmoe_status calmoe_session_feed_tokens(calmoe_session *session, const int32_t *tokens,
                                                    size_t n_tokens);
CALMOE_API calmoe_status calmoe_session_feed_text(calmoe_session *session, const char *text,
                                                  size_t n_bytes, unsigned flags);
/* Appends a user's turn, and the beginning of the answer, in the way in which the model's template writes them (with
 * the template's default system text, without the thoughts of earlier answers, …). system may be NULL and counts in the
 * first turn only. What the session reads or samples between two turns is the answer to the first one. If the template
 * writes that answer into the history in another form than it was generated in, the session goes back to where that
 * turn began, and the turn's tokens are fed anew. UNSUPPORTED: the file has no chat format that is known and none was
 * chosen, or there is a system text and the format has no place for one. FULL as above. */
CALMOE_API calmoe_status calmoe_session_feed_chat(calmoe_session *session, const char *system,
                                                  const char *user);

/* Reads what was fed, then samples one token. OK: *token is that token. END: the answer is over; *token is the token
 * that ended it, or -1 because of max_new_tokens or because the session has no token to continue from. FULL: the
 * context has no position left. NO_MEMORY: there is no memory for further keys and values. NOT_FINITE: as for
 * calmoe_session_sample(). CANCELLED: the session is interrupted. Other sessions of the engine are not touched. */
CALMOE_API calmoe_status calmoe_session_next(calmoe_session *session, int32_t *token);

/* Interrupts what the session is doing, or what it will be asked to do next. A step of this session alone ends within a
 * layer, and nothing of that step is kept; a step that it shares with other sessions is finished for them. From then on
 * the session's steps return CANCELLED and read nothing, until something is fed or calmoe_session_rewind() is called.
 * (Feeding no tokens at all is enough: the session then reads on what is pending, with the same bits.) This is the only
 * call that a signal handler, another thread or a callback of a step may make while the session is open. NULL is
 * fine. */
CALMOE_API void calmoe_session_interrupt(calmoe_session *session);

CALMOE_API int calmoe_session_n_positions(const calmoe_session *session); /* tokens that were read and are in the
                                                                             cache                 */
CALMOE_API int calmoe_session_n_tokens(const calmoe_session *session);    /* those, and the tokens that were fed or
                                                                             sampled but not yet read  */
CALMOE_API const int32_t *calmoe_session_tokens(const calmoe_session *session); /* (calmoe_session_n_tokens()) borrowed
                                                                             until the session is closed          */
CALMOE_API int calmoe_session_context(const calmoe_session *session);     /* most positions        */
CALMOE_API calmoe_engine *calmoe_session_engine(const calmoe_session *session);

/* Forgets all tokens of the session except the first n, counting those that are not yet read. The sampler's penalties
 * forget them too; its random numbers go on as they are. Some layers keep too little to go back to n at once: a window
 * that has moved on, or a recurrent state without a snapshot there. Then the session stands before n, as
 * calmoe_session_n_positions() says, and the next step first reads the tokens in between again; calmoe_engine_step()
 * continues from n in any case. INVALID_ARGUMENT when n is negative or above the number of the session's tokens. */
CALMOE_API calmoe_status calmoe_session_rewind(calmoe_session *session, int n);
/* Announces up to 4 positions to which calmoe_session_rewind() will probably go back, and forgets those that were
 * announced before: usually where the last turn of a conversation begins and where it ends, as
 * calmoe_chat_prompt_turn_begin() and calmoe_chat_prompt_turn_end() say. If layers have a recurrent state, a snapshot
 * is kept at these positions as the session reads on, so that after a rewind nothing is read again. Logits do not
 * depend on it. INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_session_will_return(calmoe_session *session, const int *positions, int n);
/* The position where the last turn of calmoe_session_feed_chat() begins; a rewind to it takes the turn back. -1: there
 * was no turn, or it was taken back. */
CALMOE_API int calmoe_session_turn_begin(const calmoe_session *session);

/* Opens a second session that was given the same options, stands where this one does, and continues with the same bits:
 * tokens, caches, states, waiting rows, the sampler's random numbers, the audit and the last step's logits are the
 * same. From then on the two are independent. What was read is not copied but shared, in spans of 512 positions, until
 * one of the two goes back and reads other tokens there (that may then return NO_MEMORY); so a fork costs little more
 * than its last span. On success *out is the caller's until calmoe_session_close(); the policy must outlive it as well.
 * NO_MEMORY, INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_session_fork(const calmoe_session *session, calmoe_session **out);

/* Writes a file (docs/FORMATS.md) with what the session has read, its keys and values, and its pending tokens. The file
 * is complete or not there at all: it is written as PATH.part and then renamed. Rows that left early and wait are run
 * first, in steps of this session; so the call may be CANCELLED, and the logits of the last step may be lost, but no
 * bit changes. The session goes on as before. IO, NO_MEMORY, INVALID_ARGUMENT; NOT_FINITE: keys, values or states
 * became NaN or infinite. */
CALMOE_API calmoe_status calmoe_session_save(calmoe_session *session, const char *path);
/* Opens a session from a file that calmoe_session_save() wrote. No token is read again, and from there on the bits are
 * those of a session that read the tokens itself. The options (may be NULL) are this session's own, since the file has
 * none; but a context of 0 means the saved session's context. The sampler starts with the options' seed and with the
 * tokens that were read; the audit and the hash of logits begin anew. The engine may have other threads, another plan,
 * another instruction set and another max_rows than the one that saved. On success *out is the caller's until
 * calmoe_session_close(). IO; BAD_FILE: the file holds no session, or is damaged or cut off; UNSUPPORTED: it is of a
 * later version; INVALID_ARGUMENT: it is of another model, or of the same one with other calmoe_model_options, or keys
 * and values have another type, or options are wrong; FULL: it has more tokens than the options' context; NO_MEMORY. */
CALMOE_API calmoe_status calmoe_session_restore(calmoe_engine *engine, const char *path,
                                                const calmoe_session_options *options, calmoe_session **out);

/* The source of what a session has read, for example a text about which many questions will be asked. */
typedef struct calmoe_source {
    size_t      size;       /* set by the caller to sizeof(calmoe_source)                                   */
    const char *name;       /* name of the text, NUL-terminated; for example the name of its file           */
    const char *text;       /* (n_bytes)                                                                    */
    size_t      n_bytes;    /* up to 2^26                                                                   */
    int         is_system;  /* 1: it was read as the system text of a conversation; 0: as plain text        */
    char        sha256[65]; /* of the text: 64 hex digits and a NUL; calmoe_session_set_source() ignores it */
} calmoe_source;
/* Stores a copy of the source with the session, in place of an earlier one; NULL = none. Forks and saved files of the
 * session have it too. Nothing else uses it, and it stays as it is whatever happens to the tokens. INVALID_ARGUMENT,
 * NO_MEMORY. */
CALMOE_API calmoe_status calmoe_session_set_source(calmoe_session *session, const calmoe_source *source);
/* The session's source; its texts are borrowed until the session is closed or gets another source. END: it has none.
 * INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_session_source(const calmoe_session *session, calmoe_source *source);

/* The logits (n_vocab floats) of one row of this session's last step. Only rows whose logits were computed count: with
 * CALMOE_LOGITS_LAST there is row 0 only. NULL where there is no such row. Borrowed until the engine's next step. */
CALMOE_API const float *calmoe_session_logits(const calmoe_session *session, int row);
/* Chooses a token from the last row of logits, with the session's sampler. *token is not yet read: pass it to the next
 * step. (The repetition penalty counts a token when it is read.) NOT_FINITE: a logit is NaN or infinite, so no token is
 * chosen. The sentence says in which layer that began; to find out, a short sequence is read again. INVALID_ARGUMENT:
 * the step computed no logits, or the sampler excludes every token. END: the answer has the form that its constraint
 * demands, and the vocabulary has no token that ends an answer. */
CALMOE_API calmoe_status calmoe_session_sample(calmoe_session *session, int32_t *token);

/* The log-probability (natural logarithm) of a token by one row of the logits, over the whole vocabulary, as the model
 * computed them: without temperature, penalties, biases or anything else that the sampler does. row is as in
 * calmoe_session_logits(); -1 = the last. Also the n_top likeliest tokens, best first, of equal ones the lower id
 * first, into arrays (n_top). The results are the same bits on every machine and with or without drafts; of an audited
 * token they are the full model's. logprob may be NULL; so may the arrays if n_top is 0. INVALID_ARGUMENT: there is no
 * such row or token, or n_top is below 0 or above the vocabulary's size. NOT_FINITE as for calmoe_session_sample(). */
CALMOE_API calmoe_status calmoe_session_logprobs(const calmoe_session *session, int row, int32_t token,
                                                 float *logprob, int n_top, int32_t *top_tokens,
                                                 float *top_logprobs);
/* From now on calmoe_session_next() and calmoe_engine_next() compute logits for fed tokens too, and keep for each fed
 * token its log-probability after the tokens before it, and the n_top likeliest tokens in its place. n_top -1 stops
 * that and forgets what was kept. A step takes at most 64 such tokens. Forks and saved files of the session do not
 * contain it. INVALID_ARGUMENT, NO_MEMORY (while this is on, calmoe_session_feed_tokens() and the like may return
 * NO_MEMORY as well). */
CALMOE_API calmoe_status calmoe_session_keep_logprobs(calmoe_session *session, int n_top);
/* What calmoe_session_keep_logprobs() kept of the token at a position, written as calmoe_session_logprobs() does; n_top
 * is at most the number that was kept. INVALID_ARGUMENT where nothing is kept: for position 0, which has no token
 * before it; for tokens that are not yet read or that were sampled; for tokens whose predecessor was read before
 * keeping began. NOT_FINITE. */
CALMOE_API calmoe_status calmoe_session_kept_logprobs(const calmoe_session *session, int position, float *logprob,
                                                      int n_top, int32_t *top_tokens, float *top_logprobs);

/* Declares that the tokens from now on belong to an answer, which the session's policy is for. Fed tokens never do.
 * calmoe_session_next() and calmoe_engine_next() call this before the first token that they sample; call it yourself in
 * a loop around calmoe_engine_step(). */
CALMOE_API void calmoe_session_begin_answer(calmoe_session *session);
/* The rung of its policy that the session is on; -1 = OFF. */
CALMOE_API int calmoe_session_rung(const calmoe_session *session);

/* How much of the model a row of logits took, and with it the token that is chosen from it. */
typedef struct calmoe_depth {
    size_t size;       /* set by the caller to sizeof(calmoe_depth)                              */
    int    layers;     /* number of layers whose output the logits come from                     */
    int    experts;    /* routed experts that ran for it, over all layers                        */
    float  confidence; /* at the exit that it took, or at the last exit that was checked; 0 = none was */
} calmoe_depth;
/* row is as in calmoe_session_logits(), and valid as long; -1 = the last. INVALID_ARGUMENT where there is no such
 * row. */
CALMOE_API calmoe_status calmoe_session_depth(const calmoe_session *session, int row, calmoe_depth *depth);

/* The audit of a proven policy. calmoe_session_next() and calmoe_engine_next() run some tokens twice: first by the
 * policy, then in full. The full run counts: its result is sampled from, reported (calmoe_session_depth) and hashed,
 * and its keys and values stay. So an audited token costs both runs, and is the full model's token given what was read
 * before it. Which tokens are audited is decided by a seeded random stream, independently of the tokens.
 *
 * Each answer gives one observation: the share of its audited tokens that differ between the two runs. Evidence against
 * the bound grows from answer to answer of this session. When it reaches the limit, the session steps down to the
 * policy's next safer rung, finally to OFF, reports that once (calmoe_context_options.log), and begins anew. While the
 * bound holds, the probability that this ever happens is at most audit_alpha. An answer ends with an end token, with
 * max_new_tokens, with the next feed, with a rewind to before it, or with the next calmoe_session_begin_answer(). */
typedef struct calmoe_audit {
    size_t   size;        /* set by the caller to sizeof(calmoe_audit)               */
    double   share;       /* share of tokens that is audited; 0 = there is no audit, now or at all */
    uint64_t n_tokens;    /* tokens that were audited since the session was opened   */
    uint64_t n_different; /* of these, tokens where the policy's likeliest token was not the full model's */
    uint64_t n_answers;   /* observations on the present rung                        */
    double   ln_evidence; /* natural logarithm of the evidence against the present rung's bound */
    double   ln_limit;    /* value of ln_evidence at which the session steps down    */
    int      rung;        /* the present one; -1 = OFF                               */
    int      n_alarms;    /* how often the session stepped down                      */
} calmoe_audit;
CALMOE_API calmoe_status calmoe_session_audit(const calmoe_session *session, calmoe_audit *audit);

/* The drafts of a lossless session. A round reads the token at hand, drafts some tokens after it, and verifies all of
 * them in one step; it yields one token and the drafts that were accepted. Whether to make rounds or plain steps is
 * decided by what they are measured to cost, so these figures differ from run to run; the tokens do not.
 * calmoe_engine_next() drafts only when a single session has something to read; calmoe_engine_step() always makes plain
 * steps. A step of another session discards tokens that were verified ahead. Ways to draft: */
enum {
    CALMOE_DRAFTS_BY_EXITS,   /* by early exits of the model itself                                          */
    CALMOE_DRAFTS_BY_LOOKUP,  /* by looking up what followed the last tokens where they occurred before in the
                                 sequence                                                                    */
    CALMOE_DRAFTS_BY_FURTHER, /* by the model file's block for multi-token prediction, which predicts one token
                                 further, where there is one                                                 */
    CALMOE_DRAFTS_BY_MODEL,   /* by calmoe_engine_options.draft_model                                        */
    CALMOE_N_DRAFT_KINDS
};

typedef struct calmoe_speculation {
    size_t   size;     /* set by the caller to sizeof(calmoe_speculation) */
    uint64_t rounds;
    uint64_t drafted;  /* tokens that were drafted                        */
    uint64_t accepted; /* of these, tokens that were right and kept       */
    uint64_t plain;    /* plain steps                                     */
    /* the same for each way to draft, CALMOE_DRAFTS_BY_* */
    uint64_t rounds_by[CALMOE_N_DRAFT_KINDS];
    uint64_t drafted_by[CALMOE_N_DRAFT_KINDS];
    uint64_t accepted_by[CALMOE_N_DRAFT_KINDS];
} calmoe_speculation;
/* All counts are 0 if the session is not lossless. INVALID_ARGUMENT. */
CALMOE_API calmoe_status calmoe_session_speculation(const calmoe_session *session, calmoe_speculation *speculation);
/* The same by the number of layers that a draft ran; element 0 counts drafts for which no layer ran. n is at least the
 * model's number of layers. */
CALMOE_API calmoe_status calmoe_session_draft_counts(const calmoe_session *session, uint64_t *drafted,
                                                     uint64_t *accepted, int n);

/* The SHA-256 of all logits computed so far, as float32 bytes in token order: 64 hex digits and a NUL. INVALID_ARGUMENT
 * unless the session was opened with hash_logits. */
CALMOE_API calmoe_status calmoe_session_logit_hash(const calmoe_session *session, char hex[65]);

#ifdef __cplusplus
}
#endif
#endif
