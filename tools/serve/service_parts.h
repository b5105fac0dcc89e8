/* tools/serve/service_parts.h - the structs of the service, for its three files: service.c (jobs come and go), slots.c
 * (which slot's session a prompt continues from), engine_loop.c (the engine's thread). */
#ifndef TOOLS_SERVE_SERVICE_PARTS_H
#define TOOLS_SERVE_SERVICE_PARTS_H

#include <sys/stat.h>

#include "tools/serve/service.h"

/* Used by the engine's thread only, except where a member says otherwise. */
struct slot {
    calmoe_session *session;   /* NULL = nothing is kept                                         */
    int             n_exact;   /* tokens of an idle slot that were read in full, so that a later prompt may continue
                                  from them                                                                         */
    uint64_t        last_used; /* number of the last job that used it                            */
    struct job     *job;       /* the job that it works on; NULL = idle. Changed under the lock  */

    /* about the present job */
    calmoe_text_stream stream;
    int                position;    /* position of the token whose logits choose the next one       */
    int16_t           *routing;     /* (layers, experts of a token) the experts at that position; -1 = none ran */
};

enum { MAX_CONTEXTS = 16 };
/* A context file (contexts.h) in memory. No job runs in its slot: other slots begin with copies of its session. */
struct kept_context {
    char        name[MAX_SAVED_NAME + 1];
    struct stat file;  /* the file as it was when it was read; if it has changed, it is read again */
    struct slot slot;  /* its session is NULL if nothing is kept                      */
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
    pthread_cond_t         work;    /* signalled when there is work for the engine's thread */
    pthread_cond_t         changed; /* signalled when the state, a call or the number of jobs changes */
    pthread_mutex_t        making;  /* held by the one thread that makes a constraint    */

    /* protected by the lock */
    enum service_state   state;
    bool                 must_end, must_unload;
    struct job          *queue, **queue_end;
    int                  n_queued, n_active;
    struct service_call *calls;
    struct metrics       metrics;
    float                scales[CALMOE_MAX_ADAPTERS]; /* how strongly adapters are used, unless a request says
                                                         otherwise                                        */

    /* used by the engine's thread; any thread may read the model and the sizes once the state is READY */
    struct front      front;
    struct adapters     adapters;
    calmoe_adapter_info about[CALMOE_MAX_ADAPTERS]; /* (adapters.n)                                */
    calmoe_policy    *policy;
    calmoe_policy   **widths;   /* (experts of a token + 1) policies with a fixed width; each is made when it is
                                   first needed                                                                  */
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

/* The slot that the job should get, or NULL if the slots that it could use are busy. To be called with the lock
 * held. */
struct slot *cm_slot_for(struct service *service, const struct job *job);
/* Makes the slot ready for the job: its session is rewound to what it has in common with the prompt, and is fed the
 * rest. False: the job's refusal is filled. To be called on the engine's thread, without the lock. */
bool cm_slot_begin(struct service *service, struct slot *slot, struct job *job);
/* To be called when the job is over; the session keeps what it has read. */
void cm_slot_end(struct slot *slot);
/* Makes the slot forget everything that it has read. */
void cm_slot_clear(struct slot *slot);
/* Clears idle slots and contexts, the longest unused first, until the others are within the budget. */
void cm_slots_keep_budget(struct service *service);

/* ---- engine_loop.c ---- */

void *cm_engine_thread(void *service);

#endif
