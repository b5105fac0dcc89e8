/* tools/serve/service.c - see service.h: jobs come and go. */
#include "tools/serve/service_parts.h"

#include <stdlib.h>
#include <time.h>

static struct timespec deadline_in(double seconds)
{
    struct timespec at;
    (void)clock_gettime(CLOCK_MONOTONIC, &at);
    at.tv_sec += (time_t)seconds;
    at.tv_nsec += (long)((seconds - (double)(time_t)seconds) * 1e9);
    if (at.tv_nsec >= 1000000000L) {
        at.tv_nsec -= 1000000000L;
        at.tv_sec++;
    }
    return at;
}

static void open_condition(pthread_cond_t *condition)
{
    pthread_condattr_t monotonic;
    (void)pthread_condattr_init(&monotonic);
    (void)pthread_condattr_setclock(&monotonic, CLOCK_MONOTONIC);
    (void)pthread_cond_init(condition, &monotonic);
    (void)pthread_condattr_destroy(&monotonic);
}

/* If mpirun started several processes, they connect before any of them listens; all ranks except 0 take part in what
 * rank 0 does, and do not return from here. */
static bool join_ranks(struct service *service)
{
    const struct service_options *const options = &service->options;
    struct front *const front = &service->front;
    if (calmoe_ranks_launched() == 1) return true;
    if (!cm_front_open(front)) return false;
    return cm_front_leads(front) ||
           (cm_model_request_open(front, options->model, &options->numbers,
                                  cm_policy_request_fixed_width(&options->policy)) &&
            cm_front_open_engine(front, &options->engine));
}

struct service *cm_service_open(const struct service_options *options)
{
    struct service *service = calloc(1, sizeof *service);
    if (service == NULL) {
        cm_say("no memory for the service");
        return NULL;
    }
    service->options   = *options;
    service->queue_end = &service->queue;
    (void)pthread_mutex_init(&service->lock, NULL);
    (void)pthread_mutex_init(&service->making, NULL);
    open_condition(&service->work);
    open_condition(&service->changed);
    cm_metrics_open(&service->metrics);
    const bool is_joined = join_ranks(service);
    if (is_joined && pthread_create(&service->thread, NULL, cm_engine_thread, service) == 0) return service;
    if (is_joined) cm_say("the system refused a thread for the engine");
    cm_front_close(&service->front);
    free(service);
    return NULL;
}

void cm_service_drain(struct service *service)
{
    (void)pthread_mutex_lock(&service->lock);
    if (service->state == SERVICE_READY) service->state = SERVICE_DRAINING;
    (void)pthread_mutex_unlock(&service->lock);
}

void cm_service_end(struct service *service)
{
    cm_service_drain(service);
    (void)pthread_mutex_lock(&service->lock);
    const bool has_slots = service->state == SERVICE_DRAINING && !service->must_end; /* they are still in use */
    service->must_end    = true;
    for (int i = 0; has_slots && i < service->options.n_slots; i++)
        if (service->slots[i].job != NULL) calmoe_session_interrupt(service->slots[i].job->session);
    (void)pthread_cond_broadcast(&service->work);
    (void)pthread_mutex_unlock(&service->lock);
}

void cm_service_close(struct service **service)
{
    if (*service == NULL) return;
    cm_service_end(*service);
    (void)pthread_mutex_lock(&(*service)->lock);
    (*service)->must_unload = true;
    (void)pthread_cond_broadcast(&(*service)->work);
    (void)pthread_mutex_unlock(&(*service)->lock);
    (void)pthread_join((*service)->thread, NULL);
    (void)pthread_mutex_destroy(&(*service)->lock);
    (void)pthread_mutex_destroy(&(*service)->making);
    (void)pthread_cond_destroy(&(*service)->work);
    (void)pthread_cond_destroy(&(*service)->changed);
    free(*service);
    *service = NULL;
}

enum service_state cm_service_state(struct service *service)
{
    (void)pthread_mutex_lock(&service->lock);
    const enum service_state state = service->state;
    (void)pthread_mutex_unlock(&service->lock);
    return state;
}

const calmoe_model_info *cm_service_model(const struct service *service) { return &service->model; }
const calmoe_model *cm_service_calmoe_model(const struct service *service) { return service->front.model; }
/* One at a time, since making one takes memory and a core that answers need. Engine and threads share a model. */
calmoe_status cm_service_constrain(struct service *service,
                                   calmoe_status (*make)(void *user, calmoe_model *model), void *user,
                                   const char **message)
{
    (void)pthread_mutex_lock(&service->making);
    const calmoe_status status = make(user, service->front.model);
    (void)pthread_mutex_unlock(&service->making);
    *message = calmoe_context_message(service->front.context); /* this thread's sentence */
    return status;
}

int cm_service_context(const struct service *service) { return service->context; }
int cm_service_n_slots(const struct service *service) { return service->options.n_slots; }
struct metrics *cm_service_metrics(struct service *service) { return &service->metrics; }

int cm_service_n_adapters(const struct service *service) { return service->adapters.n; }
const calmoe_adapter_info *cm_service_adapter(const struct service *service, int i) { return &service->about[i]; }

void cm_service_get_scales(struct service *service, float scales[CALMOE_MAX_ADAPTERS])
{
    (void)pthread_mutex_lock(&service->lock);
    for (int i = 0; i < CALMOE_MAX_ADAPTERS; i++) scales[i] = service->scales[i];
    (void)pthread_mutex_unlock(&service->lock);
}

/* Checked here, since sessions would only report it one request after another. */
static bool check_prefixes(const struct service *service, const float scales[CALMOE_MAX_ADAPTERS],
                           struct refusal *refusal)
{
    int found = -1;
    for (int i = 0; i < service->adapters.n; i++) {
        if (service->about[i].n_virtual_tokens == 0 || scales[i] == 0.0f) continue;
        if (scales[i] != 1.0f)
            return cm_refuse(refusal, 400, "lora", "the adapter %d is a prefix, and is used whole or not: its scale is "
                             "%g, 1 or 0 is wanted", i, (double)scales[i]);
        if (found >= 0)
            return cm_refuse(refusal, 400, "lora", "the adapters %d and %d are prefixes: one at most is used, and "
                             "others want the scale 0", found, i);
        found = i;
    }
    return true;
}

bool cm_service_set_scales(struct service *service, const float scales[CALMOE_MAX_ADAPTERS], struct refusal *refusal)
{
    if (!check_prefixes(service, scales, refusal)) return false;
    (void)pthread_mutex_lock(&service->lock);
    for (int i = 0; i < CALMOE_MAX_ADAPTERS; i++) service->scales[i] = scales[i];
    (void)pthread_mutex_unlock(&service->lock);
    return true;
}

/* ---- jobs ---- */

/* Called with the lock held: sets which adapters the job uses, by its own words or the server's. */
static bool take_scales(struct service *service, struct job_request *want, struct refusal *refusal)
{
    if (want->n_scales > service->adapters.n)
        return cm_refuse(refusal, 400, "lora", "'lora' names the adapter %d; the server has %d, numbered from 0",
                         want->n_scales - 1, service->adapters.n);
    for (int i = 0; i < service->adapters.n && !want->has_scales; i++) want->scales[i] = service->scales[i];
    return check_prefixes(service, want->scales, refusal);
}

static bool refuse_now(struct service *service, struct refusal *refusal)
{
    if (service->state == SERVICE_LOADING) return cm_refuse(refusal, 503, NULL, "the model is still loading");
    if (service->state != SERVICE_READY || service->must_end)
        return cm_refuse(refusal, 503, NULL, "the server is shutting down");
    int n_idle = 0;
    for (int i = 0; i < service->options.n_slots; i++) n_idle += service->slots[i].job == NULL;
    if (service->n_queued < service->options.max_queue + n_idle) return true;
    refusal->retry_after = 1 + service->n_queued;
    return cm_refuse(refusal, 429, NULL, "%d requests are at work and %d are waiting; no more may wait",
                     service->n_active, service->n_queued);
}

bool cm_service_submit(struct service *service, struct job *job, struct refusal *refusal)
{
    if (job->want.n_tokens >= service->context && cm_service_state(service) == SERVICE_READY)
        return cm_refuse_length(refusal, job->want.n_tokens, service->context);
    (void)pthread_mutex_lock(&service->lock);
    const bool is_taken = refuse_now(service, refusal) && take_scales(service, &job->want, refusal);
    if (is_taken) {
        job->state     = JOB_QUEUED;
        job->submitted = cm_seconds();
        job->n_holders++;
        job->next           = NULL;
        *service->queue_end = job;
        service->queue_end  = &job->next;
        service->n_queued++;
        (void)pthread_cond_signal(&service->work);
    } else if (refusal->status == 429) service->metrics.n_refused++;
    (void)pthread_mutex_unlock(&service->lock);
    return is_taken;
}

enum job_state cm_service_wait(struct service *service, struct job *job, double seconds, struct bytes *taken)
{
    const struct timespec until = deadline_in(seconds);
    int                   error = 0;
    (void)pthread_mutex_lock(&service->lock);
    const enum job_state before = job->state;
    while (error == 0 && job->state == before && job->out.n == 0 && job->state != JOB_OVER)
        error = pthread_cond_timedwait(&job->changed, &service->lock, &until);
    taken->n = 0;
    if (job->out.n > 0) {
        const struct bytes swapped = *taken;
        *taken   = job->out;
        job->out = swapped;
    }
    const enum job_state state = job->state;
    (void)pthread_mutex_unlock(&service->lock);
    return state;
}

struct job_figures cm_service_figures(struct service *service, const struct job *job)
{
    (void)pthread_mutex_lock(&service->lock);
    const struct job_figures copy = job->figures;
    (void)pthread_mutex_unlock(&service->lock);
    return copy;
}

/* On the engine's thread. */
struct look {
    const struct job *job;
    int               n_read;
};

static void see_read(void *user, struct service *service)
{
    struct look *const look = user;
    for (int i = 0; i < service->options.n_slots; i++)
        if (service->slots[i].job == look->job)
            look->n_read = calmoe_session_n_positions(service->slots[i].session);
}

int cm_service_n_read(struct service *service, const struct job *job)
{
    struct look look = {.job = job, .n_read = -1};
    return cm_service_call(service, see_read, &look) ? look.n_read : -1;
}

enum job_state cm_service_wait_begun(struct service *service, struct job *job, double seconds)
{
    const struct timespec until = deadline_in(seconds);
    int                   error = 0;
    (void)pthread_mutex_lock(&service->lock);
    while (error == 0 && job->state == JOB_QUEUED)
        error = pthread_cond_timedwait(&job->changed, &service->lock, &until);
    const enum job_state state = job->state;
    (void)pthread_mutex_unlock(&service->lock);
    return state;
}

static void cancel(struct service *service, struct job *job)
{
    job->is_cancelled = true;
    if (job->session != NULL) calmoe_session_interrupt(job->session); /* only this job's session */
    (void)pthread_cond_signal(&service->work);
}

void cm_service_cancel(struct service *service, struct job *job)
{
    (void)pthread_mutex_lock(&service->lock);
    if (job->state != JOB_OVER && job->state != JOB_NEW) cancel(service, job);
    (void)pthread_mutex_unlock(&service->lock);
}

void cm_service_release(struct service *service, struct job *job)
{
    if (job == NULL) return;
    (void)pthread_mutex_lock(&service->lock);
    if (job->state != JOB_OVER && job->state != JOB_NEW) cancel(service, job);
    const bool is_last = --job->n_holders == 0;
    (void)pthread_mutex_unlock(&service->lock);
    if (is_last) cm_job_free(job);
}

bool cm_service_call(struct service *service, void (*work)(void *user, struct service *service), void *user)
{
    struct service_call call = {.work = work, .user = user};
    (void)pthread_mutex_lock(&service->lock);
    call.is_refused = service->state == SERVICE_LOADING || service->state == SERVICE_FAILED || service->must_end;
    if (!call.is_refused) {
        call.next      = service->calls;
        service->calls = &call;
        (void)pthread_cond_signal(&service->work);
    }
    while (!call.is_done && !call.is_refused) (void)pthread_cond_wait(&service->changed, &service->lock);
    (void)pthread_mutex_unlock(&service->lock);
    return call.is_done;
}
