/* tools/serve/service_parts.h - what the files of the service share: service.c (jobs come and go), slots.c (sessions
 * that are kept, and which one a prompt begins with), engine_loop.c (the engine's thread). */
#ifndef TOOLS_SERVE_SERVICE_PARTS_H
#define TOOLS_SERVE_SERVICE_PARTS_H

#include <sys/stat.h>

#include "tools/serve/service.h"

/* Of the engine's thread alone, but for what is marked. */
struct slot {
    calmoe_session *session;   /* NULL = nothing is kept                                         */
    int             n_exact;   /* tokens of an idle slot that were read in full: a later prompt may go on from them */
    uint64_t        last_used; /* number of the job that it had last                             */
    struct job     *job;       /* that it works on; NULL = idle. Changed under the lock          */

    /* of the job */
    calmoe_text_stream stream;
    int                position;    /* of the token whose logits choose the next one                */
    int16_t           *routing;     /* (layers, experts of a token) of that position; -1 = none ran */
};

enum { MAX_CONTEXTS = 16 };
/* What a file of contexts.h holds. Nobody works on its slot: others begin with copies of it. */
struct kept_context {
    char        name[MAX_SAVED_NAME + 1];
    struct stat file;  /* when it was read: another one by the same name is read anew */
    struct slot slot;  /* its session is NULL where nothing is kept                   */
};

struct service_call {
    void               (*work)(void *user, struct service *service);
    void                *user;
    bool                 is_done, is_refused;
    struct service_call *next;
};

struct service {
    struct service_options options;
    pthread_t              thread;
    pthread_mutex_t        lock;
    pthread_cond_t         work;    /* there is something to do for the engine's thread */
    pthread_cond_t         changed; /* the state, a call, the number of jobs             */
    pthread_mutex_t        making;  /* held by the one thread that makes a constraint    */

    /* under the lock */
    enum service_state   state;
    bool                 must_end, must_unload;
    struct job          *queue, **queue_end;
    int                  n_queued, n_active;
    struct service_call *calls;
    struct metrics       metrics;
    float                scales[CALMOE_MAX_ADAPTERS]; /* of adapters, where a request does not say others */

    /* of the engine's thread; model and sizes are read by all once the state is READY */
    struct front      front;
    struct adapters     adapters;
    calmoe_adapter_info about[CALMOE_MAX_ADAPTERS]; /* (adapters.n)                                */
    calmoe_policy    *policy;
    calmoe_policy   **widths;   /* (experts of a token + 1) policies of a fixed width, made when they are wanted */
    double            quality;
    calmoe_model_info model;
    int               context;
    struct slot      *slots;
    struct kept_context contexts[MAX_CONTEXTS];
    calmoe_event     *events;
    int               n_events_room;
    uint64_t          n_jobs;
    double            position_bytes;
    char             *piece;    /* (n_piece) text of one token */
    size_t            n_piece;
};

/* ---- slots.c ---- */

/* The slot that the job should have, or NULL: those that it could take are busy. Lock held. */
struct slot *cm_slot_for(struct service *service, const struct job *job);
/* Makes it ready for the job: rewound to what it shares with the prompt, the rest fed. False: the job's refusal is
 * filled. Engine's thread, lock not held. */
bool cm_slot_begin(struct service *service, struct slot *slot, struct job *job);
/* The job is over: the session keeps what it read. */
void cm_slot_end(struct slot *slot);
/* Forgets all that it has read. */
void cm_slot_clear(struct slot *slot);
/* Idle slots and contexts, longest unused first, are cleared until the rest fits into the budget. */
void cm_slots_keep_budget(struct service *service);

/* ---- engine_loop.c ---- */

void *cm_engine_thread(void *service);

#endif
