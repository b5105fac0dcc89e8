/* tools/serve/slots.c - sessions that are kept, and which one a prompt begins with.
 *
 * A slot keeps the session of its last job, with everything that it has read. The next prompt continues from the slot
 * with which it shares the longest beginning. If that slot is busy, or would lose most of what it keeps, its session is
 * copied. Tokens that were read under a policy are not what reading a prompt would give, so prompts do not continue
 * from them. */
#include "tools/serve/service_parts.h"

enum { WORTH_A_COPY = 32 }; /* tokens that must be shared for a session to be copied */

/* ---- which slot ---- */

/* The number of the slot's tokens from which a prompt may continue. */
static int n_exact(const struct slot *slot)
{
    if (slot->job == NULL || slot->session == NULL) return slot->n_exact;
    const int n_read = calmoe_session_n_positions(slot->session), n_prompt = slot->job->want.n_tokens;
    return calmoe_session_rung(slot->session) >= 0 && n_read > n_prompt ? n_prompt : n_read;
}

static float scale_of(const calmoe_session *session, const calmoe_adapter *adapter)
{
    calmoe_adapter *used;
    float           scale;
    for (int i = 0; i < calmoe_session_n_adapters(session); i++)
        if (calmoe_session_adapter(session, i, &used, &scale) == CALMOE_OK && used == adapter) return scale;
    return 0;
}

/* Tokens that were read with other adapters cannot be used. */
static bool has_same_adapters(const struct service *service, const struct slot *slot, const struct job *job)
{
    for (int i = 0; i < service->adapters.n; i++)
        if (scale_of(slot->session, service->adapters.open[i]) != job->want.scales[i]) return false;
    return true;
}

/* How many of the prompt's first tokens the slot has read; the last one is always read anew, for its logits. */
static int n_shared(const struct service *service, const struct slot *slot, const struct job *job)
{
    const struct job_request *const want = &job->want;
    const int32_t *const            tokens = calmoe_session_tokens(slot->session);
    int                             most = slot->session != NULL ? n_exact(slot) : 0, n = 0;
    if (!want->uses_cache || want->echo_logprobs || !has_same_adapters(service, slot, job)) return 0;
    if (most > want->n_tokens - 1) most = want->n_tokens - 1;
    while (n < most && tokens[n] == want->tokens[n]) n++;
    return n;
}

struct choice {
    struct slot *slot;   /* takes the job; NULL: none is free       */
    struct slot *source; /* its session is copied first; or NULL    */
    int          n_shared;
};

static int n_kept(const struct slot *slot) { return calmoe_session_n_tokens(slot->session); }

/* The idle slot, but for one, that is missed least: an empty one, else the one that was used longest ago. */
static struct slot *least_missed(struct service *service, const struct slot *but)
{
    struct slot *best = NULL;
    for (int i = 0; i < service->options.n_slots; i++) {
        struct slot *const slot = &service->slots[i];
        if (slot->job != NULL || slot == but) continue;
        if (best == NULL || (n_kept(slot) == 0 && n_kept(best) > 0) ||
            ((n_kept(slot) == 0) == (n_kept(best) == 0) && slot->last_used < best->last_used))
            best = slot;
    }
    return best;
}

static struct choice choose(struct service *service, const struct job *job)
{
    struct slot *idle = NULL, *any = NULL;
    int          n_idle = 0, n_any = 0;
    for (int i = 0; i < service->options.n_slots; i++) {
        struct slot *const slot = &service->slots[i];
        const int          n = n_shared(service, slot, job);
        if (n > n_any) any = slot, n_any = n;
        if (slot->job != NULL || n == 0 || n < n_idle || (n == n_idle && n_kept(idle) <= n_kept(slot))) continue;
        idle   = slot; /* of slots that share equally much, the one that loses least */
        n_idle = n;
    }
    for (int i = 0; i < MAX_CONTEXTS; i++) {
        struct slot *const kept = &service->contexts[i].slot;
        const int          n = n_shared(service, kept, job);
        if (n > n_any) any = kept, n_any = n;
    }
    if (job->want.slot >= 0) {
        struct slot *const slot = &service->slots[job->want.slot];
        return (struct choice){.slot = slot->job == NULL ? slot : NULL, .n_shared = n_shared(service, slot, job)};
    }
    struct slot *const spare = least_missed(service, idle);
    if (idle != NULL && n_any - n_idle < WORTH_A_COPY) {
        const bool loses_most = n_kept(idle) > 2 * n_idle + WORTH_A_COPY;
        if (!loses_most || spare == NULL) return (struct choice){.slot = idle, .n_shared = n_idle};
        return (struct choice){.slot = spare, .source = n_idle >= WORTH_A_COPY ? idle : NULL,
                               .n_shared = n_idle >= WORTH_A_COPY ? n_idle : n_shared(service, spare, job)};
    }
    if (spare == NULL) return (struct choice){.slot = idle, .n_shared = n_idle};
    if (n_any >= WORTH_A_COPY) return (struct choice){.slot = spare, .source = any, .n_shared = n_any};
    return (struct choice){.slot = spare, .n_shared = n_shared(service, spare, job)};
}

struct slot *cm_slot_for(struct service *service, const struct job *job) { return choose(service, job).slot; }

/* ---- beginning and end of a job ---- */

void cm_slot_clear(struct slot *slot)
{
    calmoe_session_close(&slot->session);
    slot->n_exact = 0;
}

static calmoe_status open_session(struct service *service, struct slot *slot)
{
    calmoe_session_options options;
    calmoe_session_options_init(&options);
    options.context    = service->context;
    options.ignore_end = 1; /* the service decides where an answer ends */
    return calmoe_session_open(service->front.engine, &options, &slot->session);
}

/* A session that has read exactly the first n tokens of the prompt. */
static calmoe_status prepare_session(struct service *service, struct slot *slot, struct slot *source, int *n)
{
    if (source != NULL) {
        calmoe_session *copy = NULL;
        if (calmoe_session_fork(source->session, &copy) == CALMOE_OK) {
            cm_slot_clear(slot);
            slot->session = copy;
        } else *n = 0; /* no memory for a copy: the prompt is read from its beginning */
    }
    if (slot->session == NULL) {
        *n = 0;
        return open_session(service, slot);
    }
    return calmoe_session_rewind(slot->session, *n);
}

/* The policy with `width` experts, made when it is first needed. */
static calmoe_status width_policy(struct service *service, int width, const calmoe_policy **policy)
{
    calmoe_policy_options options;
    calmoe_status         status = CALMOE_OK;
    calmoe_policy_options_init(&options);
    options.width   = "fixed";
    options.width_k = width;
    if (service->widths[width] == NULL)
        status = calmoe_policy_make(service->front.model, &options, &service->widths[width]);
    *policy = service->widths[width];
    return status;
}

static bool uses_adapters(const struct job_request *want)
{
    bool uses = false;
    for (int i = 0; i < CALMOE_MAX_ADAPTERS; i++) uses |= want->scales[i] != 0.0f;
    return uses;
}

/* Sets the adapters; if they change, the session has no tokens. */
static calmoe_status set_adapters(struct service *service, struct slot *slot, const struct job_request *want)
{
    const calmoe_status status = calmoe_session_set_policy(slot->session, NULL, 0.0);
    if (status != CALMOE_OK) return status;
    return calmoe_session_set_adapters(slot->session, service->adapters.open, want->scales, service->adapters.n);
}

static calmoe_status set_policy(struct service *service, struct slot *slot, const struct job_request *want)
{
    const calmoe_policy *policy = service->policy;
    double               quality = service->quality;
    if (want->n_experts > 0) {
        const calmoe_status status = width_policy(service, want->n_experts, &policy);
        if (status != CALMOE_OK) return status;
        quality = 0.0;
    } else if (want->quality >= 0.0) {
        quality = want->quality;
        if (quality == 0.0) policy = NULL;
    } else if (uses_adapters(want)) {
        policy  = NULL; /* the server's policy is for the model without adapters */
        quality = 0.0;
    }
    return calmoe_session_set_policy(slot->session, policy, quality);
}

/* Sets what the job wants of the session besides its tokens. */
static calmoe_status set_up(struct service *service, struct slot *slot, const struct job_request *want)
{
    calmoe_status status = calmoe_session_set_sampler(slot->session, &want->sampler);
    /* From here on it contains more than the text that it may come from. */
    if (status == CALMOE_OK) status = calmoe_session_set_source(slot->session, NULL);
    if (status == CALMOE_OK && service->adapters.n > 0) status = set_adapters(service, slot, want);
    if (status == CALMOE_OK) status = set_policy(service, slot, want);
    if (status == CALMOE_OK) status = calmoe_session_will_return(slot->session, want->returns, want->n_returns);
    if (status != CALMOE_OK || !want->echo_logprobs) return status;
    return calmoe_session_keep_logprobs(slot->session, want->n_top > 0 ? want->n_top : 0);
}

bool cm_slot_begin(struct service *service, struct slot *slot, struct job *job)
{
    const struct job_request *const want = &job->want;
    const struct choice             choice = choose(service, job);
    int                             n = choice.slot == slot ? choice.n_shared : 0;
    calmoe_status status = prepare_session(service, slot, choice.slot == slot ? choice.source : NULL, &n);
    if (status == CALMOE_OK) status = set_up(service, slot, want);
    const int n_cached = status == CALMOE_OK ? calmoe_session_n_positions(slot->session) : 0;
    if (status == CALMOE_OK)
        status = calmoe_session_feed_tokens(slot->session, want->tokens + n, (size_t)(want->n_tokens - n));
    if (status != CALMOE_OK) {
        const int http = status == CALMOE_INVALID_ARGUMENT ? 400 : status == CALMOE_UNSUPPORTED ? 501 : 500;
        (void)cm_refuse(&job->refusal, http, NULL, "%s", calmoe_context_message(service->front.context));
        cm_slot_clear(slot); /* it must not keep what belongs to the job */
        return false;
    }
    slot->stream    = (calmoe_text_stream){{0}};
    slot->last_used = ++service->n_jobs;
    job->figures    = (struct job_figures){.slot = (int)(slot - service->slots), .stop = -1, .begun = cm_seconds(),
                                           .n_cached = n < n_cached ? n : n_cached,
                                           .rung = calmoe_session_rung(slot->session)};
    return true;
}

void cm_slot_end(struct slot *slot)
{
    const int n_read = calmoe_session_n_positions(slot->session), exact = n_exact(slot);
    slot->n_exact = exact < n_read ? exact : n_read;
    if (slot->job->want.echo_logprobs) (void)calmoe_session_keep_logprobs(slot->session, -1);
    /* The constraint belongs to the job and will be closed with it. */
    if (slot->job->constraint != NULL && calmoe_session_set_sampler(slot->session, NULL) != CALMOE_OK) {
        cm_slot_clear(slot);
        return;
    }
    /* Removes pending tokens, and ends an interruption. */
    if (calmoe_session_rewind(slot->session, n_read) != CALMOE_OK) cm_slot_clear(slot);
}

void cm_slots_keep_budget(struct service *service)
{
    for (;;) {
        struct slot *oldest = NULL;
        double       bytes = 0;
        for (int i = 0; i < service->options.n_slots + MAX_CONTEXTS; i++) {
            const int          n = i - service->options.n_slots;
            struct slot *const slot = n < 0 ? &service->slots[i] : &service->contexts[n].slot;
            if (slot->job != NULL || n_kept(slot) == 0) continue;
            bytes += n_kept(slot) * service->position_bytes;
            if (oldest == NULL || slot->last_used < oldest->last_used) oldest = slot;
        }
        if (oldest == NULL || bytes <= service->options.cache_bytes) return;
        cm_slot_clear(oldest);
    }
}
