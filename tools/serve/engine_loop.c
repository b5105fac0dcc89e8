/* tools/serve/engine_loop.c - the engine's thread: loads the model, gives slots to jobs, steps all of them together,
 * and leaves their tokens with them. The lock is held between steps only. */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tools/serve/service_parts.h"

enum { TICK_SECONDS = 1 };

/* ---- loading ---- */

struct loading {
    struct service     *service;
    struct progress_bar bar;
};

static int go_on_loading(void *user, double fraction)
{
    struct loading *const loading = user;
    (void)pthread_mutex_lock(&loading->service->lock);
    const bool must_end = loading->service->must_end;
    (void)pthread_mutex_unlock(&loading->service->lock);
    return cm_bar_move(&loading->bar, fraction) != 0 || must_end;
}

/* Remembers the experts of the position whose logits choose a job's next token. */
static void see_routing(void *user, const calmoe_routing_event *event)
{
    struct service *const service = user;
    const int             n_used = service->model.n_experts_used;
    for (int i = 0; i < service->options.n_slots; i++) {
        struct slot *const slot = &service->slots[i];
        if (slot->session != event->session || slot->job == NULL || !slot->job->want.wants_routing ||
            event->position != slot->position)
            continue;
        for (int k = 0; k < event->n && k < n_used; k++)
            slot->routing[event->layer * n_used + k] = (int16_t)event->experts[k];
    }
}

static bool open_slots(struct service *service)
{
    const size_t n_slots = (size_t)service->options.n_slots;
    const size_t n_choices = (size_t)service->model.n_layers * (size_t)service->model.n_experts_used;
    service->n_events_room = (int)n_slots + MAX_CONTEXTS + 1; /* one is a copy in the making */
    service->slots  = calloc(n_slots, sizeof *service->slots);
    service->events = calloc((size_t)service->n_events_room, sizeof *service->events);
    service->widths = calloc((size_t)service->model.n_experts_used + 1, sizeof(calmoe_policy *));
    bool is_fine = service->slots != NULL && service->events != NULL && service->widths != NULL;
    for (size_t i = 0; is_fine && i < n_slots; i++) {
        service->slots[i].routing = calloc(n_choices + 1, sizeof(int16_t));
        is_fine = service->slots[i].routing != NULL;
    }
    if (!is_fine) cm_say("no memory for %zu slots of %d tokens", n_slots, service->context);
    return is_fine;
}

static bool load_adapters(struct service *service)
{
    struct adapters *const adapters = &service->adapters;
    if (!cm_adapters_open(&service->front, &service->options.loras, adapters)) return false;
    for (int i = 0; i < adapters->n; i++) {
        service->about[i].size = sizeof service->about[i];
        if (!cm_front_succeeded(&service->front, calmoe_adapter_get_info(adapters->open[i], &service->about[i])))
            return false;
    }
    struct refusal refusal = {0};
    if (cm_service_set_scales(service, adapters->scales, &refusal)) return true;
    cm_say("%s", refusal.message);
    return false;
}

static bool load(struct service *service)
{
    const struct service_options *const options = &service->options;
    struct front *const   front = &service->front;
    struct loading        loading = {.service = service};
    calmoe_engine_options engine = options->engine;
    if (!cm_model_request_open(front, options->model, &options->numbers,
                               cm_policy_request_fixed_width(&options->policy)))
        return false;
    service->model.size = sizeof service->model;
    if (!cm_front_succeeded(front, calmoe_model_get_info(front->model, &service->model))) return false;
    service->context = options->context != 0 ? options->context : service->model.context_length;
    service->position_bytes = (double)service->model.n_kept_values * (engine.kv_float32 ? 4.0 : 2.0);
    if (!open_slots(service)) return false;
    engine.ranks         = front->ranks;
    engine.routing       = see_routing;
    engine.routing_user  = service;
    engine.progress      = go_on_loading;
    engine.progress_user = &loading;
    cm_bar_begin(&loading.bar, "loading");
    const calmoe_status status = calmoe_engine_open(front->model, &engine, &front->engine);
    cm_bar_end(&loading.bar);
    front->is_as_one = status == CALMOE_OK;
    if (!cm_front_succeeded(front, status) ||
        !cm_front_succeeded(front, calmoe_engine_set_step_rows(front->engine, options->step_rows)) ||
        !cm_policy_request_open(front, &options->policy, &service->policy, &service->quality) ||
        !load_adapters(service))
        return false;
    if (!cm_policy_request_choose(front, &options->policy, !options->engine.no_tuning, service->policy)) return false;
    options->on_loaded(options->on_loaded_user, front->model);
    return true;
}

static void unload(struct service *service)
{
    for (int i = 0; service->slots != NULL && i < service->options.n_slots; i++) {
        calmoe_session_close(&service->slots[i].session);
        free(service->slots[i].routing);
    }
    for (int i = 0; i < MAX_CONTEXTS; i++) calmoe_session_close(&service->contexts[i].slot.session);
    for (int i = 0; service->widths != NULL && i <= service->model.n_experts_used; i++)
        calmoe_policy_close(&service->widths[i]);
    free(service->slots);
    free(service->events);
    free(service->widths);
    free(service->piece);
    calmoe_policy_close(&service->policy);
    cm_adapters_close(&service->adapters);
    cm_front_close(&service->front);
}

/* ---- ends of jobs ---- */

/* Called with the lock held; the engine's thread lets go of the job. */
static void tell_end(struct service *service, struct job *job, enum job_end end)
{
    job->end   = end;
    job->state = JOB_OVER;
    job->session = NULL;
    service->metrics.n_cancelled += end == JOB_CANCELLED;
    service->metrics.n_failed += end == JOB_FAILED && job->figures.begun > 0;
    (void)pthread_cond_broadcast(&job->changed);
    (void)pthread_cond_broadcast(&service->changed);
    if (--job->n_holders == 0) cm_job_free(job);
}

static void count_job(struct metrics *metrics, const struct job *job, const struct slot *slot)
{
    const struct job_figures *const figures = &job->figures;
    const double now = cm_seconds();
    metrics->n_prompt_tokens += (uint64_t)(job->want.n_tokens - figures->n_cached);
    metrics->n_cached_tokens += (uint64_t)figures->n_cached;
    metrics->n_predicted_tokens += (uint64_t)figures->n_generated;
    metrics->prompt_seconds += (figures->first > 0 ? figures->first : now) - figures->begun;
    if (figures->first > 0) metrics->predicted_seconds += figures->last - figures->first;
    const uint64_t n_tokens = (uint64_t)calmoe_session_n_tokens(slot->session);
    if (n_tokens > metrics->n_tokens_max) metrics->n_tokens_max = n_tokens;
    cm_histogram_add(&metrics->whole_request, now - job->submitted);
}

/* The lock is not held before and after. */
static void end_job(struct service *service, struct slot *slot, enum job_end end)
{
    struct job *const job = slot->job;
    (void)pthread_mutex_lock(&service->lock);
    job->session = NULL; /* nobody interrupts it from here on */
    (void)pthread_mutex_unlock(&service->lock);
    if (slot->session != NULL) cm_slot_end(slot);
    (void)pthread_mutex_lock(&service->lock);
    count_job(&service->metrics, job, slot);
    slot->job = NULL;
    service->n_active--;
    tell_end(service, job, end);
    (void)pthread_mutex_unlock(&service->lock);
}

static void fail_job(struct service *service, struct slot *slot, int status)
{
    const char *const message = calmoe_context_message(service->front.context);
    (void)pthread_mutex_lock(&service->lock);
    (void)cm_refuse(&slot->job->refusal, status, NULL, "%s", message[0] != '\0' ? message : "the engine failed");
    (void)pthread_mutex_unlock(&service->lock);
    end_job(service, slot, JOB_FAILED);
    cm_slot_clear(slot);
}

/* ---- tokens ---- */

/* Adds a record to what the client's thread will take. False: the client takes too little. */
static bool put_record(struct service *service, struct slot *slot, const struct job_token *token, const char *text,
                       const struct job_top *top)
{
    struct job *const job = slot->job;
    (void)pthread_mutex_lock(&service->lock);
    const size_t n_before = job->out.n;
    const bool is_fine = job->out.n <= service->options.max_unread_bytes &&
                         cm_bytes_append(&job->out, token, sizeof *token) &&
                         cm_bytes_append(&job->out, text, token->n_text) &&
                         cm_bytes_append(&job->out, top, (size_t)token->n_top * sizeof *top) &&
                         cm_bytes_append(&job->out, slot->routing, (size_t)token->n_routing * sizeof *slot->routing);
    job->out.n = is_fine ? job->out.n : n_before; /* never a part of a record */
    if (n_before > service->options.max_unread_bytes)
        (void)cm_refuse(&job->refusal, 500, NULL, "the client reads its answer too slowly: %zu bytes wait for it",
                        n_before);
    else if (!is_fine) (void)cm_refuse_memory(&job->refusal);
    if (job->state == JOB_READING && !token->is_prompt) job->state = JOB_ANSWERING;
    (void)pthread_cond_broadcast(&job->changed);
    (void)pthread_mutex_unlock(&service->lock);
    return is_fine;
}

/* Puts the text that the token adds into service->piece. -1: the end of the answer. */
static bool put_text(struct service *service, struct slot *slot, int32_t token)
{
    size_t n_bytes = 0;
    (void)calmoe_token_bytes(service->front.model, token, 1, &n_bytes);
    const size_t wanted = 4 * n_bytes + 1024;
    if (wanted > service->n_piece) {
        char *larger = realloc(service->piece, wanted);
        if (larger == NULL) return false;
        service->piece   = larger;
        service->n_piece = wanted;
    }
    return calmoe_text_stream_put(service->front.model, &slot->stream, token, service->piece, service->n_piece) ==
           CALMOE_OK;
}

static bool tell_prompt(struct service *service, struct slot *slot)
{
    const struct job_request *const want = &slot->job->want;
    struct job_top                  top[JOB_MAX_TOP];
    for (int i = 0; i < want->n_tokens; i++) {
        int32_t          ids[JOB_MAX_TOP];
        float            logprobs[JOB_MAX_TOP];
        struct job_token token = {.token = want->tokens[i], .is_prompt = true, .n_top = i > 0 ? want->n_top : 0,
                                  .has_logprob = i > 0};
        if (i > 0 && calmoe_session_kept_logprobs(slot->session, i, &token.logprob, token.n_top, ids, logprobs) !=
                         CALMOE_OK)
            return false;
        for (int k = 0; k < token.n_top; k++) top[k] = (struct job_top){ids[k], logprobs[k]};
        if (!put_record(service, slot, &token, "", top)) return false;
    }
    return true;
}

/* Fills in what is reported about the token besides its text. */
static bool describe(struct service *service, const struct slot *slot, struct job_token *token, struct job_top *top)
{
    const struct job_request *const want = &slot->job->want;
    calmoe_depth                    depth = {.size = sizeof depth};
    int32_t                         ids[JOB_MAX_TOP];
    float                           logprobs[JOB_MAX_TOP];
    (void)calmoe_session_depth(slot->session, -1, &depth);
    token->layers     = depth.layers;
    token->experts    = depth.experts;
    token->confidence = depth.confidence;
    if (want->wants_routing) token->n_routing = service->model.n_layers * service->model.n_experts_used;
    if (want->n_top == JOB_NO_LOGPROBS) return true;
    token->n_top       = want->n_top;
    token->has_logprob = true;
    if (calmoe_session_logprobs(slot->session, -1, token->token, &token->logprob, token->n_top, ids, logprobs) !=
        CALMOE_OK)
        return false;
    for (int k = 0; k < token->n_top; k++) top[k] = (struct job_top){ids[k], logprobs[k]};
    return true;
}

static void note_time(struct service *service, struct job *job)
{
    const double now = cm_seconds();
    (void)pthread_mutex_lock(&service->lock);
    if (job->figures.first > 0) cm_histogram_add(&service->metrics.between_tokens, now - job->figures.last);
    else cm_histogram_add(&service->metrics.first_token, now - job->submitted);
    if (job->figures.first <= 0) job->figures.first = now;
    job->figures.last = now;
    (void)pthread_mutex_unlock(&service->lock);
}

/* The text that is still held back at the end of an answer. */
static void put_rest(struct service *service, struct slot *slot)
{
    const struct job_token none = {.token = -1};
    const char            *shown;
    size_t                 n_shown;
    struct bytes           rest = {0};
    if (put_text(service, slot, -1) &&
        calmoe_stops_put(slot->job->want.stops, service->piece, strlen(service->piece), &shown, &n_shown, NULL) ==
            CALMOE_OK &&
        cm_bytes_append(&rest, shown, n_shown)) {
        calmoe_stops_end(slot->job->want.stops, &shown, &n_shown);
        struct job_token token = none;
        if (cm_bytes_append(&rest, shown, n_shown) && rest.n > 0) {
            token.n_text = rest.n;
            (void)put_record(service, slot, &token, rest.at, NULL);
        }
    }
    cm_bytes_close(&rest);
}

/* A control token has no text, and no stop text extends across it; so text that is held back comes before it. */
static calmoe_status put_stops(struct service *service, const struct slot *slot, int32_t id, const char **shown,
                               size_t *n_shown, int *which)
{
    calmoe_stops *const stops = slot->job->want.stops;
    size_t              n_plain = 0, n_special = 0;
    (void)calmoe_token_bytes(service->front.model, id, 0, &n_plain);
    (void)calmoe_token_bytes(service->front.model, id, 1, &n_special);
    if (n_plain > 0 || n_special == 0)
        return calmoe_stops_put(stops, service->piece, strlen(service->piece), shown, n_shown, which);
    calmoe_stops_end(stops, shown, n_shown);
    return CALMOE_OK;
}

/* Handles a new token of the answer. */
static void take_token(struct service *service, struct slot *slot, int32_t id)
{
    struct job *const               job = slot->job;
    const struct job_request *const want = &job->want;
    struct job_token                token = {.token = id};
    struct job_top                  top[JOB_MAX_TOP];
    const char                     *shown = "";
    const bool                      is_first = job->figures.first <= 0;
    note_time(service, job);
    if (is_first && want->echo_logprobs && !tell_prompt(service, slot)) {
        fail_job(service, slot, 500);
        return;
    }
    if (want->max_tokens == 0) {
        end_job(service, slot, JOB_LENGTH);
        return;
    }
    if (!want->ignore_end && calmoe_token_ends(service->front.model, id)) {
        put_rest(service, slot);
        end_job(service, slot, JOB_ENDED);
        return;
    }
    if (!describe(service, slot, &token, top) || !put_text(service, slot, id)) {
        fail_job(service, slot, 500);
        return;
    }
    int                 which = -1;
    const calmoe_status stops = put_stops(service, slot, id, &shown, &token.n_text, &which);
    const bool is_stopped = stops == CALMOE_END;
    if ((stops != CALMOE_OK && !is_stopped) || !put_record(service, slot, &token, shown, top)) {
        fail_job(service, slot, 500);
        return;
    }
    (void)pthread_mutex_lock(&service->lock);
    job->figures.n_generated++;
    if (is_stopped) job->figures.stop = which;
    job->figures.n_layers += (uint64_t)token.layers;
    job->figures.n_experts += (uint64_t)token.experts;
    (void)pthread_mutex_unlock(&service->lock);
    const bool is_long = (want->max_tokens >= 0 && job->figures.n_generated >= want->max_tokens) ||
                         (want->max_seconds > 0 && job->figures.last - job->figures.first >= want->max_seconds);
    if (!is_stopped && is_long) put_rest(service, slot);
    if (is_stopped || is_long) end_job(service, slot, is_stopped ? JOB_STOPPED : JOB_LENGTH);
}

static void take_event(struct service *service, const calmoe_event *event)
{
    struct slot *slot = NULL;
    for (int i = 0; i < service->options.n_slots; i++)
        if (service->slots[i].job != NULL && service->slots[i].session == event->session) slot = &service->slots[i];
    if (slot == NULL) return;
    if (event->status == CALMOE_OK || (event->status == CALMOE_END && event->token >= 0)) {
        take_token(service, slot, event->token);
    } else if (event->status == CALMOE_END && calmoe_session_logits(slot->session, 0) == NULL) {
        (void)pthread_mutex_lock(&service->lock);
        (void)cm_refuse(&slot->job->refusal, 500, NULL, "the engine read all tokens and had none to go on with");
        (void)pthread_mutex_unlock(&service->lock);
        fail_job(service, slot, 500);
    } else if (event->status == CALMOE_FULL || event->status == CALMOE_END) {
        put_rest(service, slot);
        end_job(service, slot, event->status == CALMOE_END ? JOB_ENDED : JOB_LENGTH);
    } else if (event->status == CALMOE_CANCELLED) {
        end_job(service, slot, JOB_CANCELLED);
    } else fail_job(service, slot, event->status == CALMOE_INVALID_ARGUMENT ? 400 : 500);
}

/* ---- steps ---- */

/* Gives up the job that needs most in a step that failed, so that the others can go on. */
static void give_up_one(struct service *service)
{
    struct slot *worst = NULL;
    int          most = -1;
    for (int i = 0; i < service->options.n_slots; i++) {
        struct slot *const slot = &service->slots[i];
        const int n = slot->job == NULL ? -1 : calmoe_session_n_tokens(slot->session) -
                                                   calmoe_session_n_positions(slot->session);
        if (n > most) worst = slot, most = n;
    }
    if (worst != NULL) fail_job(service, worst, 500);
}

/* Without the other ranks nothing can go on: all jobs fail with this sentence, and the server ends. */
static void lose_ranks(struct service *service)
{
    cm_say("%s", calmoe_context_message(service->front.context));
    (void)pthread_mutex_lock(&service->lock);
    service->state    = SERVICE_FAILED;
    service->must_end = true;
    (void)pthread_mutex_unlock(&service->lock);
    for (int i = 0; i < service->options.n_slots; i++)
        if (service->slots[i].job != NULL) fail_job(service, &service->slots[i], 503);
}

static void step(struct service *service)
{
    int n_events = 0, n_busy = 0;
    const size_t n_choices = (size_t)service->model.n_layers * (size_t)service->model.n_experts_used;
    for (int i = 0; i < service->options.n_slots; i++) {
        struct slot *const slot = &service->slots[i];
        n_busy += slot->job != NULL;
        slot->position = calmoe_session_n_tokens(slot->session) - 1;
        if (slot->job != NULL && slot->job->want.wants_routing)
            memset(slot->routing, -1, n_choices * sizeof *slot->routing);
    }
    const calmoe_status status =
        calmoe_engine_next(service->front.engine, service->events, service->n_events_room, &n_events);
    (void)pthread_mutex_lock(&service->lock);
    service->metrics.n_steps++;
    service->metrics.n_busy_slots += (uint64_t)n_busy;
    (void)pthread_mutex_unlock(&service->lock);
    if (status != CALMOE_OK && calmoe_ranks_are_lost(service->front.ranks)) lose_ranks(service);
    else if (status != CALMOE_OK) give_up_one(service);
    for (int i = 0; status == CALMOE_OK && i < n_events; i++) take_event(service, &service->events[i]);
}

/* ---- between steps; the lock is held before and after ---- */

static void run_calls(struct service *service)
{
    while (service->calls != NULL) {
        struct service_call *const call = service->calls;
        service->calls = call->next;
        (void)pthread_mutex_unlock(&service->lock);
        call->work(call->user, service);
        (void)pthread_mutex_lock(&service->lock);
        call->is_done = true;
        (void)pthread_cond_broadcast(&service->changed);
    }
}

static void begin_job(struct service *service, struct slot *slot, struct job *job)
{
    service->metrics.n_requests++;
    service->n_active++;
    (void)pthread_mutex_unlock(&service->lock);
    const bool is_begun = cm_slot_begin(service, slot, job);
    (void)pthread_mutex_lock(&service->lock);
    if (!is_begun) {
        service->n_active--;
        tell_end(service, job, JOB_FAILED);
        return;
    }
    slot->job    = job;
    job->session = slot->session;
    job->state   = JOB_READING;
    (void)pthread_cond_broadcast(&job->changed);
}

static void unlink_job(struct service *service, struct job **at)
{
    struct job *const job = *at;
    *at = job->next;
    if (*at == NULL) service->queue_end = at;
    job->next = NULL;
    service->n_queued--;
}

/* Gives slots to jobs in their order as long as there are any. Jobs that have waited too long, or for which nobody
 * waits any more, are removed. */
static void look_at_queue(struct service *service)
{
    const double limit = service->options.queue_seconds;
    for (struct job **at = &service->queue; *at != NULL;) {
        struct job *const  job = *at;
        const bool         is_late = limit > 0 && cm_seconds() - job->submitted > limit;
        struct slot *const slot = job->is_cancelled || is_late ? NULL : cm_slot_for(service, job);
        if (slot == NULL && !job->is_cancelled && !is_late) {
            at = &job->next;
            continue;
        }
        unlink_job(service, at);
        if (slot != NULL) {
            begin_job(service, slot, job);
            at = &service->queue; /* from the beginning, since the lock was released */
            continue;
        }
        service->metrics.n_timed_out += !job->is_cancelled;
        if (!job->is_cancelled) {
            job->refusal.retry_after = 1 + (int)limit;
            (void)cm_refuse(&job->refusal, 503, NULL, "no slot became free within %g seconds", limit);
        }
        tell_end(service, job, job->is_cancelled ? JOB_CANCELLED : JOB_FAILED);
    }
}

static void wait_for_work(struct service *service)
{
    struct timespec until;
    (void)clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += TICK_SECONDS;
    (void)pthread_cond_timedwait(&service->work, &service->lock, &until);
}

/* The lock is not held before and after. */
static void end_cancelled(struct service *service)
{
    for (int i = 0; i < service->options.n_slots; i++) {
        struct slot *const slot = &service->slots[i];
        (void)pthread_mutex_lock(&service->lock);
        const bool is_cancelled = slot->job != NULL && (slot->job->is_cancelled || service->must_end);
        (void)pthread_mutex_unlock(&service->lock);
        if (is_cancelled) end_job(service, slot, JOB_CANCELLED);
    }
}

static void serve(struct service *service)
{
    (void)pthread_mutex_lock(&service->lock);
    while (!service->must_end) {
        run_calls(service);
        look_at_queue(service);
        if (service->n_active == 0) {
            if (service->calls == NULL && !service->must_end) wait_for_work(service);
            continue;
        }
        (void)pthread_mutex_unlock(&service->lock);
        end_cancelled(service);
        if (service->n_active > 0) step(service);
        cm_slots_keep_budget(service);
        (void)pthread_mutex_lock(&service->lock);
    }
    while (service->queue != NULL) {
        struct job *const job = service->queue;
        unlink_job(service, &service->queue);
        (void)cm_refuse(&job->refusal, 503, NULL, "the server is shutting down");
        tell_end(service, job, JOB_FAILED);
    }
    run_calls(service);
    (void)pthread_mutex_unlock(&service->lock);
    end_cancelled(service);
}

void *cm_engine_thread(void *user)
{
    struct service *const service = user;
    const bool            is_loaded = load(service);
    (void)pthread_mutex_lock(&service->lock);
    if (service->state == SERVICE_LOADING) service->state = is_loaded ? SERVICE_READY : SERVICE_FAILED;
    (void)pthread_cond_broadcast(&service->changed);
    (void)pthread_mutex_unlock(&service->lock);
    if (is_loaded) serve(service);
    (void)pthread_mutex_lock(&service->lock);
    while (!service->must_unload) (void)pthread_cond_wait(&service->work, &service->lock); /* texts are still read */
    (void)pthread_mutex_unlock(&service->lock);
    unload(service);
    return NULL;
}
