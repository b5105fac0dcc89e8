/* tools/serve/service.h - runs the model for the server: one thread owns the engine, its sessions and the slots, and
 * the threads of connections hand jobs to it. A slot is a place for one job at a time, with a session that is kept.
 *
 * Any thread may call these functions unless a comment says otherwise. The engine and its sessions are used on the
 * engine's thread only; other threads that need something from them use cm_service_call(). */
#ifndef TOOLS_SERVE_SERVICE_H
#define TOOLS_SERVE_SERVICE_H

#include "tools/serve/job.h"
#include "tools/serve/metrics.h"

struct service; /* service_parts.h */

struct service_options {
    const char *model;            /* path; NULL = the embedded model                                  */
    struct model_request  numbers;
    struct policy_request policy;
    calmoe_engine_options engine;
    struct cli_list       loras;  /* adapters, each FILE or FILE:SCALE                                */
    int         context;          /* positions of a slot; 0 = the model's context length              */
    int         n_slots;          /* number of slots, that is, of jobs at a time                      */
    int         step_rows;        /* most rows of prompts in a step that other jobs share             */
    int         max_queue;        /* most jobs that may wait for a slot                               */
    double      queue_seconds;    /* how long a job may wait; 0 = for ever                            */
    double      cache_bytes;      /* bytes of keys and values that idle slots may keep                */
    size_t      max_unread_bytes; /* a job is cancelled when so much of its answer is not taken by the client */
    void      (*on_loaded)(void *user, const calmoe_model *model); /* called before the first job     */
    void       *on_loaded_user;
};

enum service_state { SERVICE_LOADING, SERVICE_READY, SERVICE_DRAINING, SERVICE_FAILED };

/* Starts the engine's thread, which begins to load the model. NULL with a sentence. */
struct service *cm_service_open(const struct service_options *options);
/* Accepts no more jobs; existing ones continue. */
void cm_service_drain(struct service *service);
/* Cancels all jobs, and loading. Clients can still be sent what their jobs have produced. */
void cm_service_end(struct service *service);
/* Ends the service and waits for its thread. Nobody may hold a job or use the model any longer. Sets *service to NULL;
 * NULL is fine. */
void cm_service_close(struct service **service);

enum service_state cm_service_state(struct service *service);
/* Information about the loaded model, borrowed for as long as the service lives. */
const calmoe_model_info *cm_service_model(const struct service *service);
/* The model itself. Any thread may use it for texts, prompts and answers while the service is READY. */
const calmoe_model *cm_service_calmoe_model(const struct service *service);
/* Runs make(user, model), which opens a constraint, on the calling thread; only one thread at a time does so. Returns
 * make()'s status, and in *message the sentence. The service must be READY. */
calmoe_status cm_service_constrain(struct service *service, calmoe_status (*make)(void *user, calmoe_model *model),
                                   void *user, const char **message);
int  cm_service_context(const struct service *service); /* positions of a slot */
int  cm_service_n_slots(const struct service *service);
struct metrics *cm_service_metrics(struct service *service);

/* The server's adapters, numbered from 0, once the model is loaded. Their infos are borrowed for as long as the service
 * lives. */
int                        cm_service_n_adapters(const struct service *service);
const calmoe_adapter_info *cm_service_adapter(const struct service *service, int i);
/* How strongly adapters are used by requests that do not say it themselves: scales (n). */
void cm_service_get_scales(struct service *service, float scales[CALMOE_MAX_ADAPTERS]);
/* Sets these scales. False, and the refusal filled, if they are not possible. */
bool cm_service_set_scales(struct service *service, const float scales[CALMOE_MAX_ADAPTERS], struct refusal *refusal);

/* Hands over a job, which the caller still holds. False, and the refusal filled: the queue is full, the server is
 * shutting down, or the prompt is too long. */
bool cm_service_submit(struct service *service, struct job *job, struct refusal *refusal);
/* Waits for so many seconds at most until the job has progressed, that is, until it has another state or bytes in
 * `out`; moves these bytes to *taken, whose old contents are overwritten. Returns the job's state. */
enum job_state cm_service_wait(struct service *service, struct job *job, double seconds, struct bytes *taken);
/* The figures of a job that may still be running. */
struct job_figures cm_service_figures(struct service *service, const struct job *job);
/* How many tokens the job's slot has read; -1: it has no slot. Waits for the end of the engine's step. */
int cm_service_n_read(struct service *service, const struct job *job);
/* As cm_service_wait(), but waits until the job has a slot or is over. */
enum job_state cm_service_wait_begun(struct service *service, struct job *job, double seconds);
/* Cancels a job: it ends within a layer, without disturbing other jobs. */
void cm_service_cancel(struct service *service, struct job *job);
/* Lets go of a job, which is cancelled if it is not over. NULL is fine. */
void cm_service_release(struct service *service, struct job *job);

/* Runs work(user, service) on the engine's thread between two steps, and waits for it. False: the service is ending. */
bool cm_service_call(struct service *service, void (*work)(void *user, struct service *service), void *user);

#endif
