/* tools/serve/service.h - the model at work: one thread owns engine, sessions and slots; connections hand it jobs.
 *
 * All functions may be called by any thread unless they say otherwise. What engine and sessions do is only done on the
 * engine's thread; who needs something of them while it runs asks by cm_service_call(). */
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
    struct cli_list       loras;  /* adapters: FILE or FILE:SCALE                                     */
    int         context;          /* positions of a slot, 0 = the model's                             */
    int         n_slots;          /* jobs at once                                                     */
    int         step_rows;        /* rows of prompts in a step that others share                      */
    int         max_queue;        /* jobs that may wait for a slot                                    */
    double      queue_seconds;    /* how long; 0 = for ever                                           */
    double      cache_bytes;      /* that idle slots may hold of keys and values                      */
    size_t      max_unread_bytes; /* of an answer that its client does not take: more cancels it       */
    void      (*on_loaded)(void *user, const calmoe_model *model); /* before the first job is taken     */
    void       *on_loaded_user;
};

enum service_state { SERVICE_LOADING, SERVICE_READY, SERVICE_DRAINING, SERVICE_FAILED };

/* Begins to load on the engine's thread. NULL with a sentence. */
struct service *cm_service_open(const struct service_options *options);
/* No more jobs are taken; those that are there go on. */
void cm_service_drain(struct service *service);
/* All jobs are cancelled, and loading ends. What came of them can still be told. */
void cm_service_end(struct service *service);
/* Ends it and waits for its thread; nobody may hold a job, or use the model, any more. Sets it to NULL; NULL is
 * fine. */
void cm_service_close(struct service **service);

enum service_state cm_service_state(struct service *service);
/* Of the loaded model. Borrowed for as long as the service lives. */
const calmoe_model_info *cm_service_model(const struct service *service);
/* Texts, prompts and answers may be made with it by any thread while the service is READY. */
const calmoe_model *cm_service_calmoe_model(const struct service *service);
/* Runs make(user, model), which opens a constraint, on this thread, one thread at a time. Its status, and this thread's
 * sentence. The service is READY. */
calmoe_status cm_service_constrain(struct service *service, calmoe_status (*make)(void *user, calmoe_model *model),
                                   void *user, const char **message);
int  cm_service_context(const struct service *service); /* positions of a slot */
int  cm_service_n_slots(const struct service *service);
struct metrics *cm_service_metrics(struct service *service);

/* The server's adapters, numbered from 0, once the model is loaded. Their infos are borrowed for as long as the service
 * lives. */
int                        cm_service_n_adapters(const struct service *service);
const calmoe_adapter_info *cm_service_adapter(const struct service *service, int i);
/* How strongly requests use them that do not say it: (n). */
void cm_service_get_scales(struct service *service, float scales[CALMOE_MAX_ADAPTERS]);
/* False with the refusal: they cannot be. */
bool cm_service_set_scales(struct service *service, const float scales[CALMOE_MAX_ADAPTERS], struct refusal *refusal);

/* Hands the job over; the caller still holds it. False and the refusal filled: the queue is full, the server shuts
 * down, the prompt is too long. */
bool cm_service_submit(struct service *service, struct job *job, struct refusal *refusal);
/* Waits up to so many seconds for the job to have gone on: another state, or bytes in `out`, which are moved to *taken
 * (what was there is overwritten). The state it has now. */
enum job_state cm_service_wait(struct service *service, struct job *job, double seconds, struct bytes *taken);
/* How far it is, while it goes on. */
struct job_figures cm_service_figures(struct service *service, const struct job *job);
/* How many tokens its slot has read; -1: it has none. Waits for the engine's step. */
int cm_service_n_read(struct service *service, const struct job *job);
/* As cm_service_wait(), until the job has a slot or is over. */
enum job_state cm_service_wait_begun(struct service *service, struct job *job, double seconds);
/* Nobody wants it any more: it ends within a layer, and nobody else's with it. */
void cm_service_cancel(struct service *service, struct job *job);
/* The caller lets go; a job that is not over is cancelled. NULL is fine. */
void cm_service_release(struct service *service, struct job *job);

/* Runs work(user, service) on the engine's thread between two steps, and waits for it. False: the service ends. */
bool cm_service_call(struct service *service, void (*work)(void *user, struct service *service), void *user);

#endif
