/* runtime/engine/adapters.c - adapters of an engine, and which of them a session uses.
 *
 * An engine's adapters stand in the order of their fingerprints, in which steps add them, so a session's bits do not
 * depend on the order in which adapters were opened. An adapter that was closed stays for as long as a session uses
 * it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include <calmoe/ranks.h>

#include "base/memory.h"
#include "base/options.h"
#include "runtime/adapters/adapter_reader.h"
#include "runtime/engine/adapters.h"
#include "runtime/engine/engine_ranks.h"
#include "runtime/engine/followers.h"

/* ---- an engine's ---- */

static calmoe_status reserve(calmoe_engine *engine)
{
    struct engine_adapters *all = &engine->adapters;
    if (all->n < all->capacity) return CALMOE_OK;
    const int capacity = all->capacity > 0 ? 2 * all->capacity : 8;
    calmoe_adapter **adapters = cm_alloc(engine->ctx, (size_t)capacity, sizeof *adapters, "adapters");
    const struct low_rank_set **sets = cm_alloc(engine->ctx, (size_t)capacity, sizeof *sets, "adapters");
    if (!adapters || !sets) {
        cm_free(adapters);
        cm_free(sets);
        return CALMOE_NO_MEMORY;
    }
    for (int i = 0; i < all->n; i++) {
        adapters[i] = all->adapters[i];
        sets[i] = all->sets[i];
    }
    cm_free(all->adapters);
    cm_free(all->sets);
    all->adapters = adapters;
    all->sets = sets;
    all->capacity = capacity;
    return CALMOE_OK;
}

/* Into its place in the order. */
static void enter(struct engine_adapters *all, calmoe_adapter *adapter)
{
    int at = all->n++;
    for (; at > 0 && strcmp(all->adapters[at - 1]->about.fingerprint, adapter->about.fingerprint) > 0; at--) {
        all->adapters[at] = all->adapters[at - 1];
        all->sets[at] = all->sets[at - 1];
    }
    all->adapters[at] = adapter;
    all->sets[at] = &adapter->weights.set;
    adapter->number = ++all->n_opened;
}

void cm_adapter_drop(calmoe_adapter *adapter)
{
    struct engine_adapters *all = &adapter->engine->adapters;
    struct followers *followers = adapter->engine->followers;
    int kept = 0;
    if (followers && adapter->number > 0) cm_followers_drop_adapter(followers, adapter->number);
    for (int i = 0; i < all->n; i++) {
        if (all->adapters[i] == adapter) continue;
        all->sets[kept] = all->sets[i];
        all->adapters[kept++] = all->adapters[i];
    }
    all->n = kept;
    cm_adapter_weights_close(&adapter->weights);
    cm_free(adapter->prefix.numbers);
    cm_free(adapter->path);
    cm_free(adapter->name);
    cm_free(adapter);
}

static void release(calmoe_adapter *adapter)
{
    if (--adapter->n_users == 0) cm_adapter_drop(adapter);
}

void cm_engine_close_adapters(calmoe_engine *engine)
{
    cm_free(engine->adapters.adapters);
    cm_free(engine->adapters.sets);
    engine->adapters = (struct engine_adapters){0};
}

/* What stays known of it when its numbers are packed; and its prefix, which is the adapter's from now on. */
static calmoe_status describe(calmoe_adapter *adapter, struct adapter *read, const char *path)
{
    const size_t    n_prefix = (size_t)read->prefix.n_positions * cm_prefix_n_floats(&read->prefix);
    calmoe_context *ctx = adapter->engine->ctx;
    adapter->path = cm_copy_text(ctx, path, strlen(path));
    adapter->name = cm_copy_text(ctx, read->name, strlen(read->name));
    if (!adapter->path || !adapter->name) return CALMOE_NO_MEMORY;
    adapter->prefix = read->prefix;
    read->prefix = (struct adapter_prefix){0};
    adapter->about = (calmoe_adapter_info){.path = adapter->path, .name = adapter->name, .kind = read->kind,
                                           .n_changes = read->n_pairs, .rank = read->rank,
                                           .alpha = (double)read->alpha, .n_parameters = read->n_parameters,
                                           .n_bytes = adapter->weights.packed.n_bytes + n_prefix * sizeof(float),
                                           .n_virtual_tokens = adapter->prefix.n_positions};
    memcpy(adapter->about.fingerprint, read->fingerprint, sizeof adapter->about.fingerprint);
    return CALMOE_OK;
}

/* found (ranks + 1, pairs): this rank's first, then room for all ranks'. */
static calmoe_status open_parts(calmoe_engine *engine, const char *path, struct adapter **read, uint64_t **found,
                                calmoe_adapter *out)
{
    const struct adapter_model model = {engine->model->file, &engine->model->spec, engine->model->path};
    CM_TRY(reserve(engine));
    CM_TRY(cm_adapter_open(engine->ctx, &model, path, read));
    const size_t n_ranks = (size_t)calmoe_ranks_count(engine->options.ranks);
    *found = cm_alloc(engine->ctx, (n_ranks + 1) * (size_t)(*read)->n_pairs, sizeof **found, "an adapter");
    if (!*found) return CALMOE_NO_MEMORY;
    CM_TRY(cm_adapter_weights_open(&engine->machine, engine->weights, *read, *found, &out->weights));
    return describe(out, *read, path);
}

/* Each of several ranks has read the same adapter, and found it in its own part of the matrices. */
static calmoe_status check_together(calmoe_engine *engine, const struct adapter *read, uint64_t *found)
{
    const size_t n_pairs = (size_t)read->n_pairs;
    uint64_t    *all = found + n_pairs;
    size_t       sizes[CM_MAX_RANKS];
    for (int rank = 0; rank < engine->shares.n_ranks; rank++) sizes[rank] = n_pairs * sizeof *found;
    CM_TRY(cm_ranks_gather(engine->options.ranks->ranks, found, sizes, all, -1));
    for (int rank = 0; rank < engine->shares.n_ranks; rank++, all += n_pairs)
        for (size_t i = 0; i < n_pairs && rank != engine->shares.own; i++) found[i] += all[i];
    return cm_adapter_weights_check(engine->ctx, read, found);
}

static calmoe_status open_adapter(calmoe_engine *engine, const char *path, calmoe_adapter *out)
{
    struct adapter *read = NULL;
    uint64_t       *found = NULL;
    char            text[CM_RANK_TEXT];
    calmoe_status   status = open_parts(engine, path, &read, &found, out);
    if (engine->machine.exchange) {
        snprintf(text, sizeof text, "the adapter %s", status == CALMOE_OK ? read->fingerprint : "");
        status = cm_engine_agree(engine, status, text);
        if (status == CALMOE_OK) status = check_together(engine, read, found);
    }
    cm_free(found);
    cm_adapter_close(&read);
    return status;
}

calmoe_status cm_adapter_open_here(calmoe_engine *engine, const char *path, calmoe_adapter **out)
{
    calmoe_adapter *adapter = cm_alloc(engine->ctx, 1, sizeof *adapter, "an adapter");
    if (!adapter) return CALMOE_NO_MEMORY;
    adapter->engine = engine;
    adapter->n_users = 1; /* who opened it */
    const calmoe_status status = open_adapter(engine, path, adapter);
    if (status != CALMOE_OK) {
        cm_adapter_drop(adapter);
        return status;
    }
    enter(&engine->adapters, adapter);
    *out = adapter;
    return CALMOE_OK;
}

calmoe_status calmoe_adapter_open(calmoe_engine *engine, const char *path, calmoe_adapter **out)
{
    if (out) *out = NULL;
    if (!engine || !path || !out)
        return cm_fail(engine ? engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_adapter_open: engine, path and out are needed");
    if (engine->shares.own > 0)
        return cm_fail(engine->ctx, CALMOE_INVALID_ARGUMENT,
                       "adapters are rank 0's to open; rank %d takes part by calmoe_engine_follow()",
                       engine->shares.own);
    if (!engine->followers) return cm_adapter_open_here(engine, path, out);
    CM_TRY(cm_followers_begin_adapter(engine->followers, path));
    const calmoe_status status = cm_adapter_open_here(engine, path, out);
    cm_followers_end_step(engine->followers);
    return status;
}

void calmoe_adapter_close(calmoe_adapter **adapter)
{
    if (!adapter || !*adapter) return;
    (*adapter)->is_closed = true;
    release(*adapter);
    *adapter = NULL;
}

int calmoe_engine_n_adapters(const calmoe_engine *engine)
{
    int n = 0;
    for (int i = 0; engine && i < engine->adapters.n; i++) n += !engine->adapters.adapters[i]->is_closed;
    return n;
}

calmoe_adapter *calmoe_engine_adapter(const calmoe_engine *engine, int i)
{
    const struct engine_adapters *all = engine ? &engine->adapters : NULL;
    for (int j = 0; i >= 0 && all && j < all->n; j++) {
        int n_before = 0;
        for (int k = 0; k < all->n; k++)
            n_before += !all->adapters[k]->is_closed && all->adapters[k]->number < all->adapters[j]->number;
        if (!all->adapters[j]->is_closed && n_before == i) return all->adapters[j];
    }
    return NULL;
}

calmoe_status calmoe_adapter_get_info(const calmoe_adapter *adapter, calmoe_adapter_info *info)
{
    if (!adapter || !info || info->size < sizeof info->size)
        return cm_fail(adapter ? adapter->engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_adapter_get_info: an adapter, and an info with its size set, are needed");
    cm_options_give(info, &adapter->about, sizeof adapter->about);
    return CALMOE_OK;
}

/* ---- a session's ---- */

static bool is_before(const calmoe_adapter *a, const calmoe_adapter *b)
{
    const int order = strcmp(a->about.fingerprint, b->about.fingerprint);
    return order < 0 || (order == 0 && a->number < b->number);
}

/* Those of a scale that is not 0, in the order in which they are added. */
static int sort(calmoe_adapter *const *adapters, const float *scales, int n, struct used_adapter *out)
{
    int n_used = 0;
    for (int i = 0; i < n; i++) {
        if (scales[i] == 0.0f) continue;
        int at = n_used++;
        for (; at > 0 && is_before(adapters[i], out[at - 1].adapter); at--) out[at] = out[at - 1];
        out[at] = (struct used_adapter){adapters[i], scales[i]};
    }
    return n_used;
}

/* Keys and values are there or they are not, and before the first token there is one place. */
static calmoe_status check_prefixes(calmoe_context *ctx, calmoe_adapter *const *adapters, const float *scales, int n)
{
    int found = -1;
    for (int i = 0; i < n; i++) {
        if (adapters[i]->prefix.n_positions == 0 || scales[i] == 0.0f) continue;
        if (scales[i] != 1.0f)
            return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "adapter %d is a prefix, and is used whole or not: its scale "
                           "is %g, 1 or 0 is wanted", i, (double)scales[i]);
        if (found >= 0)
            return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "adapters %d and %d are prefixes: a session begins behind one "
                           "at most", found, i);
        found = i;
    }
    return CALMOE_OK;
}

static calmoe_status check(const calmoe_session *session, calmoe_adapter *const *adapters, const float *scales, int n)
{
    calmoe_context *ctx = session->engine->ctx;
    if (n < 0 || n > CALMOE_MAX_ADAPTERS || (n > 0 && (!adapters || !scales)))
        return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "calmoe_session_set_adapters: %d adapters; 0 to %d, with their "
                       "scales, are wanted", n, CALMOE_MAX_ADAPTERS);
    for (int i = 0; i < n; i++) {
        if (!adapters[i] || adapters[i]->engine != session->engine)
            return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "adapter %d is none of the session's engine", i);
        if (!isfinite(scales[i]))
            return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "adapter %d has the scale %g; a finite number is wanted", i,
                           (double)scales[i]);
        for (int j = 0; j < i; j++)
            if (adapters[j] == adapters[i])
                return cm_fail(ctx, CALMOE_INVALID_ARGUMENT, "adapters %d and %d are the same", j, i);
    }
    return check_prefixes(ctx, adapters, scales, n);
}

static bool are_set(const struct session_adapters *own, const struct used_adapter *wanted, int n)
{
    bool are = own->n == n;
    for (int i = 0; are && i < n; i++)
        are = own->used[i].adapter == wanted[i].adapter && own->used[i].scale == wanted[i].scale;
    return are;
}

void cm_session_close_adapters(calmoe_session *session)
{
    struct session_adapters *own = &session->adapters;
    for (int i = 0; i < own->n; i++) release(own->used[i].adapter);
    own->n = own->uses.n = 0;
    own->prefix = NULL;
    session->sequence.adapters = NULL;
}

/* Positions beyond those that the model was trained for, which a prefix takes beside the session's context: said once
 * for each prefix. */
static void remark_on_prefix(const calmoe_session *session)
{
    const int n_trained = session->engine->model->spec.context_length;
    for (int i = 0; i < session->adapters.n; i++) {
        calmoe_adapter *adapter = session->adapters.used[i].adapter;
        if (adapter->is_remarked || adapter->prefix.n_positions == 0) continue;
        if (session->context + adapter->prefix.n_positions <= n_trained) continue;
        adapter->is_remarked = true;
        cm_log(session->engine->ctx, "the prefix takes %d positions beside a context of %d tokens; the model was "
               "trained for %d in all, beyond which it may write nonsense", adapter->prefix.n_positions,
               session->context, n_trained);
    }
}

/* wanted is sorted; the session has no tokens. */
static calmoe_status use(calmoe_session *session, const struct used_adapter *wanted, int n)
{
    struct session_adapters *own = &session->adapters;
    int n_prefix = 0, n_uses = 0;
    for (int i = 0; i < n; i++) n_prefix += wanted[i].adapter->prefix.n_positions;
    if (n_prefix != session->state.n_prefix) CM_TRY(cm_session_open_state(session, n_prefix));
    for (int i = 0; i < n; i++) wanted[i].adapter->n_users++;
    cm_session_close_adapters(session);
    for (int i = 0; i < n; i++) {
        calmoe_adapter *adapter = wanted[i].adapter;
        own->used[i] = wanted[i];
        if (adapter->prefix.n_positions > 0) own->prefix = &adapter->prefix;
        else own->of_step[n_uses++] = (struct low_rank_use){&adapter->weights.set, wanted[i].scale};
    }
    own->n = n;
    own->uses = (struct low_rank_uses){n_uses, own->of_step};
    session->sequence.adapters = n_uses > 0 ? &own->uses : NULL;
    if (session->engine->followers) cm_followers_use(session->engine->followers, session);
    remark_on_prefix(session);
    return CALMOE_OK;
}

calmoe_status cm_session_check_policy_with_adapters(const calmoe_session *session)
{
    if (!session->rung || session->adapters.n == 0) return CALMOE_OK;
    return cm_fail(session->engine->ctx, CALMOE_INVALID_ARGUMENT,
                   "a policy was made for the model as it is: with adapters nothing that is known of it holds");
}

calmoe_status calmoe_session_set_adapters(calmoe_session *session, calmoe_adapter *const *adapters,
                                          const float *scales, int n)
{
    struct used_adapter wanted[CALMOE_MAX_ADAPTERS];
    if (!session) return cm_fail(NULL, CALMOE_INVALID_ARGUMENT, "calmoe_session_set_adapters: a session is needed");
    CM_TRY(check(session, adapters, scales, n));
    const int n_used = sort(adapters, scales, n, wanted);
    if (are_set(&session->adapters, wanted, n_used)) return CALMOE_OK;
    if (session->n_known > 0)
        return cm_fail(session->engine->ctx, CALMOE_INVALID_ARGUMENT,
                       "the session has %d tokens, which are read with the adapters that it has; to use others, rewind "
                       "it "
                       "to 0 first", session->n_known);
    if (n_used > 0 && session->rung)
        return cm_fail(session->engine->ctx, CALMOE_INVALID_ARGUMENT,
                       "the session has a policy, which was made for the model as it is: with adapters nothing that is "
                       "known of it holds");
    return use(session, wanted, n_used);
}

calmoe_status cm_session_copy_adapters(const calmoe_session *from, calmoe_session *to)
{
    return use(to, from->adapters.used, from->adapters.n);
}

int calmoe_session_n_adapters(const calmoe_session *session) { return session ? session->adapters.n : 0; }

calmoe_status calmoe_session_adapter(const calmoe_session *session, int i, calmoe_adapter **adapter, float *scale)
{
    if (!session || !adapter || !scale || i < 0 || i >= session->adapters.n)
        return cm_fail(session ? session->engine->ctx : NULL, CALMOE_INVALID_ARGUMENT,
                       "calmoe_session_adapter: adapter %d of %d", i, session ? session->adapters.n : 0);
    *adapter = session->adapters.used[i].adapter;
    *scale = session->adapters.used[i].scale;
    return CALMOE_OK;
}

/* ---- a step's ---- */

void cm_step_use_adapters(calmoe_engine *engine)
{
    bool any = engine->shares.own > 0; /* who follows has no sessions, but sequences that may use them */
    for (int i = 0; i < engine->n_sessions; i++) any |= engine->sessions[i]->adapters.uses.n > 0;
    engine->step.adapters = engine->adapters.sets;
    engine->step.n_adapters = any ? engine->adapters.n : 0;
}
