/* tools/serve/job.h - a job is one prompt that is to be answered: what the client wants, and the answer so far.
 *
 * The thread of the client's connection makes a job and hands it to the service (service.h). The engine's thread runs
 * it and leaves tokens in `out`, where the connection's thread takes them. Each of the two holds the job, and either
 * may be the last to let it go. */
#ifndef TOOLS_SERVE_JOB_H
#define TOOLS_SERVE_JOB_H

#include <pthread.h>

#include <calmoe/adapter.h>
#include <calmoe/calmoe.h>
#include <calmoe/constraint.h>
#include <calmoe/stops.h>

#include "tools/front.h"
#include "tools/serve/refusal.h"

enum { JOB_MAX_TOP = 20 };       /* likeliest tokens that may be reported beside the chosen one */
enum { JOB_NO_LOGPROBS = -1 };
enum { MAX_SAVED_NAME = 200 };   /* bytes of the name of a file in the server's folder */

struct job_request {
    int32_t               *tokens;         /* (n_tokens) the prompt; owned by the job                      */
    int                    n_tokens;
    int                    returns[2];     /* (n_returns) positions up to which a later prompt is likely to be the
                                              same as this one                                               */
    int                    n_returns;
    calmoe_sampler_options sampler;        /* the job owns its arrays                                      */
    int                    max_tokens;     /* most tokens of the answer; -1 = as many as fit               */
    bool                   ignore_end;
    calmoe_stops          *stops;          /* owned by the job, and opened under its context               */
    struct bytes           stop_texts;     /* the same texts, each followed by a NUL                       */
    int                    n_top;          /* number of likeliest tokens to report in each place, or JOB_NO_LOGPROBS */
    bool                   echo_logprobs;  /* also report the log-probabilities of the prompt's tokens     */
    bool                   uses_cache;     /* the answer may continue from what a slot has read before     */
    int                    slot;           /* the slot to use; -1 = any                                    */
    double                 max_seconds;    /* most seconds for its answer; 0 = no limit                    */
    bool                   wants_routing;  /* report the experts of each token                             */
    double                 quality;        /* the risk that is allowed; 0 = nothing may be left out; -1 = the
                                              server's setting                                                 */
    int                    n_experts;      /* most experts of a token in a layer; 0 = as many as the model takes */
    bool                   has_scales;     /* the request says how strongly adapters are used; else the server's
                                              setting counts                                                  */
    int                    n_scales;       /* scales that the request gives; those after them are 0        */
    float                  scales[CALMOE_MAX_ADAPTERS]; /* of the server's adapters; 0 = not used          */
};

enum job_state { JOB_NEW, JOB_QUEUED, JOB_READING, JOB_ANSWERING, JOB_OVER };
enum job_end {
    JOB_ENDED,     /* by the model                                */
    JOB_STOPPED,   /* by a stop text                              */
    JOB_LENGTH,    /* max_tokens, max_seconds, or a full context  */
    JOB_CANCELLED, /* nobody waits for it any longer              */
    JOB_FAILED     /* the refusal says why                        */
};

/* A record of a token in `out`. It is followed by n_text bytes of text, n_top struct job_top, and n_routing experts. */
struct job_token {
    int32_t token;          /* -1: only text, at the end of the answer                      */
    bool    is_prompt;      /* a token of the prompt that is echoed                         */
    bool    has_logprob;    /* false for the first token of a prompt, since nothing precedes it */
    float   logprob;
    int     layers, experts; /* that were used for it                                       */
    float   confidence;
    int     n_top;
    int     n_routing;      /* numbers of its experts (layers of the model, experts of a token), int16_t each; -1 =
                               none ran                                                               */
    size_t  n_text;         /* bytes of text that can now be shown; they may belong to earlier tokens */
};
struct job_top {
    int32_t token;
    float   logprob;
};

struct job_figures {
    int      slot;
    int      n_cached;       /* tokens of the prompt that were not read again               */
    int      n_generated;
    int      stop;           /* index of the stop text that ended it; -1 = none did         */
    int      rung;           /* the rung of the policy; -1 = all layers and experts         */
    uint64_t n_layers, n_experts; /* sums over the answer's tokens                          */
    double   begun, first, last; /* cm_seconds() when a slot took it, and at its first and last token; 0 = not yet */
};

struct job {
    calmoe_context    *context;   /* the request's own context, for sentences about it; used by whichever thread
                                     works on the job                                                            */
    struct job_request want;
    calmoe_constraint *constraint; /* used by the sampler and owned by the job; NULL = none */

    /* Protected by the service's lock from cm_service_submit() on. */
    enum job_state     state;
    enum job_end       end;
    struct refusal     refusal;
    struct bytes       out;
    bool               is_cancelled;
    struct job_figures figures;
    double             submitted;
    calmoe_session    *session;   /* while a slot works on the job */
    pthread_cond_t     changed;
    struct job        *next;      /* in the queue             */
    int                n_holders;
};

/* Makes an empty job with defaults, which the caller holds; NULL if there is no memory. */
struct job *cm_job_open(void);
/* The stop text that ended it, or NULL. */
const char *cm_job_stop_text(const struct job *job);
/* Frees the job once nobody holds it any longer; only the service calls this. */
void cm_job_free(struct job *job);

/* Reads the record at *at and moves *at behind it; false at the end. Pointers in it are borrowed from bytes. */
struct job_record {
    struct job_token token;
    const char      *text;
    const char      *top, *routing; /* not aligned: copy the elements out */
};
bool cm_job_next_record(const struct bytes *bytes, size_t *at, struct job_record *record);

#endif
