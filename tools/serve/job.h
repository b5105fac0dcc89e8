/* tools/serve/job.h - one prompt that is to be answered: what is wanted of it, and what has come of it so far.
 *
 * The thread of the client's connection makes a job and hands it to the service (service.h); the engine's thread runs
 * it and leaves tokens in `out`, from where the connection's thread takes them. Either may be the last to hold it. */
#ifndef TOOLS_SERVE_JOB_H
#define TOOLS_SERVE_JOB_H

#include <pthread.h>

#include <calmoe/adapter.h>
#include <calmoe/calmoe.h>
#include <calmoe/constraint.h>
#include <calmoe/stops.h>

#include "tools/front.h"
#include "tools/serve/refusal.h"

enum { JOB_MAX_TOP = 20 };       /* likeliest tokens that are told beside one that was chosen */
enum { JOB_NO_LOGPROBS = -1 };
enum { MAX_SAVED_NAME = 200 };   /* bytes of the name of a file that is kept in the server's folder */

struct job_request {
    int32_t               *tokens;         /* (n_tokens) the prompt; the job's                             */
    int                    n_tokens;
    int                    returns[2];     /* (n_returns) where a later prompt may part from this one        */
    int                    n_returns;
    calmoe_sampler_options sampler;        /* its arrays are the job's                                     */
    int                    max_tokens;     /* of the answer; -1 = as many as fit                           */
    bool                   ignore_end;
    calmoe_stops          *stops;          /* the job's, in its context                                    */
    struct bytes           stop_texts;     /* the same, each with a NUL behind                             */
    int                    n_top;          /* likeliest tokens to tell of each place; JOB_NO_LOGPROBS       */
    bool                   echo_logprobs;  /* of the prompt's tokens, too                                  */
    bool                   uses_cache;     /* may begin with what a slot has read                          */
    int                    slot;           /* that it wants; -1 = any                                      */
    double                 max_seconds;    /* of its answer; 0 = no limit                                  */
    bool                   wants_routing;  /* the experts of each token                                    */
    double                 quality;        /* risk that may be; 0 = nothing may be left out; -1 = the server's */
    int                    n_experts;      /* of a token in a layer at most; 0 = as many as the model takes */
    bool                   has_scales;     /* it says how strongly adapters are used; else as the server does */
    int                    n_scales;       /* those behind them are 0                                      */
    float                  scales[CALMOE_MAX_ADAPTERS]; /* of the server's adapters, 0 = not used          */
};

enum job_state { JOB_NEW, JOB_QUEUED, JOB_READING, JOB_ANSWERING, JOB_OVER };
enum job_end {
    JOB_ENDED,     /* by the model                                */
    JOB_STOPPED,   /* by a stop text                              */
    JOB_LENGTH,    /* max_tokens, max_seconds, or a full context  */
    JOB_CANCELLED, /* nobody waits for it any more                */
    JOB_FAILED     /* the refusal says why                        */
};

/* A token in `out`; after it stand n_text bytes of text, n_top struct job_top, and n_routing experts. */
struct job_token {
    int32_t token;          /* -1: only text, at the end                                    */
    bool    is_prompt;      /* echoed                                                       */
    bool    has_logprob;    /* false: of the first token of a prompt nothing is known        */
    float   logprob;
    int     layers, experts; /* that it came of                                             */
    float   confidence;
    int     n_top;
    int     n_routing;      /* (layers of the model, experts of a token), int16_t each; -1 = none ran */
    size_t  n_text;         /* that is certain to be shown; may belong to tokens before      */
};
struct job_top {
    int32_t token;
    float   logprob;
};

struct job_figures {
    int      slot;
    int      n_cached;       /* tokens of the prompt that were not read again               */
    int      n_generated;
    int      stop;           /* which stop text ended it; -1 = none                         */
    int      rung;           /* of the policy; -1 = all layers and experts                  */
    uint64_t n_layers, n_experts; /* sums over the answer's tokens                          */
    double   begun, first, last; /* cm_seconds() when the slot took it, and of its tokens; 0 = not yet */
};

struct job {
    calmoe_context    *context;   /* of the request: where sentences about it go; of whoever has the job in hand */
    struct job_request want;
    calmoe_constraint *constraint; /* of the sampler; the job's. NULL = none */

    /* Under the service's lock from cm_service_submit() on. */
    enum job_state     state;
    enum job_end       end;
    struct refusal     refusal;
    struct bytes       out;
    bool               is_cancelled;
    struct job_figures figures;
    double             submitted;
    calmoe_session    *session;   /* while a slot works on it */
    pthread_cond_t     changed;
    struct job        *next;      /* in the queue             */
    int                n_holders;
};

/* An empty job with defaults, held by the caller; NULL without memory. */
struct job *cm_job_open(void);
/* The stop text that ended it, or NULL. */
const char *cm_job_stop_text(const struct job *job);
/* When its last holder lets go; the service does this. */
void cm_job_free(struct job *job);

/* Reads the record at *at, moves behind it; false at the end. Pointers are borrowed from bytes. */
struct job_record {
    struct job_token token;
    const char      *text;
    const char      *top, *routing; /* unaligned: copy them out */
};
bool cm_job_next_record(const struct bytes *bytes, size_t *at, struct job_record *record);

#endif
