/* runtime/api/profile.c - calmoe_profile: taken from an engine, read, merged, written, and asked. */
#include <math.h>
#include <string.h>

#include "base/memory.h"
#include "base/options.h"
#include "runtime/api/hand_out.h"
#include "runtime/engine/engine_work.h"
#include "runtime/engine/handles.h"
#include "runtime/stats/exposition.h"
#include "runtime/stats/use_measures.h"

_Static_assert((int)CALMOE_REUSE_BINS == (int)PROFILE_REUSE_BINS, "bins of the API and of the file");
_Static_assert((int)CM_MAX_NODES == (int)PROFILE_MAX_NODES, "nodes of the machine and of the file");

/* ---- from an engine ---- */

static calmoe_status check_engine(const calmoe_engine *engine, const char *call)
{
    if (!engine) return cm_fail(NULL, CALMOE_INVALID_ARGUMENT, "%s: an engine is needed", call);
    if (engine->profiler) return CALMOE_OK;
    return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT, "%s: the engine was opened without the option profile", call);
}

calmoe_status calmoe_engine_profile_domain(calmoe_engine *engine, const char *name)
{
    CM_TRY(check_engine(engine, "calmoe_engine_profile_domain"));
    cm_engine_profile_work(engine);
    return cm_profiler_begin(engine->profiler, name ? name : "");
}

static calmoe_status new_profile(calmoe_context *ctx, calmoe_profile **out)
{
    calmoe_profile *profile = cm_alloc(ctx, 1, sizeof *profile, "a profile");
    if (!profile) return CALMOE_NO_MEMORY;
    profile->ctx = ctx;
    *out = profile;
    return CALMOE_OK;
}

calmoe_status calmoe_engine_get_profile(calmoe_engine *engine, calmoe_profile **out)
{
    calmoe_profile *copy;
    if (out) *out = NULL;
    CM_TRY(check_engine(engine, "calmoe_engine_get_profile"));
    if (!out) return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT, "calmoe_engine_get_profile: out is needed");
    cm_engine_profile_work(engine);
    CM_TRY(cm_profiler_fold(engine->profiler));
    const struct profile *done = &engine->profiler->done;
    if (done->n_domains == 0)
        return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT, "no token has been counted yet, so there is no profile");
    CM_TRY(new_profile(engine->ctx, &copy));
    copy->data = (struct profile){.n_layers = done->n_layers, .n_experts = done->n_experts, .n_used = done->n_used};
    memcpy(copy->data.fingerprint, done->fingerprint, sizeof copy->data.fingerprint);
    const calmoe_status status = cm_profile_merge(engine->ctx, &copy->data, done);
    if (status != CALMOE_OK) calmoe_profile_close(&copy);
    *out = copy;
    return status;
}

/* ---- files ---- */

calmoe_status calmoe_profile_open(calmoe_context *ctx, const char *path, calmoe_profile **out)
{
    calmoe_profile *profile;
    if (out) *out = NULL;
    if (!ctx || !path || !out)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_profile_open: context, path and out are needed");
    CM_TRY(new_profile(ctx, &profile));
    const calmoe_status status = cm_profile_read(ctx, path, &profile->data);
    if (status != CALMOE_OK) calmoe_profile_close(&profile);
    *out = profile;
    return status;
}

void calmoe_profile_close(calmoe_profile **profile)
{
    if (!profile || !*profile) return;
    cm_profile_close(&(*profile)->data);
    cm_free(*profile);
    *profile = NULL;
}

calmoe_status calmoe_profile_merge(calmoe_profile *into, const calmoe_profile *more)
{
    if (!into || !more || into == more)
        return cm_fail(into ? into->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_profile_merge: two different profiles are needed");
    return cm_profile_merge(into->ctx, &into->data, &more->data);
}

calmoe_status calmoe_profile_write(const calmoe_profile *profile, const char *path)
{
    if (!profile || !path)
        return cm_fail(profile ? profile->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_profile_write: profile and path are needed");
    return cm_profile_write(profile->ctx, path, &profile->data);
}

/* ---- asking ---- */

/* first: the lowest domain or layer that the call takes, 0 or -1. */
static calmoe_status check_place(const calmoe_profile *profile, const void *out, int domain, int first_domain,
                                 int layer, int first_layer, const char *call)
{
    calmoe_context *ctx = profile ? profile->ctx : NULL;
    if (!profile || !out) return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "%s: a profile and room for the answer are"
        " needed", call);
    if (domain < first_domain || domain >= profile->data.n_domains || layer < first_layer ||
        layer >= profile->data.n_layers)
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "%s: domain %d, layer %d; the profile has %d domains, %d layers",
                       call, domain, layer, profile->data.n_domains, profile->data.n_layers);
    return CALMOE_OK;
}

static calmoe_status check_size(const calmoe_profile *profile, size_t size, const char *call)
{
    if (size >= sizeof(size_t)) return CALMOE_OK;
    return cm_fail(profile->ctx, CALMOE_INVALID_ARGUMENT, "%s: the answer's size is not set", call);
}

calmoe_status calmoe_profile_get_info(const calmoe_profile *profile, calmoe_profile_info *out)
{
    CM_TRY(check_place(profile, out, 0, 0, 0, 0, "calmoe_profile_get_info"));
    CM_TRY(check_size(profile, out->size, "calmoe_profile_get_info"));
    const struct profile *data = &profile->data;
    calmoe_profile_info   info = {.n_layers = data->n_layers, .n_experts = data->n_experts, .n_used = data->n_used,
                                  .n_domains = data->n_domains};
    memcpy(info.fingerprint, data->fingerprint, sizeof info.fingerprint);
    cm_options_give(out, &info, sizeof info);
    return CALMOE_OK;
}

calmoe_status calmoe_profile_get_domain(const calmoe_profile *profile, int i, calmoe_profile_domain *out)
{
    if (profile && i >= profile->data.n_domains) return CALMOE_END;
    CM_TRY(check_place(profile, out, i, 0, 0, 0, "calmoe_profile_get_domain"));
    CM_TRY(check_size(profile, out->size, "calmoe_profile_get_domain"));
    const struct profile_domain *it = &profile->data.domains[i];
    calmoe_profile_domain        domain = {.name = it->name, .n_tokens = it->n_tokens, .tokens = it->tokens,
                                           .weights = it->weights, .reuse = it->reuse, .exits = it->exits,
                                           .used = it->used, .n_steps = it->work.n_steps,
                                           .waited_seconds = it->work.waited, .n_expert_bytes = it->work.expert_bytes,
                                           .n_head_bytes = it->work.head_bytes, .n_dense_bytes = it->work.dense_bytes};
    cm_options_give(out, &domain, sizeof domain);
    return CALMOE_OK;
}

calmoe_status calmoe_profile_get_phases(const calmoe_profile *profile, int domain, double *seconds, int n)
{
    CM_TRY(check_place(profile, profile, domain, 0, 0, 0, "calmoe_profile_get_phases"));
    if (n < 0) return cm_fail(profile->ctx, CALMOE_INVALID_ARGUMENT, "calmoe_profile_get_phases: %d phases", n);
    cm_hand_out_phases(profile->data.domains[domain].work.seconds, NULL, seconds, NULL, n);
    return CALMOE_OK;
}

calmoe_status calmoe_profile_get_node(const calmoe_profile *profile, int domain, int i, calmoe_node_stats *out)
{
    CM_TRY(check_place(profile, out, domain, 0, 0, 0, "calmoe_profile_get_node"));
    CM_TRY(check_size(profile, out->size, "calmoe_profile_get_node"));
    const struct profile_work *work = &profile->data.domains[domain].work;
    if (i < 0) return cm_fail(profile->ctx, CALMOE_INVALID_ARGUMENT, "calmoe_profile_get_node: node %d", i);
    if (i >= work->n_nodes) return CALMOE_END;
    cm_hand_out_node(&work->nodes[i], out);
    return CALMOE_OK;
}

calmoe_status calmoe_profile_get_node_phases(const calmoe_profile *profile, int domain, int i, double *seconds,
                                             uint64_t *n_bytes, int n)
{
    CM_TRY(check_place(profile, profile, domain, 0, 0, 0, "calmoe_profile_get_node_phases"));
    if (i < 0 || n < 0)
        return cm_fail(profile->ctx, CALMOE_INVALID_ARGUMENT, "calmoe_profile_get_node_phases: node %d, %d phases", i,
                       n);
    const struct profile_work *work = &profile->data.domains[domain].work;
    if (i >= work->n_nodes) return CALMOE_END;
    cm_hand_out_phases(work->nodes[i].seconds, work->nodes[i].bytes, seconds, n_bytes, n);
    return CALMOE_OK;
}

calmoe_status calmoe_profile_get_pair(const calmoe_profile *profile, int domain, int layer, int i,
                                      calmoe_expert_pair *out)
{
    CM_TRY(check_place(profile, out, domain, 0, layer, 0, "calmoe_profile_get_pair"));
    const struct profile_domain *it = &profile->data.domains[domain];
    if (i < 0) return cm_fail(profile->ctx, CALMOE_INVALID_ARGUMENT, "calmoe_profile_get_pair: pair %d", i);
    if (i >= it->n_pairs[layer]) return CALMOE_END;
    const struct profile_pair *pair = &it->pairs[(size_t)layer * PROFILE_MAX_PAIRS + (size_t)i];
    *out = (calmoe_expert_pair){pair->a, pair->b, pair->n_tokens};
    return CALMOE_OK;
}

static const uint64_t *counts_of(const struct profile *data, int domain, int layer)
{
    return data->domains[domain].tokens + (size_t)layer * (size_t)data->n_experts;
}

calmoe_status calmoe_profile_get_load(const calmoe_profile *profile, int domain, int layer, calmoe_expert_load *out)
{
    CM_TRY(check_place(profile, out, domain, -1, layer, 0, "calmoe_profile_get_load"));
    CM_TRY(check_size(profile, out->size, "calmoe_profile_get_load"));
    const struct profile *data = &profile->data;
    uint64_t              counts[PROFILE_MAX_EXPERTS] = {0};
    const int             n = data->n_experts;
    for (int d = domain < 0 ? 0 : domain; d < (domain < 0 ? data->n_domains : domain + 1); d++)
        for (int e = 0; e < n; e++) counts[e] += counts_of(data, d, layer)[e];
    calmoe_expert_load load = {.peak = cm_use_peak(counts, n), .entropy = cm_use_entropy(counts, n),
                               .n_dead = cm_use_dead(counts, n)};
    for (int e = 1; e < n; e++)
        if (counts[e] > counts[load.busiest]) load.busiest = e;
    load.gini = cm_use_gini(counts, n);
    cm_options_give(out, &load, sizeof load);
    return CALMOE_OK;
}

calmoe_status calmoe_profile_get_similarity(const calmoe_profile *profile, int domain, int other, int layer,
                                            double *cosine)
{
    CM_TRY(check_place(profile, cosine, domain, 0, layer, -1, "calmoe_profile_get_similarity"));
    CM_TRY(check_place(profile, cosine, other, 0, layer, -1, "calmoe_profile_get_similarity"));
    const struct profile *data = &profile->data;
    const int             begin = layer < 0 ? 0 : layer, end = layer < 0 ? data->n_layers : layer + 1;
    int                   n = 0;
    *cosine = 0;
    for (int l = begin; l < end; l++) {
        const uint64_t *counts = counts_of(data, domain, l), *others = counts_of(data, other, l);
        if (cm_use_dead(counts, data->n_experts) == data->n_experts &&
            cm_use_dead(others, data->n_experts) == data->n_experts)
            continue;
        *cosine += cm_use_cosine(counts, others, data->n_experts);
        n++;
    }
    if (n > 0) *cosine /= n;
    return CALMOE_OK;
}

/* ---- specialists ---- */

/* sums[d]: uses of experts of the layer. */
static void sum_uses(const struct profile *data, int layer, double *sums)
{
    for (int d = 0; d < data->n_domains; d++) {
        const uint64_t *counts = counts_of(data, d, layer);
        sums[d] = 0;
        for (int e = 0; e < data->n_experts; e++) sums[d] += (double)counts[e];
    }
}

static double share_of(const struct profile *data, const double *sums, int domain, int layer, int expert)
{
    return sums[domain] > 0 ? (double)counts_of(data, domain, layer)[expert] / sums[domain] : 0;
}

/* Puts it where it belongs among the *n_found best, of which n are kept. */
static void insert(calmoe_specialist *best, int n, int *n_found, const calmoe_specialist *it)
{
    int at = *n_found;
    while (at > 0 && best[at - 1].bits < it->bits) at--;
    if (at == n) return;
    const int last = *n_found < n ? (*n_found)++ : n - 1;
    for (int i = last; i > at; i--) best[i] = best[i - 1];
    best[at] = *it;
}

calmoe_status calmoe_profile_get_specialists(const calmoe_profile *profile, int domain, calmoe_specialist *specialists,
                                             int n, int *n_found)
{
    CM_TRY(check_place(profile, n_found, domain, 0, 0, 0, "calmoe_profile_get_specialists"));
    if (n < 0 || (!specialists && n > 0))
        return cm_fail(profile->ctx, CALMOE_INVALID_ARGUMENT, "calmoe_profile_get_specialists: room for %d is needed",
                       n);
    const struct profile *data = &profile->data;
    double                sums[PROFILE_MAX_DOMAINS];
    *n_found = 0;
    for (int layer = 0; layer < data->n_layers; layer++) {
        sum_uses(data, layer, sums);
        for (int expert = 0; expert < data->n_experts; expert++) {
            calmoe_specialist it = {.layer = layer, .expert = expert};
            double            mean = 0;
            it.share = share_of(data, sums, domain, layer, expert);
            if (!(it.share > 0)) continue;
            for (int d = 0; d < data->n_domains; d++) mean += share_of(data, sums, d, layer, expert) / data->n_domains;
            it.lift = it.share / mean;
            it.bits = it.share * log2(it.lift);
            if (it.bits > 1e-12) insert(specialists, n, n_found, &it); /* not what rounding made of a lift of 1 */
        }
    }
    return CALMOE_OK;
}

calmoe_status calmoe_profile_get_text(const calmoe_profile *profile, char *text, size_t capacity, size_t *n_text)
{
    CM_TRY(check_place(profile, n_text, 0, 0, 0, 0, "calmoe_profile_get_text"));
    if (!text && capacity > 0)
        return cm_fail(profile->ctx, CALMOE_INVALID_ARGUMENT, "calmoe_profile_get_text: text of the capacity is"
            " needed");
    struct exposition out = {.text = text, .capacity = capacity};
    cm_expose_profile(&out, &profile->data);
    return cm_exposition_end(&out, profile->ctx, n_text);
}
